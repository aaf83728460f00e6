//! Pins: the newest identities, log heads and credential generations that this device has verified. Older ones are
//! refused.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use keyshell_base::files;
use serde::{Deserialize, Serialize};
use shared::checkpoint::TreeHead;
use shared::ids::{AccountId, Digest, PublicKey, ServerId, SessionId};
use shared::kdf::length_prefixed;
use shared::opaque::{SUITE, Slot};
use shared::vault_log::{CredentialKeys, Head, Identity};
use shared::wire::Hello;

use crate::device::home;
use crate::error::{Error, Result};
use crate::verification::{SharedView, VerificationError};

/// With room for some thousand devices.
const MAX_FILE: u64 = 1024 * 1024;
const FORMAT: u8 = 2;
/// Most refused entries that are kept, so that endless retries do not fill the file; with so many at one position, this
/// device signs no more there.
pub const MAX_REFUSED: usize = 64;
/// Most sessions whose requests are kept until they are found in the audit log; the oldest is evicted.
pub const MAX_SESSIONS: usize = 64;

/// The server's identity, as pinned by this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerPins {
    /// Its id.
    pub server: ServerId,
    /// Its OPAQUE static public key.
    pub opaque_key: PublicKey,
    /// The key that signs its audit checkpoints.
    pub checkpoint_key: PublicKey,
}

impl From<&Hello> for ServerPins {
    fn from(hello: &Hello) -> Self {
        Self {
            server: hello.server,
            opaque_key: hello.opaque_key,
            checkpoint_key: hello.checkpoint_key,
        }
    }
}

impl From<&Identity> for ServerPins {
    fn from(identity: &Identity) -> Self {
        Self {
            server: identity.server,
            opaque_key: identity.opaque_key,
            checkpoint_key: identity.checkpoint_key,
        }
    }
}

/// The newest credential of a slot that a device has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedCredential {
    /// Its generation.
    pub generation: u64,
    /// SHA-256 of its public keys; `None` for a revoked one, and until the log was read.
    pub keys: Option<Digest>,
}

impl PinnedCredential {
    /// The credential of this generation and these keys.
    pub fn new(generation: u64, keys: Option<&CredentialKeys>) -> Self {
        let digest = |keys: &CredentialKeys| {
            let fields: [&[u8]; 3] = [keys.wrapped.as_bytes(), &keys.kem, keys.signing.as_bytes()];
            Digest::of(&length_prefixed(&fields))
        };
        Self {
            generation,
            keys: keys.map(digest),
        }
    }
}

/// A session of this device, with its newest request that must have audit records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsedSession {
    /// The session.
    pub session: SessionId,
    /// Number of the request, from 1.
    pub counter: u64,
    /// Position of its last record, from 0.
    pub position: u32,
}

/// The pins of one account in one profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    /// Format version of the file.
    pub format: u8,
    /// The server's identity.
    pub server: ServerPins,
    /// The account's id.
    pub account: AccountId,
    /// Highest suite seen; a lower one is refused.
    pub suite: u8,
    /// Highest key epoch seen; a lower one is refused.
    pub epoch: u32,
    /// The log-signing key of that epoch; `None` before the first sync. A holder of a former account key can begin another
    /// epoch of the same number, so that the number alone says nothing.
    #[serde(default)]
    pub log_key: Option<PublicKey>,
    /// Newest position of the vault log.
    pub head: Head,
    /// Newest verified audit checkpoint.
    pub audit: Option<TreeHead>,
    /// Newest credential seen of each slot, by its label; one of a lower generation is refused.
    pub credentials: BTreeMap<String, PinnedCredential>,
    /// The heads that entries would have led to which this device signed and the server refused. The server could still
    /// append them while the log is shorter.
    #[serde(default)]
    pub refused: Vec<Head>,
    /// The key epoch that this device has begun to replace the account key, until everything is re-encrypted.
    #[serde(default)]
    pub rotating: Option<u32>,
    /// Number of losses that were accepted on this device: pins from before are not merged into later ones.
    #[serde(default)]
    pub losses: u64,
    /// The newest sessions of this device, oldest first, until `audit` has found their requests in the log: nothing
    /// else shows that the last records of a session are missing.
    #[serde(default)]
    pub sessions: Vec<UsedSession>,
    /// The generation of the password that opens the local store.
    #[serde(default)]
    pub local_password: Option<u64>,
}

impl Pins {
    /// The first pins of an account.
    pub fn new(server: ServerPins, account: AccountId, epoch: u32) -> Self {
        Self {
            format: FORMAT,
            server,
            account,
            suite: SUITE,
            epoch,
            log_key: None,
            head: Head::EMPTY,
            audit: None,
            credentials: BTreeMap::new(),
            refused: Vec::new(),
            rotating: None,
            losses: 0,
            sessions: Vec::new(),
            local_password: None,
        }
    }

