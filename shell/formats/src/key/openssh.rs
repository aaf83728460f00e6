//! Private keys as OpenSSH writes them (its PROTOCOL.key), plain or encrypted with bcrypt-pbkdf.

use pkcs8::der::pem::LineEnding;
use rand::rngs::OsRng;
use shared::secret::{Key, SecretBytes};
use ssh_key::private::{EcdsaKeypair, Ed25519Keypair, KeypairData};
use ssh_key::{Kdf, public};

use super::pem;
use super::private_key::{Kind, PrivateKey};
use crate::ask::Ask;
use crate::error::FormatError;
use crate::model::Portable;

/// Media type of keys in OpenSSH's form.
pub const CONTENT_TYPE: &str = "application/x-openssh-private-key";
/// Most rounds of bcrypt-pbkdf that a file may ask for; ssh-keygen takes 16 or 24 unless told otherwise.
const MAX_ROUNDS: u64 = 1024;

fn broken(error: ssh_key::Error) -> FormatError {
    FormatError::malformed(format!("the private key is damaged: {error}"))
}

fn parsed(block: &str) -> Result<ssh_key::PrivateKey, FormatError> {
    ssh_key::PrivateKey::from_openssh(block).map_err(broken)
}

/// What a key's file has that other forms have no place for: the comment of OpenSSH's form, other keys, certificates, text.
pub fn lost(secret: &Portable) -> Vec<String> {
    let block = pem::openssh_block(secret.value.expose());
    // The comment of an encrypted key needs the passphrase.
    let has_comment = |block| parsed(block).is_ok_and(|key| !key.comment().is_empty());
    let lost = block.filter(|block| has_comment(block));
    let comment = lost.map(|_| "the comment of the key".to_owned());
    let beside = pem::beside(secret.value.expose());
    comment.into_iter().chain(beside).collect()
}

/// Reads the text of a private key, and opens it where it is encrypted.
pub fn read(block: &str, ask: &dyn Ask) -> Result<PrivateKey, FormatError> {
    let mut key = parsed(block)?;
    if let Kdf::Bcrypt { rounds, .. } = key.kdf() {
        FormatError::check_cost("rounds of bcrypt-pbkdf", (*rounds).into(), 0..=MAX_ROUNDS)?;
        let passphrase = ask.passphrase()?;
        let wrong =
            |_| FormatError::wrong_passphrase("the private key does not open: wrong passphrase");
        key = key.decrypt(passphrase.as_bytes()).map_err(wrong)?;
    }
    let mut read = match key.key_data() {
        KeypairData::Ed25519(pair) => {
            let bytes = Key::new(pair.private.to_bytes());
            let key = PrivateKey::new(Kind::Ed25519, bytes.expose())?;
            key.belonging_to(pair.public.as_ref())?
        }
        KeypairData::Ecdsa(EcdsaKeypair::NistP256 { public, private }) => {
            let key = PrivateKey::new(Kind::P256, private.as_slice())?;
            key.belonging_to(public.as_bytes())?
        }
        _ => return Err(pem::kept(key.algorithm())),
    };
    key.comment().clone_into(&mut read.comment);
    Ok(read)
}

fn shaped(key: &PrivateKey) -> Result<ssh_key::PrivateKey, FormatError> {
    let pair = match (key.kind(), key.p256()) {
        (Kind::Ed25519, _) => Ed25519Keypair::from_seed(key.bytes().expose()).into(),
        (_, Some(scalar)) => KeypairData::from(EcdsaKeypair::NistP256 {
            public: scalar.public_key().into(),
            private: scalar.clone().into(),
        }),
        (kind, None) => {
            let text = format!("OpenSSH has no keys of {kind}: use --format pem or jwk");
            return Err(FormatError::cannot_carry(text));
        }
    };
    ssh_key::PrivateKey::new(pair, key.comment.as_str()).map_err(broken)
}

fn armoured(key: &ssh_key::PrivateKey) -> Result<SecretBytes, FormatError> {
    let text = key.to_openssh(LineEnding::LF).map_err(broken)?;
    Ok(SecretBytes::from(text.as_bytes()))
}

/// Writes a private key that is encrypted with a passphrase.
///
/// # Errors
/// As [`write()`].
pub fn sealed(key: &PrivateKey, passphrase: &str) -> Result<SecretBytes, FormatError> {
    let sealed = shaped(key)?.encrypt(&mut OsRng, passphrase.as_bytes());
    armoured(&sealed.map_err(broken)?)
}

/// Writes a private key.
///
/// # Errors
/// [`FormatError`] for kinds that the form does not have.
pub fn write(key: &PrivateKey) -> Result<SecretBytes, FormatError> {
    armoured(&shaped(key)?)
}

fn line(key: &public::PublicKey) -> Result<String, FormatError> {
    let line = key.to_openssh().map_err(broken)?;
    Ok(format!("{}\n", line.trim_end()))
}

/// The public key to a private one in OpenSSH's form. It stands there in plain, whatever the kind and the encryption.
pub fn public_of(block: &str) -> Result<String, FormatError> {
    line(parsed(block)?.public_key())
}

/// The public key to a private one of another form.
pub fn public(key: &PrivateKey, comment: &str) -> Result<String, FormatError> {
    let mut shaped = shaped(key)?;
    if shaped.comment().is_empty() {
        shaped.set_comment(comment);
    }
    line(shaped.public_key())
}
