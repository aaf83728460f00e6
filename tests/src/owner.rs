//! An account and its sessions, message by message: for what no well-behaved shell would send, and for thousands of
//! logins, which a device's credential makes cheap.

use std::net::Ipv4Addr;

use keyshell_client::account::Renewal;
use keyshell_client::device::identity::DeviceIdentity;
use keyshell_client::device::pins::ServerPins;
use keyshell_client::error::Error;
use keyshell_client::keys::account::AccountKeys;
use keyshell_client::keys::slot::{SlotContext, SlotKeys};
use keyshell_client::keys::wrap::WrapContext;
use keyshell_client::opaque::login::StartedLogin;
use keyshell_client::opaque::register::Registration;
use keyshell_client::session::signed_request;
use serde_bytes::ByteBuf;
use shared::channel::{self, ClientIdle, ClientWaiting};
use shared::checkpoint::{self, TreeHead};
use shared::codec;
use shared::ids::{AccountId, Digest, SecretId, Seq, Version};
use shared::names::AccountName;
use shared::opaque::Slot;
use shared::request::Opening;
use shared::secret::SecretBytes;
use shared::vault_log::{ENTRY_FORMAT, Entry, Head, Op, Sealed, SignedEntry};
use shared::wire::call::{Answer, Append, Call, Fetch, NewEntry, Request, Sync, ValueRef};
use shared::wire::error::Refusal;
use shared::wire::limits::MAX_BODY_LEN;
use shared::wire::login::{LoginFinish, LoginResponse, Welcome};
use shared::wire::register::{Lease, RegisterResponse};
use shared::wire::{Hello, path};

use crate::client::Client;
use crate::raw::Raw;
use crate::server::Host;

/// An account with a password, a recovery code and one device credential.
pub struct Owner {
    name: AccountName,
    device: DeviceIdentity,
    secret: SecretBytes,
    password: SecretBytes,
    server: ServerPins,
    /// The account's id.
    pub account: AccountId,
}

/// An open session.
pub struct Session {
    raw: Raw,
    channel: Option<ClientIdle>,
    /// The account's keys.
    pub keys: AccountKeys,
    /// Its slot.
    pub slot: Slot,
    /// The key pairs of the credential that opened it.
    pub slot_keys: SlotKeys,
    /// OPAQUE's export key.
    pub export_key: SecretBytes,
    device: DeviceIdentity,
    /// Authorises the device's key, until a request was answered without a refusal.
    pub opening: Option<Opening>,
    server: ServerPins,
    /// What the server said at its beginning.
    pub welcome: Welcome,
    head: Head,
}

impl Owner {
    /// Registers an account.
    pub fn register(server: &impl Host, name: &str, password: &str) -> Self {
        Self::register_with_lease(server, name, password, Renewal::default().lease)
    }

    /// Registers an account whose device's credential has this lease.
    pub fn register_with_lease(
        server: &impl Host,
        name: &str,
        password: &str,
        lease: Lease,
    ) -> Self {
        let mut owner = Self::register_without_device(server, name, password);
        owner.secret = owner.enrolled(server, lease);
        owner
    }

    /// Registers an account with the slots that the shell makes: password and recovery.
    pub fn register_without_device(server: &impl Host, name: &str, password: &str) -> Self {
        Self::make(server, name, password)
    }

    /// The owner of an account that exists, or a thief: `secret` is that of the device's credential, or the recovery code.
    pub fn of(
        server: &impl Host,
        name: &str,
        password: &SecretBytes,
        (device, secret): (DeviceIdentity, SecretBytes),
    ) -> Self {
        let (_, hello) = Raw::to(server).get(path::HELLO).unwrap();
        let hello: Hello = codec::decode(&hello, MAX_BODY_LEN).unwrap();
        let mut owner = Self {
            name: AccountName::parse(name).unwrap(),
            device,
            secret,
            password: password.clone(),
            server: ServerPins::from(&hello),
            account: AccountId::new([0; 16]),
        };
        let opened = owner.log_in_from(server, Ipv4Addr::LOCALHOST, Slot::Password);
        owner.account = opened.unwrap().keys.account();
        owner
    }

    fn make(server: &impl Host, name: &str, password: &str) -> Self {
        let mut raw = Raw::to(server);
        let (_, hello) = raw.get(path::HELLO).unwrap();
        let hello: Hello = codec::decode(&hello, MAX_BODY_LEN).unwrap();
        let (name, device) = (AccountName::parse(name).unwrap(), DeviceIdentity::random());
        let password = SecretBytes::from(password.as_bytes());
        let recovery = SecretBytes::from(rand::random::<[u8; 20]>().as_slice());
        let credentials = [(Slot::Password, &password), (Slot::Recovery, &recovery)];
        let registration = Registration {
            account: &name,
            device: &device,
            server: ServerPins::from(&hello),
            invite: None,
            credentials: &credentials,
        };
        let (states, start) = registration.start().unwrap();
        let answer: RegisterResponse = raw.ask(path::REGISTER_START, &start).unwrap();
        let (finish, pins) = registration.finish(states, &answer).unwrap();
        let () = raw.ask(path::REGISTER_FINISH, &finish).unwrap();
        Self {
            name,
            device,
            secret: SecretBytes::default(),
            password,
            server: pins.server,
            account: pins.account,
        }
    }

