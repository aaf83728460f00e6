//! Formats of whole vaults.

pub mod bitwarden;
pub mod csv;
pub mod cxf;
pub mod dotenv;
pub mod jwks;
pub mod keepass;
pub mod native;
pub mod onepux;
pub mod otp;
pub mod pass;
pub mod vault_kv;
