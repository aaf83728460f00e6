//! What this device has seen proven, and never accepts less than: identities, heads, generations.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use keyshell_base::files;
use serde::{Deserialize, Serialize};
use shared::checkpoint::TreeHead;
use shared::ids::{AccountId, PublicKey, ServerId};
use shared::opaque::SUITE;
use shared::vault_log::{FIRST_EPOCH, Head, Identity};
use shared::wire::Hello;

use crate::device::home;
use crate::error::Error;
use crate::verification::{SharedView, VerificationError};

const MAX_FILE: u64 = 64 * 1024;
const FORMAT: u8 = 1;
/// Most refused entries that are remembered: somebody who tries again for ever must not fill the file.
const MAX_REFUSED: usize = 64;

/// The server's identity, as far as this device believes it.
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

fn first_epoch() -> u32 {
    FIRST_EPOCH
}

/// What is pinned for one account in one profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    /// Format of the file.
    pub format: u8,
    /// Who the server is.
    pub server: ServerPins,
    /// The account's id.
    pub account: AccountId,
    /// Highest suite seen; a lower one is refused.
    pub suite: u8,
    /// Highest key epoch seen; a lower one is refused.
    #[serde(default = "first_epoch")]
    pub epoch: u32,
    /// Newest position of the vault log, under the account key of that epoch.
    pub head: Head,
    /// Newest verified audit checkpoint.
    pub audit: Option<TreeHead>,
    /// Newest generation seen of each slot, by its label; a lower one is refused.
    pub generations: BTreeMap<String, u64>,
    /// Where entries would have led to that this device signed and the server said it refused. As long as the log has
    /// not gone past them, the server could still store them.
    #[serde(default)]
    pub refused: Vec<Head>,
    /// The log-signing key under the account key that this device has begun to put in the place of the one of now.
    #[serde(default)]
    pub begun: Option<PublicKey>,
    /// Which generation of the password opens the local store.
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
            head: Head::EMPTY,
            audit: None,
            generations: BTreeMap::new(),
            refused: Vec::new(),
            begun: None,
            local_password: None,
        }
    }

    /// Notes the log's newest position, which it has proven to have.
    pub fn advance(&mut self, head: Head) {
        self.head = head;
        self.refused.retain(|refused| refused.seq > head.seq);
        let excess = self.refused.len().saturating_sub(MAX_REFUSED);
        self.refused.drain(..excess);
    }

    /// Notes that the entry of the pinned head is this one under a newer account key.
    pub fn recognise(&mut self, epoch: u32, head: Head) {
        self.epoch = epoch;
        self.head = head;
    }

    /// Notes a slot's generation.
    ///
    /// # Errors
    /// [`Error::Verification`] if it is older than one seen before.
    pub fn note_generation(&mut self, slot: &str, generation: u64) -> Result<(), Error> {
        let newest = self.generations.entry(slot.to_owned()).or_default();
        if generation < *newest {
            return Err(VerificationError::CredentialRolledBack {
                slot: slot.to_owned(),
                seen: *newest,
                shown: generation,
            }
            .into());
        }
        *newest = generation;
        Ok(())
    }

    /// Takes over what another run on this device has seen and this one has not.
    ///
    /// # Errors
    /// [`Error::Verification`] if the two were shown different logs.
    pub fn keep_newer(&mut self, stored: Self) -> Result<(), Error> {
        if stored.account != self.account || stored.server != self.server {
            return Err(VerificationError::RunsDisagree(SharedView::Identity).into());
        }
        let is_same_key = stored.epoch == self.epoch;
        if is_same_key && stored.head.seq == self.head.seq && stored.head.hash != self.head.hash {
            return Err(VerificationError::RunsDisagree(SharedView::VaultLog).into());
        }
        if let (Some(theirs), Some(ours)) = (stored.audit, self.audit)
            && theirs.size == ours.size
            && theirs.root != ours.root
        {
            return Err(VerificationError::RunsDisagree(SharedView::AuditLog).into());
        }
        // Under whichever key: told again under a later one, an entry names what it was.
        self.refused.extend(stored.refused);
        self.refused.sort_by_key(|head| (head.seq, head.hash));
        self.refused.dedup();
        if is_same_key {
            let newest = if stored.head.seq > self.head.seq {
                stored.head
            } else {
                self.head
            };
            self.advance(newest);
        } else if stored.epoch > self.epoch {
            self.recognise(stored.epoch, stored.head);
        }
        self.audit = [self.audit, stored.audit]
            .into_iter()
            .flatten()
            .max_by_key(|head| head.size);
        self.local_password = self.local_password.max(stored.local_password);
        self.begun = self.begun.or(stored.begun);
        self.suite = self.suite.max(stored.suite);
        for (slot, generation) in stored.generations {
            let newest = self.generations.entry(slot).or_default();
            *newest = generation.max(*newest);
        }
        Ok(())
    }
}

/// The pins' file.
#[derive(Debug, Clone)]
pub struct PinsFile(PathBuf);

impl PinsFile {
    /// At this path.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Reads the pins; `None` if this device knows nothing of the account yet.
    ///
    /// # Errors
    /// [`Error::Failed`]: a damaged file is never taken for a missing one, which would forget every check.
    pub fn load(&self) -> Result<Option<Pins>, Error> {
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

    /// Keeps other runs on this device from the pins as long as the result lives: who asks the server holds them, so
    /// that two runs cannot be shown two logs unnoticed.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn hold(&self) -> Result<HeldPins<'_>, Error> {
        let lock = home::lock(&self.0.with_extension("lock"))?;
        Ok(HeldPins {
            file: self,
            _lock: lock,
        })
    }
}

/// The pins' file, while no other run can change it.
#[derive(Debug)]
pub struct HeldPins<'a> {
    file: &'a PinsFile,
    _lock: File,
}

impl HeldPins<'_> {
    /// Brings `pins` up to what another run on this device has seen.
    ///
    /// # Errors
    /// As [`PinsFile::load`] and [`Pins::keep_newer`].
    pub fn refresh(&self, pins: &mut Pins) -> Result<(), Error> {
        self.file
            .load()?
            .map_or(Ok(()), |stored| pins.keep_newer(stored))
    }

    /// Puts these pins in the place of the stored ones, newer or not: for an owner who accepts what was lost.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn replace(&self, pins: &Pins) -> Result<(), Error> {
        let json = serde_json::to_vec_pretty(pins).map_err(|e| Error::Failed(e.to_string()))?;
        home::write(&self.file.0, &json)
    }

    /// Writes the pins, to the disk. What is stored and newer stays.
    ///
    /// # Errors
    /// As [`Self::refresh`], [`Error::Failed`].
    pub fn save(&self, pins: &Pins) -> Result<(), Error> {
        let mut pins = pins.clone();
        self.refresh(&mut pins)?;
        self.replace(&pins)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use shared::ids::{Digest, Seq};

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
    fn what_another_run_was_refused_is_kept_whichever_key_it_went_by() {
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
