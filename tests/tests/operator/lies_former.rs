//! An operator who has kept everything that ever came in, and a former credential or account key: neither opens what was
//! written after it was replaced or revoked (row 1 of the review in `docs/threat-model.md`).
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use keyshell_client::account::Renewal;
use keyshell_client::device::identity::DeviceIdentity;
use keyshell_client::keys::account::AccountKeys;
use keyshell_client::keys::recovery::RecoveryCode;
use keyshell_client::keys::seal::SecretContext;
use keyshell_client::keys::wrap::WrapContext;
use shared::opaque::Slot;
use shared::secret::{Key, SecretBytes};
use shared::vault_log::Op;
use shared::wire::call::{Append, Call, NewEntry};
use shared::wire::register::SlotRecord;
use shared::wire::slots::{Install, NewEpoch, SlotKey};
use tests::device::Device;
use tests::operator::{Operator, PASSWORD};
use tests::owner::{Owner, Session};

const NEXT: &str = "seven velvet otters hum";

/// An account with a secret, and its owner's credentials.
struct World {
    operator: Operator,
    device: Device,
    code: SecretBytes,
}

impl World {
    fn new() -> Self {
        let operator = Operator::start();
        let device = operator.device("alice");
        let file = device.path("code");
        let line = format!("register --recovery-file {}", file.display());
        device.run(&[&line]).ok();
        device.put("before", b"written before");
        let sheet = std::fs::read_to_string(file).unwrap();
        let code = RecoveryCode::from_sheet(&sheet).unwrap();
        Self {
            code: code.as_secret().clone(),
            operator,
            device,
        }
    }

    fn owner(&self, password: &str, code: &SecretBytes) -> Owner {
        let password = SecretBytes::from(password.as_bytes());
        let device = (DeviceIdentity::random(), code.clone());
        Owner::of(&self.operator, "alice", &password, device)
    }

    /// What a credential yields now.
    fn yielded(&self, slot: Slot) -> Session {
        let owner = self.owner(PASSWORD, &self.code);
        owner.log_in_by(&self.operator, slot)
    }

    /// A file with the next password.
    fn next_password(&self) -> String {
        let file = self.device.path("next");
        std::fs::write(&file, format!("{NEXT}\n")).unwrap();
        file.display().to_string()
    }

    /// Changes credentials by this line, then writes: the former credentials open nothing of what came in, while
    /// they open what was there before.
    #[track_caller]
    fn shuts_out(&self, former: &[Session], line: &str, password: &str) {
        let before = self.operator.calls();
        for former in former {
            assert!(opened(former, &before) > 0, "opens what was there before");
        }
        self.device.run(&[line]).ok();
        self.device.set_password(password);
        self.device.put("later", b"written later");
        self.device
            .run(&["edit before --note later", "mv before after"])
            .ok();
        let later = self.operator.calls().split_off(before.len());
        for former in former {
            assert_eq!(opened(former, &later), 0, "{line}");
        }
        // The credential that holds opens it, by the same means.
        let now = self.owner(password, &self.code);
        let now = now.log_in_by(&self.operator, Slot::Password);
        assert!(opened(&now, &later) >= 4, "{line}");
        assert_eq!(self.device.get("later"), b"written later");
    }
}

/// How many sealed things of these calls open by anything that a credential yields.
fn opened(by: &Session, calls: &[Call]) -> usize {
    let count = |call: &Call| match call {
        Call::Append(Append(entries)) => entries
            .iter()
            .map(|new| opened_content(&by.keys, new))
            .sum(),
        Call::Stage(stage) => {
            let slots = stage.slots.iter();
            slots.filter(|record| opens_wrapped(by, record)).count()
        }
        Call::Install(Install {
            epoch: Some(epoch), ..
        }) => opened_epoch(by, epoch),
        _ => 0,
    };
    calls.iter().map(count).sum()
}

/// The keys as they are, and as they would be if later epochs had the newest of them as well.
fn candidates(keys: &AccountKeys, epoch: u32) -> [AccountKeys; 2] {
    let mut extended = keys.clone();
    while extended.epoch() < epoch {
        extended = extended.with_next(extended.current().clone());
    }
    [keys.clone(), extended]
}

/// How many of value and metadata open.
fn opened_content(keys: &AccountKeys, new: &NewEntry) -> usize {
    let op = new.entry.decode_unverified().unwrap().op;
    let (secret, version, epoch) = match op {
        Op::Put(sealed) | Op::Reseal(sealed) => (sealed.secret, sealed.version, sealed.epoch),
        Op::Describe(new) => (new.secret, new.version, new.epoch),
        _ => return 0,
    };
    let place = SecretContext { secret, version };
    let candidates = candidates(keys, epoch);
    let value = new.value.as_ref().is_some_and(|sealed| {
        let mut keys = candidates.iter();
        keys.any(|keys| place.open_value(keys, epoch, sealed).is_ok())
    });
    let metadata = new.metadata.as_ref().is_some_and(|sealed| {
        let mut keys = candidates.iter();
        keys.any(|keys| place.open_metadata(keys, epoch, sealed).is_ok())
    });
    usize::from(value) + usize::from(metadata)
}

