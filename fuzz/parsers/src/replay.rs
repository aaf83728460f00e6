//! The replay of a vault log, against a second, simpler account of its rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use ed25519_dalek::SigningKey;
use keyshell_base::names::SecretName;
use keyshell_client::index::Index;
use keyshell_client::index::metadata::Metadata;
use keyshell_client::keys::account::AccountKeys;
use keyshell_client::keys::seal::{SecretContext, TextContext};
use serde_bytes::ByteBuf;
use shared::ids::{DeviceId, Digest, PublicKey, SecretId, Seq, Version};
use shared::opaque::Slot;
use shared::request::verify;
use shared::vault_log::{
    Acknowledge, Credential, CredentialKeys, Describe, ENTRY_FORMAT, Entry, FIRST_EPOCH, Head,
    KEM_KEY_LEN, LAST_OF_REGISTRATION, Op, Purge, Rekey, Sealed, SecretVersion, SignedEntry,
};
use shared::wire::call::LoggedEntry;

use crate::cursor::Cursor;
use crate::world::{self, ACCOUNT, DEVICE, device_slot, identity, public};

/// Signatures are slow.
const MAX_ENTRIES: u32 = 16;

/// The account keys of both epochs; and those of one who has only the first.
static KEYS: LazyLock<[AccountKeys; 2]> = LazyLock::new(|| [world::keys(), world::next_keys()]);

/// A secret that was not destroyed.
#[derive(Clone)]
struct Known {
    oldest: u64,
    newest: u64,
    name: SecretName,
}

enum State {
    Live(Known),
    Removed(Known),
    Purged(SecretName),
}

impl State {
    fn known(&self) -> Option<&Known> {
        match self {
            Self::Live(known) | Self::Removed(known) => Some(known),
            Self::Purged(_) => None,
        }
    }
}

/// Content beside the log: that of a version of a secret, or of a note.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Missing {
    Metadata(SecretId, u64),
    Note(Seq),
}

/// What there should be.
struct Model {
    secrets: BTreeMap<SecretId, State>,
    head: Option<Head>,
    epoch: u32,
    /// Number of entries.
    entries: usize,
    /// Number of accepted losses.
    lost: usize,
    /// The newest generation of each credential, with its signing key.
    credentials: BTreeMap<Slot, (u64, Option<PublicKey>)>,
    missing: BTreeSet<Missing>,
    /// What the next entry must be: a `rekey`, or one of so many `credential` entries.
    due: Option<Due>,
}

enum Due {
    Rekey,
    Credentials(u8),
}

/// An entry as the script makes it.
struct Made {
    entry: Entry,
    /// The content that comes with it.
    content: Option<Vec<u8>>,
    /// Whether content that comes has the hash that the entry names.
    is_content_right: bool,
    /// The name in the metadata, where a reader finds one.
    name: Option<SecretName>,
    /// Whether the log-signing key of the current epoch signs it.
    is_signed: bool,
}

/// Replays a log of a device that signs whatever the script says.
pub(crate) fn log_replay(data: &[u8]) {
    let mut script = Cursor::new(data);
    let keys = &KEYS[1];
    let (mut index, mut model) = (Index::new(), Model::new());
    for _ in 0..MAX_ENTRIES {
        if script.is_empty() {
            break;
        }
        let made = model.entry(&mut script);
        let epoch = if made.is_signed {
            model.epoch
        } else {
            3 - model.epoch
        };
        let signing = keys.signing_of(epoch).unwrap();
        let logged = LoggedEntry {
            entry: SignedEntry::sign(&made.entry, &signing).unwrap(),
            metadata: made.content.clone().map(ByteBuf::from),
        };
        let before = index.clone();
        let replayed = index.replay(keys, &logged);
        assert_eq!(
            replayed.is_ok(),
            model.allows(&made),
            "{:?}: {replayed:?}",
            made.entry
        );
        if replayed.is_ok() {
            // Who has only the first account key follows the log up to the second epoch.
            let is_later = model.epoch > FIRST_EPOCH || matches!(made.entry.op, Op::Rekey(_));
            let alone = before.clone().replay(&KEYS[0], &logged);
            assert_eq!(alone.is_err(), is_later, "{alone:?}");
            model.take(&made, logged.entry.hash());
        } else {
            assert_eq!(shape(&index), shape(&before));
        }
        model.check(&index);
    }
    check_cache(&index);
}

/// The signing key of a slot's credential, which stays the same in each generation.
fn signing(slot: &Slot) -> SigningKey {
    match slot {
        Slot::Password => SigningKey::from_bytes(&[0xa1; 32]),
        Slot::Recovery => SigningKey::from_bytes(&[0xa2; 32]),
        Slot::Device(_) => DEVICE.signing(),
    }
}

