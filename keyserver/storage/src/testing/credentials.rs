//! Credentials: set, replaced, revoked, never skipping a generation; key epochs; leases.

use serde_bytes::ByteBuf;
use shared::audit_record::AuditedOperation;
use shared::ids::{Digest, Seq};
use shared::opaque::Slot;
use shared::vault_log::{Acknowledge, Credential, Op, Rekey, SignedEntry};
use shared::wire::error::Refusal;
use shared::wire::register::{Lease, SlotRecord};
use shared::wire::slots::{NewEpoch, SLOT_KEY_LEN, SlotKey};

use super::owner::{
    HERE, LEASE, NOW, Owner, credential, device, head, login, proven, public, record, refusal,
    signing, unproven, without_content, write,
};
use super::{Fresh, config};
use crate::api::{Draft, Retire, StartLogin, WriteRecords};
use crate::config::Config;
use crate::error::StorageError;
use crate::store::{Store, WriteResult};
use crate::write::{VerifiedInstall, Write, Written};

const MINUTE: u64 = 60 * 1000;

/// An `install` that is put together.
#[derive(Clone)]
struct Call {
    /// The owner after the call.
    owner: Owner,
    slots: Vec<SlotRecord>,
    entries: Vec<SignedEntry>,
    epoch: Option<NewEpoch>,
    by: Draft,
}

impl Call {
    fn of(owner: &Owner) -> Self {
        Self {
            owner: owner.clone(),
            slots: Vec::new(),
            entries: Vec::new(),
            epoch: None,
            by: proven(),
        }
    }

    fn by(self, by: Draft) -> Self {
        Self { by, ..self }
    }

    fn push(&mut self, entry: SignedEntry) {
        self.owner.head = self.owner.head.with(&entry);
        self.entries.push(entry);
    }

    fn op(mut self, op: Op) -> Self {
        let entry = self.owner.sign(self.owner.head, op);
        self.push(entry);
        self
    }

    fn acknowledge(self) -> Self {
        let op = acknowledge();
        self.op(op)
    }

    /// Begins a key epoch, with as many credentials as are said to follow.
    fn rekey(mut self, credentials: u8) -> Self {
        let next = Owner::new("next").key;
        let epoch = self.owner.epoch + 1;
        let entry = Op::Rekey(Rekey {
            epoch,
            log_key: public(&next),
            credentials,
        });
        self = self.op(entry);
        self.owner.key = next;
        self.owner.epoch = epoch;
        self.epoch = Some(NewEpoch {
            slot_keys: Vec::new(),
            history: ByteBuf::from(vec![4; 28 + 32 * (epoch as usize - 1)]),
        });
        self
    }

    fn set(self, slot: Slot, generation: u64) -> Self {
        let epoch = self.owner.epoch;
        self.set_record(record(slot, generation, epoch))
    }

    fn set_record(mut self, new: SlotRecord) -> Self {
        self = self.op(Op::Credential(credential(&new)));
        if new.slot == Slot::Password {
            self.owner.password = new.wrapped.generation;
        }
        self.slots.push(new);
        self
    }

    fn revoke(self, slot: Slot, generation: u64) -> Self {
        self.op(Op::Credential(Credential {
            slot,
            generation,
            keys: None,
            name: None,
        }))
    }

    fn key(self, slot: Slot, generation: u64) -> Self {
        let epoch = self.owner.epoch;
        self.slot_key(SlotKey {
            slot,
            generation,
            epoch,
            blob: ByteBuf::from(vec![3; SLOT_KEY_LEN]),
        })
    }

    fn slot_key(mut self, key: SlotKey) -> Self {
        self.epoch.as_mut().unwrap().slot_keys.push(key);
        self
    }

    fn write(&self, engine: &Store) -> Write {
        let account = self.owner.id;
        let records = vec![self.by.clone(); self.entries.len().max(1)];
        let entries = self.entries.iter().cloned().map(without_content);
        match engine.verify(account, entries.collect()).unwrap() {
            Ok(new) => Write::Install(Box::new(VerifiedInstall {
                account,
                slots: self.slots.clone(),
                new,
                epoch: self.epoch.clone(),
                records,
            })),
            Err(refusal) => Write::Refuse {
                account,
                refusal,
                records,
            },
        }
    }

