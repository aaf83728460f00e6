//! Login by OPAQUE (RFC 9807, section 6), and opening of the account keys.

use opaque_ke::errors::ProtocolError;
use opaque_ke::{ClientLogin, ClientLoginFinishParameters, CredentialResponse};
use rand::rngs::OsRng;
use serde_bytes::ByteBuf;
use shared::aead::OpenError;
use shared::channel::{ClientIdle, SESSION_KEY_LEN, Sealed};
use shared::codec;
use shared::names::AccountName;
use shared::opaque::{self, SUITE, Slot, Stretching, Suite};
use shared::secret::{Key, SecretBytes};
use shared::vault_log::{FIRST_EPOCH, MAX_EPOCH};
use shared::wire::limits::MAX_BODY_LEN;
use shared::wire::login::{LoginFinish, LoginResponse, LoginStart, Welcome};
use shared::wire::path;
use shared::wire::slots::SlotInfo;
use zeroize::{Zeroize as _, Zeroizing};

use crate::device::identity::DeviceIdentity;
use crate::device::pins::ServerPins;
use crate::error::{Error, Result};
use crate::keys::account::AccountKeys;
use crate::keys::password::Password;
use crate::keys::slot::{SlotContext, SlotKeys};
use crate::keys::wrap;
use crate::transport::api::Api;
use crate::verification::{OpaqueMessage, VerificationError};

/// Length of KE2 (RFC 9807, section 6.1) in this suite, in bytes.
const KE2_LEN: usize = 320;

/// The outcome of a login: a session and the account's keys.
#[derive(Debug)]
pub struct OpenedSession {
    /// The sealed channel.
    pub channel: ClientIdle,
    /// The account's keys.
    pub keys: AccountKeys,
    /// The server's identity, authenticated by OPAQUE.
    pub server: ServerPins,
    /// The credential used, as the server's welcome describes it.
    pub by: SlotInfo,
    /// The key pairs of the credential.
    pub slot_keys: SlotKeys,
}

/// A credential to log in with.
#[derive(Debug, Clone, Copy)]
pub struct LoginCredential<'a> {
    /// The credential's slot.
    pub slot: Slot,
    /// Password, recovery code or device secret.
    pub secret: &'a SecretBytes,
}

impl<'a> LoginCredential<'a> {
    /// The credential in this slot.
    pub fn new(slot: Slot, secret: &'a SecretBytes) -> Self {
        Self { slot, secret }
    }

    /// The password, with the device key of an account that has one.
    pub fn password(password: &'a Password) -> Self {
        Self::new(Slot::Password, password.as_secret())
    }
}

/// Opens a session with the credential of one slot.
///
/// # Errors
/// [`Error::LoginRefused`] for a wrong credential and for an unknown account; [`Error::Verification`] for another
/// server than `server` names, and for a wrapped key that is not the account's; those of [`Api::post`].
pub async fn login(
    api: &mut Api,
    account: &AccountName,
    by: LoginCredential<'_>,
    server: ServerPins,
    device: &DeviceIdentity,
) -> Result<OpenedSession> {
    let slot = by.slot;
    let (attempt, message) = StartedLogin::start(account, slot, by.secret)?;
    let response: LoginResponse = api.post(path::LOGIN_START, &message).await?;
    let proven = attempt.finish(server, &response.ke2)?;
    let finish = LoginFinish {
        pending: response.pending,
        ke3: proven.ke3,
    };
    let sealed: Sealed = api.post(path::LOGIN_FINISH, &finish).await?;
    let (channel, welcome) = ClientIdle::start(&proven.session_key, &sealed)?;
    let welcome: Welcome = codec::decode(welcome.expose(), MAX_BODY_LEN)?;
    if !(FIRST_EPOCH..=MAX_EPOCH).contains(&welcome.wrapped.epoch) {
        let epoch = welcome.wrapped.epoch;
        return Err(VerificationError::UnknownEpoch(epoch).into());
    }
    let export_key = proven.export_key.expose();
    let account_key = wrap::unwrap(welcome.account, slot, export_key, &welcome.wrapped);
    let account_key = account_key.map_err(|OpenError| VerificationError::WrappedKey)?;
    let context = SlotContext {
        account: welcome.account,
        slot,
        generation: welcome.wrapped.generation,
    };
    let slot_keys = context.keys_of(export_key, &account_key, device);
    Ok(OpenedSession {
        channel,
        keys: account_keys(&welcome, &slot_keys, account_key)?,
        server,
        by: SlotInfo::new(slot, &welcome.wrapped),
        slot_keys,
    })
}