fn slot(choice: u8) -> Slot {
    match choice % 3 {
        0 => Slot::Password,
        1 => Slot::Recovery,
        _ => device_slot(),
    }
}

impl Model {
    fn new() -> Self {
        Self {
            secrets: BTreeMap::new(),
            head: None,
            epoch: FIRST_EPOCH,
            entries: 0,
            lost: 0,
            credentials: BTreeMap::new(),
            missing: BTreeSet::new(),
            due: None,
        }
    }

    fn seq(&self) -> Seq {
        self.head.map_or(Seq(1), |head| head.seq.next())
    }

    fn generation(&self, slot: &Slot) -> u64 {
        self.credentials
            .get(slot)
            .map_or(0, |(generation, _)| *generation)
    }

    /// The next entry, right or wrong as the script says.
    #[allow(clippy::too_many_lines)]
    fn entry(&self, script: &mut Cursor<'_>) -> Made {
        let kind = script.byte();
        let secret = SecretId::new([script.choice(4); 16]);
        let wrong = script.byte();
        let off = |bit: u8| u64::from(wrong >> bit & 1);
        let by = script.byte();
        let seq = Seq(self.seq().0 + off(7));
        let previous = if off(6) == 1 {
            Digest::new([6; 32])
        } else {
            self.head.map_or(Head::EMPTY.hash, |head| head.hash)
        };
        let epoch = if off(3) == 1 {
            3 - self.epoch
        } else {
            self.epoch
        };
        let known = self.secrets.get(&secret).and_then(State::known);
        let version = known.map_or(0, |known| known.newest) + off(5);
        let named = SecretVersion {
            secret,
            version: Version(version),
        };
        let mut content = Content::default();
        let op = match kind % 11 {
            0 => Op::Genesis(identity()),
            1 => {
                let epoch = self.epoch + 1 + u32::from(wrong >> 5 & 1);
                let keys = &KEYS[usize::from(wrong >> 3 & 1 == 0)];
                Op::Rekey(Rekey {
                    epoch,
                    log_key: keys.log_key(),
                    credentials: script.choice(4),
                })
            }
            2 => Op::Acknowledge(Acknowledge {
                lost_seq: Seq(script.number()),
                lost_hash: Digest::new(script.array()),
                signature: None,
            }),
            3 => Op::Remove(named),
            4 => Op::Restore(named),
            5 => Op::Purge(match script.choice(3) {
                0 => Purge::Secret(secret),
                1 => Purge::Versions(SecretVersion {
                    version: Version(u64::from(script.choice(5))),
                    ..named
                }),
                _ => Purge::Note(Seq(u64::from(script.choice(16)))),
            }),
            6 => {
                content = note(self.epoch, if off(5) == 1 { seq.next() } else { seq });
                Op::Note(content.hash)
            }
            7 => Op::Credential(self.credential(seq, script)),
            8 => {
                content = metadata(self.epoch, secret, version, script);
                Op::Describe(Describe {
                    secret,
                    version: named.version,
                    epoch,
                    metadata: content.hash,
                })
            }
            kind => {
                let is_put = kind == 9;
                let version = if is_put {
                    version + 1
                } else {
                    u64::from(script.choice(5))
                };
                content = metadata(self.epoch, secret, version, script);
                let sealed = Sealed {
                    secret,
                    version: Version(version),
                    epoch,
                    value: Digest::new([script.byte(); 32]),
                    metadata: content.hash,
                };
                if is_put {
                    Op::Put(sealed)
                } else {
                    Op::Reseal(sealed)
                }
            }
        };
        let mut entry = Entry {
            format: ENTRY_FORMAT + wrong % 2,
            account: ACCOUNT,
            seq,
            previous,
            device: DEVICE.id(),
            time_ms: script.number(),
            seen: None,
            op,
            authorisation: None,
        };
        authorise(&mut entry, by);
        let shown = match by >> 5 & 3 {
            0 => None,
            1 => Some(b"other content".to_vec()),
            _ => content.sealed.clone(),
        };
        Made {
            is_content_right: shown.is_none() || shown == content.sealed,
            name: content.name.filter(|_| shown.is_some()),
            content: shown,
            is_signed: self.head.is_none() || off(2) == 0,
            entry,
        }
    }