    fn send(&self, engine: &Store) -> WriteResult {
        write(engine, self.write(engine))
    }

    fn refusal(&self, engine: &Store) -> Refusal {
        refusal(self.send(engine))
    }

    /// Must be accepted.
    fn done(self, engine: &Store, owner: &mut Owner) {
        self.done_at(engine, owner, NOW);
    }

    fn done_at(self, engine: &Store, owner: &mut Owner, now_ms: u64) {
        let done = engine.write_at(self.write(engine), now_ms);
        assert_eq!(head(done), self.owner.head);
        *owner = self.owner;
    }
}

fn acknowledge() -> Op {
    Op::Acknowledge(Acknowledge {
        lost_seq: Seq(9),
        lost_hash: Digest::of(b"lost"),
        signature: Some(shared::ids::Signature::new([0; 64])),
    })
}

/// A draft of a session that a credential opened.
fn opened_by(slot: Slot, generation: u64, epoch: u32) -> Draft {
    Draft {
        by: Some((slot, generation)),
        epoch: Some(epoch),
        ..unproven()
    }
}

/// However late a session hears of its end: what its credential was replaced or revoked by came first.
pub(super) fn nothing_is_done_for_a_credential_that_is_gone(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let mut owner = Owner::new("alice");
    write(&engine, owner.register()).unwrap();
    let asked = |by: (Slot, u64), owner: &mut Owner| {
        let note = owner.note(owner.head, 40);
        let draft = opened_by(by.0, by.1, owner.epoch);
        match write(&engine, owner.append_by(&engine, vec![note], &draft)) {
            Err(StorageError::Refused(refusal)) => Some(refusal),
            done => {
                owner.head = head(done);
                None
            }
        }
    };
    let own = device(1);
    assert_eq!(asked((Slot::Password, 1), &mut owner), None);
    assert_eq!(asked((own, 1), &mut owner), Some(Refusal::NoSession));
    Call::of(&owner).set(own, 1).done(&engine, &mut owner);
    assert_eq!(asked((own, 1), &mut owner), None);
    let stay = |call: Call| call.key(Slot::Password, 1).key(Slot::Recovery, 1);
    let revoked = Call::of(&owner).rekey(1).revoke(own, 2);
    stay(revoked).done(&engine, &mut owner);
    assert_eq!(asked((own, 1), &mut owner), Some(Refusal::NoSession));
    assert_eq!(asked((Slot::Password, 1), &mut owner), None);
    // A session of the former epoch is not told which key signs now.
    let note = owner.note(owner.head, 40);
    let late = owner.refused_by(&engine, note, &opened_by(Slot::Password, 1, 1));
    assert_eq!(late, Refusal::NoSession);
    let changed = Call::of(&owner).rekey(1).set(Slot::Password, 2);
    changed.key(Slot::Recovery, 1).done(&engine, &mut owner);
    let old = asked((Slot::Password, 1), &mut owner);
    assert_eq!(old, Some(Refusal::NoSession));
    assert_eq!(asked((Slot::Password, 2), &mut owner), None);
    engine.check().unwrap();
}

/// A thief who could jump to the last generation would have a credential that nobody can revoke or replace.
pub(super) fn a_generation_is_never_jumped_over(fresh: Fresh) {
    let place = fresh();
    let own = device(1);
    let mut owner = Owner::new("alice");
    {
        let engine = place.open(config());
        write(&engine, owner.register()).unwrap();
        for wrong in [0, 2, u64::MAX] {
            let call = Call::of(&owner).set(own, wrong);
            assert_eq!(call.refusal(&engine), Refusal::BadEntry, "{wrong}");
        }
        Call::of(&owner).set(own, 1).done(&engine, &mut owner);
        let replaced = |owner: &Owner, generation| {
            let call = Call::of(owner).rekey(2).set(Slot::Recovery, generation);
            call.set(Slot::Password, generation).key(own, 1)
        };
        for wrong in [0, 1, 3, u64::MAX] {
            let refused = replaced(&owner, wrong).refusal(&engine);
            assert_eq!(refused, Refusal::BadEntry, "{wrong}");
        }
        replaced(&owner, 2).done(&engine, &mut owner);
        // Nor by an entry that revokes, or by several at once.
        let stay = |call: Call| call.key(Slot::Password, 2).key(Slot::Recovery, 2);
        for call in [
            Call::of(&owner).rekey(1).revoke(own, u64::MAX),
            Call::of(&owner).rekey(2).revoke(own, 2).revoke(own, 4),
        ] {
            assert_eq!(stay(call).refusal(&engine), Refusal::BadEntry);
        }
        let revoked = stay(Call::of(&owner).rekey(1).revoke(own, 2));
        revoked.done(&engine, &mut owner);
    }
    // What was revoked is forgotten but for its generation, also across a restart.
    let engine = place.open(config());
    for wrong in [1, 2, 4, u64::MAX] {
        let call = Call::of(&owner).set(own, wrong);
        assert_eq!(call.refusal(&engine), Refusal::BadEntry, "{wrong}");
    }
    Call::of(&owner).set(own, 3).done(&engine, &mut owner);
    engine.check().unwrap();
}

