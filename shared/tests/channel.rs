//! The sealed channel's state machine, attacked from both ends.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use common::fixed;
use serde_bytes::ByteBuf;
use shared::channel::{ChannelError, ClientIdle, Received, Sealed, ServerChannel, session_id};
use shared::ids::SessionId;

const KEY: u8 = 7;

fn pair_of(key: u8) -> (ClientIdle, ServerChannel) {
    let key = fixed(key);
    let server = ServerChannel::new(&key);
    let welcome = server.welcome(b"welcome");
    let (client, plaintext) = ClientIdle::start(&key, &welcome).unwrap();
    assert_eq!(plaintext.expose(), b"welcome");
    (client, server)
}

fn pair() -> (ClientIdle, ServerChannel) {
    pair_of(KEY)
}

fn new_request(received: Result<Received, ChannelError>) -> Vec<u8> {
    match received.unwrap() {
        Received::New(plaintext) => plaintext.expose().to_vec(),
        Received::Repeated(_) => panic!("a new request was taken for a repetition"),
    }
}

fn round(client: ClientIdle, server: &mut ServerChannel, text: &[u8]) -> ClientIdle {
    let waiting = client.request(text);
    assert_eq!(new_request(server.receive(waiting.sealed())), text);
    let answer = server.answer(&[b"re: ", text].concat()).unwrap();
    let (client, plaintext) = waiting.answer(&answer).unwrap();
    assert_eq!(plaintext.expose(), [b"re: ", text].concat());
    client
}

#[test]
fn requests_and_answers_pass_in_turn() {
    let (mut client, mut server) = pair();
    for number in 1..=20u64 {
        assert_eq!(client.next_counter(), number);
        client = round(client, &mut server, format!("request {number}").as_bytes());
    }
}

#[test]
fn a_welcome_under_another_key_or_counter_is_refused() {
    let server = ServerChannel::new(&fixed(KEY));
    let welcome = server.welcome(b"welcome");
    let refused = |key: u8, welcome: &Sealed| ClientIdle::start(&fixed(key), welcome).unwrap_err();
    assert_eq!(refused(KEY + 1, &welcome), ChannelError::OutOfOrder);
    let later = Sealed {
        counter: 1,
        ..welcome.clone()
    };
    assert_eq!(refused(KEY, &later), ChannelError::OutOfOrder);
    let elsewhere = Sealed {
        session: SessionId::new(fixed(2)),
        ..welcome
    };
    assert_eq!(refused(KEY, &elsewhere), ChannelError::OutOfOrder);
}

#[test]
fn the_same_bytes_again_get_the_same_answer_and_are_done_once() {
    let (client, mut server) = pair();
    let waiting = client.request(b"put");
    new_request(server.receive(waiting.sealed()));
    assert_eq!(
        server.receive(waiting.sealed()).unwrap_err(),
        ChannelError::Busy
    );
    let first = server.answer(b"done").unwrap();
    for _ in 0..3 {
        let Received::Repeated(again) = server.receive(waiting.sealed()).unwrap() else {
            panic!("done twice");
        };
        assert_eq!(again, first);
    }
    waiting.answer(&first).unwrap();
}

#[test]
fn another_request_under_a_used_counter_is_refused() {
    let (client, mut server) = pair();
    let (twin, _) = pair();
    let waiting = client.request(b"put");
    new_request(server.receive(waiting.sealed()));
    let other = twin.request(b"other");
    assert_eq!(
        server.receive(other.sealed()).unwrap_err(),
        ChannelError::OutOfOrder
    );
    server.answer(b"done").unwrap();
    assert_eq!(
        server.receive(other.sealed()).unwrap_err(),
        ChannelError::OutOfOrder
    );
}

#[test]
fn replayed_and_reordered_requests_are_refused() {
    let (client, mut server) = pair();
    let first = client.request(b"one");
    let replay = first.sealed().clone();
    new_request(server.receive(first.sealed()));
    let answer = server.answer(b"1").unwrap();
    let (client, _) = first.answer(&answer).unwrap();
    let client = round(client, &mut server, b"two");
    assert_eq!(
        server.receive(&replay).unwrap_err(),
        ChannelError::OutOfOrder
    );

    // The fourth before the third.
    let (ahead, mut other) = pair();
    let ahead = round(ahead, &mut other, b"one");
    let ahead = round(ahead, &mut other, b"two");
    let ahead = round(ahead, &mut other, b"three");
    let fourth = ahead.request(b"four");
    assert_eq!(
        server.receive(fourth.sealed()).unwrap_err(),
        ChannelError::OutOfOrder
    );
    // Nothing of this has cost the session anything.
    round(client, &mut server, b"three");
}

