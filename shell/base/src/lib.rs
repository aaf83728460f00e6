//! The lowest crate of keyshell: private files that are replaced atomically, names of secrets, times, and text without
//! terminal control characters. It knows no vault, file format or network.

pub mod files;
pub mod json;
pub mod names;
pub mod numbered;
pub mod text;
pub mod time;