/// An account with two devices.
fn with_devices(engine: &Store) -> (Owner, [Slot; 2]) {
    let mut owner = Owner::new("alice");
    write(engine, owner.register()).unwrap();
    let devices = [device(1), device(2)];
    for slot in devices {
        Call::of(&owner).set(slot, 1).done(engine, &mut owner);
    }
    (owner, devices)
}

pub(super) fn an_epoch_gives_its_key_to_exactly_the_credentials_that_stay(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let (mut owner, [one, two]) = with_devices(&engine);
    let login_by = |owner: &Owner, slot, generation, epoch| {
        login(write(
            &engine,
            owner.succeed_with(record(slot, generation, epoch), HERE),
        ))
    };
    let first = login_by(&owner, one, 1, 1);
    assert_eq!((first.epoch, first.signing), (1, public(&signing(one, 1))));
    assert!(first.slot_key.is_none() && first.history.is_none());

    let begun = || Call::of(&owner).rekey(1).set(Slot::Password, 2);
    let right = begun().key(Slot::Recovery, 1).key(one, 1).key(two, 1);
    let wrong_key = |change: fn(&mut SlotKey)| {
        let mut call = right.clone();
        change(call.epoch.as_mut().unwrap().slot_keys.last_mut().unwrap());
        call
    };
    let mut short_history = right.clone();
    short_history.epoch.as_mut().unwrap().history.pop();
    let mut without_epoch = right.clone();
    without_epoch.epoch = None;
    let mut without_rekey = Call::of(&owner).set(device(3), 1);
    without_rekey.epoch.clone_from(&right.epoch);
    for (call, why) in [
        (begun().key(Slot::Recovery, 1).key(one, 1), "one without"),
        (right.clone().key(two, 1), "one with two"),
        (right.clone().key(Slot::Password, 2), "one that wraps it"),
        (right.clone().key(device(3), 1), "one that is not"),
        (wrong_key(|key| key.generation = 2), "another generation"),
        (wrong_key(|key| key.epoch = 1), "another epoch"),
        (wrong_key(|key| key.blob.truncate(9)), "a short one"),
        (wrong_key(|key| key.slot = Slot::Password), "another slot"),
        (short_history, "not all former keys"),
        (without_epoch, "no keys"),
        (without_rekey, "no entry"),
    ] {
        assert_eq!(call.refusal(&engine), Refusal::BadEntry, "{why}");
    }
    right.done(&engine, &mut owner);
    let summary = engine.check().unwrap();
    assert_eq!((summary.slot_keys, summary.key_histories), (3, 1));
    let again = login_by(&owner, one, 1, 1);
    assert_eq!((again.epoch, again.head), (2, owner.head));
    let slot_key = again.slot_key.unwrap();
    assert_eq!(
        (slot_key.slot, slot_key.generation, slot_key.epoch),
        (one, 1, 2)
    );
    assert_eq!(again.history.unwrap().len(), 28 + 32);
    let by_password = login_by(&owner, Slot::Password, 2, 2);
    assert!(by_password.slot_key.is_none() && by_password.history.is_some());
    // A later generation wraps the account key of this epoch itself.
    Call::of(&owner).set(one, 2).done(&engine, &mut owner);
    assert!(login_by(&owner, one, 2, 2).slot_key.is_none());
    // The next epoch replaces all of it.
    let next = Call::of(&owner).rekey(1).revoke(two, 2);
    let next = next
        .key(Slot::Password, 2)
        .key(Slot::Recovery, 1)
        .key(one, 2);
    next.done(&engine, &mut owner);
    let summary = engine.check().unwrap();
    assert_eq!((summary.slot_keys, summary.key_histories), (3, 1));
    let last = login_by(&owner, one, 2, 2);
    assert_eq!(last.slot_key.unwrap().epoch, 3);
    assert_eq!(last.history.unwrap().len(), 28 + 2 * 32);
}

