//! Files that come from elsewhere: imports, audit files, the server's own.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use keyserver::config::Config;
use keyshell_formats::native::{Base64Value, SecretDocument, VaultWriter, VersionDocument};
use keyshell_formats::{Choices, Portable, named};
use opaque_ke::ServerSetup;
use parsers::imports::{Answers, BASE};
use parsers::server::SETUP;
use parsers::settings::whole;
use parsers::world::{ACCOUNT, SERVER};
use serde::Serialize;
use serde_bytes::{ByteArray, ByteBuf};
use serde_json::json;
use shared::codec;
use shared::ids::ServerId;
use shared::opaque::Suite;
use shared::secret::SecretBytes;
use toml::Table;

use crate::seed;
use crate::vectors;

/// An age file with next to no work, sealed once by `parsers::age_files::seal`: it holds random bytes.
const AGE: &str = include_str!("age.base64");
/// A keystore with next to no work, made once in Python (eth-keyfile opens it) under the passphrase of the answers.
const KEYSTORE: &str = include_str!("keystore.json");

pub fn write() {
    imports();
    words();
    codes();
    audit_file();
    config();
    key_file();
}

fn secret() -> Portable {
    Portable {
        name: Some("é/x".into()),
        tags: vec!["a".into(), "b".into()],
        note: "note".into(),
        content_type: Some("text/plain".into()),
        value: SecretBytes::from(b"a value".as_slice()),
        lost: Vec::new(),
    }
}

fn imports() {
    let answers = Answers(Choices::default());
    for (choice, name) in (0..).zip(BASE) {
        let encoded = named(name).unwrap().encode(&secret(), &answers).unwrap();
        seed("imports", name, choice, encoded.expose());
    }
    // Two texts in a row are no base64.
    seed("imports", "base64-joined", 2, "QQ==QQ==");
    let version = |number: u64| VersionDocument {
        version: number,
        created_ms: 1_800_000_000_000,
        value: Base64Value(secret().value),
    };
    // A map with a number in it, as base64 of MessagePack.
    let fields = BTreeMap::from([("x".to_owned(), BASE64.encode(&[0x81, 0xa1, b'k', 5]))]);
    let one = |name: &str| SecretDocument {
        name: name.into(),
        tags: secret().tags,
        note: secret().note,
        content_type: None,
        fields: fields.clone(),
        versions: vec![version(1), version(2)],
    };
    seed("imports", "vault", 7, document(&[one("one"), one("two")]));
    let mut reserved = one("one");
    reserved.tags.clear();
    reserved.fields = BTreeMap::from([("tags".to_owned(), BASE64.encode(&[5]))]);
    seed("imports", "vault-reserved", 7, document(&[reserved]));
    let age = BASE64.decode(AGE.trim().as_bytes()).unwrap();
    seed("age_files", "file", 1, &age);
    seed("age_files", "head", 1, &age[..90]);
    seed("age_files", "content", 0, "content");
}

fn words() {
    seed("words", "share", 0, [7; 90]);
    let mnemonic = format!("{}about", "abandon ".repeat(11));
    seed("words", "mnemonic", 1, mnemonic);
    seed("words", "keystore", 2, KEYSTORE.trim());
    let share = "duckling enlarge academic academic agency result length solution fridge kidney coal piece \
                 deal husband erode duke ajar critical decision keyboard";
    seed("words", "text", 3, share);
}

/// The exports that the tests of the formats have, without what is sealed.
fn codes() {
    let vectors = include_str!("../../../../shell/formats/tests/vectors/one-time-codes.json");
    let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
    let uri = "otpauth://totp/One:ana?secret=JBSWY3DPEHPK3PXP&issuer=One\n";
    let uris = format!(
        "{uri}otpauth://hotp/x?secret=GEZDGNBVGY3TQOJQ&counter=7\nsteam://GEZDGNBVGY3TQOJQ\n"
    );
    seed("codes", "uris", 0, uris);
    let account = b"\x0a\x0a1234567890\x12\x03ana\x1a\x03One\x20\x01\x28\x02\x30\x01\x38\x07";
    let mut message = vec![0x0a, u8::try_from(account.len()).unwrap()];
    message.extend(account);
    message.extend(b"\x10\x01\x18\x02\x20\x00\x28\x63");
    seed("codes", "message", 1, message);
    for (kind, name) in [(2, "aegis"), (3, "twofas"), (4, "andotp")] {
        seed("codes", name, kind, vectors[name].to_string());
    }
    let key = include_str!("../../../../shell/formats/tests/vectors/kdbx/v2.keyx");
    seed("codes", "key-file", 5, key);
    let set = r#"{"keys":[{"kty":"oct","kid":"a","k":"AAEC"},{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#;
    seed("codes", "jwk-set", 6, set);
}

fn document(secrets: &[SecretDocument]) -> Vec<u8> {
    let mut writer = VaultWriter::begin(Vec::new(), 7).unwrap();
    for secret in secrets {
        writer.secret(secret).unwrap();
    }
    writer.finish().unwrap()
}

fn audit_file() {
    let audit = &vectors("formats")["audit"];
    let record = crate::bytes(&audit["record"]);
    let file = json!({
        "format": "keyshell-audit",
        "version": 1,
        "account": ACCOUNT,
        "server": SERVER,
        "checkpoint_key": audit["checkpoint_key"],
        "checkpoint": audit["checkpoint"],
        "records": [{"record": BASE64.encode(&record), "proof": []}],
    });
    seed("audit_file", "recorded", 0, file.to_string());
}

fn config() {
    let mut table = Table::try_from(Config::default()).unwrap();
    // The default depends on whose folder it is.
    table.insert("data_dir".into(), "/var/lib/keyserver".into());
    seed("server_config", "default", 0, table.to_string());
    let file = "listen = [\"0.0.0.0:7443\", \"[::1]:1\"]\nregistration = \"closed\"\n\
                session_idle = \"1h 5m\"\ntls_cert = \"c\"\ntls_key = \"k\"\n[throttle.pair]\n\
                free = 1\nfirst_ms = 2\nlongest_ms = 3\nhalf_life_ms = 4\n";
    seed("server_config", "file", 0, file);
    let variables = "KEYSERVER_LISTEN=127.0.0.1:1, [::1]:2\nKEYSERVER_WORKERS=4\n\
                     KEYSERVER_LOG_FORMAT=json\nKEYSERVER_LOG=debug\nKEYSERVER_KEEP_ALIVE=1m\nHOME=/x";
    seed("server_config", "environment", 1, variables);
    let absurd = "session_idle = \"500000000000y\"\n";
    seed("server_config", "absurd", 0, absurd);
}

fn key_file() {
    #[derive(Serialize)]
    struct Stored {
        server_id: ServerId,
        opaque: ByteBuf,
        checkpoint_seed: ByteArray<32>,
        at_rest: ByteArray<32>,
    }
    let setup: &ServerSetup<Suite> = &SETUP;
    let stored = Stored {
        server_id: SERVER,
        opaque: ByteBuf::from(setup.serialize().to_vec()),
        checkpoint_seed: ByteArray::new([0x99; 32]),
        at_rest: ByteArray::new([1; 32]),
    };
    let body = codec::encode(&stored).unwrap();
    seed("server_config", "keys", 2, whole(&body));
    seed("server_config", "keys-body", 3, body);
}
