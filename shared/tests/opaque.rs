//! OPAQUE: the vectors of RFC 9807, and this protocol's own (suite 1 with its identifiers, context and stretching).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{Script, fixed, hex, unhex, vector_path};
use opaque_ke::{
    ClientLogin, ClientLoginFinishParameters, ClientRegistration,
    ClientRegistrationFinishParameters, CredentialRequest, Identifiers, ServerLogin,
    ServerLoginParameters, ServerRegistration, ServerSetup,
};
use serde_json::{Value, json};
use shared::ids::{DeviceId, ServerId};
use shared::names::AccountName;
use shared::opaque::{self, Slot, Stretching, Suite};

/// Everything that goes in, randomness included.
struct Inputs {
    oprf_seed: Vec<u8>,
    server_private_key: Vec<u8>,
    credential_identifier: Vec<u8>,
    password: Vec<u8>,
    client_identity: Option<Vec<u8>>,
    server_identity: Option<Vec<u8>>,
    context: Vec<u8>,
    stretching: Stretching,
    blind_registration: Vec<u8>,
    envelope_nonce: Vec<u8>,
    blind_login: Vec<u8>,
    client_keyshare_seed: Vec<u8>,
    client_nonce: Vec<u8>,
    masking_nonce: Vec<u8>,
    server_keyshare_seed: Vec<u8>,
    server_nonce: Vec<u8>,
}

impl Inputs {
    fn from_json(json: &Value, stretching: Stretching) -> Self {
        let optional = |name: &str| json.get(name).map(|text| unhex(text.as_str().unwrap()));
        let bytes = |name: &str| optional(name).unwrap_or_else(|| panic!("{name} is missing"));
        Self {
            oprf_seed: bytes("oprf_seed"),
            server_private_key: bytes("server_private_key"),
            credential_identifier: bytes("credential_identifier"),
            password: bytes("password"),
            client_identity: optional("client_identity"),
            server_identity: optional("server_identity"),
            context: bytes("context"),
            stretching,
            blind_registration: bytes("blind_registration"),
            envelope_nonce: bytes("envelope_nonce"),
            blind_login: bytes("blind_login"),
            client_keyshare_seed: bytes("client_keyshare_seed"),
            client_nonce: bytes("client_nonce"),
            masking_nonce: bytes("masking_nonce"),
            server_keyshare_seed: bytes("server_keyshare_seed"),
            server_nonce: bytes("server_nonce"),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "oprf_seed": hex(&self.oprf_seed),
            "server_private_key": hex(&self.server_private_key),
            "credential_identifier": hex(&self.credential_identifier),
            "password": hex(&self.password),
            "client_identity": hex(self.client_identity.as_ref().unwrap()),
            "server_identity": hex(self.server_identity.as_ref().unwrap()),
            "context": hex(&self.context),
            "blind_registration": hex(&self.blind_registration),
            "envelope_nonce": hex(&self.envelope_nonce),
            "blind_login": hex(&self.blind_login),
            "client_keyshare_seed": hex(&self.client_keyshare_seed),
            "client_nonce": hex(&self.client_nonce),
            "masking_nonce": hex(&self.masking_nonce),
            "server_keyshare_seed": hex(&self.server_keyshare_seed),
            "server_nonce": hex(&self.server_nonce),
        })
    }

    fn setup(&self) -> ServerSetup<Suite> {
        // The third part is the public key of fake records; any point serves where the account exists.
        let point = unhex("84f43f9492e19c22d8bdaa4447cc3d4db1cdb5427a9f852c4707921212c36251");
        setup(&self.oprf_seed, &self.server_private_key, &point)
    }

    /// Registers and logs in; returns every message and key.
    fn run(&self) -> Value {
        let setup = self.setup();
        let identifiers = Identifiers {
            client: self.client_identity.as_deref(),
            server: self.server_identity.as_deref(),
        };

        let mut rng = Script::new([&self.blind_registration]);
        let client = ClientRegistration::<Suite>::start(&mut rng, &self.password).unwrap();
        let request = client.message.serialize();
        let response =
            ServerRegistration::start(&setup, client.message, &self.credential_identifier).unwrap();
        let answer = response.message.serialize();
        let parameters =
            ClientRegistrationFinishParameters::new(identifiers, Some(&self.stretching));
        let mut rng = Script::new([&self.envelope_nonce]);
        let registered = client
            .state
            .finish(&mut rng, &self.password, response.message, parameters)
            .unwrap();
        let upload = registered.message.serialize();
        let record = ServerRegistration::finish(registered.message);
        assert_eq!(record.serialize(), upload);

        let mut rng = Script::new([
            &self.blind_login,
            &self.client_keyshare_seed,
            &self.client_nonce,
        ]);
        let client = ClientLogin::<Suite>::start(&mut rng, &self.password).unwrap();
        let ke1 = client.message.serialize();
        let parameters = || ServerLoginParameters {
            context: Some(&self.context),
            identifiers,
        };
        // The first piece is the masking key of a fake record, drawn for every account alike.
        let mut rng = Script::new([
            &[],
            &self.masking_nonce,
            &self.server_keyshare_seed,
            &self.server_nonce,
        ]);
        let credential = &self.credential_identifier;
        let server = ServerLogin::start(
            &mut rng,
            &setup,
            Some(record),
            client.message,
            credential,
            parameters(),
        )
        .unwrap();
        let ke2 = server.message.serialize();
        let finish = ClientLoginFinishParameters::new(
            Some(&self.context),
            identifiers,
            Some(&self.stretching),
        );
        let client = client
            .state
            .finish(
                &mut Script::new([&[]]),
                &self.password,
                server.message,
                finish,
            )
            .unwrap();
        let ke3 = client.message.serialize();
        let session_key = server
            .state
            .finish(client.message, parameters())
            .unwrap()
            .session_key;
        assert_eq!(session_key, client.session_key);
        assert_eq!(registered.export_key, client.export_key);
        assert_eq!(
            client.server_s_pk.serialize(),
            setup.keypair().public().serialize()
        );
        json!({
            "server_public_key": hex(client.server_s_pk.serialize()),
            "registration_request": hex(request),
            "registration_response": hex(answer),
            "registration_upload": hex(upload),
            "ke1": hex(ke1),
            "ke2": hex(ke2),
            "ke3": hex(ke3),
            "export_key": hex(client.export_key),
            "session_key": hex(session_key),
        })
    }
}