    /// A credential as the script gives it, the next one of its slot or not.
    fn credential(&self, seq: Seq, script: &mut Cursor<'_>) -> Credential {
        let how = script.byte();
        let slot = slot(how);
        let generation = self.generation(&slot) + u64::from(how >> 2 & 3);
        let place = TextContext::DeviceName {
            device: DEVICE.id(),
            generation,
            seq,
        };
        let name = place.seal(&KEYS[usize::from(self.epoch > FIRST_EPOCH)], b"laptop");
        let odd = script.byte();
        let signing = if odd & 1 == 0 {
            public(&signing(&slot))
        } else {
            public(&SigningKey::from_bytes(&[odd; 32]))
        };
        let keys = CredentialKeys {
            wrapped: Digest::new([how; 32]),
            kem: ByteBuf::from(vec![odd; KEM_KEY_LEN - usize::from(odd >> 1 & 1)]),
            signing,
        };
        Credential {
            slot,
            generation,
            keys: (how & 16 != 0).then_some(keys),
            name: (how & 32 != 0).then(|| ByteBuf::from(name.unwrap())),
        }
    }

    fn allows(&self, made: &Made) -> bool {
        let entry = &made.entry;
        let previous = self.head.map_or(Head::EMPTY.hash, |head| head.hash);
        let in_place = entry.seq == self.seq() && entry.previous == previous;
        let is_first = self.head.is_none();
        let state = entry.op.secret().and_then(|id| self.secrets.get(&id));
        let newest = |version: Version, known: &Known| version.0 == known.newest;
        let has =
            |version: Version, known: &Known| (known.oldest..=known.newest).contains(&version.0);
        let by_rule = match (&entry.op, state) {
            (Op::Genesis(_), _) => is_first,
            (Op::Acknowledge(_) | Op::Note(_) | Op::Purge(Purge::Note(_)), _)
            | (Op::Purge(Purge::Secret(_)), Some(State::Removed(_))) => true,
            (Op::Rekey(rekey), _) => {
                let next = &KEYS[1];
                rekey.epoch == self.epoch + 1 && next.log_key_of(rekey.epoch) == Some(rekey.log_key)
            }
            (Op::Credential(new), _) => self.allows_credential(new),
            (Op::Put(put), None) => put.version == Version(1),
            (Op::Put(put), Some(State::Live(known))) => put.version.0 == known.newest + 1,
            (Op::Reseal(new), Some(State::Live(known) | State::Removed(known))) => {
                has(new.version, known)
            }
            (Op::Describe(new), Some(State::Live(known))) => newest(new.version, known),
            (Op::Remove(named), Some(State::Live(known)))
            | (Op::Restore(named), Some(State::Removed(known))) => newest(named.version, known),
            (Op::Purge(Purge::Versions(kept)), Some(State::Live(known))) => {
                has(kept.version, known)
            }
            _ => false,
        };
        entry.format == ENTRY_FORMAT
            && in_place
            && by_rule
            && is_first == matches!(entry.op, Op::Genesis(_))
            && made.is_signed
            && entry.op.epoch().is_none_or(|epoch| epoch == self.epoch)
            && made.is_content_right
            && self.is_due(&entry.op)
            && self.is_authorised(entry)
    }

    /// The entries of one installation belong together.
    fn is_due(&self, op: &Op) -> bool {
        match &self.due {
            None => true,
            Some(Due::Rekey) => matches!(op, Op::Rekey(_)),
            Some(Due::Credentials(_)) => matches!(op, Op::Credential(_)),
        }
    }

    fn allows_credential(&self, new: &Credential) -> bool {
        let is_device = matches!(new.slot, Slot::Device(_));
        let is_own = |keys: &CredentialKeys| {
            !is_device || Slot::Device(DeviceId::of(&keys.signing)) == new.slot
        };
        new.generation == self.generation(&new.slot) + 1
            && (new.keys.is_some() || new.slot != Slot::Password)
            && (new.name.is_none() || (is_device && new.keys.is_some()))
            && new.keys.as_ref().is_none_or(is_own)
            && new
                .keys
                .as_ref()
                .is_none_or(|keys| keys.kem.len() == KEM_KEY_LEN)
    }

    /// By a credential that holds, and that may.
    fn is_authorised(&self, entry: &Entry) -> bool {
        let is_needed = match &entry.op {
            Op::Credential(_) | Op::Rekey(_) | Op::Acknowledge(_) | Op::Reseal(_) => true,
            Op::Purge(purge) => !matches!(purge, Purge::Secret(_)),
            _ => false,
        };
        if !is_needed || entry.seq <= LAST_OF_REGISTRATION {
            return entry.authorisation.is_none();
        }
        let Some(by) = &entry.authorisation else {
            return false;
        };
        let may = match (&by.slot, &entry.op) {
            (Slot::Device(_), Op::Credential(new)) => new.slot == by.slot && new.keys.is_some(),
            (Slot::Device(_), _) => false,
            _ => true,
        };
        let named = self.credentials.get(&by.slot).and_then(|(_, key)| *key);
        let message = entry.authorised_message().unwrap();
        may && named.is_some_and(|key| verify(&key, &message, &by.signature))
    }

