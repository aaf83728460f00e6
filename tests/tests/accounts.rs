//! Whether an account exists is not told by the bytes of a login.
#![allow(missing_docs, clippy::unwrap_used)]

use keyshell::client::api::Api;
use keyshell::client::http::Endpoint;
use keyshell::client::login::Attempt;
use keyshell::client::tls::{Pin, Trust};
use keyshell::error::Error;
use serde_bytes::ByteBuf;
use shared::channel::Sealed;
use shared::codec;
use shared::names::AccountName;
use shared::opaque::Slot;
use shared::secret::SecretBytes;
use shared::wire::login::{LoginFinish, LoginResponse};
use shared::wire::path;
use tests::client::TIMEOUT;
use tests::device::Device;
use tests::server::Server;

/// One login with a proof that is wrong in any case: the answer to its start, and the error at its end.
async fn login(server: &Server, account: &str, slot: Slot) -> (LoginResponse, Error) {
    let endpoint = Endpoint::parse(&server.url).unwrap();
    let trust = Trust::Pin(Pin::parse(&server.pin).unwrap());
    let mut api = Api::new(endpoint, trust, TIMEOUT).unwrap();
    let account = AccountName::parse(account).unwrap();
    let password = SecretBytes::from(b"guess".as_slice());
    let (_, message) = Attempt::start(&account, slot, &password).unwrap();
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
    Device::registered(&server, "alice", "password");
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
