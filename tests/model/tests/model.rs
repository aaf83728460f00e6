//! Explores the model: the properties hold, and each has a counterexample where a rule is broken.
#![allow(missing_docs, clippy::print_stdout)]

use std::time::Instant;

use model::properties::{
    EXPLAINED, FOLLOWED, FORK, FORKED, NO_LOCKOUT, NO_RETURN, OPENED, REFUSED, RESUMED, ROLLBACK,
    SECRECY,
};
use model::{Bounds, Change, Fault, Protocol, STOLEN_DEVICE, Taken, Thief};
use stateright::{Checker as _, HasDiscoveries, Model as _};

const ALL_CHANGES: [Change; 6] = [
    Change::Password,
    Change::Recover,
    Change::Recovery,
    Change::Revoke(STOLEN_DEVICE),
    Change::RotateKey,
    Change::Enrol,
];

/// Most changes, values, acknowledgements, interruptions and forgeries.
fn most([changes, values, acknowledgements, interruptions, forgeries]: [u8; 5]) -> Taken {
    Taken {
        changes,
        values,
        acknowledgements,
        interruptions,
        forgeries,
    }
}

/// Explores all states within bounds, with each kind of second device, and asserts the properties.
fn explore(thief: Thief, changes: &[Change], numbers: [u8; 5], reached: &[&'static str]) {
    for is_second_fresh in [false, true] {
        let bounds = Bounds {
            thief,
            is_second_fresh,
            changes: changes.to_vec(),
            most: most(numbers),
        };
        let protocol = Protocol {
            bounds,
            fault: None,
            reached: reached.to_vec(),
        };
        let start = Instant::now();
        let checker = protocol.checker().threads(2).spawn_bfs().join();
        println!(
            "{thief:?}, {changes:?} {numbers:?}, second device {}: {} states, depth {}, {:.1} s",
            if is_second_fresh { "fresh" } else { "known" },
            checker.unique_state_count(),
            checker.max_depth(),
            start.elapsed().as_secs_f32()
        );
        checker.assert_properties();
    }
}

/// Asserts that a property has a counterexample where a rule is broken, and none in the same bounds where it is not.
fn breaks(fault: Fault, property: &'static str, (thief, fresh): (Thief, bool), numbers: [u8; 5]) {
    let counterexample = |fault| {
        let bounds = Bounds {
            thief,
            is_second_fresh: fresh,
            changes: ALL_CHANGES.to_vec(),
            most: most(numbers),
        };
        let protocol = Protocol {
            bounds,
            fault,
            reached: Vec::new(),
        };
        let only = HasDiscoveries::AnyOf([property].into());
        let checker = protocol.checker().threads(2).finish_when(only);
        let path = checker.spawn_bfs().join().discovery(property);
        path.map(stateright::Path::into_actions)
    };
    let actions = counterexample(Some(fault));
    println!("{fault:?} breaks `{property}`: {actions:?}");
    assert!(actions.is_some(), "{fault:?} does not break `{property}`");
    assert_eq!(counterexample(None), None, "`{property}` is broken anyway");
}

#[test]
fn an_operator_alone() {
    let reached = [FOLLOWED, RESUMED, FORKED];
    explore(Thief::Nobody, &ALL_CHANGES, [1, 1, 1, 1, 1], &reached);
}

#[test]
fn an_operator_with_a_device_that_was_switched_off() {
    let reached = [FORKED];
    explore(
        Thief::DeviceSwitchedOff,
        &ALL_CHANGES,
        [2, 1, 0, 0, 0],
        &reached,
    );
}

#[test]
fn an_operator_with_an_old_password() {
    let changes = [Change::Password, Change::Recover, Change::RotateKey];
    explore(
        Thief::Password,
        &changes,
        [1, 1, 1, 0, 1],
        &[FORKED, OPENED],
    );
}

#[test]
fn an_operator_with_an_old_recovery_code() {
    let changes = [Change::Recovery, Change::Recover, Change::RotateKey];
    explore(
        Thief::Recovery,
        &changes,
        [1, 1, 1, 0, 1],
        &[FORKED, OPENED],
    );
}

#[test]
fn an_operator_with_a_stolen_device() {
    let changes = [Change::Password, Change::Revoke(STOLEN_DEVICE)];
    explore(
        Thief::RunningDevice,
        &changes,
        [1, 1, 1, 0, 1],
        &[FORKED, OPENED],
    );
}

/// What the tests above explore, with more steps.
#[test]
#[ignore = "takes minutes and some gigabytes of memory"]
fn larger() {
    let password = [Change::Password];
    let two = [Change::Password, Change::Revoke(STOLEN_DEVICE)];
    explore(
        Thief::Nobody,
        &ALL_CHANGES,
        [2, 1, 1, 0, 1],
        &[FOLLOWED, FORKED],
    );
    explore(
        Thief::Nobody,
        &password,
        [2, 0, 2, 1, 0],
        &[FOLLOWED, RESUMED, FORKED],
    );
    let revoked = [Change::Revoke(0), Change::Enrol, Change::Password];
    explore(
        Thief::Nobody,
        &revoked,
        [3, 1, 1, 0, 0],
        &[FOLLOWED, FORKED],
    );
    explore(
        Thief::DeviceSwitchedOff,
        &two,
        [2, 1, 1, 1, 0],
        &[FOLLOWED, RESUMED, FORKED],
    );
    explore(
        Thief::Password,
        &ALL_CHANGES,
        [1, 1, 1, 1, 1],
        &[RESUMED, FORKED, OPENED],
    );
    explore(
        Thief::Password,
        &password,
        [2, 1, 1, 0, 1],
        &[FOLLOWED, FORKED, OPENED],
    );
    explore(
        Thief::Password,
        &password,
        [1, 1, 1, 0, 2],
        &[FORKED, OPENED],
    );
    explore(
        Thief::Recovery,
        &[Change::Recover],
        [2, 1, 1, 0, 1],
        &[FOLLOWED, FORKED, OPENED],
    );
    explore(
        Thief::RunningDevice,
        &two,
        [2, 1, 1, 0, 1],
        &[FOLLOWED, FORKED, OPENED],
    );
}

#[test]
fn secrecy_depends_on_its_rules() {
    let thief = (Thief::Password, false);
    breaks(Fault::PasswordKeepsEpoch, SECRECY, thief, [1, 1, 0, 0, 0]);
    breaks(
        Fault::HistoryNotBound,
        SECRECY,
        (Thief::Nobody, true),
        [0, 1, 0, 0, 1],
    );
    breaks(
        Fault::EncapsulatedToRevoked,
        SECRECY,
        (Thief::RunningDevice, false),
        [1, 1, 0, 0, 0],
    );
    breaks(
        Fault::DeviceKemFromSeed,
        SECRECY,
        (Thief::DeviceSwitchedOff, false),
        [1, 1, 0, 0, 0],
    );
    breaks(
        Fault::NothingAuthorised,
        SECRECY,
        (Thief::RunningDevice, false),
        [1, 1, 0, 0, 1],
    );
    breaks(
        Fault::AcknowledgedWithoutRenewal,
        SECRECY,
        thief,
        [1, 1, 1, 0, 0],
    );
    breaks(
        Fault::AcknowledgementUnsigned,
        SECRECY,
        thief,
        [1, 1, 0, 0, 1],
    );
    breaks(Fault::EpochByNumber, SECRECY, thief, [1, 1, 0, 0, 1]);
    let thief = (Thief::RunningDevice, false);
    breaks(Fault::ReadInParts, SECRECY, thief, [2, 1, 0, 0, 0]);
}

#[test]
fn access_depends_on_its_rules() {
    let nobody = (Thief::Nobody, false);
    breaks(
        Fault::RecoveryForgotten,
        NO_LOCKOUT,
        nobody,
        [1, 0, 0, 0, 0],
    );
    breaks(Fault::InstalledInParts, NO_LOCKOUT, nobody, [1, 0, 0, 1, 0]);
}

#[test]
fn continuity_depends_on_its_rules() {
    let nobody = (Thief::Nobody, false);
    breaks(
        Fault::EpochByNumber,
        ROLLBACK,
        (Thief::Password, false),
        [1, 0, 0, 0, 1],
    );
    breaks(
        Fault::PinnedBeforeAcknowledged,
        ROLLBACK,
        nobody,
        [1, 0, 1, 1, 0],
    );
    breaks(
        Fault::AcknowledgedWithoutRenewal,
        NO_RETURN,
        nobody,
        [1, 0, 1, 0, 0],
    );
    breaks(Fault::ReadInParts, NO_RETURN, nobody, [1, 1, 1, 0, 0]);
    breaks(
        Fault::CredentialsByGeneration,
        EXPLAINED,
        nobody,
        [2, 0, 1, 0, 0],
    );
    breaks(Fault::PinnedByLength, FORK, nobody, [1, 1, 0, 0, 0]);
    breaks(Fault::RefusalsForgotten, REFUSED, nobody, [1, 0, 0, 1, 0]);
}
