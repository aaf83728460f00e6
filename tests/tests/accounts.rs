//! Whether an account exists is told neither by the bytes of a login nor by the time that it takes.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use keyshell_client::error::Error;
use keyshell_client::opaque::login::StartedLogin;
use keyshell_client::transport::api::Api;
use keyshell_client::transport::http::Endpoint;
use keyshell_client::transport::tls::{Pin, Trust};
use rand::Rng as _;
use rand::seq::SliceRandom as _;
use serde_bytes::ByteBuf;
use shared::channel::Sealed;
use shared::codec;
use shared::names::AccountName;
use shared::opaque::Slot;
use shared::secret::SecretBytes;
use shared::wire::error::Refusal;
use shared::wire::login::{LoginFinish, LoginResponse};
use shared::wire::path;
use tests::client::TIMEOUT;
use tests::device::Device;
use tests::owner::Owner;
use tests::raw::Raw;
use tests::server::Server;

/// One login with a proof that is wrong in any case: the answer to its start, and the error at its end.
async fn login(server: &Server, account: &str, slot: Slot) -> (LoginResponse, Error) {
    let endpoint = Endpoint::parse(&server.url).unwrap();
    let trust = Trust::Pin(Pin::parse(&server.pin).unwrap());
    let mut api = Api::new(endpoint, trust, TIMEOUT).unwrap();
    let account = AccountName::parse(account).unwrap();
    let password = SecretBytes::from(b"guess".as_slice());
    let (_, message) = StartedLogin::start(&account, slot, &password).unwrap();
    let response: LoginResponse = api.post(path::LOGIN_START, &message).await.unwrap();
    let finish = LoginFinish {
        pending: response.pending,
        ke3: ByteBuf::from(vec![0; 64]),
    };
    let finished: Result<Sealed, Error> = api.post(path::LOGIN_FINISH, &finish).await;
    (response, finished.unwrap_err())
}

#[test]
fn answers_differ_in_nothing_but_randomness() {
    let server = Server::start();
    Device::registered(&server, "alice", "password of copper wire");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut seen = Vec::new();
    for account in ["alice", "nobody", "alice", "nobody"] {
        for slot in [Slot::Password, Slot::Recovery] {
            let (response, error) = runtime.block_on(login(&server, account, slot));
            assert_eq!(error, Error::LoginRefused, "{account}");
            assert_eq!(response.ke2.len(), 320, "{account}");
            seen.push(response);
        }
    }
    let lengths: std::collections::BTreeSet<usize> = seen
        .iter()
        .map(|response| codec::encode(response).unwrap().len())
        .collect();
    assert_eq!(lengths.len(), 1);
    // The OPRF's part is the only one that repeats for the same blinded input; with fresh ones nothing does.
    for (position, response) in seen.iter().enumerate() {
        for other in seen.iter().skip(position + 1) {
            assert_ne!(response.ke2, other.ke2);
            assert_ne!(response.pending, other.pending);
        }
    }
}

/// Names of each kind.
const NAMES: usize = 12;
/// Addresses that logins come from.
const ADDRESSES: u32 = 40;
/// Pairs of logins between two looks at the samples.
const ROUND: usize = 500;
/// So many in a hundred are cropped at either end: that is what else the machine was doing.
const CROPPED: usize = 25;
/// Beyond this two groups are told apart.
const LIMIT: f64 = 4.5;

/// By how much a message about an account took longer than one about nobody just before or after it, as logarithms of
/// ratios: pairs do not care whether the machine is busier now than it was a minute ago.
#[derive(Default)]
struct Samples(Vec<f64>);

impl Samples {
    /// Student's t of the cropped samples (Yuen's form, which takes into account that they were cropped), with
    /// everything about accounts longer by this factor.
    fn t(&self, factor: f64) -> f64 {
        let mut samples = self.0.clone();
        samples.sort_by(f64::total_cmp);
        let cropped = samples.len() * CROPPED / 100;
        let kept = cropped..samples.len() - cropped;
        let (mean, _) = moments(&samples[kept.clone()]);
        let (shortest, longest) = (samples[kept.start], samples[kept.end - 1]);
        for sample in &mut samples {
            *sample = sample.clamp(shortest, longest);
        }
        let (_, squares) = moments(&samples);
        let kept = count(kept.len());
        (mean + factor.ln()) / (squares / (kept * (kept - 1.0))).sqrt()
    }
}

/// Mean, and the sum of the squared distances from it.
fn moments(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / count(values.len());
    let squares = values.iter().map(|value| (value - mean).powi(2));
    (mean, squares.sum())
}

