//! Login (RFC 9807, section 6), sans I/O. Finishing consumes the pending state.

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

/// Length of RFC 9807's `KE1` in this suite, in bytes; deserialising ignores trailing bytes.
const KE1_LEN: usize = 96;
/// Length of RFC 9807's `KE3` in this suite, in bytes.
const KE3_LEN: usize = 64;

/// The account of a login.
#[derive(Debug, Clone)]
struct Candidate {
    id: AccountId,
    /// The account key, wrapped under the export key of the slot.
    wrapped: WrappedKey,
}

/// A login between KE2 and KE3.
pub struct PendingLogin {
    state: ServerLogin<Suite>,
    server: ServerId,
    name: AccountName,
    slot: Slot,
    candidate: Option<Candidate>,
}

/// The outcome of a login.
pub enum Finished {
    /// KE3 is right: the client has the credential.
    Proven(Proven),
    /// KE3 is wrong, or the account is unknown; holds the name in the request.
    Wrong(AccountName),
}

/// A login with a right KE3.
pub struct Proven {
    /// Name of the account.
    pub name: AccountName,
    /// Id of the account.
    pub account: AccountId,
    /// Slot of the credential.
    pub slot: Slot,
    /// The account key, wrapped under the export key of the slot.
    pub wrapped: WrappedKey,
    /// OPAQUE's session key.
    pub session_key: Zeroizing<[u8; SESSION_KEY_LEN]>,
}

/// Checks suite and encoding of a KE1, before storage is asked.
pub fn check(message: &LoginStart) -> Result<(), Refusal> {
    if message.suite != SUITE {
        return Err(Refusal::Unsupported);
    }
    credential_request(message).map(|_| ())
}

/// Bytes that decode as a registration record in the same time: a public key and zeros.
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
    /// Answers KE1; returns the pending state and KE2. For an unknown account or slot a decoy record is decoded and
    /// opaque-ke answers from a fake one, so that bytes and timing do not differ.
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
            let mut credentials = account.slots.into_iter().map(|stored| stored.credential);
            let credential = credentials.find(|credential| credential.slot == slot);
            credential.map(|credential| (account.id, credential))
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

    /// Checks KE3.
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

    /// Whether KE3 is right, without finishing the login.
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
