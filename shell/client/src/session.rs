//! An authenticated session: requests are tagged for the audit log and sealed, answers are opened.

use shared::audit_record::TagInput;
use shared::channel::ClientIdle;
use shared::codec;
use shared::ids::{DeviceId, SessionId};
use shared::names::AccountName;
use shared::secret::{Key, SecretBytes};
use shared::wire::Hello;
use shared::wire::call::{Answer, Call, Request};
use shared::wire::error::Refusal;
use shared::wire::limits::MAX_BODY_LEN;
use shared::wire::operation::{Operation, UnexpectedAnswer};
use shared::wire::slots::SlotInfo;

use crate::device::pins::{Pins, ServerPins};
use crate::error::{Error, Result};
use crate::keys::account::AccountKeys;
use crate::opaque::login::{self, LoginCredential, OpenedSession};
use crate::transport::api::Api;
use crate::transport::http::Endpoint;
use crate::verification::{PinnedIdentity, VerificationError};

/// An authenticated session.
#[derive(Debug)]
pub struct Session {
    api: Api,
    account: AccountName,
    device: DeviceId,
    keys: AccountKeys,
    tag_key: Key,
    /// The credential that opened the session.
    by: SlotInfo,
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
        device: DeviceId,
        by: LoginCredential<'_>,
        pins: &mut Option<Pins>,
    ) -> Result<Self> {
        let opened = log_in(&mut api, hello, account, by, pins).await?;
        Ok(Self {
            api,
            account: account.clone(),
            device,
            tag_key: opened.keys.request_tag(),
            by: opened.by,
            server: opened.server,
            keys: opened.keys,
            expected_records: ExpectedRecords::new(&opened.channel),
            channel: Some(opened.channel),
        })
    }

    /// Replaces an ended session by a new login; returns OPAQUE's export key (64 bytes).
    ///
    /// # Errors
    /// As [`Self::open`]; [`VerificationError::OtherAccountKey`] if the login yields another account key of no later
    /// epoch.
    pub async fn reopen(
        &mut self,
        by: LoginCredential<'_>,
        pins: &mut Option<Pins>,
    ) -> Result<SecretBytes> {
        self.channel = None;
        let hello = self.api.hello().await?;
        let opened = log_in(&mut self.api, &hello, &self.account, by, pins).await?;
        if opened.keys.epoch() > self.keys.epoch() {
            self.rekeyed(opened.keys);
        } else if opened.keys.root() != self.keys.root() {
            return Err(VerificationError::OtherAccountKey.into());
        }
        self.by = opened.by;
        self.expected_records = ExpectedRecords::new(&opened.channel);
        self.channel = Some(opened.channel);
        Ok(opened.export_key)
    }

    /// Continues with the account key that has just replaced the former one.
    pub(crate) fn rekeyed(&mut self, keys: AccountKeys) {
        self.tag_key = keys.request_tag();
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

    /// Records that the credential which opened the session was replaced by `by`.
    pub(crate) fn replaced(&mut self, by: SlotInfo) {
        if by.slot == self.by.slot {
            self.by = by;
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
        self.device
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
        let request = tagged_request(call, &channel, self.device, &self.tag_key);
        let plaintext = SecretBytes::new(codec::encode(&request)?);
        let (channel, answer) = self.api.call(channel, plaintext.expose()).await?;
        let answer = codec::decode(answer.expose(), MAX_BODY_LEN)?;
        self.channel = Some(channel);
        self.expected_records.note(operations, &answer);
        Ok(answer)
    }
}

/// The channel's next request: a call with one audit tag (HMAC under the request-tag key) per operation.
pub fn tagged_request(
    call: Call,
    channel: &ClientIdle,
    device: DeviceId,
    tag_key: &Key,
) -> Request {
    let operations = call.operations();
    let tags = (0..)
        .zip(&operations)
        .map(|(position, (operation, secret))| {
            let marked = TagInput {
                session: &channel.session(),
                counter: channel.next_counter(),
                position,
                device: &device,
                operation: *operation,
                secret: secret.as_ref(),
            };
            marked.tag(tag_key)
        });
    Request {
        device,
        tags: tags.collect(),
        call,
    }
}

async fn log_in(
    api: &mut Api,
    hello: &Hello,
    account: &AccountName,
    by: LoginCredential<'_>,
    pins: &mut Option<Pins>,
) -> Result<OpenedSession> {
    check_identity(hello, pins.as_ref())?;
    let server = ServerPins::from(hello);
    let opened = login::login(api, account, by, server).await?;
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