/// The account keys of all epochs. `wrapped` is the one that the credential wraps, which only a holder of the export key
/// can have wrapped. Any other is accepted only as part of a history that contains `wrapped`: the server can encapsulate
/// a key of its own to the slot, but does not know `wrapped`.
fn account_keys(
    welcome: &Welcome,
    slot_keys: &SlotKeys,
    wrapped: Key,
) -> Result<AccountKeys, VerificationError> {
    let first = welcome.wrapped.epoch;
    let (epoch, current) = match &welcome.slot_key {
        None => (first, wrapped.clone()),
        Some(sealed) if sealed.epoch > first => {
            let opened = slot_keys.open(sealed);
            let opened = opened.map_err(|OpenError| VerificationError::SlotKey)?;
            (sealed.epoch, opened)
        }
        Some(_) => return Err(VerificationError::SlotKey),
    };
    let history = welcome.history.as_deref().map(Vec::as_slice);
    AccountKeys::open(welcome.account, epoch, current, history)
        .ok()
        .filter(|keys| keys.of_epoch(first) == Some(&wrapped))
        .ok_or(VerificationError::KeyHistory)
}

/// A login after KE2: the server is authenticated.
pub struct FinishedLogin {
    /// KE3 (RFC 9807, section 6.1), which authenticates this client.
    pub ke3: ByteBuf,
    session_key: Zeroizing<[u8; SESSION_KEY_LEN]>,
    export_key: SecretBytes,
}

impl FinishedLogin {
    /// OPAQUE's session key.
    pub fn session_key(&self) -> &[u8; SESSION_KEY_LEN] {
        &self.session_key
    }

    /// OPAQUE's export key, 64 bytes.
    pub fn export_key(&self) -> &[u8] {
        self.export_key.expose()
    }
}

/// A login between KE1 and KE2; does no I/O.
pub struct StartedLogin<'a> {
    state: ClientLogin<Suite>,
    account: &'a AccountName,
    slot: Slot,
    credential: &'a SecretBytes,
}

impl<'a> StartedLogin<'a> {
    /// Makes KE1 (RFC 9807, section 6.3).
    ///
    /// # Errors
    /// [`Error::Verification`]; never for credentials within their bounds.
    pub fn start(
        account: &'a AccountName,
        slot: Slot,
        credential: &'a SecretBytes,
    ) -> Result<(Self, LoginStart)> {
        let started =
            ClientLogin::<Suite>::start(&mut OsRng, credential.expose()).map_err(failed)?;
        let message = LoginStart {
            suite: SUITE,
            account: account.clone(),
            slot,
            ke1: ByteBuf::from(started.message.serialize().to_vec()),
        };
        let attempt = Self {
            state: started.state,
            account,
            slot,
            credential,
        };
        Ok((attempt, message))
    }

    /// Verifies KE2 and makes KE3 (RFC 9807, section 6.3).
    ///
    /// # Errors
    /// [`Error::LoginRefused`] where KE2 does not open with the credential, [`Error::Verification`] for a malformed KE2
    /// and for another server.
    pub fn finish(self, server: ServerPins, ke2: &[u8]) -> Result<FinishedLogin> {
        let malformed = VerificationError::OpaqueMessage(OpaqueMessage::Ke2);
        if ke2.len() != KE2_LEN {
            return Err(malformed.into());
        }
        let ke2 = CredentialResponse::deserialize(ke2).map_err(|_| malformed.clone())?;
        let context = opaque::context(&self.slot);
        let stretching = Stretching::of(&self.slot, self.account, &server.server);
        let parameters = ClientLoginFinishParameters::new(
            Some(&context),
            opaque::identifiers(self.account, &server.server),
            Some(&stretching),
        );
        let mut finished = self
            .state
            .finish(&mut OsRng, self.credential.expose(), ke2, parameters)
            .map_err(failed)?;
        // Authenticated by the envelope, so it is the key that the owner registered with.
        if finished.server_s_pk.serialize().as_slice() != server.opaque_key.as_bytes() {
            return Err(VerificationError::OtherOpaqueKey.into());
        }
        let mut session_key = Zeroizing::new([0; SESSION_KEY_LEN]);
        if finished.session_key.len() != SESSION_KEY_LEN {
            return Err(malformed.into());
        }
        session_key.copy_from_slice(&finished.session_key);
        let proven = FinishedLogin {
            ke3: ByteBuf::from(finished.message.serialize().to_vec()),
            session_key,
            export_key: SecretBytes::new(finished.export_key.to_vec()),
        };
        finished.session_key.as_mut_slice().zeroize();
        finished.export_key.as_mut_slice().zeroize();
        Ok(proven)
    }
}

fn failed(error: ProtocolError) -> Error {
    match error {
        ProtocolError::InvalidLoginError => Error::LoginRefused,
        ProtocolError::ReflectedValueError => VerificationError::Reflected.into(),
        other => VerificationError::Opaque(other).into(),
    }
}