pub(super) fn an_install_has_its_entries_in_order(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let (owner, [one, two]) = with_devices(&engine);
    let all = |call: Call| call.key(Slot::Recovery, 1).key(one, 1).key(two, 1);
    let base = || Call::of(&owner);
    let mut unnamed = all(base().rekey(1).set(Slot::Password, 2));
    unnamed.slots[0].wrapped.blob[0] ^= 1;
    let mut former = record(Slot::Password, 2, 1);
    former.wrapped.epoch = 1;
    let mut swapped = base().rekey(2).set(Slot::Password, 2).set(one, 2);
    swapped.slots.reverse();
    let swapped = swapped.key(Slot::Recovery, 1).key(two, 1);
    for (call, why) in [
        (
            base().set(Slot::Password, 2),
            "a password in the same epoch",
        ),
        (
            base().set(Slot::Recovery, 2),
            "a recovery code in the same epoch",
        ),
        (base().revoke(one, 2), "a revocation in the same epoch"),
        (
            all(base().set(Slot::Password, 2).rekey(0)),
            "rekey after its credential",
        ),
        (
            all(base().rekey(1).acknowledge().set(Slot::Password, 2)),
            "acknowledge after rekey",
        ),
        (
            all(base().rekey(1).set_record(former)),
            "a password that wraps the former key",
        ),
        (
            base()
                .rekey(2)
                .revoke(two, 2)
                .set(Slot::Password, 2)
                .key(Slot::Recovery, 1)
                .key(one, 1),
            "a revocation before a credential",
        ),
        (
            base()
                .rekey(2)
                .set(one, 2)
                .revoke(one, 3)
                .key(Slot::Password, 1)
                .key(Slot::Recovery, 1)
                .key(two, 1),
            "a credential that is set and revoked",
        ),
        (
            base()
                .rekey(1)
                .revoke(Slot::Password, 2)
                .key(Slot::Recovery, 1)
                .key(one, 1)
                .key(two, 1),
            "a revoked password",
        ),
        (swapped, "credentials in another order than their entries"),
        (unnamed, "a credential that its entry does not name"),
        (
            base()
                .rekey(0)
                .op(Op::Genesis(owner.identity()))
                .key(Slot::Password, 1),
            "any other entry",
        ),
        (base().acknowledge(), "an acknowledgement alone"),
        (
            base().acknowledge().set(device(3), 1),
            "an acknowledgement without an epoch",
        ),
        (all(base().rekey(2).set(Slot::Password, 2)), "one too few"),
        (
            all(base().rekey(1)).key(Slot::Password, 1),
            "none where there is one",
        ),
        (
            base()
                .rekey(1)
                .set(Slot::Password, 2)
                .revoke(two, 2)
                .key(Slot::Recovery, 1)
                .key(one, 1),
            "one too many",
        ),
        (all(base().rekey(0).set(Slot::Password, 2)), "one for none"),
    ] {
        assert_eq!(call.refusal(&engine), Refusal::BadEntry, "{why}");
    }
}