    /// Whether this device has begun to replace the account key, and not everything is re-encrypted yet.
    pub fn is_replacing_account_key(&self) -> bool {
        self.rotating == Some(self.epoch)
    }

    /// Pins a newer head of the vault log, and drops the refused heads that it has passed.
    pub fn advance(&mut self, head: Head) {
        self.head = head;
        self.refused.retain(|refused| refused.seq > head.seq);
    }

    /// Keeps the newest request of a session until [`Self::sessions`] is verified.
    pub fn note_session(&mut self, used: UsedSession) {
        let mut known = self.sessions.iter_mut();
        match known.find(|known| known.session == used.session) {
            Some(known) if known.counter < used.counter => *known = used,
            Some(_) => {}
            None => self.sessions.push(used),
        }
        let surplus = self.sessions.len().saturating_sub(MAX_SESSIONS);
        self.sessions.drain(..surplus);
    }

    /// Pins the key epoch of a log that was verified.
    pub fn advance_epoch(&mut self, epoch: u32, log_key: PublicKey) {
        self.epoch = epoch;
        self.log_key = Some(log_key);
    }

    /// Pins the generation of a slot's credential.
    ///
    /// # Errors
    /// [`VerificationError::CredentialRolledBack`] if it is older than the pinned one.
    pub fn note_generation(&mut self, slot: &str, generation: u64) -> Result<()> {
        let newest = self.credentials.entry(slot.to_owned()).or_default();
        if generation < newest.generation {
            return Err(VerificationError::CredentialRolledBack {
                slot: slot.to_owned(),
                seen: newest.generation,
                shown: generation,
            }
            .into());
        }
        if generation > newest.generation {
            let keys = None;
            *newest = PinnedCredential { generation, keys };
        }
        Ok(())
    }

    /// Pins the newest credential of each slot, as the vault log up to the pinned head names them.
    pub fn note_credentials(&mut self, newest: impl Iterator<Item = (Slot, PinnedCredential)>) {
        let by_label = newest.map(|(slot, pinned)| (slot.to_string(), pinned));
        self.credentials = by_label.collect();
    }

    /// Merges the pins that another process on this device has stored; the newer of each stays.
    ///
    /// # Errors
    /// [`VerificationError::RunsDisagree`] if the two processes were shown different servers, accounts or logs.
    pub fn keep_newer(&mut self, stored: Self) -> Result<()> {
        if stored.losses != self.losses {
            if stored.losses > self.losses {
                *self = stored;
            }
            return Ok(());
        }
        if stored.account != self.account || stored.server != self.server {
            return Err(VerificationError::RunsDisagree(SharedView::Identity).into());
        }
        if stored.head.seq == self.head.seq && stored.head.hash != self.head.hash {
            return Err(VerificationError::RunsDisagree(SharedView::VaultLog).into());
        }
        if let (Some(theirs), Some(ours)) = (stored.audit, self.audit)
            && theirs.size == ours.size
            && theirs.root != ours.root
        {
            return Err(VerificationError::RunsDisagree(SharedView::AuditLog).into());
        }
        let ours = std::mem::replace(&mut self.sessions, stored.sessions);
        for used in ours {
            self.note_session(used);
        }
        self.refused.extend(stored.refused);
        self.refused.sort_by_key(|head| (head.seq, head.hash));
        self.refused.dedup();
        let newest = if stored.head.seq > self.head.seq {
            stored.head
        } else {
            self.head
        };
        self.advance(newest);
        if stored.epoch > self.epoch || self.log_key.is_none() {
            self.log_key = stored.log_key.filter(|_| stored.epoch >= self.epoch);
        }
        self.epoch = self.epoch.max(stored.epoch);
        self.audit = [self.audit, stored.audit]
            .into_iter()
            .flatten()
            .max_by_key(|head| head.size);
        self.local_password = self.local_password.max(stored.local_password);
        self.rotating = self.rotating.or(stored.rotating);
        self.suite = self.suite.max(stored.suite);
        for (slot, credential) in stored.credentials {
            let newest = self.credentials.entry(slot).or_default();
            *newest = credential.max(*newest);
        }
        Ok(())
    }
}

/// The pins' file.
#[derive(Debug, Clone)]
pub struct PinsFile(PathBuf);

impl PinsFile {
    /// The file at this path.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Reads the pins; `None` if this device has none of the account yet.
    ///
    /// # Errors
    /// [`Error::Failed`]: a damaged file is not taken for a missing one, which would drop all pins.
    pub fn load(&self) -> Result<Option<Pins>> {
        let bad = |why: String| {
            Error::Failed(format!(
                "the pins in {} cannot be used ({why}); without them a lying server might go unnoticed: restore the \
                 file, or remove it if you accept that",
                self.0.display()
            ))
        };
        let Some(content) = files::read(&self.0, MAX_FILE).map_err(|e| bad(e.to_string()))? else {
            return Ok(None);
        };
        let pins: Pins =
            serde_json::from_slice(content.expose()).map_err(|e| bad(e.to_string()))?;
        if pins.format != FORMAT {
            return Err(bad(format!("format {} is not known", pins.format)));
        }
        if pins.suite > SUITE {
            return Err(bad(format!(
                "suite {} is newer than this program",
                pins.suite
            )));
        }
        Ok(Some(pins))
    }

