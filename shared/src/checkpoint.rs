//! Signed audit-tree heads in the C2SP `tlog-checkpoint` and `signed-note` formats.

use data_encoding::BASE64;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ids::{AccountId, Digest, PublicKey, ServerId};

/// Number of records in an audit tree, and its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeHead {
    /// Number of records.
    pub size: u64,
    /// Root of the Merkle tree (RFC 9162, section 2.1) over the records.
    pub root: Digest,
}

/// Longest checkpoint text that is parsed, in bytes.
pub const MAX_LEN: usize = 1024;

/// Algorithm byte of Ed25519 in a signed note's key id.
const ED25519: u8 = 0x01;

/// The checkpoint cannot be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The text is no checkpoint of this account on this server.
    #[error("the audit checkpoint is malformed or of another log")]
    Malformed,
    /// The text carries no valid signature of the pinned key.
    #[error("the audit checkpoint is not signed by the pinned key")]
    BadSignature,
}

/// The origin line of the log, which is also the key name in the signature line.
pub fn origin(server: &ServerId, account: &AccountId) -> String {
    format!("keyserver/{server}/{account}")
}

/// Signs a tree head; returns a signed note.
pub fn sign(key: &SigningKey, server: &ServerId, account: &AccountId, head: &TreeHead) -> String {
    let origin = origin(server, account);
    let text = body(&origin, head);
    let public = PublicKey::new(key.verifying_key().to_bytes());
    let mut signature = key_id(&origin, &public).to_vec();
    signature.extend_from_slice(&key.sign(text.as_bytes()).to_bytes());
    format!("{text}\n\u{2014} {origin} {}\n", BASE64.encode(&signature))
}

/// Verifies a signed note of at most [`MAX_LEN`] bytes with one signature line, and returns the tree head in it.
///
/// # Errors
/// [`CheckpointError`].
pub fn verify(
    note: &str,
    key: &PublicKey,
    server: &ServerId,
    account: &AccountId,
) -> Result<TreeHead, CheckpointError> {
    let malformed = CheckpointError::Malformed;
    if note.len() > MAX_LEN {
        return Err(malformed);
    }
    let origin = origin(server, account);
    let (body_start, signature_line) = note.split_once("\n\n").ok_or(malformed)?;
    let text = format!("{body_start}\n");
    let head = parse_body(&text, &origin).ok_or(malformed)?;
    let signature = signature_line
        .strip_prefix("\u{2014} ")
        .and_then(|rest| rest.strip_prefix(origin.as_str()))
        .and_then(|rest| rest.strip_prefix(' '))
        .and_then(|rest| rest.strip_suffix('\n'))
        .and_then(strict_base64)
        .ok_or(malformed)?;
    let (id, signature) = signature.split_first_chunk::<4>().ok_or(malformed)?;
    let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| malformed)?;
    let verifier =
        VerifyingKey::from_bytes(key.as_bytes()).map_err(|_| CheckpointError::BadSignature)?;
    if *id != key_id(&origin, key) || verifier.verify_strict(text.as_bytes(), &signature).is_err() {
        return Err(CheckpointError::BadSignature);
    }
    Ok(head)
}

fn body(origin: &str, head: &TreeHead) -> String {
    format!(
        "{origin}\n{}\n{}\n",
        head.size,
        BASE64.encode(head.root.as_bytes())
    )
}

/// Parses the body; accepts only the canonical text of the tree head.
fn parse_body(text: &str, origin: &str) -> Option<TreeHead> {
    let mut lines = text.lines().skip(1);
    let size = lines.next()?.parse().ok()?;
    let root = Digest::from_slice(&BASE64.decode(lines.next()?.as_bytes()).ok()?)?;
    let head = TreeHead { size, root };
    (body(origin, &head) == text).then_some(head)
}

/// Decodes canonical base64. The decoder alone also accepts padded texts joined together.
fn strict_base64(text: &str) -> Option<Vec<u8>> {
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    (BASE64.encode(&bytes) == text).then_some(bytes)
}

/// First four bytes of `SHA-256(name || LF || algorithm || public key)`.
fn key_id(name: &str, key: &PublicKey) -> [u8; 4] {
    let digest: [u8; 32] = Sha256::new()
        .chain_update(name.as_bytes())
        .chain_update([b'\n', ED25519])
        .chain_update(key.as_bytes())
        .finalize()
        .into();
    let [a, b, c, d, ..] = digest;
    [a, b, c, d]
}
