//! Bringing the index up to date, and proving every answer on the way.

use shared::checkpoint::{self, TreeHead};
use shared::ids::Digest;
use shared::merkle;
use shared::opaque::SUITE;
use shared::vault_log::Head;
use shared::wire::call::{Answer, AuditRange, Call, Sync, SyncAnswer};

use crate::error::Error;
use crate::vault::open::{Vault, accept};
use crate::vault::pins::ServerPins;

impl Vault {
    pub(crate) async fn sync_once(&mut self) -> Result<(), Error> {
        let file = self.memory.pins.clone();
        let guard = file.hold()?;
        guard.refresh(&mut self.pins)?;
        let before = self.index.head();
        loop {
            let call = Call::Sync(Sync {
                after: self.index.head().seq,
                audit_size: self.pins.audit.map_or(0, |head| head.size),
            });
            let Answer::Sync(answer) = accept(self.session.request(call).await?)? else {
                return Err(Error::unproven("the server answered another question"));
            };
            self.replay(&answer)?;
            self.check_head(&answer.head)?;
            self.pins.audit = Some(self.checked_checkpoint(&answer)?);
            if self.index.head() == answer.head {
                break;
            }
            if answer.entries.is_empty() || self.index.head().seq >= answer.head.seq {
                let text = "the vault log that the server shows does not lead to the head it names";
                return Err(Error::unproven(text));
            }
        }
        self.check_identity()?;
        self.check_seen().await?;
        self.remember(&guard, before)
    }

    fn replay(&mut self, answer: &SyncAnswer) -> Result<(), Error> {
        for signed in &answer.entries {
            let (device, head) = self
                .index
                .replay(self.session.keys(), signed)
                .map_err(|error| Error::unproven(error.to_string()))?;
            if self.index.head().seq == self.pins.head.seq {
                self.check_head(&answer.head)?;
            }
            if self.lost == Some(self.index.head().hash) {
                self.lost = None;
            }
            if let Some(head) = head
                && device != self.session.device()
            {
                let newest = self.seen.entry(device).or_insert(head);
                if head.size >= newest.size {
                    *newest = head;
                }
            }
        }
        Ok(())
    }

    /// The log must go through the head that this device has seen. `claimed` is where the server says that it ends.
    fn check_head(&self, claimed: &Head) -> Result<(), Error> {
        let (shown, pinned) = (self.index.head(), self.pins.head);
        if claimed.seq < pinned.seq {
            return Err(Error::unproven(format!(
                "the vault log was rolled back: this device has seen {} entries, the server shows {}",
                pinned.seq, claimed.seq
            )));
        }
        let other_entry = |a: Head, b: Head| a.seq == b.seq && a.hash != b.hash;
        if other_entry(shown, pinned) || other_entry(*claimed, shown) {
            return Err(Error::unproven(format!(
                "the vault log was forked: entry {} is not the one that this device has seen",
                shown.seq
            )));
        }
        Ok(())
    }

    fn checked_checkpoint(&self, answer: &SyncAnswer) -> Result<TreeHead, Error> {
        let head = self.verified_note(&answer.checkpoint)?;
        // The question itself was recorded before it was answered.
        if self.pins.audit == Some(head) {
            let text = "the server answers with an audit checkpoint from before the question";
            return Err(Error::unproven(text));
        }
        check_consistency(self.pins.audit, head, &answer.consistency)?;
        Ok(head)
    }

    pub(crate) fn verified_note(&self, note: &str) -> Result<TreeHead, Error> {
        let server = &self.pins.server;
        checkpoint::verify(
            note,
            &server.checkpoint_key,
            &server.server,
            &self.pins.account,
        )
        .map_err(|error| Error::unproven(error.to_string()))
    }

    /// The owner's own entry says who the server is.
    fn check_identity(&self) -> Result<(), Error> {
        let identity = self
            .index
            .identity()
            .ok_or_else(|| Error::unproven("the server shows an empty vault log"))?;
        if ServerPins::from(identity) != self.pins.server {
            let text = "the server is not the one that the account was registered at";
            return Err(Error::unproven(text));
        }
        if identity.log_key != self.session.keys().log_key() {
            return Err(Error::unproven("the vault log names another signing key"));
        }
        if identity.suite != SUITE {
            return Err(Error::unproven(format!(
                "the vault log is of suite {}, this session of suite {SUITE}",
                identity.suite
            )));
        }
        Ok(())
    }

    /// What other devices were shown of the audit log must be a beginning of what this one is shown.
    async fn check_seen(&mut self) -> Result<(), Error> {
        for (device, theirs) in self.seen.clone() {
            let Some(ours) = self.pins.audit else {
                continue;
            };
            if theirs == ours {
                continue;
            }
            if theirs.size >= ours.size {
                return Err(Error::unproven(format!(
                    "device {device} was shown another audit log than this one"
                )));
            }
            let range = AuditRange {
                from: 0,
                limit: 0,
                size: Some(ours.size),
                verified_size: theirs.size,
                proofs: false,
            };
            let (answer, head) = self.audit_page(range).await?;
            if head != ours {
                return Err(Error::unproven(
                    "the audit log changed between two questions",
                ));
            }
            check_consistency(Some(theirs), ours, &answer.consistency).map_err(|_| {
                Error::unproven(format!(
                    "device {device} was shown another audit log than this one"
                ))
            })?;
        }
        self.seen.clear();
        Ok(())
    }
}

/// Whether the tree of `new` extends that of `old`.
pub(crate) fn check_consistency(
    old: Option<TreeHead>,
    new: TreeHead,
    proof: &[Digest],
) -> Result<(), Error> {
    let old = old.unwrap_or(TreeHead {
        size: 0,
        root: merkle::empty_root(),
    });
    if new.size < old.size {
        return Err(Error::unproven(format!(
            "the audit log was rolled back: this device has seen {} records, the server shows {}",
            old.size, new.size
        )));
    }
    if merkle::verify_consistency(old.size, new.size, &old.root, &new.root, proof) {
        return Ok(());
    }
    Err(Error::unproven(format!(
        "the audit log of {} records does not extend the one of {} that this device has seen",
        new.size, old.size
    )))
}