/// Whether the account key opens that a credential wraps, under its own context or that of the thief's credential.
fn opens_wrapped(by: &Session, record: &SlotRecord) -> bool {
    let own = &by.welcome.wrapped;
    let slots = [record.slot, Slot::Password, Slot::Recovery];
    slots.iter().any(|slot| {
        [record.wrapped.generation, own.generation]
            .iter()
            .any(|generation| {
                let context = WrapContext {
                    account: &by.welcome.account,
                    slot,
                    generation: *generation,
                    epoch: record.wrapped.epoch,
                };
                let opened = context.unwrap(by.export_key.expose(), &record.wrapped.blob);
                opened.is_ok()
            })
    })
}

/// How many of slot keys and key history of an epoch open.
fn opened_epoch(by: &Session, epoch: &NewEpoch) -> usize {
    let opens = |sealed: &&SlotKey| {
        let own = SlotKey {
            slot: by.slot,
            generation: by.welcome.wrapped.generation,
            ..(*sealed).clone()
        };
        by.slot_keys.open(sealed).is_ok() || by.slot_keys.open(&own).is_ok()
    };
    let slot_keys = epoch.slot_keys.iter().filter(opens).count();
    slot_keys + usize::from(opens_history(&by.keys, &epoch.history))
}

/// Whether a key history opens under any of these account keys, or of those that it contains.
fn opens_history(keys: &AccountKeys, history: &[u8]) -> bool {
    let account = keys.account();
    let known: Vec<&Key> = (1..=keys.epoch())
        .filter_map(|epoch| keys.of_epoch(epoch))
        .collect();
    known.iter().any(|key| {
        (1..=8).any(|epoch| {
            let current = (*key).clone();
            AccountKeys::open(account, epoch, current, Some(history)).is_ok()
        })
    })
}

#[test]
fn a_former_password_opens_nothing_written_after_passwd() {
    let world = World::new();
    let former = world.yielded(Slot::Password);
    let line = format!("passwd --new-password-file {}", world.next_password());
    world.shuts_out(&[former], &line, NEXT);
}

#[test]
fn former_password_and_code_open_nothing_written_after_recover() {
    let world = World::new();
    let former = [world.yielded(Slot::Password), world.yielded(Slot::Recovery)];
    let (code, next) = (world.device.path("code"), world.next_password());
    let line = format!(
        "recover --code-file {} --new-password-file {next}",
        code.display()
    );
    world.shuts_out(&former, &line, NEXT);
}

#[test]
fn a_former_recovery_code_opens_nothing_written_after_its_renewal_or_revocation() {
    for line in ["recovery renew", "recovery off --yes"] {
        let world = World::new();
        let former = world.yielded(Slot::Recovery);
        world.shuts_out(&[former], line, PASSWORD);
    }
}

#[test]
fn a_revoked_device_opens_nothing_written_after_its_revocation() {
    let world = World::new();
    let identity = DeviceIdentity::random();
    let mut phone = world.operator.client("alice");
    phone.set_device(identity.clone());
    let secret = phone
        .change(async |vault| {
            vault.enrol_device(Renewal::default().lease).await?;
            Ok(vault.device_secret().cloned().unwrap())
        })
        .unwrap();
    let id = identity.id();
    let password = SecretBytes::from(PASSWORD.as_bytes());
    let thief = Owner::of(&world.operator, "alice", &password, (identity, secret));
    let slot = thief.device_slot();
    let former = thief.log_in_by(&world.operator, slot);
    let line = format!("devices revoke {id} --yes");
    world.shuts_out(&[former], &line, PASSWORD);
    let refused = thief.log_in_from(&world.operator, std::net::Ipv4Addr::LOCALHOST, slot);
    assert!(refused.is_err());
}

/// An account key out of the memory of a device, without any credential; with everything that the server ever held.
#[test]
fn a_former_account_key_opens_nothing_that_rotate_key_wrote() {
    let world = World::new();
    let stolen = world.yielded(Slot::Password).keys;
    let before = world.operator.calls().len();
    world.device.run(&["rotate-key --yes"]).ok();
    world.device.put("later", b"written later");
    let later = world.operator.calls().split_off(before);
    let opened = |keys: &AccountKeys| -> (usize, usize) {
        let (mut content, mut histories) = (0, 0);
        for call in &later {
            match call {
                Call::Append(Append(entries)) => {
                    let opened = entries.iter().map(|new| opened_content(keys, new));
                    content += opened.sum::<usize>();
                }
                Call::Install(Install {
                    epoch: Some(epoch), ..
                }) => histories += usize::from(opens_history(keys, &epoch.history)),
                _ => {}
            }
        }
        (content, histories)
    };
    assert_eq!(opened(&stolen), (0, 0));
    // The value of before in its new form, and the new one, each with metadata.
    let now = world.yielded(Slot::Password).keys;
    assert_eq!(opened(&now), (4, 1));
}
