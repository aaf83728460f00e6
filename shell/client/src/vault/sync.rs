//! Sync: replays new entries of the vault log, and verifies them against the pins and the audit log.

use shared::checkpoint::{self, TreeHead};
use shared::ids::{DeviceId, Digest};
use shared::merkle;
use shared::opaque::SUITE;
use shared::vault_log::{Head, LogError};
use shared::wire::call::{AuditAnswer, AuditRange, LoggedEntry, Sync, SyncAnswer};
use shared::wire::limits::{ANSWER_BUDGET, MAX_PAGE, MAX_SEEN};

use crate::device::pins::ServerPins;
use crate::error::{Error, Result};
use crate::index::ReplayError;
use crate::vault::open::Vault;
use crate::verification::VerificationError;

/// The notice where another device has acknowledged the loss of entries.
pub(crate) const LOSS_ACKNOWLEDGED: &str =
    "the server was restored from a backup, as another device of yours has acknowledged";

/// Why the replay of the vault log stopped.
pub(crate) enum ReplayFailure {
    /// The log does not extend the one that this device has seen: the server lies, or was restored from a backup.
    NotExtending(Error),
    /// Another error.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for ReplayFailure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// How the replayed log relates to the one that this device had seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Continuity {
    /// It extends that one.
    Extended,
    /// It lacks a part of that one, whose loss the owner has acknowledged.
    RestoredWithLoss,
}

impl Vault {
    pub(crate) async fn sync_once(&mut self) -> Result<()> {
        let guard = self.state.pins.hold()?;
        let losses = self.pins.losses;
        guard.refresh(&mut self.pins)?;
        if self.pins.losses != losses {
            // Another process on this device has accepted a loss: this index may contain what was lost.
            self.index = self.fitting_index().unwrap_or_default();
            self.seen.clear();
        }
        let before = self.index.head();
        self.notices.clear();
        let continuity = match self.replay_new().await {
            Ok(continuity) => continuity,
            Err(ReplayFailure::Failed(error)) => return Err(error),
            Err(ReplayFailure::NotExtending(error)) => self.replay_restored(error).await?,
        };
        self.check_identity()?;
        self.check_content()?;
        self.check_expected().await?;
        match continuity {
            Continuity::Extended => self.save_state(&guard, before)?,
            Continuity::RestoredWithLoss => self.replace_state(&guard)?,
        }
        self.show_notices();
        Ok(())
    }

    /// Shows what replay noticed, now that everything has verified: a lying server must not write the notices.
    pub(crate) fn show_notices(&mut self) {
        for notice in std::mem::take(&mut self.notices) {
            self.frontend.notice(&notice);
        }
    }

    /// Replays new entries, up to the head that the server names.
    pub(crate) async fn replay_new(&mut self) -> Result<Continuity, ReplayFailure> {
        let seen = self.pins.head.seq;
        let mut continuity = Continuity::Extended;
        // Only a tree that was seen before this sync can have been lost.
        let mut may_lack = self.pins.audit.is_some();
        let mut progress = self.frontend.progress("reading the vault log", 0);
        loop {
            let sync = Sync {
                after: self.index.head().seq,
                audit_size: self.pins.audit.map_or(0, |head| head.size),
            };
            let answer = self.session.ask(sync).await?;
            self.replay(&answer)?;
            self.check_head(&answer.head)
                .map_err(ReplayFailure::NotExtending)?;
            let head = self.newer_checkpoint(&answer)?;
            let extends = check_consistency(self.pins.audit, head, &answer.consistency);
            let is_accepted = self.index.lost().iter().any(|(seq, _)| *seq > seen);
            match extends {
                Ok(()) => {}
                // `check_seen` verifies that the tree extends the one that the acknowledging device has seen.
                Err(_) if may_lack && is_accepted => {
                    self.notices.push(LOSS_ACKNOWLEDGED.into());
                    continuity = Continuity::RestoredWithLoss;
                }
                Err(error) => return Err(ReplayFailure::NotExtending(error.into())),
            }
            let devices = self.seen.len();
            self.check_seen(head, &answer.seen)?;
            may_lack = false;
            self.pins.audit = Some(head);
            if self.index.head() == answer.head {
                return Ok(continuity);
            }
            check_page(&answer, devices)?;
            progress.reach(self.index.head().seq.0, answer.head.seq.0);
            if self.index.head().seq >= answer.head.seq {
                return Err(VerificationError::HeadNotReached.into());
            }
        }
    }

