//! The replay of a vault log, against a second, simpler account of its rules.

use std::collections::BTreeMap;

use keyshell_base::names::SecretName;
use keyshell_client::index::Index;
use keyshell_client::index::metadata::Metadata;
use keyshell_client::keys::account::AccountKeys;
use keyshell_client::keys::seal::{
    DeviceNameContext, FormerKeysContext, NoteContext, SecretContext,
};
use serde_bytes::ByteBuf;
use shared::ids::{Digest, SecretId, Seq, Version};
use shared::opaque::Slot;
use shared::vault_log::{
    Acknowledge, Credential, Describe, ENTRY_FORMAT, Entry, FIRST_EPOCH, Head, Op, Put, Rekey,
    Remove, SignedEntry,
};

use crate::cursor::Cursor;
use crate::world::{self, ACCOUNT, DEVICE, identity};

/// The log is one that was told again once.
const EPOCH: u32 = FIRST_EPOCH + 1;
/// Signatures are slow.
const MAX_ENTRIES: u32 = 16;

/// What there should be.
#[derive(Default)]
struct Model {
    /// `None`: removed.
    secrets: BTreeMap<SecretId, Option<(Version, SecretName)>>,
    head: Option<Head>,
    /// How many entries there are beside the genesis entry.
    changes: u64,
    /// How many losses were accepted.
    lost: usize,
    /// The newest generation of each credential.
    generations: BTreeMap<Slot, u64>,
    /// Whether the account key was replaced.
    is_rekeyed: bool,
}

/// Replays a log of a device that signs whatever the script says.
pub(crate) fn log_replay(data: &[u8]) {
    let mut script = Cursor::new(data);
    let keys = AccountKeys::new(ACCOUNT, EPOCH, world::keys().root().clone());
    let (mut index, mut model) = (Index::new(), Model::default());
    for _ in 0..MAX_ENTRIES {
        if script.is_empty() {
            break;
        }
        let (entry, name) = model.entry(&keys, &mut script);
        let signed = SignedEntry::sign(&entry, &keys.signing()).unwrap();
        let before = index.clone();
        let replayed = index.replay(&keys, &signed);
        assert_eq!(
            replayed.is_ok(),
            model.allows(&entry),
            "{entry:?}: {replayed:?}"
        );
        if replayed.is_ok() {
            model.take(&entry, name, signed.hash());
        } else {
            assert_eq!(shape(&index), shape(&before));
        }
        model.check(&index);
    }
    check_cache(&index);
}

impl Model {
    fn seq(&self) -> Seq {
        self.head.map_or(Seq(1), |head| head.seq.next())
    }

    /// The next entry, right or wrong as the script says, and the name in its metadata if they are any.
    fn entry(&self, keys: &AccountKeys, script: &mut Cursor<'_>) -> (Entry, Option<SecretName>) {
        let kind = script.byte();
        let secret = SecretId::new([script.choice(4); 16]);
        let newest = match self.secrets.get(&secret) {
            Some(Some((version, _))) => version.0,
            _ => 0,
        };
        let wrong = script.byte();
        let off = |bit: u8| u64::from(wrong >> bit & 1);
        let seq = Seq(self.seq().0 + off(7));
        let previous = if off(6) == 1 {
            Digest::new([6; 32])
        } else {
            self.head.map_or(Head::EMPTY.hash, |head| head.hash)
        };
        let (op, name) = match kind % 8 {
            0 => (Op::Genesis(identity()), None),
            1 => (Op::Server(identity()), None),
            2 => {
                let lost = Acknowledge {
                    lost_seq: Seq(script.number()),
                    lost_hash: Digest::new(script.array()),
                };
                (Op::Acknowledge(lost), None)
            }
            3 => {
                let version = Version(newest + off(5));
                (Op::Remove(Remove { secret, version }), None)
            }
            4 => {
                let version = Version(newest + off(5));
                let (metadata, name) = sealed_metadata(keys, secret, version, seq, script);
                let describe = Describe {
                    secret,
                    version,
                    epoch: EPOCH,
                    metadata,
                };
                (Op::Describe(describe), name)
            }
            6 => {
                let place = NoteContext {
                    device: DEVICE,
                    seq: if off(5) == 1 { seq.next() } else { seq },
                };
                let text = SecretName::parse("a note").ok();
                let sealed = ByteBuf::from(place.seal(keys, b"a note"));
                (Op::Note(sealed), text.filter(|_| off(5) == 0))
            }
            7 => (Op::Credential(self.credential(keys, seq, script)), None),
            5 if kind >= 128 => {
                let begun = FIRST_EPOCH + 1 + u32::from(wrong >> 5 & 1);
                let place = FormerKeysContext { begun, seq };
                let rekey = Rekey {
                    epoch: begun,
                    former: Head::EMPTY,
                    keys: ByteBuf::from(place.seal(keys, &keys.former())),
                };
                (Op::Rekey(rekey), None)
            }
            _ => {
                let version = Version(newest + 1 + off(5));
                let (metadata, name) = sealed_metadata(keys, secret, version, seq, script);
                let put = Put {
                    secret,
                    version,
                    epoch: EPOCH,
                    value_hash: Digest::new([script.byte(); 32]),
                    metadata,
                };
                (Op::Put(put), name)
            }
        };
        let entry = Entry {
            format: ENTRY_FORMAT + wrong % 2,
            account: ACCOUNT,
            seq,
            previous,
            device: DEVICE,
            time_ms: script.number(),
            seen: None,
            op,
            former: Vec::new(),
        };
        (entry, name)
    }

