//! Bringing the index up to date, and proving every answer on the way.

use shared::checkpoint::{self, TreeHead};
use shared::ids::{DeviceId, Digest};
use shared::merkle;
use shared::opaque::SUITE;
use shared::vault_log::{Former, Head, LogError, SignedEntry};
use shared::wire::call::{AuditRange, Sync, SyncAnswer};
use shared::wire::limits::{ANSWER_BUDGET, MAX_PAGE};

use crate::device::pins::ServerPins;
use crate::error::Error;
use crate::index::ReplayError;
use crate::vault::open::Vault;
use crate::verification::VerificationError;

/// What the owner should hear where another device accepted a loss.
pub(crate) const ACCEPTED: &str =
    "the server was restored from a backup, as another device of yours has acknowledged";

/// Why a log was not followed to its end.
pub(crate) enum Astray {
    /// It does not lead through what this device has seen: a lie, or a server that was restored from a backup.
    OffThePins(Error),
    /// Anything else.
    Failed(Error),
}

impl From<Error> for Astray {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Whether something was given up that this device had seen, because the owner acknowledged its loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Followed {
    /// Everything goes on from what was seen.
    Onward,
    /// Something was lost.
    WithLoss,
}

impl Vault {
    pub(crate) async fn sync_once(&mut self) -> Result<(), Error> {
        let file = self.state.pins.clone();
        let guard = file.hold()?;
        guard.refresh(&mut self.pins)?;
        let before = self.index.head();
        let followed = match self.follow().await {
            Ok(followed) => followed,
            Err(Astray::Failed(error)) => return Err(error),
            Err(Astray::OffThePins(error)) => self.follow_restored(error).await?,
        };
        self.check_identity()?;
        self.check_seen().await?;
        match followed {
            Followed::Onward => self.remember(&guard, before),
            Followed::WithLoss => self.remember_anew(&guard),
        }
    }

    /// Replays what is new, up to the head that the server names.
    pub(crate) async fn follow(&mut self) -> Result<Followed, Astray> {
        let seen = self.pins.head.seq;
        if self.pins.head == Head::EMPTY {
            self.pins.epoch = self.session.keys().epoch();
        }
        let mut followed = Followed::Onward;
        // Only what this device has seen before can have been lost, and only once.
        let mut may_lack = self.pins.audit.is_some();
        let mut progress = self.frontend.progress("reading the vault log", 0);
        loop {
            let sync = Sync {
                after: self.index.head().seq,
                audit_size: self.pins.audit.map_or(0, |head| head.size),
            };
            let answer = self.session.ask(sync).await?;
            self.replay(&answer)?;
            self.check_head(&answer.head).map_err(Astray::OffThePins)?;
            let head = self.newer_checkpoint(&answer)?;
            let extends = check_consistency(self.pins.audit, head, &answer.consistency);
            let is_accepted = self.index.lost().iter().any(|(seq, _)| *seq > seen);
            match extends {
                Ok(()) => {}
                // Then it extends what the acknowledging device has seen, or `check_seen` says so.
                Err(_) if may_lack && is_accepted => {
                    self.frontend.notice(ACCEPTED);
                    followed = Followed::WithLoss;
                }
                Err(error) => return Err(Astray::OffThePins(error.into())),
            }
            may_lack = false;
            self.pins.audit = Some(head);
            if self.index.head() == answer.head {
                return Ok(followed);
            }
            check_page(&answer).map_err(Error::from)?;
            progress.reach(self.index.head().seq.0, answer.head.seq.0);
            if self.index.head().seq >= answer.head.seq {
                return Err(Error::from(VerificationError::HeadNotReached).into());
            }
        }
    }

    fn replay(&mut self, answer: &SyncAnswer) -> Result<(), Astray> {
        for signed in &answer.entries {
            let replayed = self.index.replay(self.session.keys(), signed);
            let replayed = replayed.map_err(|error| match error {
                ReplayError::Log(LogError::NotNext { .. }) => Astray::OffThePins(error.into()),
                error => Astray::Failed(error.into()),
            })?;
            self.recognise(&replayed.former);
            if replayed.is_unreadable {
                self.note_unreadable(replayed.device);
            }
            if self.index.head().seq == self.pins.head.seq {
                self.check_head(&answer.head).map_err(Astray::OffThePins)?;
            }
            if self.was_refused(&replayed.former) {
                let seq = self.index.head().seq;
                return Err(Error::from(VerificationError::RefusedEntryStored { seq }).into());
            }
            let is_lost = |hash: Digest| self.lost == Some(hash);
            if is_lost(self.index.head().hash) || replayed.former.iter().any(|f| is_lost(f.hash)) {
                self.lost = None;
            }
            if let Some(head) = replayed.seen {
                let newest = self.seen.entry(replayed.device).or_insert(head);
                if head.size >= newest.size {
                    *newest = head;
                }
            }
        }
        Ok(())
    }

