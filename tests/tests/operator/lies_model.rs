//! Random operations of two devices against a reference, with a random lie at a random step: what comes out is what the
//! reference says, or the lie is noticed.
//!
//! `MODEL_CASES=500 cargo test -p tests lies_model::` runs more cases than the default; a failing case names its
//! seed, and `MODEL_SEED` runs it alone.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

use std::collections::BTreeMap;

use keyshell_client::error::Error;
use keyshell_client::vault::audit_verifier::Attribution;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_bytes::ByteBuf;
use shared::secret::SecretBytes;
use shared::vault_log::Head;
use shared::wire::call::{Answer, Append, Call};
use shared::wire::error::Refusal;
use tempfile::TempDir;
use tests::client::Client;
use tests::operator::lie::Lie;
use tests::operator::{Operator, PASSWORD};

const CASES: u64 = 12;
const STEPS: usize = 24;
const NAMES: [&str; 5] = ["a", "b", "c/d", "a longer name", "é"];

/// The reference.
#[derive(Debug, Clone, PartialEq)]
struct Model {
    live: BTreeMap<String, Vec<u8>>,
    /// Removed secrets, with their last names.
    removed: Vec<(String, Vec<u8>)>,
    password: String,
}

impl Model {
    fn new() -> Self {
        Self {
            live: BTreeMap::new(),
            removed: Vec::new(),
            password: PASSWORD.to_owned(),
        }
    }

    /// Where in the list the only removed secret of this name stands, if no other one took the name.
    fn restorable(&self, name: &str) -> Option<usize> {
        let mut places = (0..).zip(&self.removed).filter(|(_, (n, _))| n == name);
        let place = places.next().map(|(place, _)| place);
        place.filter(|_| places.next().is_none() && !self.live.contains_key(name))
    }
}

/// What a device does in one step.
#[derive(Debug, Clone)]
enum Step {
    Put(String, Vec<u8>),
    Rename(String, String),
    Remove(String),
    Restore(String),
    Get(String),
    List,
    Rotate,
    /// A new password, with a key epoch.
    Passwd(String),
    /// A new recovery code, with a key epoch.
    Recovery([u8; 20]),
    /// A fresh generation of the device's own credential.
    Enrol(String),
    /// Revokes the other device's credential, with a key epoch.
    Revoke,
}

/// What comes back.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Done,
    Value(Option<Vec<u8>>),
    Names(Vec<String>),
}

