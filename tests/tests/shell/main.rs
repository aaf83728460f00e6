//! The shell as its owner uses it: commands, the interactive session, files on the device, the agent.
#![allow(missing_docs)]

mod agent;
mod anchors;
mod arguments;
mod client_files;
mod clipboard_terminal;
mod compromised;
mod credentials;
mod devices;
mod doctor;
mod documents;
mod embedded;
mod faults;
mod harness;
mod inject;
mod journey;
mod json;
mod layers;
mod library;
mod local;
mod port;
mod repl;
mod rotate;
mod run;
mod sheet;
mod terminal;
mod tour;
mod trash;
mod values;
mod with_key;
