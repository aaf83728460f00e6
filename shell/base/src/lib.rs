//! What the crates of keyshell stand on: private files that are replaced atomically, names of secrets, times, and text
//! that no terminal acts upon. Nothing here knows a vault, a file format or the network.

pub mod files;
pub mod json;
pub mod names;
pub mod numbered;
pub mod text;
pub mod time;