impl Step {
    fn random(rng: &mut StdRng, model: &Model) -> Self {
        let name = (*NAMES.choose(rng).unwrap()).to_owned();
        let free: Vec<&str> = NAMES
            .into_iter()
            .filter(|name| !model.live.contains_key(*name))
            .collect();
        match rng.gen_range(0..16) {
            0..=3 => {
                let len = rng.gen_range(0..200);
                Self::Put(name, (0..len).map(|_| rng.r#gen()).collect())
            }
            4 if model.live.contains_key(&name) && !free.is_empty() => {
                Self::Rename(name, (*free.choose(rng).unwrap()).to_owned())
            }
            5 | 6 if model.live.contains_key(&name) => Self::Remove(name),
            5..=7 if model.restorable(&name).is_some() => Self::Restore(name),
            8 => Self::List,
            9 => Self::Rotate,
            10 => Self::Passwd(format!("{PASSWORD} {}", rng.r#gen::<u32>())),
            11 => Self::Recovery(rng.r#gen()),
            12 => Self::Enrol(format!("device {}", rng.r#gen::<u16>())),
            13 => Self::Revoke,
            _ => Self::Get(name),
        }
    }

    fn apply(&self, model: &mut Model) -> Seen {
        match self {
            Self::Put(name, value) => {
                model.live.insert(name.clone(), value.clone());
            }
            Self::Rename(from, to) => {
                let value = model.live.remove(from).unwrap();
                model.live.insert(to.clone(), value);
            }
            Self::Remove(name) => {
                let value = model.live.remove(name).unwrap();
                model.removed.push((name.clone(), value));
            }
            Self::Restore(name) => {
                let place = model.restorable(name).unwrap();
                let (name, value) = model.removed.remove(place);
                model.live.insert(name, value);
            }
            Self::Passwd(next) => model.password.clone_from(next),
            Self::Get(name) => return Seen::Value(model.live.get(name).cloned()),
            Self::List => return Seen::Names(model.live.keys().cloned().collect()),
            Self::Rotate | Self::Recovery(_) | Self::Enrol(_) | Self::Revoke => {}
        }
        Seen::Done
    }

    /// Whether it begins a key epoch.
    fn begins_epoch(&self) -> bool {
        matches!(
            self,
            Self::Rotate | Self::Passwd(_) | Self::Recovery(_) | Self::Revoke
        )
    }

    fn run(&self, client: &mut Client) -> Result<Seen, Error> {
        if self.begins_epoch() {
            // A session that was opened by the device's credential begins none.
            client.close();
        }
        match self {
            Self::Put(name, value) => client.put(name, value)?,
            Self::Rename(from, to) => client.rename(from, to)?,
            Self::Remove(name) => client.remove(name)?,
            Self::Restore(name) => assert!(client.restore(name)?, "{name}"),
            Self::Get(name) => return client.get(name).map(Seen::Value),
            Self::List => return client.names().map(Seen::Names),
            Self::Rotate => client.rotate()?,
            Self::Passwd(next) => client.change_password(next)?,
            Self::Recovery(code) => client.renew_recovery(&SecretBytes::from(code.as_slice()))?,
            Self::Enrol(name) => client.name_device(name)?,
            Self::Revoke => client.revoke_others()?,
        }
        Ok(Seen::Done)
    }
}

/// When a lie must be noticed at the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noticed {
    /// With the answer that it is in.
    AtOnce,
    /// With the next look at the log; until then a change is taken for done.
    LaterThanDone,
    /// With the next look at the log; until then a change is taken for refused.
    LaterThanRefused,
}

/// One lie of many kinds; told in one answer at most.
fn random_lie(rng: &mut StdRng, operator: &Operator) -> (Lie, Noticed) {
    let kind = rng.gen_range(0..15);
    let noticed = match kind {
        8 | 10 => Noticed::LaterThanRefused,
        9 => Noticed::LaterThanDone,
        _ => Noticed::AtOnce,
    };
    (lie_of(kind, rng, operator), noticed)
}

#[allow(clippy::too_many_lines)]
fn lie_of(kind: u32, rng: &mut StdRng, operator: &Operator) -> Lie {
    let stored: Vec<ByteBuf> = operator.values().into_iter().map(ByteBuf::from).collect();
    let (bits, any): (u32, usize) = (rng.r#gen(), rng.r#gen());
    let mut told = false;
    let mut once = move || !std::mem::replace(&mut told, true);
    match kind {
        0 => Lie::Plaintext(Box::new(move |_, answer| {
            if once() {
                let place = any % answer.len();
                answer[place] ^= 1 << (bits % 8);
            }
        })),
        1 => Lie::values(move |values| {
            if once() && !stored.is_empty() {
                values[0] = Some(stored[any % stored.len()].clone());
            }
        }),
        2 => Lie::values(move |values| {
            if once() {
                values[0] = None;
            }
        }),
        3 => Lie::sync(move |sync| {
            if once() && !sync.entries.is_empty() {
                let place = any % sync.entries.len();
                sync.entries.remove(place);
            }
        }),
        4 => Lie::sync(move |sync| {
            if once() {
                sync.head = Head::EMPTY;
                sync.entries.clear();
            }
        }),
        5 => {
            let mut old: Option<Vec<u8>> = None;
            Lie::Plaintext(Box::new(move |request, answer| {
                if matches!(request.call, Call::Sync(_)) {
                    let old = old.get_or_insert_with(|| answer.clone());
                    answer.clone_from(old);
                }
            }))
        }
        6 => Lie::sync(move |sync| {
            if sync.entries.len() > 1 && once() {
                sync.entries.truncate(1);
            }
        }),
        // Says that another device was faster.
        7 => Lie::Instead(Box::new(move |request| match request.call {
            Call::Append(_) | Call::Install(_) if once() => {
                Some(Answer::Refused(Refusal::Conflict(Head::EMPTY)))
            }
            _ => None,
        })),
        // Stores it, and says that there is no room.
        8 => Lie::Answer(Box::new(move |_, answer| {
            if matches!(answer, Answer::Append(_)) && once() {
                *answer = Answer::Refused(Refusal::Quota);
            }
        })),
        // The same for credentials and account keys.
        10 => Lie::Answer(Box::new(move |_, answer| {
            if matches!(answer, Answer::Install(_)) && once() {
                *answer = Answer::Refused(Refusal::Quota);
            }
        })),
        // Another slot key or key history.
        11 => Lie::Welcome(Box::new(move |welcome| {
            if let Some(slot_key) = welcome.slot_key.as_mut().filter(|_| once()) {
                let place = any % slot_key.blob.len();
                slot_key.blob[place] ^= 1 << (bits % 8);
            }
        })),
        12 => Lie::Welcome(Box::new(move |welcome| {
            if let Some(history) = welcome.history.as_mut().filter(|_| once()) {
                let place = any % history.len();
                history[place] ^= 1 << (bits % 8);
            }
        })),
        // Withholds metadata, or shows those of another secret.
        13 => Lie::sync(move |sync| {
            let with_content = sync.entries.iter_mut();
            let mut with_content = with_content.filter(|logged| logged.metadata.is_some());
            if let Some(logged) = with_content.next().filter(|_| once()) {
                logged.metadata = None;
            }
        }),
        14 => Lie::sync(move |sync| {
            let with_content = sync.entries.iter_mut();
            let mut with_content = with_content.filter(|logged| logged.metadata.is_some());
            if let (Some(one), Some(other)) = (with_content.next(), with_content.next())
                && once()
            {
                std::mem::swap(&mut one.metadata, &mut other.metadata);
            }
        }),
        // Says that it is stored, and does not store it.
        _ => Lie::Instead(Box::new(move |request| {
            let Call::Append(Append(entries)) = &request.call else {
                return None;
            };
            let last = &entries.last()?.entry;
            once().then(|| {
                Answer::Append(Head {
                    seq: last.decode_unverified().unwrap().seq,
                    hash: last.hash(),
                })
            })
        })),
    }
}

struct Case {
    operator: Operator,
    clients: [Client; 2],
    model: Model,
}

impl Case {
    fn new() -> Self {
        let operator = Operator::start();
        operator.registered("alice");
        let clients = [operator.client("alice"), operator.client("alice")];
        Self {
            operator,
            clients,
            model: Model::new(),
        }
    }

    /// One honest step: always what the reference says.
    fn honest(&mut self, who: usize, step: &Step) {
        let expected = step.apply(&mut self.model);
        assert_eq!(step.run(&mut self.clients[who]), Ok(expected), "{step:?}");
        self.type_password();
    }

    /// Both devices' owner types the newest password.
    fn type_password(&self) {
        for client in &self.clients {
            client.set_password(&self.model.password);
        }
    }

    /// One step with a lie; says whether the case goes on.
    fn with_lie(&mut self, who: usize, step: &Step, lie: Lie, noticed: Noticed) -> bool {
        let before = self.model.clone();
        let expected = step.apply(&mut self.model);
        self.operator.lie(lie);
        let seen = step.run(&mut self.clients[who]);
        let told = self.operator.told();
        self.operator.be_honest();
        match seen {
            Ok(seen) => {
                assert_eq!(seen, expected, "{step:?}, {told} told");
                self.type_password();
                // A change of credentials is no append, of which the lie would be told.
                if noticed == Noticed::LaterThanDone && told > 0 && before != self.model {
                    self.notices_now(who, &before);
                    return false;
                }
                true
            }
            Err(error) if noticed == Noticed::LaterThanRefused && told > 0 => {
                assert!(matches!(error, Error::Limit(_)), "{step:?}: {error}");
                self.notices_now(who, &before);
                false
            }
            Err(error) => {
                assert!(told > 0, "{step:?}: {error}");
                assert!(error.verification().is_some(), "{step:?}: {error}");
                // Whether a change was made before the answer was spoilt is for the log to say.
                let after = self.model.clone();
                let (names, password) = self.names(who, &before);
                let mut values = BTreeMap::new();
                for name in names.unwrap() {
                    let value = self.clients[who].fetch(&name).unwrap().unwrap();
                    values.insert(name, value);
                }
                let is_seen = |model: &Model| model.live == values && model.password == password;
                let mut possible = [before, after].into_iter();
                self.model = possible.find(is_seen).unwrap();
                self.type_password();
                true
            }
        }
    }

    /// The names in a new session, by the password that opens one: that of before the last step, or of after it.
    fn names(&mut self, who: usize, before: &Model) -> (Result<Vec<String>, Error>, String) {
        let passwords = [&before.password, &self.model.password];
        for password in passwords {
            self.clients[who].close();
            self.clients[who].set_password(password);
            let names = self.clients[who].names();
            if names != Err(Error::LoginRefused) {
                return (names, password.clone());
            }
        }
        panic!("neither password opens a session");
    }

    /// The honest log itself tells what was said of it before.
    fn notices_now(&mut self, who: usize, before: &Model) {
        let error = self.names(who, before).0.unwrap_err();
        assert!(error.verification().is_some(), "{error}");
    }

    /// Puts a backup back: each device that has seen more than it holds notices, and its owner acknowledges. What was
    /// written since is lost, and credentials that were replaced since are replaced once more.
    fn restore(&mut self, backup: TempDir, then: Model, rng: &mut StdRng) {
        self.operator.roll_back(backup);
        self.model = then;
        self.type_password();
        for who in 0..2 {
            self.clients[who].close();
            let names: Vec<String> = self.model.live.keys().cloned().collect();
            match self.clients[who].names() {
                Ok(seen) => assert_eq!(seen, names),
                Err(error) => {
                    assert!(error.verification().is_some(), "{error}");
                    let next = format!("{PASSWORD} {}", rng.r#gen::<u32>());
                    let code = SecretBytes::from(rng.r#gen::<[u8; 20]>().as_slice());
                    if self.clients[who].acknowledge(&next, &code).unwrap() {
                        self.model.password = next;
                    }
                    self.type_password();
                    assert_eq!(self.clients[who].names(), Ok(names));
                }
            }
        }
    }
}

fn run(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut case = Case::new();
    let lie_at = rng.gen_range(0..STEPS);
    let restored_at = rng.gen_range(0..=lie_at);
    let saved_at = rng.gen_range(0..=restored_at);
    let is_restored = rng.r#gen();
    let mut backup = None;
    for number in 0..STEPS {
        if is_restored && number == saved_at {
            backup = Some((case.operator.copy(), case.model.clone()));
        }
        if number == restored_at
            && let Some((copy, model)) = backup.take()
        {
            case.restore(copy, model, &mut rng);
        }
        let step = Step::random(&mut rng, &case.model);
        let who = rng.gen_range(0..2);
        if number < lie_at {
            case.honest(who, &step);
            continue;
        }
        // From the chosen step on every answer may be a lie.
        let (lie, noticed) = random_lie(&mut rng, &case.operator);
        // A rotation that was refused after its epoch began ends otherwise than other changes.
        if matches!(step, Step::Rotate) && noticed != Noticed::AtOnce {
            case.honest(who, &step);
            continue;
        }
        if !case.with_lie(who, &step, lie, noticed) {
            return;
        }
    }
    for client in &mut case.clients {
        let names: Vec<String> = case.model.live.keys().cloned().collect();
        assert_eq!(client.names(), Ok(names));
        let records = client.audit().unwrap();
        assert!(
            records
                .iter()
                .all(|record| record.attribution != Attribution::Forged)
        );
        assert!(is_restored || records.len() >= STEPS);
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn every_answer_is_the_references_or_a_lie_that_is_noticed() {
    if let Some(seed) = number("MODEL_SEED") {
        return run(seed);
    }
    let cases = number("MODEL_CASES").unwrap_or(CASES);
    let start: u64 = rand::random();
    for seed in (start..).take(usize::try_from(cases).unwrap()) {
        eprintln!("MODEL_SEED={seed}");
        run(seed);
    }
}
