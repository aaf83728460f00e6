//! An authenticated session: requests are signed by the device and sealed, answers are opened.

use shared::channel::ClientIdle;
use shared::codec;
use shared::ids::{AccountId, DeviceId, SessionId};
use shared::names::AccountName;
use shared::request::{Opening, SignedOperation};
use shared::secret::SecretBytes;
use shared::wire::Hello;
use shared::wire::call::{Answer, Call, Request};
use shared::wire::error::Refusal;
use shared::wire::limits::MAX_BODY_LEN;
use shared::wire::operation::{Operation, UnexpectedAnswer};
use shared::wire::slots::SlotInfo;

use crate::device::identity::DeviceIdentity;
use crate::device::pins::{Pins, ServerPins, UsedSession};
use crate::error::{Error, Result};
use crate::keys::account::AccountKeys;
use crate::keys::slot::SlotKeys;
use crate::opaque::login::{self, LoginCredential, OpenedSession};
use crate::transport::api::Api;
use crate::transport::http::Endpoint;
use crate::verification::{PinnedIdentity, VerificationError};

/// An authenticated session.
#[derive(Debug)]
pub struct Session {
    api: Api,
    account: AccountName,
    device: DeviceIdentity,
    keys: AccountKeys,
    /// The credential that opened the session.
    by: SlotInfo,
    slot_keys: SlotKeys,
    /// Authorises the device's key; `None` once a request was answered without a refusal.
    opening: Option<Opening>,
    server: ServerPins,
    /// `None` while a request is in progress, and after a request that failed.
    channel: Option<ClientIdle>,
    expected_records: ExpectedRecords,
}

/// The audit records that the server must have made for the requests of the running session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedRecords {
    /// The session.
    pub session: SessionId,
    /// The least number of records per request; requests are numbered from 1.
    pub records: Vec<usize>,
}

impl ExpectedRecords {
    /// The newest request that must have records; `None` if none must.
    pub fn newest(&self) -> Option<UsedSession> {
        let recorded = (1..)
            .zip(&self.records)
            .filter(|(_, records)| **records > 0);
        let (counter, records) = recorded.last()?;
        Some(UsedSession {
            session: self.session,
            counter,
            position: u32::try_from(records - 1).unwrap_or(u32::MAX),
        })
    }

    fn new(channel: &ClientIdle) -> Self {
        Self {
            session: channel.session(),
            records: Vec::new(),
        }
    }

    fn note(&mut self, operations: usize, answer: &Answer) {
        self.records.push(match answer {
            // A refused request may have been carried out in part.
            Answer::Refused(_) => 0,
            Answer::Fetch(values) => values.len(),
            _ => operations,
        });
    }
}

impl Session {
    /// Logs in (RFC 9807). `hello` is the identity that the server claims; one that contradicts `pins` is refused
    /// before the credential is used. `pins` are set at the first login on this device.
    ///
    /// # Errors
    /// [`Error::LoginRefused`], [`Error::Verification`], and those of [`Api::post`].
    pub async fn open(
        mut api: Api,
        hello: &Hello,
        account: &AccountName,
        device: DeviceIdentity,
        by: LoginCredential<'_>,
        pins: &mut Option<Pins>,
    ) -> Result<Self> {
        let opened = log_in(&mut api, hello, account, by, pins, &device).await?;
        Ok(Self {
            api,
            account: account.clone(),
            opening: Some(opening(&opened, &device)),
            device,
            by: opened.by,
            slot_keys: opened.slot_keys,
            server: opened.server,
            keys: opened.keys,
            expected_records: ExpectedRecords::new(&opened.channel),
            channel: Some(opened.channel),
        })
    }

    /// Replaces an ended session by a new login.
    ///
    /// # Errors
    /// As [`Self::open`]; [`VerificationError::OtherAccountKey`] if the login yields another account key for the epoch
    /// of this session.
    pub async fn reopen(&mut self, by: LoginCredential<'_>, pins: &mut Option<Pins>) -> Result<()> {
        self.channel = None;
        let hello = self.api.hello().await?;
        let account = &self.account;
        let opened = log_in(&mut self.api, &hello, account, by, pins, &self.device).await?;
        if opened.keys.of_epoch(self.keys.epoch()) != Some(self.keys.current()) {
            return Err(VerificationError::OtherAccountKey.into());
        }
        self.opening = Some(opening(&opened, &self.device));
        self.keys = opened.keys;
        self.by = opened.by;
        self.slot_keys = opened.slot_keys;
        self.expected_records = ExpectedRecords::new(&opened.channel);
        self.channel = Some(opened.channel);
        Ok(())
    }

    /// Continues in the key epoch that has just begun.
    pub(crate) fn rekeyed(&mut self, keys: AccountKeys) {
        self.keys = keys;
    }

    /// Whether a request is in progress or has failed: the session cannot be used any more.
    pub fn is_waiting(&self) -> bool {
        self.channel.is_none()
    }

    /// The audit records that the requests so far must have.
    pub fn expected_records(&self) -> &ExpectedRecords {
        &self.expected_records
    }

    /// The credential that opened the session.
    pub fn by(&self) -> SlotInfo {
        self.by
    }

    /// The key pairs of that credential.
    pub(crate) fn slot_keys(&self) -> &SlotKeys {
        &self.slot_keys
    }

