//! A server that lies, and owners who notice.
#![allow(missing_docs)]

mod lies_audit;
mod lies_channel;
mod lies_credentials;
mod lies_display;
mod lies_epochs;
mod lies_former;
mod lies_keys;
mod lies_log;
mod lies_model;
mod lies_refusals;
mod lies_values;
mod restore;
mod sabotage;
