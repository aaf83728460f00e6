//! Tables of logins, as browsers and password managers write them (RFC 4180).
//!
//! A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula. On the way out such cells get a `'`
//! before them, and a last column of ours says which, so that they come in again as they were; other programs take the
//! sign for a part of the value, so each is a loss that is listed.

mod bitwarden;
mod chrome;
mod lastpass;
mod programs;
mod quotes;
mod table;

pub use bitwarden::BITWARDEN;
pub use chrome::CHROME;
pub use lastpass::LASTPASS;
pub use programs::{
    APPLE, DASHLANE, FIREFOX, KEEPASS, KEEPASSXC, MAPPED, NORDPASS, ONEPASSWORD, PROTON, ROBOFORM,
    targets,
};
pub use table::is_table_of_passwords;