    /// Gives the device a credential of its own, as the shell does; returns its secret.
    fn enrolled(&self, server: &impl Host, lease: Lease) -> SecretBytes {
        let text = std::str::from_utf8(self.password.expose()).unwrap();
        let mut client = Client::new(server.url(), server.pin(), self.name.as_str(), text);
        client.set_device(self.device.clone());
        client
            .change(async |vault| {
                vault.enrol_device(lease).await?;
                Ok(vault.device_secret().cloned().unwrap())
            })
            .unwrap()
    }

    /// The slot that the device's credential is in.
    pub fn device_slot(&self) -> Slot {
        Slot::Device(self.device.id())
    }

    /// KE1 to KE3; what is left is to send the last message.
    ///
    /// # Errors
    /// The refusal.
    pub fn prove(&self, raw: &mut Raw, slot: Slot) -> Result<Proof, Refusal> {
        let credential = match slot {
            Slot::Password => &self.password,
            Slot::Recovery | Slot::Device(_) => &self.secret,
        };
        let (attempt, start) = StartedLogin::start(&self.name, slot, credential).unwrap();
        let response: LoginResponse = raw.ask(path::LOGIN_START, &start)?;
        let proven = match attempt.finish(self.server, &response.ke2) {
            // As a shell does, without asking the server about it.
            Err(Error::LoginRefused) => return Err(Refusal::LoginRefused),
            proven => proven.unwrap(),
        };
        Ok(Proof {
            finish: LoginFinish {
                pending: response.pending,
                ke3: proven.ke3.clone(),
            },
            proven,
            slot,
        })
    }

    /// Opens a session from this address; its first request must be a [`Session::sync`].
    ///
    /// # Errors
    /// The refusal.
    pub fn log_in_from(
        &self,
        server: &impl Host,
        from: Ipv4Addr,
        slot: Slot,
    ) -> Result<Session, Refusal> {
        let mut raw = Raw::from(server, from);
        let proof = self.prove(&mut raw, slot)?;
        let sealed: channel::Sealed = raw.ask(path::LOGIN_FINISH, &proof.finish)?;
        Ok(self.session(raw, &proof, &sealed))
    }

    /// Opens a session by the device's credential, and syncs.
    pub fn log_in(&self, server: &impl Host) -> Session {
        self.log_in_by(server, self.device_slot())
    }

    /// Opens a session by a credential, and syncs.
    pub fn log_in_by(&self, server: &impl Host, slot: Slot) -> Session {
        let opened = self.log_in_from(server, Ipv4Addr::LOCALHOST, slot);
        let mut session = opened.unwrap();
        assert!(matches!(session.sync(0), Ok(Answer::Sync(_))));
        session
    }

    fn session(&self, raw: Raw, proof: &Proof, sealed: &channel::Sealed) -> Session {
        let (channel, welcome) = ClientIdle::start(proof.proven.session_key(), sealed).unwrap();
        let welcome: Welcome = codec::decode(welcome.expose(), MAX_BODY_LEN).unwrap();
        let wrapped = &welcome.wrapped;
        let context = WrapContext {
            account: &welcome.account,
            slot: &proof.slot,
            generation: wrapped.generation,
            epoch: wrapped.epoch,
        };
        let export_key = proof.proven.export_key();
        let root = context.unwrap(export_key, &wrapped.blob).unwrap();
        let slot = SlotContext {
            account: welcome.account,
            slot: proof.slot,
            generation: wrapped.generation,
        };
        let slot_keys = slot.keys_of(export_key, &root, &self.device);
        let (epoch, current) = match &welcome.slot_key {
            Some(sealed) => (sealed.epoch, slot_keys.open(sealed).unwrap()),
            None => (wrapped.epoch, root),
        };
        let history = welcome.history.as_deref().map(Vec::as_slice);
        let keys = AccountKeys::open(welcome.account, epoch, current, history).unwrap();
        let opening = Opening::sign(
            &welcome.account,
            &channel.session(),
            (proof.slot, wrapped.generation),
            self.device.public(),
            &slot_keys.signing(),
        );
        Session {
            raw,
            opening: Some(opening),
            channel: Some(channel),
            keys,
            slot: proof.slot,
            slot_keys,
            export_key: SecretBytes::from(export_key),
            device: self.device.clone(),
            server: self.server,
            head: welcome.head,
            welcome,
        }
    }
}

/// A login that is proven on both sides.
pub struct Proof {
    /// The last message.
    pub finish: LoginFinish,
    proven: keyshell_client::opaque::login::FinishedLogin,
    slot: Slot,
}