    /// No lie of the server's, which cannot sign it.
    fn note_unreadable(&mut self, device: DeviceId) {
        let name = self.index.credentials().device_name(&device);
        self.frontend.notice(&format!(
            "log entry {} cannot be read: device `{name}` is broken, or another program has its keys; revoke the device, \
             then replace the account key",
            self.index.head().seq
        ));
    }

    /// Whether the entry that was just replayed is one of which the server said that it refused it: as it is, or as it
    /// was under an account key before.
    fn was_refused(&self, former: &[Former]) -> bool {
        let head = self.index.head();
        let told = former.iter().map(|former| Head {
            hash: former.hash,
            ..head
        });
        let mut forms = std::iter::once(head).chain(told);
        forms.any(|form| self.pins.refused.contains(&form))
    }

    /// Where the account key was replaced, the entry that this device has seen last was told again: it says so itself.
    fn recognise(&mut self, former: &[Former]) {
        let (epoch, head) = (self.session.keys().epoch(), self.index.head());
        let pinned = Former {
            epoch: self.pins.epoch,
            hash: self.pins.head.hash,
        };
        let is_pinned = head.seq == self.pins.head.seq && former.contains(&pinned);
        if is_pinned && self.pins.epoch < epoch {
            self.pins.recognise(epoch, head);
            self.frontend
                .notice("the account key was replaced since this device last looked");
        }
    }

    /// The log must go through the head that this device has seen. `claimed` is where the server says that it ends.
    fn check_head(&self, claimed: &Head) -> Result<(), Error> {
        let (shown, pinned) = (self.index.head(), self.pins.head);
        if claimed.seq < pinned.seq {
            let (seen, shown) = (pinned.seq, claimed.seq);
            return Err(VerificationError::RolledBack { seen, shown }.into());
        }
        let other_entry = |a: Head, b: Head| a.seq == b.seq && a.hash != b.hash;
        if other_entry(shown, pinned) || other_entry(*claimed, shown) {
            return Err(VerificationError::Forked { seq: shown.seq }.into());
        }
        Ok(())
    }

    fn newer_checkpoint(&self, answer: &SyncAnswer) -> Result<TreeHead, Error> {
        let head = self.verified_note(&answer.checkpoint)?;
        // The question itself was recorded before it was answered.
        if self.pins.audit == Some(head) {
            return Err(VerificationError::StaleCheckpoint.into());
        }
        Ok(head)
    }

    pub(crate) fn verified_note(&self, note: &str) -> Result<TreeHead, Error> {
        let server = &self.pins.server;
        Ok(checkpoint::verify(
            note,
            &server.checkpoint_key,
            &server.server,
            &self.pins.account,
        )?)
    }

    /// The owner's own entry says who the server is.
    pub(crate) fn check_identity(&self) -> Result<(), Error> {
        let identity = self.index.identity().ok_or(VerificationError::EmptyLog)?;
        if ServerPins::from(identity) != self.pins.server {
            return Err(VerificationError::OtherServer.into());
        }
        if self.index.epoch() != self.session.keys().epoch() {
            return Err(VerificationError::ReplacementNotLogged.into());
        }
        if identity.log_key != self.session.keys().log_key() {
            return Err(VerificationError::OtherLogKey.into());
        }
        if identity.suite != SUITE {
            return Err(VerificationError::OtherSuite {
                logged: identity.suite,
                expected: SUITE,
            }
            .into());
        }
        Ok(())
    }

    /// What other devices were shown of the audit log must be a beginning of what this one is shown.
    pub(crate) async fn check_seen(&mut self) -> Result<(), Error> {
        for (device, theirs) in self.seen.clone() {
            let Some(ours) = self.pins.audit else {
                continue;
            };
            if theirs == ours {
                continue;
            }
            if theirs.size >= ours.size {
                return Err(VerificationError::AuditSplitView { device }.into());
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
                return Err(VerificationError::AuditChanged { size: ours.size }.into());
            }
            check_consistency(Some(theirs), ours, &answer.consistency)
                .map_err(|_| VerificationError::AuditSplitView { device })?;
        }
        self.seen.clear();
        Ok(())
    }
}

/// A page before the last one must be full: a server that answers in crumbs keeps everybody waiting.
fn check_page(answer: &SyncAnswer) -> Result<(), VerificationError> {
    let bytes = answer.entries.iter().map(SignedEntry::size).sum::<usize>();
    if answer.entries.len() < MAX_PAGE && bytes < ANSWER_BUDGET / 2 {
        return Err(VerificationError::ShortPage);
    }
    Ok(())
}

/// Whether the tree of `new` extends that of `old`.
pub(crate) fn check_consistency(
    old: Option<TreeHead>,
    new: TreeHead,
    proof: &[Digest],
) -> Result<(), VerificationError> {
    let old = old.unwrap_or(TreeHead {
        size: 0,
        root: merkle::empty_root(),
    });
    let (seen, shown) = (old.size, new.size);
    if shown < seen {
        return Err(VerificationError::AuditRolledBack { seen, shown });
    }
    if merkle::verify_consistency(seen, shown, &old.root, &new.root, proof) {
        return Ok(());
    }
    Err(VerificationError::AuditForked { seen, shown })
}