pub(super) fn an_install_is_whole_and_no_append(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let (mut owner, [one, two]) = with_devices(&engine);
    // What an install takes is refused in an append.
    for op in [
        acknowledge(),
        Op::Rekey(Rekey {
            epoch: 2,
            log_key: public(&owner.key),
            credentials: 0,
        }),
        Op::Credential(credential(&record(device(3), 1, 1))),
    ] {
        let entry = owner.bare(owner.head, op);
        assert_eq!(
            owner.refused_by(&engine, entry, &proven()),
            Refusal::BadEntry
        );
    }
    let whole = Call::of(&owner)
        .acknowledge()
        .rekey(2)
        .set(Slot::Password, 2)
        .revoke(two, 2);
    // Another device was faster: the call can be made again for the new head.
    let late = whole.clone().key(Slot::Recovery, 1).key(one, 1);
    let note = owner.note(owner.head, 10);
    owner.done(&engine, note);
    assert_eq!(late.refusal(&engine), Refusal::Conflict(owner.head));
    let whole = Call::of(&owner)
        .acknowledge()
        .rekey(2)
        .set(Slot::Password, 2)
        .revoke(two, 2);
    whole
        .key(Slot::Recovery, 1)
        .key(one, 1)
        .done(&engine, &mut owner);
    let summary = engine.check().unwrap();
    assert_eq!(summary.slot_keys, 2);
    let listed = engine.read(|view| view.slots(&owner.id, NOW)).unwrap();
    assert_eq!(listed.len(), 3);
}

/// A key that was replaced between the verification of entries and their transaction signs nothing any more, even where it
/// foresaw the head.
pub(super) fn entries_are_verified_by_the_keys_of_their_own_position(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let (mut owner, [one, two]) = with_devices(&engine);
    let former = owner.clone();
    let call = Call::of(&owner).rekey(1).set(Slot::Password, 2);
    let call = call.key(Slot::Recovery, 1).key(one, 1).key(two, 1);
    let after = call.owner.head;
    let early = former.append_by(&engine, vec![former.note(after, 10)], &proven());
    call.done(&engine, &mut owner);
    assert_eq!(refusal(write(&engine, early)), Refusal::Conflict(after));
    let late = former.append_by(&engine, vec![former.note(after, 10)], &proven());
    assert_eq!(refusal(write(&engine, late)), Refusal::BadEntry);
    let note = owner.note(owner.head, 10);
    owner.done(&engine, note);
}

/// All devices share the log key: what outlives a session takes a credential's own key.
pub(super) fn what_outlives_a_session_is_authorised(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let (mut owner, [one, two]) = with_devices(&engine);
    let credential_by = |slot, generation, by: Option<(Slot, u64)>| {
        let mut call = Call::of(&owner);
        let new = record(slot, generation, 1);
        let key = by.map(|(slot, generation)| (slot, signing(slot, generation)));
        let by = key.as_ref().map(|(slot, key)| (*slot, key));
        let entry = owner.sign_by(owner.head, Op::Credential(credential(&new)), by);
        call.push(entry);
        call.slots.push(new);
        call
    };
    for (by, why) in [
        (None, "no authorisation"),
        (Some((two, 1)), "another device"),
        (
            Some((Slot::Password, 2)),
            "a key that the log does not name",
        ),
        (Some((device(9), 1)), "a slot that the log does not name"),
    ] {
        let refused = credential_by(one, 2, by).refusal(&engine);
        assert_eq!(refused, Refusal::BadEntry, "{why}");
    }
    let of_other = credential_by(device(3), 1, Some((one, 1)));
    assert_eq!(of_other.refusal(&engine), Refusal::BadEntry);
    // A device its own next generation, also in a session of its own; and the recovery code whatever there is.
    let own = credential_by(one, 2, Some((one, 1))).by(opened_by(one, 1, 1));
    let by_recovery = |owner: &Owner| {
        let key = signing(Slot::Recovery, 1);
        let new = record(two, 2, 1);
        let op = Op::Credential(credential(&new));
        let mut call = Call::of(owner);
        call.push(owner.sign_by(owner.head, op, Some((Slot::Recovery, &key))));
        call.slots.push(new);
        call
    };
    own.done(&engine, &mut owner);
    by_recovery(&owner).done(&engine, &mut owner);
    // A credential that was set earlier in the same call counts, and what it replaced does not.
    let mut call = Call::of(&owner).rekey(2).set(Slot::Password, 2);
    let mut by_former = call.clone();
    by_former.owner.password = 1;
    let stay = |call: Call| call.key(Slot::Recovery, 1).key(one, 2);
    assert_eq!(
        stay(by_former.revoke(two, 3)).refusal(&engine),
        Refusal::BadEntry
    );
    call = stay(call.revoke(two, 3));
    call.done(&engine, &mut owner);
    engine.check().unwrap();
}

