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
use shared::vault_log::Head;
use shared::wire::call::{Answer, Append, Call};
use shared::wire::error::Refusal;
use tests::client::Client;
use tests::operator::Operator;
use tests::operator::lie::Lie;

const CASES: u64 = 12;
const STEPS: usize = 24;
const NAMES: [&str; 5] = ["a", "b", "c/d", "a longer name", "é"];

type Model = BTreeMap<String, Vec<u8>>;

/// What a device does in one step.
#[derive(Debug, Clone)]
enum Step {
    Put(String, Vec<u8>),
    Rename(String, String),
    Remove(String),
    Get(String),
    List,
    Rotate,
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
            .filter(|name| !model.contains_key(*name))
            .collect();
        match rng.gen_range(0..9) {
            0..=2 => {
                let len = rng.gen_range(0..200);
                Self::Put(name, (0..len).map(|_| rng.r#gen()).collect())
            }
            3 if model.contains_key(&name) && !free.is_empty() => {
                Self::Rename(name, (*free.choose(rng).unwrap()).to_owned())
            }
            4 if model.contains_key(&name) => Self::Remove(name),
            5 => Self::List,
            8 => Self::Rotate,
            _ => Self::Get(name),
        }
    }

    fn apply(&self, model: &mut Model) -> Seen {
        match self {
            Self::Put(name, value) => {
                model.insert(name.clone(), value.clone());
                Seen::Done
            }
            Self::Rename(from, to) => {
                let value = model.remove(from).unwrap();
                model.insert(to.clone(), value);
                Seen::Done
            }
            Self::Remove(name) => {
                model.remove(name);
                Seen::Done
            }
            Self::Get(name) => Seen::Value(model.get(name).cloned()),
            Self::List => Seen::Names(model.keys().cloned().collect()),
            Self::Rotate => Seen::Done,
        }
    }

    fn run(&self, client: &mut Client) -> Result<Seen, Error> {
        Ok(match self {
            Self::Put(name, value) => {
                client.put(name, value)?;
                Seen::Done
            }
            Self::Rename(from, to) => {
                client.rename(from, to)?;
                Seen::Done
            }
            Self::Remove(name) => {
                client.remove(name)?;
                Seen::Done
            }
            Self::Get(name) => Seen::Value(client.get(name)?),
            Self::List => Seen::Names(client.names()?),
            Self::Rotate => {
                client.rotate()?;
                Seen::Done
            }
        })
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
    let kind = rng.gen_range(0..10);
    let noticed = match kind {
        8 => Noticed::LaterThanRefused,
        9 => Noticed::LaterThanDone,
        _ => Noticed::AtOnce,
    };
    (lie_of(kind, rng, operator), noticed)
}

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
            Call::Append(_) if once() => Some(Answer::Refused(Refusal::Conflict(Head::EMPTY))),
            _ => None,
        })),
        // Stores it, and says that there is no room.
        8 => Lie::Answer(Box::new(move |_, answer| {
            if matches!(answer, Answer::Append(_)) && once() {
                *answer = Answer::Refused(Refusal::Quota);
            }
        })),
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
                if noticed == Noticed::LaterThanDone && before != self.model {
                    self.notices_now(who);
                    return false;
                }
                true
            }
            Err(error) if noticed == Noticed::LaterThanRefused && told > 0 => {
                assert!(matches!(error, Error::Limit(_)), "{step:?}: {error}");
                self.notices_now(who);
                false
            }
            Err(error) => {
                assert!(told > 0, "{step:?}: {error}");
                assert!(error.verification().is_some(), "{step:?}: {error}");
                // Whether a change was made before the answer was spoilt is for the log to say.
                self.clients[who].close();
                let names = self.clients[who].names().unwrap();
                let mut values = Model::new();
                for name in names {
                    let value = self.clients[who].fetch(&name).unwrap().unwrap();
                    values.insert(name, value);
                }
                assert!([&before, &self.model].contains(&&values), "{step:?}");
                self.model = values;
                true
            }
        }
    }
}

impl Case {
    /// The honest log itself tells what was said of it before.
    fn notices_now(&mut self, who: usize) {
        self.clients[who].close();
        let error = self.clients[who].names().unwrap_err();
        assert!(error.verification().is_some(), "{error}");
    }
}

fn run(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut case = Case::new();
    let lie_at = rng.gen_range(0..STEPS);
    for number in 0..STEPS {
        let step = Step::random(&mut rng, &case.model);
        let who = rng.gen_range(0..2);
        if number < lie_at {
            case.honest(who, &step);
            continue;
        }
        // From the chosen step on every answer may be a lie.
        let (lie, noticed) = random_lie(&mut rng, &case.operator);
        // What is refused of a log that is being prepared may be done all the same: it holds only with its end.
        if matches!(step, Step::Rotate) && noticed != Noticed::AtOnce {
            case.honest(who, &step);
            continue;
        }
        if !case.with_lie(who, &step, lie, noticed) {
            return;
        }
    }
    for client in &mut case.clients {
        let names: Vec<String> = case.model.keys().cloned().collect();
        assert_eq!(client.names(), Ok(names));
        let records = client.audit().unwrap();
        assert!(
            records
                .iter()
                .all(|record| record.attribution != Attribution::Forged)
        );
        assert!(records.len() >= STEPS);
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