    fn replay(&mut self, answer: &SyncAnswer) -> Result<(), ReplayFailure> {
        for signed in &answer.entries {
            let replayed = self.index.replay(self.session.keys(), signed);
            let replayed = replayed.map_err(|error| match error {
                ReplayError::Log(LogError::NotNext { .. }) => {
                    ReplayFailure::NotExtending(error.into())
                }
                error => ReplayFailure::Failed(error.into()),
            })?;
            let has_looked = self.pins.head != Head::EMPTY;
            if replayed.begins_epoch && has_looked && self.index.head().seq > self.pins.head.seq {
                let text = "a new account key is in use since this device last looked";
                self.notices.retain(|notice| notice != text);
                self.notices.push(text.into());
            }
            if replayed.is_unreadable {
                self.note_unreadable(replayed.device);
            }
            if self.index.head().seq == self.pins.head.seq {
                self.check_head(&answer.head)
                    .map_err(ReplayFailure::NotExtending)?;
            }
            if self.pins.refused.contains(&self.index.head()) {
                let seq = self.index.head().seq;
                return Err(VerificationError::RefusedEntryStored(seq).into());
            }
            if self.lost == Some(self.index.head().hash) {
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

    /// An unreadable entry is signed by the owner's key, so that it is no lie of the server.
    fn note_unreadable(&mut self, device: DeviceId) {
        let name = self.index.credentials().device_name(&device);
        self.notices.push(format!(
            "log entry {} cannot be read: device `{name}` is broken, or another program has its keys; revoke the \
             device, then replace the account key",
            self.index.head().seq
        ));
    }

    /// Verifies that the log goes through the pinned head; `claimed` is the head that the server names.
    fn check_head(&self, claimed: &Head) -> Result<()> {
        let (shown, pinned) = (self.index.head(), self.pins.head);
        if claimed.seq < pinned.seq {
            let (seen, shown) = (pinned.seq, claimed.seq);
            return Err(VerificationError::RolledBack { seen, shown }.into());
        }
        let other_entry = |a: Head, b: Head| a.seq == b.seq && a.hash != b.hash;
        if other_entry(shown, pinned) || other_entry(*claimed, shown) {
            return Err(VerificationError::Forked(shown.seq).into());
        }
        // The pins may have become newer than the log that this process had replayed before.
        let place = pinned
            .seq
            .0
            .checked_sub(1)
            .and_then(|place| usize::try_from(place).ok());
        let entry = place.and_then(|place| self.index.entries().get(place));
        if entry.is_some_and(|(entry, _)| *entry != pinned.hash) {
            return Err(VerificationError::Forked(pinned.seq).into());
        }
        Ok(())
    }

    fn newer_checkpoint(&self, answer: &SyncAnswer) -> Result<TreeHead> {
        let head = self.verified_note(&answer.checkpoint)?;
        // The sync itself is recorded before it is answered, so that the tree has grown.
        if self.pins.audit == Some(head) {
            return Err(VerificationError::StaleCheckpoint.into());
        }
        Ok(head)
    }

    /// Reads one page of the audit log; the checkpoint's signature is checked, nothing else yet.
    pub(crate) async fn audit_page(
        &mut self,
        range: AuditRange,
    ) -> Result<(AuditAnswer, TreeHead)> {
        let answer = self.session.ask(range).await?;
        let head = self.verified_note(&answer.checkpoint)?;
        Ok((answer, head))
    }

    /// Verifies the signature of a checkpoint (C2SP `signed-note`).
    pub(crate) fn verified_note(&self, note: &str) -> Result<TreeHead> {
        let server = &self.pins.server;
        Ok(checkpoint::verify(
            note,
            &server.checkpoint_key,
            &server.server,
            &self.pins.account,
        )?)
    }

    /// Verifies that the identity in the vault log, signed by the owner, is the pinned one.
    pub(crate) fn check_identity(&self) -> Result<()> {
        let identity = self.index.identity().ok_or(VerificationError::EmptyLog)?;
        if ServerPins::from(identity) != self.pins.server {
            return Err(VerificationError::OtherServer.into());
        }
        // The operator could else show a new epoch, and not the revocations that it began for.
        if !self.index.is_whole() {
            return Err(VerificationError::InstallationInParts(self.index.head().seq).into());
        }
        // Replay has verified that the log key of each epoch descends from its account key.
        if self.index.epoch() != self.session.keys().epoch() {
            return Err(VerificationError::ReplacementNotLogged.into());
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

    /// Verifies that the server delivered all content that the log does not say was destroyed.
    pub(crate) fn check_content(&self) -> Result<(), VerificationError> {
        self.index.withheld().map_or(Ok(()), |seq| {
            Err(VerificationError::ContentWithheld { seq })
        })
    }

    /// Verifies that the server shows what an anchor code names, or a state that follows it.
    async fn check_expected(&mut self) -> Result<()> {
        let Some(anchor) = self.state.expected.take() else {
            return Ok(());
        };
        let ours = self.pins.audit.ok_or(VerificationError::EmptyLog)?;
        let place = anchor.seq.0.checked_sub(1);
        let place = place.and_then(|place| usize::try_from(place).ok());
        let entry = place.and_then(|place| self.index.entries().get(place));
        let older = VerificationError::OlderThanExpected {
            expected: (anchor.epoch, anchor.seq, anchor.audit_size),
            shown: (self.index.epoch(), self.index.head().seq, ours.size),
        };
        let (entry, _) = *entry.ok_or_else(|| older.clone())?;
        if self.index.epoch() < anchor.epoch || ours.size < anchor.audit_size {
            return Err(older.into());
        }
        let theirs = self.proven_tree(anchor.audit_size, ours).await?;
        let server = &self.pins.server;
        if anchor.names(server, &self.pins.account, &entry, &theirs.root) {
            return Ok(());
        }
        Err(VerificationError::OtherThanExpected.into())
    }

    /// The audit tree of this size, of which the one shown here was proven to be an extension.
    async fn proven_tree(&mut self, size: u64, ours: TreeHead) -> Result<TreeHead> {
        if size == ours.size {
            return Ok(ours);
        }
        if size == 0 {
            let root = merkle::empty_root();
            return Ok(TreeHead { size, root });
        }
        let range = |size, verified_size| AuditRange {
            from: 0,
            limit: 0,
            size: Some(size),
            verified_size,
            proofs: false,
        };
        let (_, theirs) = self.audit_page(range(size, 0)).await?;
        let (answer, same) = self.audit_page(range(ours.size, size)).await?;
        if theirs.size != size || same != ours {
            return Err(VerificationError::AuditChanged(ours.size).into());
        }
        check_consistency(Some(theirs), ours, &answer.consistency)?;
        Ok(theirs)
    }

    /// Verifies that the audit log which each device of the answered entries was shown is a prefix of the one shown here.
    /// `proofs` are in ascending order of tree size.
    fn check_seen(
        &mut self,
        ours: TreeHead,
        proofs: &[Vec<Digest>],
    ) -> Result<(), VerificationError> {
        let mut seen: Vec<_> = self.seen.iter().map(|(by, head)| (*head, *by)).collect();
        seen.sort_by_key(|(head, _)| head.size);
        let mut proofs = proofs.iter();
        let mut proven: Option<TreeHead> = None;
        for (theirs, device) in seen {
            if theirs == ours || proven == Some(theirs) {
                continue;
            }
            // Two heads of one size differ, or the other device was shown more than this one is.
            let is_split =
                theirs.size >= ours.size || proven.is_some_and(|proven| proven.size == theirs.size);
            let proof = proofs.next().filter(|_| !is_split);
            proof
                .and_then(|proof| check_consistency(Some(theirs), ours, proof).ok())
                .ok_or(VerificationError::AuditSplitView(device))?;
            proven = Some(theirs);
        }
        self.seen.clear();
        Ok(())
    }
}

/// Verifies that a page before the last one is full, so that a server cannot prolong a sync by tiny pages.
fn check_page(answer: &SyncAnswer, devices: usize) -> Result<(), VerificationError> {
    let bytes = answer.entries.iter().map(LoggedEntry::size).sum::<usize>();
    let is_full =
        answer.entries.len() >= MAX_PAGE || bytes >= ANSWER_BUDGET / 2 || devices >= MAX_SEEN;
    if !is_full {
        return Err(VerificationError::ShortPage);
    }
    Ok(())
}

/// Verifies that the tree of `new` extends that of `old` (RFC 9162, section 2.1.4.2).
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