/// Destroying and shutting out take a session that was just opened with password or recovery code.
pub(super) fn an_epoch_takes_a_proof(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let (mut owner, [one, two]) = with_devices(&engine);
    let keys = |call: Call| {
        call.key(Slot::Password, 1)
            .key(Slot::Recovery, 1)
            .key(one, 1)
    };
    for call in [
        keys(Call::of(&owner).rekey(1).revoke(two, 2)),
        keys(Call::of(&owner).rekey(0)).key(two, 1),
        keys(Call::of(&owner).acknowledge().rekey(0)).key(two, 1),
    ] {
        let late = call.clone().by(Draft {
            is_proven: false,
            ..proven()
        });
        assert_eq!(late.refusal(&engine), Refusal::NeedsPassword);
        let by_device = call.by(opened_by(one, 1, 1));
        assert_eq!(by_device.refusal(&engine), Refusal::NeedsPassword);
    }
    let call = keys(Call::of(&owner).rekey(1).revoke(two, 2));
    call.done(&engine, &mut owner);
}

fn start(slot: Slot) -> Write {
    Write::StartLogin(StartLogin {
        name: Owner::new("alice").name,
        slot,
        remote: HERE,
    })
}

/// Whether a login by the slot goes on with its record, and one that went on before is finished.
fn opens(engine: &Store, owner: &Owner, slot: Slot, now_ms: u64) -> (bool, bool) {
    let started = engine.write_at(start(slot), now_ms).unwrap();
    let Written::Account(Some(account)) = started else {
        panic!("no account");
    };
    let mut slots = account.slots.iter();
    let is_known = slots.any(|stored| stored.credential.slot == slot);
    let finished = engine.write_at(owner.succeed_with(record(slot, 1, 1), HERE), now_ms);
    (is_known, matches!(finished, Ok(Written::Login(Some(_)))))
}

/// A request of a session.
fn ask(engine: &Store, owner: &Owner, by: Draft, now_ms: u64) -> Option<Refusal> {
    let message = WriteRecords {
        account: owner.id,
        records: vec![Draft {
            operation: AuditedOperation::Sync,
            ..by
        }],
    };
    match engine.write_at(Write::Records(message), now_ms) {
        Ok(_) => None,
        Err(StorageError::Refused(refusal)) => Some(refusal),
        Err(error) => panic!("{error}"),
    }
}

fn ends_ms(engine: &Store, owner: &Owner, slot: Slot) -> u64 {
    let account = engine.read(|view| view.account(&owner.id)).unwrap();
    let mut slots = account.slots.iter();
    let stored = slots.find(|stored| stored.credential.slot == slot);
    stored.unwrap().ends_ms.unwrap()
}

/// 1,000 seconds.
const LENGTH: u64 = LEASE.seconds as u64 * 1000;

pub(super) fn a_lease_that_is_over_opens_nothing(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let (mut owner, [one, two]) = with_devices(&engine);
    let by = |slot| opened_by(slot, 1, 1);
    let last = NOW + LENGTH - 1;
    assert_eq!(opens(&engine, &owner, one, last), (true, true));
    assert_eq!(ask(&engine, &owner, by(two), last), None);
    // Use renewed one of them.
    let over = NOW + LENGTH;
    assert_eq!(opens(&engine, &owner, one, over), (false, false));
    assert_eq!(
        ask(&engine, &owner, by(one), over),
        Some(Refusal::NoSession)
    );
    assert_eq!(opens(&engine, &owner, two, over), (true, true));
    assert_eq!(ask(&engine, &owner, by(two), over), None);
    let listed = engine.read(|view| view.slots(&owner.id, over)).unwrap();
    let is_over: Vec<_> = listed.iter().map(|info| info.is_over).collect();
    assert_eq!(is_over, [false, false, true, false]);
    // A new epoch gives it no key, which it would not be asked for either.
    let begun = Call::of(&owner).rekey(0);
    let begun = begun
        .key(Slot::Password, 1)
        .key(Slot::Recovery, 1)
        .key(two, 1);
    let with_over = begun.clone().key(one, 1);
    let refused = refusal(engine.write_at(with_over.write(&engine), over));
    assert_eq!(refused, Refusal::BadEntry);
    begun.done_at(&engine, &mut owner, over);
    engine.check().unwrap();
    // So it needs a new generation, not only to be renewed.
    let mut renewed = Call::of(&owner);
    renewed.slots.push(record(one, 1, 1));
    assert_eq!(renewed.refusal(&engine), Refusal::BadEntry);
    Call::of(&owner)
        .set(one, 2)
        .done_at(&engine, &mut owner, over);
    let ends = ends_ms(&engine, &owner, one);
    assert_eq!(ends, over + LENGTH);
    engine.check().unwrap();
}

