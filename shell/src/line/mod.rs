//! A line as it is typed: its words, and what each of them is by the definitions of the commands.

pub mod grammar;
pub mod tilde;
pub mod words;
