//! The index: secrets, credentials, devices and notes, as the replay of the vault log yields them.

mod cached;
mod credentials;
pub mod device_name;
pub mod metadata;
mod notes;
mod replay;
mod secret;
mod unsealed;

pub use credentials::{CredentialState, Credentials};
pub use notes::Note;
pub use replay::{ChangeKey, Index, Replayed};
pub use secret::{Secret, VersionInfo};