pub(super) fn use_renews_a_lease_and_a_device_does_not_extend_it(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(Config {
        device_lease_seconds: 2000,
        ..config()
    });
    let mut owner = Owner::new("alice");
    write(&engine, owner.register()).unwrap();
    let [used, once] = [device(1), device(2)];
    let with = |slot, generation, seconds, renewed| SlotRecord {
        lease: Some(Lease { seconds, renewed }),
        ..record(slot, generation, 1)
    };
    // As long as the server lets it be.
    let call = Call::of(&owner).set_record(with(used, 1, u32::MAX, true));
    call.done(&engine, &mut owner);
    let call = Call::of(&owner).set_record(with(once, 1, 1000, false));
    call.done(&engine, &mut owner);
    let length = 2000 * 1000;
    assert_eq!(ends_ms(&engine, &owner, used), NOW + length);
    assert_eq!(ends_ms(&engine, &owner, once), NOW + LENGTH);
    // Written once per tenth of it.
    let by = |slot| opened_by(slot, 1, 1);
    for (after, ends) in [
        (length / 10 - 1, length),
        (length / 10, length / 10 + length),
    ] {
        assert_eq!(ask(&engine, &owner, by(used), NOW + after), None);
        assert_eq!(ends_ms(&engine, &owner, used), NOW + ends);
    }
    assert_eq!(ask(&engine, &owner, by(once), NOW + 5 * MINUTE), None);
    assert_eq!(ends_ms(&engine, &owner, once), NOW + LENGTH);
    // Nor do requests of other sessions, or by a password, renew it.
    let later = NOW + 10 * MINUTE;
    assert_eq!(
        ask(&engine, &owner, opened_by(Slot::Password, 1, 1), later),
        None
    );
    assert_eq!(ends_ms(&engine, &owner, used), NOW + length / 10 + length);

    // A renewal of its own goes no further than use does, with or without an entry.
    let renewal = |owner: &Owner, slot, by, seconds, renewed| {
        let mut call = Call::of(owner).by(by);
        call.slots.push(with(slot, 1, seconds, renewed));
        call
    };
    let renew = |slot, by: Draft, seconds, renewed, now_ms| {
        renewal(&owner, slot, by, seconds, renewed).done_at(&engine, &mut owner.clone(), now_ms);
        ends_ms(&engine, &owner, slot) - now_ms
    };
    let after = NOW + 10 * MINUTE;
    assert_eq!(
        renew(once, by(once), 2000, true, after),
        NOW + LENGTH - after
    );
    assert_eq!(renew(used, by(used), u32::MAX, true, after), length);
    assert_eq!(renew(used, by(used), 1500, true, after), 1500 * 1000);
    assert_eq!(renew(used, by(used), 2000, true, after), 1500 * 1000);
    let person = Draft {
        is_person: true,
        ..unproven()
    };
    assert_eq!(renew(used, person.clone(), 2000, true, after), length);
    assert_eq!(renew(once, person, 2000, false, after), length);
    let key = signing(once, 1);
    let next = with(once, 2, 2000, true);
    let mut call = Call::of(&owner).by(by(once));
    let op = Op::Credential(credential(&next));
    call.push(owner.sign_by(owner.head, op, Some((once, &key))));
    call.slots.push(next);
    call.done_at(&engine, &mut owner, after + MINUTE);
    assert_eq!(ends_ms(&engine, &owner, once), after + length);
    engine.check().unwrap();
}

