//! A session with its keys: calls go in, marked and sealed; answers come out, opened.

use shared::audit_record::Marked;
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
use crate::error::Error;
use crate::keys::account::AccountKeys;
use crate::opaque::login::{self, By, Opened};
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
    by: SlotInfo,
    server: ServerPins,
    /// Gone while a request is under way, and after one that failed.
    channel: Option<ClientIdle>,
    asked: Asked,
}

/// What the running session has asked for and was answered: the server must have written all of it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The session.
    pub session: SessionId,
    /// How many records the requests 1, 2, 3... must have at least.
    pub records: Vec<usize>,
}

impl Asked {
    fn new(channel: &ClientIdle) -> Self {
        Self {
            session: channel.session(),
            records: Vec::new(),
        }
    }

    fn note(&mut self, operations: usize, answer: &Answer) {
        self.records.push(match answer {
            // What was done before it was refused is not known.
            Answer::Refused(_) => 0,
            Answer::Fetch(values) => values.len(),
            _ => operations,
        });
    }
}

impl Session {
    /// Logs in; `hello` is who the server says it is. `pins` are what this device knows already; what
    /// contradicts them is refused before the credential is used.
    ///
    /// # Errors
    /// [`Error::LoginRefused`], [`Error::Verification`], and those of every exchange.
    pub async fn open(
        mut api: Api,
        hello: &Hello,
        account: &AccountName,
        device: DeviceId,
        by: By<'_>,
        pins: &mut Option<Pins>,
    ) -> Result<Self, Error> {
        let opened = log_in(&mut api, hello, account, by, pins).await?;
        Ok(Self {
            api,
            account: account.clone(),
            device,
            tag_key: opened.keys.request_tag(),
            by: opened.by,
            server: opened.server,
            keys: opened.keys,
            asked: Asked::new(&opened.channel),
            channel: Some(opened.channel),
        })
    }

    /// Logs in again, in a session that ended; returns OPAQUE's export key.
    ///
    /// # Errors
    /// As [`Self::open`]; [`Error::Verification`] also if another account key comes out that is no later one.
    pub async fn reopen(
        &mut self,
        by: By<'_>,
        pins: &mut Option<Pins>,
    ) -> Result<SecretBytes, Error> {
        self.channel = None;
        let hello = self.api.hello().await?;
        let opened = log_in(&mut self.api, &hello, &self.account, by, pins).await?;
        if opened.keys.epoch() > self.keys.epoch() {
            self.rekeyed(opened.keys);
        } else if opened.keys.root() != self.keys.root() {
            return Err(VerificationError::OtherAccountKey.into());
        }
        self.by = opened.by;
        self.asked = Asked::new(&opened.channel);
        self.channel = Some(opened.channel);
        Ok(opened.export_key)
    }

    /// Goes on with another account key.
    pub(crate) fn rekeyed(&mut self, keys: AccountKeys) {
        self.tag_key = keys.request_tag();
        self.keys = keys;
    }

    /// Whether a request is under way, or was given up: this session cannot be used again.
    pub fn is_waiting(&self) -> bool {
        self.channel.is_none()
    }

    /// What was asked for so far.
    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    /// The credential that opened it.
    pub fn by(&self) -> SlotInfo {
        self.by
    }

    /// Notes that the credential which opened it was replaced in it.
    pub(crate) fn replaced(&mut self, by: SlotInfo) {
        if by.slot == self.by.slot {
            self.by = by;
        }
    }

    /// Who the server is.
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

    /// Where it goes.
    pub fn endpoint(&self) -> &Endpoint {
        self.api.endpoint()
    }

    /// This device.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// Sends one operation and returns its answer.
    ///
    /// # Errors
    /// The server's refusal, and those of [`Self::attempt`].
    pub async fn ask<O: Operation>(&mut self, operation: O) -> Result<O::Answer, Error> {
        Ok(self.attempt(operation).await??)
    }

    /// Sends one operation and returns its answer or the server's refusal.
    ///
    /// # Errors
    /// [`Error::SessionEnded`], [`Error::Verification`], and those of every exchange; the session is over then.
    pub async fn attempt<O: Operation>(
        &mut self,
        operation: O,
    ) -> Result<Result<O::Answer, Refusal>, Error> {
        let answer = self.request(operation.into()).await?;
        O::decode_answer(answer)
            .map_err(|UnexpectedAnswer| VerificationError::UnexpectedAnswer.into())
    }

    async fn request(&mut self, call: Call) -> Result<Answer, Error> {
        let channel = self.channel.take().ok_or(Error::SessionEnded)?;
        let operations = call.operations().len();
        let request = marked(call, &channel, self.device, &self.tag_key);
        let plaintext = SecretBytes::new(codec::encode(&request)?);
        let (channel, answer) = self.api.call(channel, plaintext.expose()).await?;
        let answer = codec::decode(answer.expose(), MAX_BODY_LEN)?;
        self.channel = Some(channel);
        self.asked.note(operations, &answer);
        Ok(answer)
    }
}

/// A call as the channel's next request, with the owner's mark on each of its operations.
pub fn marked(call: Call, channel: &ClientIdle, device: DeviceId, tag_key: &Key) -> Request {
    let operations = call.operations();
    let tags = (0..)
        .zip(&operations)
        .map(|(position, (operation, secret))| {
            let marked = Marked {
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
    by: By<'_>,
    pins: &mut Option<Pins>,
) -> Result<Opened, Error> {
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

/// Compares who the server says it is with what this device knows.
fn check_identity(hello: &Hello, pins: Option<&Pins>) -> Result<(), Error> {
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
