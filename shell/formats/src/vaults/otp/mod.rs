//! Exports of programs for one-time codes, one secret per account: lists of otpauth URIs with those of Google
//! Authenticator's export, Aegis, 2FAS and andOTP.
//!
//! Each account is an item of the kind `totp` with an otpauth URI. What an app alone has of it (icons, the place in the
//! list, counts of use) is listed once per file.

mod account;
mod aegis;
mod andotp;
mod migration;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
mod twofas;
mod uris;

pub use aegis::FORMAT as AEGIS;
pub use andotp::FORMAT as ANDOTP;
pub use twofas::FORMAT as TWOFAS;
pub use uris::FORMAT as URIS;
