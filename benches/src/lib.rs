//! What the benches share: one server, one account, no network.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use keyserver::sessions::login::{Finished, PendingLogin};
use keyserver::sessions::registration::{PendingRegistration, ServerIdentity};
use keyshell_client::device::identity::DeviceIdentity;
use keyshell_client::device::pins::ServerPins;
use keyshell_client::opaque::login::StartedLogin;
use keyshell_client::opaque::register::Registration;
use opaque_ke::ServerSetup;
use rand::rngs::OsRng;
use serde_bytes::ByteBuf;
use shared::ids::{PendingId, PublicKey, ServerId};
use shared::names::AccountName;
use shared::opaque::{Slot, Suite};
use shared::secret::SecretBytes;
use shared::wire::login::{LoginResponse, LoginStart};
use shared::wire::register::{RegisterFinish, RegisterResponse, RegisterStart};
use storage::api::{Account, StoredSlot};

/// A server with one account whose second slot is a device's, which needs no key stretching.
pub struct World {
    /// The OPAQUE server setup.
    pub setup: ServerSetup<Suite>,
    /// Who the server is.
    pub identity: ServerIdentity,
    /// The account's name.
    pub name: AccountName,
    /// The device of the owner.
    pub owner: DeviceIdentity,
    /// The slot without key stretching, of that device.
    pub device: Slot,
    /// The credential of every slot.
    pub credential: SecretBytes,
    /// The account, as the server keeps it.
    pub account: Account,
}

impl World {
    /// Registers the account.
    pub fn new() -> Self {
        let setup = ServerSetup::<Suite>::new(&mut OsRng);
        let public = setup.keypair().public().serialize();
        let identity = ServerIdentity {
            server: ServerId::random(),
            opaque_key: PublicKey::from_slice(&public).unwrap(),
            checkpoint_key: PublicKey::new([1; 32]),
        };
        let name = AccountName::parse("alice").unwrap();
        let owner = DeviceIdentity::random();
        let device = Slot::Device(owner.id());
        let credential = SecretBytes::from(b"correct horse battery staple".as_slice());
        let credentials = [(Slot::Password, &credential), (Slot::Recovery, &credential)];
        let registration = registration(&identity, &owner, &name, &credentials);
        let (states, start) = registration.start().unwrap();
        let (pending, response) = server_registration(&setup, start);
        let (finish, _) = registration.finish(states, &response).unwrap();
        let RegisterFinish { slots, entries, .. } = finish;
        let account = pending
            .finish(&identity, slots, entries, 0)
            .unwrap()
            .account;
        let mut world = Self {
            setup,
            identity,
            name,
            owner,
            device,
            credential,
            account,
        };
        world.add_device();
        world
    }

    fn add_device(&mut self) {
        let credentials = [(self.device, &self.credential); 2];
        let registration = registration(&self.identity, &self.owner, &self.name, &credentials);
        let (states, start) = registration.start().unwrap();
        let responses = start.slots.iter().map(|request| {
            let message = opaque_ke::RegistrationRequest::deserialize(&request.request).unwrap();
            let credential = shared::opaque::credential_identifier(&self.name, &self.device);
            let started =
                opaque_ke::ServerRegistration::start(&self.setup, message, &credential).unwrap();
            ByteBuf::from(started.message.serialize().to_vec())
        });
        let response = RegisterResponse {
            pending: PendingId::random(),
            responses: responses.collect(),
        };
        let (finish, _) = registration.finish(states, &response).unwrap();
        let made = finish.slots.into_iter().take(1);
        let stored = made.map(|slot| StoredSlot::new(slot, self.owner.public()));
        self.account.slots.extend(stored);
    }

    /// The server as a client knows it.
    pub fn pins(&self) -> ServerPins {
        server_pins(&self.identity)
    }

    /// A client's first message for a slot.
    pub fn attempt(&self, slot: Slot) -> (StartedLogin<'_>, LoginStart) {
        StartedLogin::start(&self.name, slot, &self.credential).unwrap()
    }

    /// The server's answer to it.
    pub fn answer(&self, message: LoginStart) -> (PendingLogin, LoginResponse) {
        let account = Some(self.account.clone());
        let (pending, ke2) =
            PendingLogin::start(&self.setup, self.identity.server, message, account).unwrap();
        let response = LoginResponse {
            pending: PendingId::random(),
            ke2,
        };
        (pending, response)
    }

    /// A login with KE3 on its way.
    pub fn proven(&self, slot: Slot) -> (PendingLogin, ByteBuf) {
        let (attempt, message) = self.attempt(slot);
        let (pending, response) = self.answer(message);
        let proven = attempt.finish(self.pins(), &response.ke2).unwrap();
        (pending, proven.ke3)
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// A registration of two slots.
pub fn registration<'a>(
    identity: &ServerIdentity,
    device: &'a DeviceIdentity,
    name: &'a AccountName,
    credentials: &'a [(Slot, &'a SecretBytes)],
) -> Registration<'a> {
    Registration {
        account: name,
        device,
        server: server_pins(identity),
        invite: None,
        credentials,
    }
}

/// The server's side of a registration's first half.
pub fn server_registration(
    setup: &ServerSetup<Suite>,
    start: RegisterStart,
) -> (PendingRegistration, RegisterResponse) {
    let (pending, responses) = PendingRegistration::start(setup, start, None).unwrap();
    let response = RegisterResponse {
        pending: PendingId::random(),
        responses,
    };
    (pending, response)
}

/// Whether a login ended well.
pub fn is_proven(finished: &Finished) -> bool {
    matches!(finished, Finished::Proven(_))
}

fn server_pins(identity: &ServerIdentity) -> ServerPins {
    ServerPins {
        server: identity.server,
        opaque_key: identity.opaque_key,
        checkpoint_key: identity.checkpoint_key,
    }
}