fn setup(oprf_seed: &[u8], private_key: &[u8], fake_public_key: &[u8]) -> ServerSetup<Suite> {
    ServerSetup::deserialize(&[oprf_seed, private_key, fake_public_key].concat()).unwrap()
}

fn read(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(vector_path(name)).unwrap()).unwrap()
}

#[test]
fn the_real_vectors_of_rfc_9807() {
    // The RFC's vectors stretch with the identity function: our stretching for device secrets.
    for vector in read("rfc9807")["real"].as_array().unwrap() {
        let inputs = Inputs::from_json(&vector["inputs"], Stretching::FullEntropy);
        assert_eq!(inputs.run(), vector["outputs"]);
    }
}

#[test]
fn the_fake_vector_of_rfc_9807() {
    let vectors = read("rfc9807");
    let inputs = vectors["fake"]["inputs"].as_object().unwrap();
    let bytes = |name: &str| unhex(inputs[name].as_str().unwrap());
    let setup = setup(
        &bytes("oprf_seed"),
        &bytes("server_private_key"),
        &bytes("client_public_key"),
    );
    let (client, server, context) = (
        bytes("client_identity"),
        bytes("server_identity"),
        bytes("context"),
    );
    let parameters = ServerLoginParameters {
        context: Some(&context),
        identifiers: Identifiers {
            client: Some(&client),
            server: Some(&server),
        },
    };
    let names = [
        "masking_key",
        "masking_nonce",
        "server_keyshare_seed",
        "server_nonce",
    ]
    .map(bytes);
    let mut rng = Script::new(names.each_ref().map(Vec::as_slice));
    let ke1 = CredentialRequest::deserialize(&bytes("ke1")).unwrap();
    let credential = bytes("credential_identifier");
    let answer = ServerLogin::start(&mut rng, &setup, None, ke1, &credential, parameters).unwrap();
    assert_eq!(
        hex(answer.message.serialize()),
        vectors["fake"]["outputs"]["ke2"]
    );
}

/// A scalar below the group's order: 32 bytes, the highest one zero.
fn scalar(first: u8) -> Vec<u8> {
    let mut bytes = fixed::<32>(first);
    bytes[31] = 0;
    bytes.to_vec()
}