fn count(samples: usize) -> f64 {
    f64::from(u32::try_from(samples).unwrap())
}

/// What one message took: by the clock, and by the server's own processor time. The clock is what an attacker has; the
/// processor time says the same on a machine that is busy with other things.
type Took = [f64; 2];

fn post(server: &Server, raw: &mut Raw, path: &str, body: &[u8]) -> (Vec<u8>, Took) {
    let (busy, started) = (server.busy_nanos(), Instant::now());
    let (_, answer) = raw.post(path, body).unwrap();
    let clock = started.elapsed().as_secs_f64();
    // A thread that ended in between takes its time with it; such a pair is left out.
    let busy = server.busy_nanos().saturating_sub(busy);
    (answer, [clock, Duration::from_nanos(busy).as_secs_f64()])
}

/// One login with a wrong proof: what start and finish took.
fn timed_login(server: &Server, raw: &mut Raw, name: &str) -> [Took; 2] {
    let name = AccountName::parse(name).unwrap();
    let guess = SecretBytes::from(b"guess".as_slice());
    let (_, message) = StartedLogin::start(&name, Slot::Password, &guess).unwrap();
    let message = codec::encode(&message).unwrap();
    let (answer, start) = post(server, raw, path::LOGIN_START, &message);
    let response: LoginResponse = codec::decode(&answer, 1000).unwrap();
    let finish = LoginFinish {
        pending: response.pending,
        ke3: ByteBuf::from(vec![0; 64]),
    };
    let finish = codec::encode(&finish).unwrap();
    let (answer, finish) = post(server, raw, path::LOGIN_FINISH, &finish);
    let refusal: Refusal = codec::decode(&answer, 1000).unwrap();
    assert_eq!(refusal, Refusal::LoginRefused);
    [start, finish]
}

/// Some accounts and as many names that nobody has, in random order, from addresses in random order. What the first
/// start of a minute does is the same by `keyserver/storage/src/testing/login_aggregates.rs`.
#[test]
fn a_login_takes_as_long_whether_the_account_exists_or_not() {
    let server = Server::patient();
    let known: Vec<String> = (0..NAMES)
        .map(|number| format!("known{number:02}"))
        .collect();
    let unknown: Vec<String> = (0..NAMES)
        .map(|number| format!("other{number:02}"))
        .collect();
    // With two slots and with three.
    for pair in known.chunks(2) {
        Owner::register_without_device(&server, &pair[0], "password");
        Owner::register(&server, &pair[1], "password");
    }
    let first = u32::from(Ipv4Addr::new(127, 2, 0, 1));
    let mut raws: Vec<Raw> = (0..ADDRESSES)
        .map(|number| Raw::from(&server, Ipv4Addr::from(first + number)))
        .collect();
    let mut random = rand::thread_rng();
    // Starts and finishes, each by the clock and by the processor.
    let mut samples: [[Samples; 2]; 2] = Default::default();
    // At least 2,000 logins, and as many more as it takes to see five in a hundred.
    for round in 1..=6 {
        for _ in 0..ROUND {
            let mut log_in = |names: &[String]| {
                let raw = raws.choose_mut(&mut rand::thread_rng()).unwrap();
                timed_login(&server, raw, names.choose(&mut rand::thread_rng()).unwrap())
            };
            let (about_known, about_unknown) = if random.r#gen() {
                let known = log_in(&known);
                (known, log_in(&unknown))
            } else {
                let unknown = log_in(&unknown);
                (log_in(&known), unknown)
            };
            for kind in [0, 1] {
                for by in [0, 1] {
                    let ratio = about_known[kind][by] / about_unknown[kind][by];
                    if ratio.is_normal() {
                        samples[kind][by].0.push(ratio.ln());
                    }
                }
            }
        }
        let is_sharp = samples.iter().all(|[_, busy]| busy.t(1.05) > LIMIT + 2.0);
        if round >= 2 && is_sharp {
            break;
        }
    }
    for (what, [clock, busy]) in ["start", "finish"].iter().zip(&samples) {
        let (by_clock, by_processor, with_more) = (clock.t(1.0), busy.t(1.0), busy.t(1.05));
        let text = format!(
            "{what}: t by the clock {by_clock:.2}, by the processor {by_processor:.2}, with five in a hundred more \
             {with_more:.2}, of {} pairs",
            busy.0.len()
        );
        assert!(
            by_clock.abs() < LIMIT && by_processor.abs() < LIMIT,
            "{text}"
        );
        assert!(with_more > LIMIT, "{text}");
    }
}
