//! The lists of all formats: look-up by name and detection by content.

use crate::format::{FormatError, MAX_SECRET_FILE, SecretFormat, Source, VaultFormat};
use crate::input::source::without_mark;
use crate::lookalike;
use crate::secrets::{
    age, age_identity, base64, bip39, eth_keystore, hex, json, jwe, jwk, key_file, length_prefix,
    openssh, pem, raw, shares,
};
use crate::vaults::{
    bitwarden, csv, cxf, dotenv, enpass, jwks, keepass, keeper, native, onepif, onepux, otp, pass,
    proton, vault_kv,
};

/// All formats of one secret, in the order of detection.
pub static ALL: [SecretFormat; 17] = [
    raw::FORMAT,
    hex::FORMAT,
    base64::STANDARD,
    base64::URL,
    length_prefix::ONE_BYTE,
    length_prefix::FOUR_BYTES,
    json::FORMAT,
    jwk::FORMAT,
    jwe::FORMAT,
    pem::FORMAT,
    openssh::FORMAT,
    key_file::FORMAT,
    age_identity::FORMAT,
    bip39::FORMAT,
    eth_keystore::FORMAT,
    age::FORMAT,
    shares::FORMAT,
];

/// The names of all formats; those of one secret come first.
pub fn names() -> impl Iterator<Item = &'static str> {
    let one = ALL.iter().map(|format| format.name);
    one.chain(VAULTS.iter().map(|format| format.name))
}

/// The format of this name.
///
/// # Errors
/// [`FormatError::Usage`], listing the names.
pub fn named(name: &str) -> Result<&'static SecretFormat, FormatError> {
    let format = ALL.iter().find(|format| format.name == name);
    format.ok_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|format| format.name).collect();
        let names = names.join(", ");
        if vault_named(name).is_some() {
            return FormatError::Usage(format!(
                "`{name}` is a format of whole vaults (`export --all`, `import`); formats of one secret are {names}"
            ));
        }
        FormatError::Usage(format!(
            "there is no format `{name}`; formats of one secret are {names}; `help formats` lists all"
        ))
    })
}

/// All formats of whole vaults, in the order of detection. Our own format is only read here: its export is streamed.
pub static VAULTS: [VaultFormat; 33] = [
    native::VAULT,
    enpass::FORMAT,
    bitwarden::FORMAT,
    bitwarden::ENCRYPTED,
    proton::FORMAT,
    keeper::FORMAT,
    cxf::FORMAT,
    keepass::DATABASE,
    keepass::XML,
    pass::PASSWORD_STORE,
    pass::PASS_AGE,
    csv::BITWARDEN,
    csv::LASTPASS,
    csv::FIREFOX,
    csv::ONEPASSWORD,
    csv::APPLE,
    csv::KEEPASSXC,
    csv::KEEPASS,
    csv::PROTON,
    csv::NORDPASS,
    csv::DASHLANE,
    csv::ROBOFORM,
    csv::CHROME,
    csv::MAPPED,
    onepux::FORMAT,
    onepif::FORMAT,
    vault_kv::FORMAT,
    otp::URIS,
    otp::AEGIS,
    otp::TWOFAS,
    otp::ANDOTP,
    jwks::FORMAT,
    dotenv::FORMAT,
];

/// The format of a whole vault of this name, if there is one.
pub fn vault_named(name: &str) -> Option<&'static VaultFormat> {
    VAULTS.iter().find(|format| format.name == name)
}

/// The format of a file, as detected from its content.
#[derive(Clone, Copy)]
pub enum Detected {
    /// A whole vault.
    Vault(&'static VaultFormat),
    /// One secret.
    Secret(&'static SecretFormat),
    /// No known format: the content is the value.
    Other,
}

impl Detected {
    /// The name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Vault(format) => format.name,
            Self::Secret(format) => format.name,
            Self::Other => "raw",
        }
    }
}

/// Detects the format from the content; the name of the file does not count.
///
/// # Errors
/// [`FormatError`] for unreadable files, unknown folders and files that almost have a known format.
pub fn detect(source: &Source) -> Result<Detected, FormatError> {
    let peek = source.peek()?;
    let vault = VAULTS
        .iter()
        .find(|format| (format.recognises)(source, &peek));
    if let Some(format) = vault {
        return Ok(Detected::Vault(format));
    }
    if source.is_folder() {
        let text = "no known format has this layout of a folder: `help formats` lists the formats";
        return Err(FormatError::not_this_format(text));
    }
    if let Some(error) = lookalike::unread(source, &peek) {
        return Err(error);
    }
    if source.size()? > MAX_SECRET_FILE {
        return Ok(Detected::Other);
    }
    let bytes = source.bytes(MAX_SECRET_FILE)?;
    let secret = ALL
        .iter()
        .find(|format| (format.recognises)(without_mark(bytes.expose())));
    if let Some(format) = secret {
        return Ok(Detected::Secret(format));
    }
    match lookalike::almost_known(source, &peek, bytes.expose()) {
        Some(error) => Err(error),
        None => Ok(Detected::Other),
    }
}