impl Session {
    /// The session's id.
    pub fn id(&self) -> shared::ids::SessionId {
        self.channel.as_ref().unwrap().session()
    }

    /// The device that signs its requests.
    pub fn device(&self) -> &DeviceIdentity {
        &self.device
    }

    /// Number of the next request.
    pub fn next_counter(&self) -> u64 {
        self.channel.as_ref().unwrap().next_counter()
    }

    /// The tree head in a checkpoint, which must be signed by the server.
    pub fn checkpoint(&self, note: &str) -> TreeHead {
        let (server, account) = (&self.server, self.keys.account());
        checkpoint::verify(note, &server.checkpoint_key, &server.server, &account).unwrap()
    }

    /// Seals a request that the device has signed; it must be sent before the next one.
    pub fn seal(&mut self, call: impl Into<Call>) -> ClientWaiting {
        self.seal_changed(call, |_| {})
    }

    /// Seals a request that was changed after the device has signed it.
    pub fn seal_changed(
        &mut self,
        call: impl Into<Call>,
        change: impl FnOnce(&mut Request),
    ) -> ClientWaiting {
        let channel = self.channel.take().unwrap();
        let (account, opening) = (self.keys.account(), self.opening.clone());
        let mut request = signed_request(call.into(), &channel, &account, &self.device, opening);
        change(&mut request);
        channel.request(&codec::encode(&request).unwrap())
    }

    /// Seals anything at all.
    pub fn seal_bytes(&mut self, plaintext: &[u8]) -> ClientWaiting {
        self.channel.take().unwrap().request(plaintext)
    }

    /// Sends what was sealed; the answer inside, or the refusal outside.
    ///
    /// # Errors
    /// The refusal; the session cannot be used after it.
    pub fn send(&mut self, waiting: ClientWaiting) -> Result<Answer, Refusal> {
        let sealed: channel::Sealed = self.raw.ask(path::CALL, waiting.sealed())?;
        let (channel, answer) = waiting.answer(&sealed).unwrap();
        self.channel = Some(channel);
        let answer = codec::decode(answer.expose(), MAX_BODY_LEN).unwrap();
        if !matches!(answer, Answer::Refused(_)) {
            self.opening = None;
        }
        Ok(answer)
    }

    /// One call.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn call(&mut self, call: impl Into<Call>) -> Result<Answer, Refusal> {
        let waiting = self.seal(call);
        self.send(waiting)
    }

    /// What comes after a position.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn sync(&mut self, after: u64) -> Result<Answer, Refusal> {
        self.call(Call::Sync(Sync {
            after: Seq(after),
            audit_size: 0,
        }))
    }

    /// A new secret with this (sealed) value on top of the log as this session knows it.
    pub fn new_secret(&self, value: &[u8]) -> (SecretId, NewEntry) {
        let secret = SecretId::random();
        let metadata = vec![0; 300];
        let op = Op::Put(Sealed {
            secret,
            version: Version(1),
            epoch: self.keys.epoch(),
            value: Digest::of(value),
            metadata: Digest::of(&metadata),
        });
        let mut new = self.entry(op, |_| {});
        new.value = Some(ByteBuf::from(value.to_vec()));
        new.metadata = Some(ByteBuf::from(metadata));
        (secret, new)
    }

    /// An entry of this device's on top of the log as this session knows it, changed after it was made as it must be.
    pub fn entry(&self, op: Op, change: impl FnOnce(&mut Entry)) -> NewEntry {
        let mut entry = Entry {
            format: ENTRY_FORMAT,
            account: self.keys.account(),
            seq: self.head.seq.next(),
            previous: self.head.hash,
            device: self.device.id(),
            time_ms: 0,
            seen: None,
            op,
            authorisation: None,
        };
        if entry.op.needs_authorisation() {
            entry
                .authorise(self.slot, &self.slot_keys.signing())
                .unwrap();
        }
        change(&mut entry);
        NewEntry {
            entry: SignedEntry::sign(&entry, &self.keys.signing()).unwrap(),
            value: None,
            metadata: None,
        }
    }

    /// The head of the log, as this session knows it.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Goes on from here, where other devices have led the log.
    pub fn follow(&mut self, head: Head) {
        self.head = head;
    }

    /// Appends it.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn append(&mut self, new: NewEntry) -> Result<(), Refusal> {
        match self.call(Append(vec![new]))? {
            Answer::Append(head) => {
                self.head = head;
                Ok(())
            }
            Answer::Refused(refusal) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    /// Stores a new secret.
    pub fn put(&mut self, value: &[u8]) -> SecretId {
        let (secret, new) = self.new_secret(value);
        self.append(new).unwrap();
        secret
    }

    /// The first version of a secret, as the server has it.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn fetch(&mut self, secret: SecretId) -> Result<Answer, Refusal> {
        let version = Version(1);
        self.call(Fetch(vec![ValueRef { secret, version }]))
    }
}
