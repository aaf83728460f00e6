//! Formats of whole vaults.

pub mod bitwarden;
pub mod csv;
pub mod cxf;
pub mod dotenv;
mod draft;
pub mod enpass;
pub mod jwks;
pub mod keepass;
pub mod keeper;
mod members;
pub mod native;
pub mod onepif;
pub mod onepux;
pub mod otp;
pub mod pass;
pub mod proton;
pub mod vault_kv;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod json_exports_tests;
