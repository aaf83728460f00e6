//! A command line while it is typed: its words, and their roles by the definitions of the commands.

pub mod grammar;
pub mod tilde;
pub mod words;
