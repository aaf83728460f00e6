//! What the programs of others read and write, and desktops of their own.
#![allow(missing_docs)]

mod clipboard;
mod foreign_vaults;
mod generated;
mod keyring;
mod keys;
mod qr;
mod second_client;
mod tab;
mod tables;
mod totp;
mod words;