fn own_vector(slot: Slot, password: &[u8]) -> Value {
    let account = AccountName::parse("al\u{e9}na").unwrap();
    let server = ServerId::new(fixed(0x20));
    let identifiers = opaque::identifiers(&account, &server);
    let inputs = Inputs {
        oprf_seed: fixed::<64>(0x30).to_vec(),
        server_private_key: scalar(0x70),
        credential_identifier: opaque::credential_identifier(&account, &slot),
        password: password.to_vec(),
        client_identity: identifiers.client.map(<[u8]>::to_vec),
        server_identity: identifiers.server.map(<[u8]>::to_vec),
        context: opaque::context(&slot),
        stretching: Stretching::of(&slot, &account, &server),
        blind_registration: scalar(0x81),
        envelope_nonce: fixed::<32>(0x90).to_vec(),
        blind_login: scalar(0xa1),
        client_keyshare_seed: fixed::<32>(0xb0).to_vec(),
        client_nonce: fixed::<32>(0xc0).to_vec(),
        masking_nonce: fixed::<32>(0xd0).to_vec(),
        server_keyshare_seed: fixed::<32>(0xe0).to_vec(),
        server_nonce: fixed::<32>(0xf0).to_vec(),
    };
    json!({
        "account": account.as_str(),
        "slot": common::readable(&slot),
        "slot_label": hex(slot.label()),
        "stretching_salt": match inputs.stretching {
            Stretching::Argon2id(salt) => json!(hex(salt)),
            Stretching::FullEntropy => Value::Null,
        },
        "inputs": inputs.to_json(),
        "outputs": inputs.run(),
    })
}

fn own_vectors() -> Value {
    json!([
        own_vector(Slot::Password, b"correct horse battery staple"),
        own_vector(Slot::Recovery, b"a recovery code"),
        own_vector(Slot::Device(DeviceId::new(fixed(0x10))), &fixed::<32>(0x40)),
    ])
}

#[test]
fn the_vectors_of_suite_1() {
    assert_eq!(own_vectors(), read("opaque"));
}

#[test]
#[ignore = "writes docs/vectors; run it only where the protocol itself changes"]
fn generate() {
    let text = serde_json::to_string_pretty(&own_vectors()).unwrap();
    std::fs::write(vector_path("opaque"), text + "\n").unwrap();
}

#[test]
fn messages_have_the_documented_lengths() {
    let outputs =
        own_vector(Slot::Device(DeviceId::new(fixed(0x10))), &fixed::<32>(0x40))["outputs"].clone();
    for (name, len) in [
        ("registration_request", 32),
        ("registration_response", 64),
        ("registration_upload", 192),
        ("ke1", 96),
        ("ke2", 320),
        ("ke3", 64),
        ("export_key", 64),
        ("session_key", 64),
    ] {
        assert_eq!(outputs[name].as_str().unwrap().len(), 2 * len, "{name}");
    }
}

#[test]
fn another_slot_password_or_context_does_not_log_in() {
    let device = Slot::Device(DeviceId::new(fixed(0x10)));
    let vector = own_vector(device, b"secret");
    let inputs = Inputs::from_json(&vector["inputs"], Stretching::FullEntropy);
    let setup = inputs.setup();
    let upload = unhex(vector["outputs"]["registration_upload"].as_str().unwrap());
    let identifiers = Identifiers {
        client: inputs.client_identity.as_deref(),
        server: inputs.server_identity.as_deref(),
    };
    let other_context = opaque::context(&Slot::Password);
    let attempt = |password: &[u8], context: &[u8], credential: &[u8], stretching: Stretching| {
        let mut rng = rand::rngs::OsRng;
        let record = ServerRegistration::<Suite>::deserialize(&upload).unwrap();
        let client = ClientLogin::<Suite>::start(&mut rng, password).unwrap();
        let parameters = ServerLoginParameters {
            context: Some(&inputs.context),
            identifiers,
        };
        let server = ServerLogin::start(
            &mut rng,
            &setup,
            Some(record),
            client.message,
            credential,
            parameters,
        )
        .unwrap();
        let finish =
            ClientLoginFinishParameters::new(Some(context), identifiers, Some(&stretching));
        client
            .state
            .finish(&mut rng, password, server.message, finish)
            .is_ok()
    };
    let (context, credential) = (&inputs.context, &inputs.credential_identifier);
    let full = Stretching::FullEntropy;
    assert!(attempt(b"secret", context, credential, full));
    assert!(!attempt(b"Secret", context, credential, full));
    assert!(!attempt(b"secret", &other_context, credential, full));
    assert!(!attempt(b"secret", context, b"another slot", full));
    assert!(!attempt(
        b"secret",
        context,
        credential,
        Stretching::of(
            &Slot::Password,
            &AccountName::parse("a").unwrap(),
            &ServerId::new([0; 16])
        )
    ));
}