    /// Locks the pins against other processes on this device until the result is dropped. They are locked during each
    /// sync, so that the server cannot show two processes two logs unnoticed.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn hold(&self) -> Result<HeldPins> {
        Ok(self.held(home::lock(&self.lock())?))
    }

    /// As [`Self::hold`]; `None` at once if another process has locked them.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn try_hold(&self) -> Result<Option<HeldPins>> {
        let lock = home::try_lock(&self.lock())?;
        Ok(lock.map(|lock| self.held(lock)))
    }

    fn lock(&self) -> PathBuf {
        self.0.with_extension("lock")
    }

    fn held(&self, lock: File) -> HeldPins {
        HeldPins {
            file: self.clone(),
            _lock: lock,
        }
    }
}

/// The pins' file, locked against other processes.
#[derive(Debug)]
pub struct HeldPins {
    file: PinsFile,
    _lock: File,
}

impl HeldPins {
    /// Merges the stored pins into `pins`.
    ///
    /// # Errors
    /// As [`PinsFile::load`] and [`Pins::keep_newer`].
    pub fn refresh(&self, pins: &mut Pins) -> Result<()> {
        self.file
            .load()?
            .map_or(Ok(()), |stored| pins.keep_newer(stored))
    }

    /// Replaces the stored pins, also by older ones: for an owner who has acknowledged a loss.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn replace(&self, pins: &Pins) -> Result<()> {
        let json = serde_json::to_vec_pretty(pins).map_err(Error::failed)?;
        home::write(&self.file.0, &json)
    }

    /// Writes the pins to the disk, merged with newer stored ones.
    ///
    /// # Errors
    /// As [`Self::refresh`], [`Error::Failed`].
    pub fn save(&self, pins: &Pins) -> Result<()> {
        let mut pins = pins.clone();
        self.refresh(&mut pins)?;
        self.replace(&pins)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use shared::ids::Seq;

    use super::*;

    fn pins(epoch: u32) -> Pins {
        let server = ServerPins {
            server: ServerId::new([1; 16]),
            opaque_key: PublicKey::new([2; 32]),
            checkpoint_key: PublicKey::new([3; 32]),
        };
        Pins::new(server, AccountId::new([4; 16]), epoch)
    }

    #[test]
    fn pins_from_before_an_accepted_loss_do_not_come_back() {
        let head = |seq| Head {
            seq: Seq(seq),
            hash: Digest::new([5; 32]),
        };
        let mut older = pins(3);
        older.advance(head(20));
        let mut accepted = pins(1);
        accepted.advance(head(13));
        accepted.losses = 1;
        let mut kept = accepted.clone();
        kept.keep_newer(older.clone()).unwrap();
        assert_eq!(kept, accepted);
        older.keep_newer(accepted.clone()).unwrap();
        assert_eq!(older, accepted);
    }

    #[test]
    fn the_newest_request_of_the_newest_sessions_is_kept() {
        let used = |session: usize, counter| UsedSession {
            session: SessionId::new([u8::try_from(session).unwrap(); 16]),
            counter,
            position: 0,
        };
        let mut newer = pins(1);
        (0..=MAX_SESSIONS).for_each(|session| newer.note_session(used(session, 3)));
        assert_eq!(newer.sessions.len(), MAX_SESSIONS);
        assert_eq!(newer.sessions.first(), Some(&used(1, 3)));
        newer.note_session(used(1, 2));
        let mut stored = pins(1);
        stored.note_session(used(MAX_SESSIONS, 9));
        newer.keep_newer(stored).unwrap();
        assert_eq!(newer.sessions.len(), MAX_SESSIONS);
        assert!(newer.sessions.contains(&used(1, 3)));
        assert!(newer.sessions.contains(&used(MAX_SESSIONS, 9)));
    }

    #[test]
    fn refused_heads_of_another_process_are_kept_for_all_epochs() {
        let refused = Head {
            seq: Seq(9),
            hash: Digest::new([5; 32]),
        };
        for (own, theirs) in [(1, 1), (1, 2), (2, 1)] {
            let mut stored = pins(theirs);
            stored.refused.push(refused);
            let mut newer = pins(own);
            newer.keep_newer(stored).unwrap();
            assert_eq!(newer.refused, [refused], "{own} {theirs}");
            assert_eq!(newer.epoch, own.max(theirs));
        }
    }
}
