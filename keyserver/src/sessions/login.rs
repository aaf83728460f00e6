//! Login (RFC 9807, section 6), sans I/O: started, then finished once.

use opaque_ke::{
    CredentialFinalization, CredentialRequest, ServerLogin, ServerLoginParameters,
    ServerRegistration, ServerSetup,
};
use rand::rngs::OsRng;
use serde_bytes::ByteBuf;
use shared::channel::SESSION_KEY_LEN;
use shared::ids::{AccountId, ServerId};
use shared::names::AccountName;
use shared::opaque::{self, SUITE, Slot, Suite};
use shared::wire::error::Refusal;
use shared::wire::login::LoginStart;
use shared::wire::register::WrappedKey;
use zeroize::{Zeroize as _, Zeroizing};

use storage::api::{Account, RECORD_LEN};

/// Length of RFC 9807's `KE1` in this suite; deserialising ignores trailing bytes.
const KE1_LEN: usize = 96;
/// Length of RFC 9807's `KE3` in this suite.
const KE3_LEN: usize = 64;

/// The account that a login is for.
#[derive(Debug, Clone)]
struct Candidate {
    id: AccountId,
    /// The account key under the slot's export key.
    wrapped: WrappedKey,
}

/// A login that was started.
pub struct PendingLogin {
    state: ServerLogin<Suite>,
    server: ServerId,
    name: AccountName,
    slot: Slot,
    candidate: Option<Candidate>,
}

/// How a login ended.
pub enum Finished {
    /// The client proved that it has the credential.
    Proven(Proven),
    /// It did not; this is the name that was asked for.
    Wrong(AccountName),
}

/// A login whose proof was right.
pub struct Proven {
    /// The name that was asked for.
    pub name: AccountName,
    /// Its account.
    pub account: AccountId,
    /// The slot that was used.
    pub slot: Slot,
    /// The account key under the export key of the slot that was used.
    pub wrapped: WrappedKey,
    /// OPAQUE's session key.
    pub session_key: Zeroizing<[u8; SESSION_KEY_LEN]>,
}

/// Checks what can be checked before storage is asked.
pub fn check(message: &LoginStart) -> Result<(), Refusal> {
    if message.suite != SUITE {
        return Err(Refusal::Unsupported);
    }
    credential_request(message).map(|_| ())
}

/// What reads as a registration record: a public key, which takes time to decode, and zeros.
fn decoy(setup: &ServerSetup<Suite>) -> ByteBuf {
    let mut record = setup.keypair().public().serialize().to_vec();
    record.resize(RECORD_LEN, 0);
    ByteBuf::from(record)
}

fn credential_request(message: &LoginStart) -> Result<CredentialRequest<Suite>, Refusal> {
    if message.ke1.len() != KE1_LEN {
        return Err(Refusal::Malformed);
    }
    CredentialRequest::deserialize(&message.ke1).map_err(|_| Refusal::Malformed)
}

impl PendingLogin {
    /// Takes KE1; returns what to keep, and KE2. Without account or slot opaque-ke answers from a fake record, after a
    /// decoy was read as an account's would have been; everything from here on is the same.
    pub fn start(
        setup: &ServerSetup<Suite>,
        server: ServerId,
        message: LoginStart,
        account: Option<Account>,
    ) -> Result<(Self, ByteBuf), Refusal> {
        if message.suite != SUITE {
            return Err(Refusal::Unsupported);
        }
        let request = credential_request(&message)?;
        let LoginStart {
            account: name,
            slot,
            ..
        } = message;
        let known = account.and_then(|account| {
            let stored = account.slots.into_iter().find(|stored| stored.slot == slot);
            stored.map(|stored| (account.id, stored))
        });
        let decoy = decoy(setup);
        let bytes = known.as_ref().map_or(&decoy, |(_, stored)| &stored.record);
        let record = ServerRegistration::deserialize(bytes).map_err(|_| Refusal::Internal)?;
        let record = known.is_some().then_some(record);
        let context = opaque::context(&slot);
        let parameters = ServerLoginParameters {
            context: Some(&context),
            identifiers: opaque::identifiers(&name, &server),
        };
        let credential = opaque::credential_identifier(&name, &slot);
        let started =
            ServerLogin::start(&mut OsRng, setup, record, request, &credential, parameters)
                .map_err(|_| Refusal::Malformed)?;
        let ke2 = ByteBuf::from(started.message.serialize().to_vec());
        let pending = Self {
            state: started.state,
            server,
            name,
            slot,
            candidate: known.map(|(id, stored)| Candidate {
                id,
                wrapped: stored.wrapped,
            }),
        };
        Ok((pending, ke2))
    }

    /// Takes KE3.
    pub fn finish(self, ke3: &[u8]) -> Finished {
        let session_key = self.session_key(ke3);
        match (session_key, self.candidate) {
            (Some(session_key), Some(candidate)) => Finished::Proven(Proven {
                name: self.name,
                account: candidate.id,
                slot: self.slot,
                wrapped: candidate.wrapped,
                session_key,
            }),
            _ => Finished::Wrong(self.name),
        }
    }

    /// Whether KE3 is right; the login stays as it is.
    pub fn is_proven_by(&self, ke3: &[u8]) -> bool {
        self.session_key(ke3).is_some()
    }

    fn session_key(&self, ke3: &[u8]) -> Option<Zeroizing<[u8; SESSION_KEY_LEN]>> {
        if ke3.len() != KE3_LEN {
            return None;
        }
        let message = CredentialFinalization::deserialize(ke3).ok()?;
        let context = opaque::context(&self.slot);
        let parameters = ServerLoginParameters {
            context: Some(&context),
            identifiers: opaque::identifiers(&self.name, &self.server),
        };
        let mut finished = self.state.clone().finish(message, parameters).ok()?;
        let session_key = Zeroizing::new(finished.session_key.into());
        finished.session_key.as_mut_slice().zeroize();
        Some(session_key)
    }
}
