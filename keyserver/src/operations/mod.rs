//! The API without HTTP: one file per operation or small family. Each calls the actors in the order sessions,
//! storage, audit: an answer leaves only once its audit records are durable.

mod append;
mod audit;
pub mod call;
mod delete;
mod enrol;
mod fetch;
pub mod login;
mod logout;
pub mod register;
mod request;
pub mod service;
mod signatures;
mod slots;
mod sync;