    fn generation(&self, slot: &Slot) -> u64 {
        let of_registration = u64::from(!matches!(slot, Slot::Device(_)));
        self.generations
            .get(slot)
            .copied()
            .unwrap_or(of_registration)
    }

    /// A credential as the script gives it, the next one of its slot or not.
    fn credential(&self, keys: &AccountKeys, seq: Seq, script: &mut Cursor<'_>) -> Credential {
        let how = script.byte();
        let slot = match how % 3 {
            0 => Slot::Password,
            1 => Slot::Recovery,
            _ => Slot::Device(DEVICE),
        };
        let generation = self.generation(&slot) + u64::from(how >> 2 & 3);
        let place = DeviceNameContext {
            device: DEVICE,
            generation,
            seq,
        };
        Credential {
            slot,
            generation,
            wrapped: (how & 16 != 0).then(|| Digest::new([how; 32])),
            name: (how & 32 != 0).then(|| ByteBuf::from(place.seal(keys, b"laptop"))),
        }
    }

    fn allows(&self, entry: &Entry) -> bool {
        let previous = self.head.map_or(Head::EMPTY.hash, |head| head.hash);
        let in_place = entry.seq == self.seq() && entry.previous == previous;
        let is_first = self.head.is_none();
        let state = entry.op.secret().and_then(|id| self.secrets.get(&id));
        let by_rule = match &entry.op {
            Op::Genesis(_) => is_first,
            Op::Server(_) | Op::Acknowledge(_) | Op::Note(_) => !is_first,
            Op::Rekey(rekey) => !is_first && rekey.epoch == EPOCH && !self.is_rekeyed,
            Op::Credential(new) => {
                let is_named = matches!((&new.slot, &new.name), (Slot::Device(_), _) | (_, None));
                new.generation == self.generation(&new.slot) + 1
                    && is_named
                    && (new.wrapped.is_some() || new.slot != Slot::Password)
            }
            Op::Put(put) => match state {
                None => put.version == Version(1),
                Some(Some((newest, _))) => put.version == newest.next(),
                Some(None) => false,
            },
            Op::Describe(describe) => {
                matches!(state, Some(Some((newest, _))) if describe.version == *newest)
            }
            Op::Remove(remove) => {
                matches!(state, Some(Some((newest, _))) if remove.version == *newest)
            }
        };
        entry.format == ENTRY_FORMAT
            && in_place
            && by_rule
            && is_first == matches!(entry.op, Op::Genesis(_))
    }

    fn take(&mut self, entry: &Entry, name: Option<SecretName>, hash: Digest) {
        let named = |secret: SecretId, version| {
            // What cannot be read leaves the name that was known.
            let known = self.secrets.get(&secret).cloned().flatten();
            let name = name.clone().or_else(|| known.map(|(_, name)| name));
            let name = name.unwrap_or_else(|| Metadata::unreadable(&secret).unwrap().name);
            Some((secret, Some((version, name))))
        };
        let known = match &entry.op {
            Op::Put(put) => named(put.secret, put.version),
            Op::Describe(new) => named(new.secret, new.version),
            Op::Remove(remove) => Some((remove.secret, None)),
            _ => None,
        };
        if let Op::Credential(new) = &entry.op {
            self.generations.insert(new.slot, new.generation);
        }
        self.is_rekeyed |= matches!(entry.op, Op::Rekey(_));
        self.secrets.extend(known);
        self.changes += u64::from(!matches!(entry.op, Op::Genesis(_)));
        self.lost += usize::from(matches!(entry.op, Op::Acknowledge(_)));
        self.head = Some(Head {
            seq: entry.seq,
            hash,
        });
    }

    fn check(&self, index: &Index) {
        assert_eq!(index.head(), self.head.unwrap_or(Head::EMPTY));
        assert_eq!(index.identity().is_some(), self.head.is_some());
        assert_eq!(index.epoch(), FIRST_EPOCH + u32::from(self.is_rekeyed));
        assert_eq!(index.changes().values().sum::<u64>(), self.changes);
        assert_eq!(index.lost().len(), self.lost);
        for (slot, generation) in &self.generations {
            assert_eq!(index.credentials().generation(slot), *generation);
        }
        let live = self.secrets.values().filter(|secret| secret.is_some());
        assert_eq!(index.secrets().len(), live.count());
        for (id, state) in &self.secrets {
            let Some((version, name)) = state else {
                assert!(index.get(id).is_none() && index.name_of(id).is_some());
                continue;
            };
            let secret = index.get(id).unwrap();
            assert_eq!(secret.metadata.name, *name);
            let versions = secret.versions.iter().map(|info| info.version);
            assert!(versions.eq((1..=version.0).map(Version)));
            assert_eq!(index.name_of(id), Some(name));
            // Of several secrets of one name it means the first.
            let mut named = self.secrets.iter().filter(|(_, state)| {
                let known = state.as_ref().map(|(_, known)| known);
                known == Some(name)
            });
            let first = named.next().map(|(id, _)| *id);
            assert_eq!(index.find(name).map(|secret| secret.id), first);
        }
    }
}

/// Metadata as the script gives them, in the right place or not; the name that a reader must find in them.
fn sealed_metadata(
    keys: &AccountKeys,
    secret: SecretId,
    version: Version,
    seq: Seq,
    script: &mut Cursor<'_>,
) -> (ByteBuf, Option<SecretName>) {
    let place = SecretContext { secret, version };
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
    let sealed_at = if elsewhere { seq.next() } else { seq };
    let sealed = place.seal_metadata(keys, sealed_at, &encoded);
    let decoded = Metadata::decode(&encoded).ok().filter(|_| !elsewhere);
    (ByteBuf::from(sealed), decoded.map(|metadata| metadata.name))
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