    fn take(&mut self, made: &Made, hash: Digest) {
        let entry = &made.entry;
        let shown = made.name.clone();
        match &entry.op {
            Op::Put(put) => {
                let known = self
                    .secrets
                    .get(&put.secret)
                    .and_then(State::known)
                    .cloned();
                let name = shown.or_else(|| known.as_ref().map(|known| known.name.clone()));
                let name = name.unwrap_or_else(|| Metadata::unreadable(&put.secret).unwrap().name);
                let known = Known {
                    oldest: known.map_or(1, |known| known.oldest),
                    newest: put.version.0,
                    name,
                };
                self.secrets.insert(put.secret, State::Live(known));
            }
            Op::Describe(new) => self.rename(&new.secret, new.version, shown),
            Op::Reseal(new) => {
                self.missing
                    .remove(&Missing::Metadata(new.secret, new.version.0));
                self.rename(&new.secret, new.version, shown);
            }
            Op::Remove(named) => self.change(&named.secret, State::Removed),
            Op::Restore(named) => self.change(&named.secret, State::Live),
            Op::Purge(Purge::Secret(id)) => {
                self.change(id, |known| State::Purged(known.name));
                self.forget(|missing| matches!(missing, Missing::Metadata(of, _) if of == id));
            }
            Op::Purge(Purge::Versions(kept)) => {
                let oldest = kept.version.0;
                self.change(&kept.secret, |known| State::Live(Known { oldest, ..known }));
                self.forget(|missing| {
                    matches!(missing, Missing::Metadata(of, version)
                        if *of == kept.secret && *version < oldest)
                });
            }
            Op::Purge(Purge::Note(seq)) => {
                self.missing.remove(&Missing::Note(*seq));
            }
            Op::Credential(new) => {
                self.due = match self.due {
                    Some(Due::Credentials(left)) if left > 1 => Some(Due::Credentials(left - 1)),
                    _ => None,
                };
                let signing = new.keys.as_ref().map(|keys| keys.signing);
                self.credentials.insert(new.slot, (new.generation, signing));
            }
            Op::Rekey(rekey) => {
                self.epoch = rekey.epoch;
                let credentials = rekey.credentials;
                self.due = (credentials > 0).then_some(Due::Credentials(credentials));
            }
            Op::Acknowledge(_) => {
                self.lost += 1;
                self.due = Some(Due::Rekey);
            }
            Op::Genesis(_) | Op::Note(_) => {}
        }
        if made.content.is_none() && entry.op.metadata().is_some() {
            self.missing.insert(match &entry.op {
                Op::Put(new) | Op::Reseal(new) => Missing::Metadata(new.secret, new.version.0),
                Op::Describe(new) => Missing::Metadata(new.secret, new.version.0),
                _ => Missing::Note(entry.seq),
            });
        }
        self.entries += 1;
        self.head = Some(Head {
            seq: entry.seq,
            hash,
        });
    }

    /// What cannot be read leaves the name that was known.
    fn rename(&mut self, id: &SecretId, version: Version, name: Option<SecretName>) {
        if let Some(State::Live(known) | State::Removed(known)) = self.secrets.get_mut(id)
            && known.newest == version.0
            && let Some(name) = name
        {
            known.name = name;
        }
    }

    fn change(&mut self, id: &SecretId, to: impl FnOnce(Known) -> State) {
        let known = self.secrets.get(id).and_then(State::known).cloned();
        self.secrets.insert(*id, to(known.unwrap()));
    }

    fn forget(&mut self, is_gone: impl Fn(&Missing) -> bool) {
        self.missing.retain(|missing| !is_gone(missing));
    }