/// Without an entry only the same credential of a device is registered again, around the same account key.
pub(super) fn a_device_renews_its_credential_without_an_entry(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let (mut owner, [one, two]) = with_devices(&engine);
    let call = Call::of(&owner).rekey(0);
    let call = call.key(Slot::Password, 1).key(Slot::Recovery, 1);
    call.key(one, 1).key(two, 1).done(&engine, &mut owner);
    let renewal = |slots: &[SlotRecord]| {
        let mut call = Call::of(&owner).by(opened_by(one, 1, 2));
        call.slots = slots.to_vec();
        call
    };
    let mut new = record(one, 1, 1);
    new.record = ByteBuf::from(vec![9; 192]);
    new.wrapped.blob = ByteBuf::from(vec![9; 92]);
    for slots in [
        &[][..],
        &[record(one, 2, 1)],
        &[record(one, 1, 2)],
        &[record(Slot::Password, 1, 1)],
        &[record(device(3), 1, 1)],
        &[new.clone(), record(two, 1, 1)],
    ] {
        assert_eq!(
            renewal(slots).refusal(&engine),
            Refusal::BadEntry,
            "{slots:?}"
        );
    }
    // Whatever others append meanwhile.
    let renewed = renewal(std::slice::from_ref(&new)).write(&engine);
    let note = owner.note(owner.head, 10);
    owner.done(&engine, note);
    assert_eq!(head(write(&engine, renewed)), owner.head);
    let begun = login(write(&engine, owner.succeed_with(new, HERE)));
    assert_eq!(begun.slot_key.unwrap().epoch, 2);
    let former = write(&engine, owner.succeed_with(record(one, 1, 1), HERE));
    assert_eq!(refusal(former), Refusal::LoginRefused);
    engine.check().unwrap();
}

pub(super) fn a_credential_is_retired_at_once(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let (owner, [one, two]) = with_devices(&engine);
    let logout = Draft {
        operation: AuditedOperation::Logout,
        ..opened_by(one, 1, 1)
    };
    let retire = Write::Retire(Retire {
        account: owner.id,
        slot: one,
        records: vec![logout],
    });
    write(&engine, retire).unwrap();
    assert_eq!(opens(&engine, &owner, one, NOW), (false, false));
    let by = opened_by(one, 1, 1);
    assert_eq!(ask(&engine, &owner, by, NOW), Some(Refusal::NoSession));
    assert_eq!(opens(&engine, &owner, two, NOW), (true, true));
    // Until its owner renews it in person.
    let mut call = Call::of(&owner);
    call.slots.push(record(one, 1, 1));
    call.done(&engine, &mut owner.clone());
    assert_eq!(opens(&engine, &owner, one, NOW), (true, true));
}

pub(super) fn a_registration_names_its_credentials(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let mut owner = Owner::new("alice");
    let own = device(1);
    write(&engine, owner.register_with(&[own])).unwrap();
    assert_eq!(owner.head.seq, Seq(4));
    assert_eq!(ends_ms(&engine, &owner, own), NOW + LENGTH);
    let summary = engine.check().unwrap();
    assert_eq!((summary.entries, summary.heads), (4, 1));
    // Their generations go on.
    let first = Call::of(&owner).set(own, 1);
    assert_eq!(first.refusal(&engine), Refusal::BadEntry);
    Call::of(&owner).set(own, 2).done(&engine, &mut owner);
}

pub(super) fn an_account_has_no_more_than_its_slots(fresh: Fresh) {
    let place = fresh();
    let engine = place.open(config());
    let mut owner = Owner::new("alice");
    let devices: Vec<Slot> = (1..=14).map(device).collect();
    write(&engine, owner.register_with(&devices)).unwrap();
    let more = Call::of(&owner).set(device(20), 1);
    assert_eq!(more.refusal(&engine), Refusal::TooLarge);
    let instead = Call::of(&owner)
        .rekey(2)
        .set(device(20), 1)
        .revoke(device(14), 2);
    let stay = [Slot::Password, Slot::Recovery]
        .into_iter()
        .chain((1..=13).map(device));
    let instead = stay.fold(instead, |call, slot| call.key(slot, 1));
    instead.done(&engine, &mut owner);
    engine.check().unwrap();
}
