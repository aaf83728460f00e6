//! Formats of one secret.

pub mod age;
pub mod age_identity;
pub mod base64;
pub mod bip39;
pub mod eth_keystore;
pub mod hex;
pub mod json;
pub mod jwe;
pub mod jwk;
pub mod key_file;
pub mod length_prefix;
pub mod openssh;
pub mod pem;
pub mod raw;
pub mod shares;