    /// Records that the credential which opened the session was replaced by `by`.
    pub(crate) fn replaced(&mut self, by: SlotInfo, keys: SlotKeys) {
        if by.slot == self.by.slot {
            self.by = by;
            self.slot_keys = keys;
        }
    }

    /// The server's verified identity.
    pub fn server(&self) -> ServerPins {
        self.server
    }

    /// The account's keys.
    pub fn keys(&self) -> &AccountKeys {
        &self.keys
    }

    /// The account.
    pub fn account(&self) -> &AccountName {
        &self.account
    }

    /// The server's address.
    pub fn endpoint(&self) -> &Endpoint {
        self.api.endpoint()
    }

    /// The id of this device.
    pub fn device(&self) -> DeviceId {
        self.device.id()
    }

    /// The identity of this device.
    pub fn device_identity(&self) -> &DeviceIdentity {
        &self.device
    }

    /// Sends one operation and returns its answer.
    ///
    /// # Errors
    /// The server's refusal as [`Error`], and those of [`Self::attempt`].
    pub async fn ask<O: Operation>(&mut self, operation: O) -> Result<O::Answer> {
        Ok(self.attempt(operation).await??)
    }

    /// Sends one operation and returns its answer or the server's refusal.
    ///
    /// # Errors
    /// [`Error::SessionEnded`], [`Error::Verification`], and those of [`Api::call`]; the session has ended then.
    pub async fn attempt<O: Operation>(
        &mut self,
        operation: O,
    ) -> Result<Result<O::Answer, Refusal>> {
        let answer = self.request(operation.into()).await?;
        let answer = O::decode_answer(answer)
            .map_err(|UnexpectedAnswer| VerificationError::UnexpectedAnswer)?;
        // Taken for the refusal of a login, it would say that a credential is not valid any more.
        if matches!(answer, Err(Refusal::LoginRefused)) {
            return Err(VerificationError::LoginRefusedInSession.into());
        }
        Ok(answer)
    }

    async fn request(&mut self, call: Call) -> Result<Answer> {
        let channel = self.channel.take().ok_or(Error::SessionEnded)?;
        let operations = call.operations().len();
        let account = self.keys.account();
        let opening = self.opening.clone();
        let request = signed_request(call, &channel, &account, &self.device, opening);
        let plaintext = SecretBytes::new(codec::encode(&request)?);
        let (channel, answer) = self.api.call(channel, plaintext.expose()).await?;
        let answer = codec::decode(answer.expose(), MAX_BODY_LEN)?;
        self.channel = Some(channel);
        if !matches!(answer, Answer::Refused(_)) {
            self.opening = None;
        }
        self.expected_records.note(operations, &answer);
        Ok(answer)
    }
}

/// The channel's next request: a call with one signature of the device per operation.
pub fn signed_request(
    call: Call,
    channel: &ClientIdle,
    account: &AccountId,
    device: &DeviceIdentity,
    opening: Option<Opening>,
) -> Request {
    let key = device.signing();
    let operations = call.operations();
    let signatures = (0..).zip(&operations).map(|(position, asked)| {
        let signed = SignedOperation {
            account,
            session: &channel.session(),
            counter: channel.next_counter(),
            position,
            operation: asked.operation,
            secret: asked.secret.as_ref(),
            entry: asked.entry.as_ref(),
        };
        signed.sign(&key)
    });
    Request {
        opening,
        signatures: signatures.collect(),
        call,
    }
}

/// Authorises the key of this device by the credential that opened the session.
fn opening(opened: &OpenedSession, device: &DeviceIdentity) -> Opening {
    Opening::sign(
        &opened.keys.account(),
        &opened.channel.session(),
        (opened.by.slot, opened.by.generation),
        device.public(),
        &opened.slot_keys.signing(),
    )
}

async fn log_in(
    api: &mut Api,
    hello: &Hello,
    account: &AccountName,
    by: LoginCredential<'_>,
    pins: &mut Option<Pins>,
    device: &DeviceIdentity,
) -> Result<OpenedSession> {
    check_identity(hello, pins.as_ref())?;
    let server = ServerPins::from(hello);
    let opened = login::login(api, account, by, server, device).await?;
    let epoch = opened.keys.epoch();
    let known = pins.get_or_insert_with(|| Pins::new(server, opened.keys.account(), epoch));
    if known.account != opened.keys.account() {
        return Err(VerificationError::OtherAccount.into());
    }
    if epoch < known.epoch {
        let (seen, shown) = (known.epoch, epoch);
        return Err(VerificationError::AccountKeyRolledBack { seen, shown }.into());
    }
    known.note_generation(&by.slot.to_string(), opened.by.generation)?;
    Ok(opened)
}

/// Compares the identity that the server claims with the pinned one.
fn check_identity(hello: &Hello, pins: Option<&Pins>) -> Result<()> {
    let Some(pins) = pins else { return Ok(()) };
    let shown = ServerPins::from(hello);
    let differing = if shown.server != pins.server.server {
        PinnedIdentity::Id
    } else if shown.opaque_key != pins.server.opaque_key {
        PinnedIdentity::OpaqueKey
    } else if shown.checkpoint_key != pins.server.checkpoint_key {
        PinnedIdentity::CheckpointKey
    } else {
        return Ok(());
    };
    Err(VerificationError::ServerIdentity(differing).into())
}
