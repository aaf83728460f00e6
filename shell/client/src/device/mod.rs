//! What one device keeps: its folders, the pins of each account, the local store, and what the desktop's keyring holds.

pub mod home;
pub mod keyring;
pub mod local;
pub mod pins;