#[test]
fn a_counter_of_zero_is_no_request() {
    let (_, mut server) = pair();
    let welcome = server.welcome(b"welcome");
    assert_eq!(
        server.receive(&welcome).unwrap_err(),
        ChannelError::OutOfOrder
    );
}

#[test]
fn a_reflected_message_is_refused() {
    let (client, mut server) = pair();
    let waiting = client.request(b"one");
    let reflected = waiting.sealed().clone();
    assert_eq!(
        waiting.answer(&reflected).unwrap_err(),
        ChannelError::DoesNotOpen
    );

    let (client, _) = pair();
    let waiting = client.request(b"one");
    new_request(server.receive(waiting.sealed()));
    let mut answer = server.answer(b"1").unwrap();
    answer.counter = 2;
    assert_eq!(
        server.receive(&answer).unwrap_err(),
        ChannelError::DoesNotOpen
    );
}

#[test]
fn a_message_of_another_session_is_refused() {
    let (client, mut server) = pair();
    let (stranger, _) = pair_of(KEY + 1);
    let mut foreign = stranger.request(b"one").sealed().clone();
    assert!(server.receive(&foreign).is_err());
    foreign.session = session_id(&fixed(KEY));
    assert_eq!(
        server.receive(&foreign).unwrap_err(),
        ChannelError::DoesNotOpen
    );
    round(client, &mut server, b"one");
}

#[test]
fn an_old_answer_is_refused() {
    let (client, mut server) = pair();
    let first = client.request(b"one");
    new_request(server.receive(first.sealed()));
    let old = server.answer(b"1").unwrap();
    let (client, _) = first.answer(&old).unwrap();
    let second = client.request(b"two");
    assert_eq!(second.answer(&old).unwrap_err(), ChannelError::OutOfOrder);

    let (client, mut server) = pair();
    let client = round(client, &mut server, b"one");
    let second = client.request(b"two");
    let relabelled = Sealed { counter: 2, ..old };
    assert_eq!(
        second.answer(&relabelled).unwrap_err(),
        ChannelError::DoesNotOpen
    );
}

#[test]
fn every_altered_bit_is_refused() {
    let (client, mut server) = pair();
    let waiting = client.request(b"a request");
    let sealed = waiting.sealed().clone();
    for bit in 0..sealed.body.len() * 8 {
        let mut body = sealed.body.to_vec();
        body[bit / 8] ^= 1 << (bit % 8);
        let altered = Sealed {
            body: ByteBuf::from(body),
            ..sealed.clone()
        };
        assert_eq!(
            server.receive(&altered).unwrap_err(),
            ChannelError::DoesNotOpen
        );
    }
    for len in 0..sealed.body.len() {
        let body = ByteBuf::from(sealed.body[..len].to_vec());
        let cut = Sealed {
            body,
            ..sealed.clone()
        };
        assert_eq!(server.receive(&cut).unwrap_err(), ChannelError::DoesNotOpen);
    }
    // The right one still passes: refusals leave no trace.
    new_request(server.receive(&sealed));
    let answer = server.answer(b"an answer").unwrap();
    let mut body = answer.body.to_vec();
    body[0] ^= 1;
    let altered = Sealed {
        body: ByteBuf::from(body),
        ..answer
    };
    assert_eq!(
        waiting.answer(&altered).unwrap_err(),
        ChannelError::DoesNotOpen
    );
}

#[test]
fn one_counter_never_seals_two_answers() {
    let (client, mut server) = pair();
    assert_eq!(
        server.answer(b"early").unwrap_err(),
        ChannelError::OutOfOrder
    );
    let waiting = client.request(b"one");
    new_request(server.receive(waiting.sealed()));
    server.answer(b"first").unwrap();
    assert_eq!(
        server.answer(b"second").unwrap_err(),
        ChannelError::OutOfOrder
    );
}

#[test]
fn the_next_request_waits_for_the_answer() {
    let (client, mut server) = pair();
    let (twin, mut elsewhere) = pair();
    let waiting = client.request(b"one");
    new_request(server.receive(waiting.sealed()));
    let ahead = round(twin, &mut elsewhere, b"one").request(b"two");
    assert_eq!(
        server.receive(ahead.sealed()).unwrap_err(),
        ChannelError::Busy
    );
}
