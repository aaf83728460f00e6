//! The client of a key server that its users do not trust, as a library: it reads no terminal, prints nothing, and
//! parses no command line.
//!
//! Modules, from the lowest floor up; each imports from lower floors only:
//!
//! - [`verification`], [`error`]: the checks that an answer can fail, and the library's error;
//! - [`device`]: files of this device (pins, local store) and its keyring;
//! - [`agent`]: the protocol of the agent process;
//! - [`keys`]: key derivation (RFC 5869), wrapping and sealing (RFC 8452), passwords and recovery codes;
//! - [`frontend`]: the trait by which a program answers questions and shows progress;
//! - [`transport`]: TLS 1.3 with pinned keys, HTTP, messages;
//! - [`opaque`]: registration and login (RFC 9807);
//! - [`index`]: the replay of the vault log;
//! - [`session`]: one authenticated session and its sealed channel;
//! - [`vault`]: one account: changes are sealed, signed and sent; answers and the audit log (RFC 9162) are verified.
#![forbid(unsafe_code)]

pub mod account;
pub mod agent;
pub mod device;
pub mod error;
pub mod frontend;
pub mod index;
pub mod keys;
pub mod opaque;
mod padding;
pub mod session;
pub mod transport;
pub mod vault;
pub mod verification;