    fn check(&self, index: &Index) {
        assert_eq!(index.head(), self.head.unwrap_or(Head::EMPTY));
        assert_eq!(index.identity().is_some(), self.head.is_some());
        assert_eq!(index.epoch(), self.epoch);
        assert_eq!(index.entries().len(), self.entries);
        assert_eq!(index.lost().len(), self.lost);
        assert_eq!(index.is_whole(), self.due.is_none());
        assert_eq!(index.withheld().is_some(), !self.missing.is_empty());
        let credentials = index.credentials();
        for (slot, (generation, signing)) in &self.credentials {
            assert_eq!(credentials.generation(slot), *generation);
            assert_eq!(credentials.in_use().contains(slot), signing.is_some());
        }
        let generations = self.credentials.values().map(|(newest, _)| *newest);
        let all = u64::try_from(credentials.generations().len()).unwrap();
        assert_eq!(all, generations.sum::<u64>());
        let live = |state: &State| matches!(state, State::Live(_));
        let count = self.secrets.values().filter(|state| live(state)).count();
        assert_eq!(index.secrets().len(), count);
        for (id, state) in &self.secrets {
            let name = match state {
                State::Live(known) | State::Removed(known) => &known.name,
                State::Purged(name) => name,
            };
            assert_eq!(index.name_of(id), Some(name));
            assert_eq!(index.get(id).is_some(), live(state));
            assert_eq!(index.was_removed(id), !live(state));
            let Some(known) = state.known() else {
                assert!(index.known(id).is_none());
                continue;
            };
            let versions = &index.known(id).unwrap().versions;
            let versions = versions.iter().map(|info| info.version);
            assert!(versions.eq((known.oldest..=known.newest).map(Version)));
            // Of several secrets of one name it means the first.
            let mut named = self
                .secrets
                .iter()
                .filter(|(_, state)| matches!(state, State::Live(known) if known.name == *name));
            let first = named.next().map(|(id, _)| *id);
            assert_eq!(index.find(name).map(|secret| secret.id), first);
        }
    }
}

/// Authorises the entry as the script says: not at all, by a slot's own key, or by that of another one.
fn authorise(entry: &mut Entry, by: u8) {
    let slot = slot(by >> 2 & 3);
    let key = match by & 3 {
        0 => return,
        1 => SigningKey::from_bytes(&[0xa9; 32]),
        _ => signing(&slot),
    };
    entry.authorise(slot, &key).unwrap();
}

/// Content as the script gives it.
struct Content {
    sealed: Option<Vec<u8>>,
    hash: Digest,
    /// The name that a reader must find in it.
    name: Option<SecretName>,
}

impl Default for Content {
    fn default() -> Self {
        Self {
            sealed: None,
            hash: Digest::new([0; 32]),
            name: None,
        }
    }
}

fn keys_of(epoch: u32) -> &'static AccountKeys {
    &KEYS[usize::from(epoch > FIRST_EPOCH)]
}

fn note(epoch: u32, seq: Seq) -> Content {
    let place = TextContext::Note {
        device: DEVICE.id(),
        seq,
    };
    let sealed = place.seal(keys_of(epoch), b"a note").unwrap();
    Content {
        hash: Digest::of(&sealed),
        sealed: Some(sealed),
        name: None,
    }
}

/// Metadata as the script gives them, in the right place or not.
fn metadata(epoch: u32, secret: SecretId, version: u64, script: &mut Cursor<'_>) -> Content {
    let how = script.byte();
    let encoded = if how.is_multiple_of(4) {
        script.chunk().to_vec()
    } else {
        let name = SecretName::parse(&format!("name {}", how >> 6)).unwrap();
        let mut metadata = Metadata::named(name);
        metadata.created_ms = (how & 16 != 0).then_some(u64::from(how));
        metadata.encode().unwrap().expose().to_vec()
    };
    let elsewhere = how % 4 == 2 && how & 32 != 0;
    let place = SecretContext {
        secret,
        version: Version(version + u64::from(elsewhere)),
    };
    let sealed = place.seal_metadata(keys_of(epoch), &encoded).unwrap();
    let decoded = Metadata::decode(&encoded).ok().filter(|_| !elsewhere);
    Content {
        hash: Digest::of(&sealed),
        sealed: Some(sealed),
        name: decoded.map(|metadata| metadata.name),
    }
}

/// What an index says, without what is not equal to itself (a floating-point number in unknown metadata may be none).
fn shape(index: &Index) -> (Head, Option<Vec<u8>>) {
    let encoded = index.encode().map(|bytes| bytes.expose().to_vec());
    (index.head(), encoded)
}

/// The device's cache brings back the same index.
fn check_cache(index: &Index) {
    let Some(encoded) = index.encode() else {
        return;
    };
    let decoded = Index::decode(encoded.expose()).unwrap();
    assert_eq!(shape(&decoded), shape(index));
    for secret in index.secrets() {
        let found = |index: &Index| index.find(&secret.metadata.name).map(|found| found.id);
        assert_eq!(found(&decoded), found(index));
    }
}
