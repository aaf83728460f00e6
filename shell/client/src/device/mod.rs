//! State of one device: its folders, the pins of each account, the local store, and items in the desktop's keyring.

pub mod home;
pub mod identity;
pub mod keyring;
pub mod local;
pub mod pins;
