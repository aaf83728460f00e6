//! `eth-keystore`: a key of 32 bytes under a passphrase, as Ethereum's programs keep theirs (Web3 Secret Storage,
//! version 3).
//!
//! Written with scrypt (N = 2^18, r = 8, p = 1: geth's standard) and AES-128-CTR; read with scrypt or PBKDF2. The file
//! names the address where the key has one, so that programs can list it; any holder of the file learns the address.

mod kdf;

use aes::Aes128;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use k256::SecretKey;
use k256::elliptic_curve::sec1::ToEncodedPoint as _;
use kdf::Kdf;
use keyshell_base::json;
use keyshell_base::names::SecretName;
use rand::RngCore as _;
use rand::rngs::OsRng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha3::{Digest as _, Keccak256};
use shared::secret::SecretBytes;
use subtle::ConstantTimeEq as _;
use uuid::Builder;
use zeroize::Zeroizing;

use crate::ciphers::Key;
use crate::format::{Ask, FormatError, Portable, SecretFormat};
use crate::key::{self, openssh};
use crate::secrets::jwk;

/// Length of the stored key and of the derived key, in bytes.
const KEY: usize = 32;
/// Half of the derived key: the first encrypts, the second authenticates.
const HALF: usize = 16;
/// Longest file that is looked at, in bytes.
const MAX_FILE: usize = 64 * 1024;
/// Longest salt and the like, in bytes.
const MAX_FIELD: usize = 1024;
/// The cost of new files: the logarithm of N of scrypt.
const LOG_N: u8 = 18;
const CIPHER: &str = "aes-128-ctr";

#[derive(Serialize, Deserialize)]
struct Keystore {
    version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    // Some programs wrote it with a capital.
    #[serde(alias = "Crypto")]
    crypto: Crypto,
    /// The name that a wallet shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Members that this program does not use.
    #[serde(flatten)]
    other: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    ciphertext: String,
    #[serde(flatten)]
    kdf: Kdf,
    mac: String,
}

#[derive(Serialize, Deserialize)]
struct CipherParams {
    iv: String,
}

/// The format.
pub const FORMAT: SecretFormat = SecretFormat {
    recognises,
    is_sealed: |_| true,
    losses: openssh::lost,
    ..SecretFormat::new(
        "eth-keystore",
        "32 bytes, or a private key of secp256k1, under a passphrase (Web3 Secret Storage 3, as geth and wallets keep it)",
        encode,
        decode,
    )
};

fn recognises(bytes: &[u8]) -> bool {
    bytes.len() <= MAX_FILE
        && serde_json::from_slice::<Keystore>(bytes).is_ok_and(|found| found.version == 3)
}

fn decode(bytes: &[u8], ask: &dyn Ask) -> Result<Portable, FormatError> {
    let keystore = parse(bytes)?;
    let value = keystore.open(|| ask.passphrase())?;
    // Parity writes empty members.
    let is_said = |value: &Value| !matches!(value.as_str(), Some("" | "{}")) && !value.is_null();
    let said = keystore.other.iter().filter(|(_, value)| is_said(value));
    let mut lost: Vec<_> = said.map(|(name, _)| jwk::member(name)).collect();
    let name = keystore.name.filter(|name| !name.is_empty());
    let fitting = name.clone().filter(|name| SecretName::parse(name).is_ok());
    if name.is_some() && fitting.is_none() {
        lost.push("`name`: it is no name that a secret can have".into());
    }
    Ok(Portable {
        name: fitting,
        lost,
        ..Portable::bare(value)
    })
}

fn encode(secret: &Portable, ask: &dyn Ask) -> Result<SecretBytes, FormatError> {
    let value = secret.value.expose();
    if key::is_meant(value) {
        // A key in a text form, as `gen --type secp256k1` makes it.
        let key = key::read(value, ask)?;
        if key.secp256k1().is_none() {
            let kind = key.kind();
            let text =
                format!("`eth-keystore` carries keys of secp256k1, and this is one of {kind}");
            return Err(FormatError::cannot_carry(text));
        }
        return seal(key.bytes().expose(), &ask.new_passphrase()?, LOG_N);
    }
    let key: &[u8; KEY] = value.try_into().map_err(|_| {
        let len = value.len();
        FormatError::cannot_carry(format!(
            "`eth-keystore` carries 32 bytes or a private key of secp256k1, and this value has {len} bytes"
        ))
    })?;
    seal(key, &ask.new_passphrase()?, LOG_N)
}

fn seal(key: &[u8; KEY], passphrase: &str, log_n: u8) -> Result<SecretBytes, FormatError> {
    let kdf = Kdf::Scrypt {
        dklen: 32,
        n: 1 << log_n,
        r: 8,
        p: 1,
        salt: HEXLOWER.encode(&fresh::<32>()),
    };
    let stretched = kdf.stretch(passphrase)?;
    let iv = fresh();
    let mut ciphertext = *key;
    apply(&stretched, iv, &mut ciphertext);
    let keystore = Keystore {
        version: 3,
        id: Some(random_uuid()),
        address: address(key),
        crypto: Crypto {
            cipher: CIPHER.into(),
            cipherparams: CipherParams {
                iv: HEXLOWER.encode(&iv),
            },
            ciphertext: HEXLOWER.encode(&ciphertext),
            mac: HEXLOWER.encode(&mac(&stretched, &ciphertext)),
            kdf,
        },
        name: None,
        other: Map::new(),
    };
    json::encode(&keystore).map_err(FormatError::library)
}

fn parse(bytes: &[u8]) -> Result<Keystore, FormatError> {
    if bytes.len() > MAX_FILE {
        return Err(not("it is longer than 64 KiB"));
    }
    let keystore: Keystore = serde_json::from_slice(bytes).map_err(not)?;
    if keystore.version != 3 {
        let version = keystore.version;
        return Err(not(format!("version 3 is read, and this is {version}")));
    }
    if !keystore.crypto.cipher.eq_ignore_ascii_case(CIPHER) {
        return Err(not(format!("the cipher is none but {CIPHER}")));
    }
    Ok(keystore)
}

impl Keystore {
    fn open(
        &self,
        passphrase: impl FnOnce() -> Result<Zeroizing<String>, FormatError>,
    ) -> Result<SecretBytes, FormatError> {
        let crypto = &self.crypto;
        let sealed = field(&crypto.ciphertext, "ciphertext")?;
        if !(1..=KEY).contains(&sealed.len()) {
            let len = sealed.len();
            return Err(not(format!(
                "`ciphertext` has 1 to {KEY} bytes, and this has {len}"
            )));
        }
        let iv = exactly(&crypto.cipherparams.iv, "iv")?;
        let says = exactly::<KEY>(&crypto.mac, "mac")?;
        crypto.kdf.check()?;
        let stretched = crypto.kdf.stretch(&passphrase()?)?;
        if !bool::from(mac(&stretched, &sealed).ct_eq(&says)) {
            let text = "the keystore does not open: wrong passphrase, or it was altered";
            return Err(FormatError::wrong_passphrase(text));
        }
        // Early programs left out zero bytes in front of the key.
        let mut key = Zeroizing::new([0; KEY]);
        let (_, short) = key.split_at_mut(KEY - sealed.len());
        short.copy_from_slice(&sealed);
        apply(&stretched, iv, short);
        self.check_address(&key)?;
        Ok(SecretBytes::from(key.as_slice()))
    }

    /// Checks the address, which the MAC does not cover.
    fn check_address(&self, key: &[u8; KEY]) -> Result<(), FormatError> {
        let Some(says) = self.address.as_deref().filter(|says| !says.is_empty()) else {
            return Ok(());
        };
        let says = says.strip_prefix("0x").unwrap_or(says);
        if address(key).is_some_and(|is| is.eq_ignore_ascii_case(says)) {
            return Ok(());
        }
        let text = "the key in the keystore does not belong to the address that it states";
        Err(FormatError::malformed(text))
    }
}

/// Encrypts or decrypts: in counter mode it is the same.
fn apply(stretched: &Key, iv: [u8; HALF], bytes: &mut [u8]) {
    let (key, _) = stretched.split_at(HALF);
    let mut key_half = Zeroizing::new([0; HALF]);
    key_half.copy_from_slice(key);
    Ctr128BE::<Aes128>::new((&*key_half).into(), &iv.into()).apply_keystream(bytes);
}

fn mac(stretched: &Key, ciphertext: &[u8]) -> [u8; KEY] {
    let (_, vouching) = stretched.split_at(HALF);
    let hash = Keccak256::new().chain_update(vouching);
    hash.chain_update(ciphertext).finalize().into()
}

/// The account's address, unless the key is none of secp256k1.
fn address(key: &[u8; KEY]) -> Option<String> {
    let public = SecretKey::from_slice(key).ok()?.public_key();
    let point = public.to_encoded_point(false);
    // The first byte says that the point is not compressed.
    let hash = Keccak256::digest(point.as_bytes().get(1..)?);
    Some(HEXLOWER.encode(hash.get(12..)?))
}

fn fresh<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

/// A random UUID (RFC 9562, version 4).
fn random_uuid() -> String {
    Builder::from_random_bytes(fresh()).into_uuid().to_string()
}

fn exactly<const N: usize>(text: &str, name: &str) -> Result<[u8; N], FormatError> {
    let bytes = field(text, name)?;
    let len = bytes.len();
    let bytes = bytes.try_into();
    bytes.map_err(|_| not(format!("`{name}` has {N} bytes, and this has {len}")))
}

fn field(text: &str, name: &str) -> Result<Vec<u8>, FormatError> {
    let text = text.strip_prefix("0x").unwrap_or(text);
    if text.len() > 2 * MAX_FIELD {
        return Err(not(format!("`{name}` is too long")));
    }
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes());
    bytes.map_err(|error| not(format!("`{name}`: {error}")))
}

fn not(what: impl std::fmt::Display) -> FormatError {
    FormatError::not_this_format(format!("the keystore cannot be read: {what}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::kdf::{MAX_ROUNDS, PRF};
    use super::*;
    use crate::testing::Answers;

    /// Keystores, each with its passphrase and key: the standard's with PBKDF2, and the same key as eth-keyfile 0.10
    /// (Python) seals it with scrypt.
    const VECTORS: &str = include_str!("../../../tests/vectors/eth-keystore.json");

    /// IV, ciphertext, salt and MAC of a keystore with N = 2^18, r = 1, p = 8.
    const R1P8: [&str; 4] = [
        "029c1ff4881dc88d38be3f35dfb11b27",
        "4f8ae5216be7672d3acd63888a7d8ff929a2f9a7d922ab661a1fd16776a642a4",
        "ec11da3c76f18700e2a0816930352fe5717954086a70f99390b40b1afe378d05",
        "34eda70542b31edfc998de7dc41ba5443085c898330388eccd1ea67732426770",
    ];

    fn answers(passphrase: &'static str) -> Answers {
        Answers {
            passphrase: Some(passphrase),
            ..Answers::default()
        }
    }

    fn open(keystore: &Value, passphrase: &'static str) -> Result<String, String> {
        let bytes = serde_json::to_vec(keystore).unwrap();
        let opened = FORMAT.decode(&bytes, &answers(passphrase));
        let opened = opened.map_err(|error| error.to_string())?;
        Ok(HEXLOWER.encode(opened.value.expose()))
    }

    fn vectors() -> Vec<Value> {
        serde_json::from_str(VECTORS).unwrap()
    }

    fn text<'a>(vector: &'a Value, key: &str) -> &'a str {
        vector.get(key).and_then(Value::as_str).unwrap()
    }

    #[test]
    fn vectors_of_the_standard_and_of_other_programs_open() {
        for vector in vectors() {
            let keystore = vector.get("json").unwrap();
            assert!((FORMAT.recognises)(keystore.to_string().as_bytes()));
            let passphrase = text(&vector, "password").to_owned().leak();
            assert_eq!(open(keystore, passphrase).unwrap(), text(&vector, "priv"));
        }
    }

    /// The standard's scrypt vector from its derived key on; no passphrase that it names leads there.
    #[test]
    fn the_standards_derived_key_opens_its_scrypt_vector() {
        let hex = |text: &str| <[u8; KEY]>::try_from(field(text, "").unwrap()).unwrap();
        let derived = "7446f59ecc301d2d79bc3302650d8a5cedc185ccbb4bf3ca1ebd2c163eaa6c2d";
        let mut bytes = hex("dd8a1132cf57db67c038c6763afe2cbe6ea1949a86abc5843f8ca656ebbb1ea2");
        let stretched = Zeroizing::new(hex(derived));
        let says = hex("337aeb86505d2d0bb620effe57f18381377d67d76dac1090626aa5cd20886a7c");
        assert_eq!(mac(&stretched, &bytes), says);
        let iv = exactly("740770fce12ce862af21264dab25f1da", "iv").unwrap();
        apply(&stretched, iv, &mut bytes);
        let key = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";
        assert_eq!(bytes, hex(key));
        let address = address(&bytes).unwrap();
        assert_eq!(address, "008aeeda4d805471df9b2a5b0f38a0c3bcba786b");
    }

    /// The costs of the standard's own vector around the key 1, 2, ..., 32; eth-keyfile 0.10 (Python) opens it.
    #[test]
    fn costs_that_rfc_7914_excludes_by_mistake_open() {
        let keystore = json!({
            "version": 3,
            "crypto": {
                "cipher": "aes-128-ctr",
                "cipherparams": {"iv": R1P8[0]},
                "ciphertext": R1P8[1],
                "kdf": "scrypt",
                "kdfparams": {"dklen": 32, "n": 1 << 18, "r": 1, "p": 8, "salt": R1P8[2]},
                "mac": R1P8[3],
            },
        });
        let key: Vec<u8> = (1..=32).collect();
        assert_eq!(open(&keystore, "demopass").unwrap(), HEXLOWER.encode(&key));
    }

    #[test]
    fn keys_without_their_leading_zeros_open() {
        for zeros in [1, 2, 31] {
            let mut keystore = cheap();
            let stretched = parse(&serde_json::to_vec(&keystore).unwrap()).unwrap();
            let stretched = stretched.crypto.kdf.stretch("right").unwrap();
            let iv = exactly(text(&keystore["crypto"]["cipherparams"], "iv"), "iv").unwrap();
            let mut short = vec![9; KEY - zeros];
            apply(&stretched, iv, &mut short);
            keystore["crypto"]["ciphertext"] = json!(HEXLOWER.encode(&short));
            keystore["crypto"]["mac"] = json!(HEXLOWER.encode(&mac(&stretched, &short)));
            keystore.as_object_mut().unwrap().remove("address");
            let expected = "00".repeat(zeros) + &"09".repeat(KEY - zeros);
            assert_eq!(open(&keystore, "right").unwrap(), expected);
        }
    }

    #[test]
    fn what_wallets_add_is_a_name_or_listed() {
        let mut keystore = cheap();
        keystore["name"] = json!("My savings");
        keystore["x-ethers"] = json!({"mnemonicCiphertext": "00", "path": "m/44'"});
        keystore["meta"] = json!("{}");
        keystore["other"] = json!(null);
        let read = |keystore: &Value| {
            let bytes = serde_json::to_vec(keystore).unwrap();
            FORMAT.decode(&bytes, &answers("right")).unwrap()
        };
        let secret = read(&keystore);
        assert_eq!(secret.name.as_deref(), Some("My savings"));
        assert_eq!(secret.lost, ["member `x-ethers`"]);
        keystore["name"] = json!("a\nb");
        keystore["meta"] = json!("{\"a\":1}");
        let secret = read(&keystore);
        assert_eq!(secret.name, None);
        assert_eq!(secret.lost.len(), 3, "{:?}", secret.lost);
        keystore["name"] = json!("");
        assert_eq!(read(&keystore).lost.len(), 2);
    }

    /// A keystore that costs next to nothing.
    fn cheap() -> Value {
        let key = [7; KEY];
        serde_json::from_slice(seal(&key, "right", 1).unwrap().expose()).unwrap()
    }

    #[test]
    fn wrong_passphrases_and_altered_files_do_not_open() {
        let good = cheap();
        assert_eq!(open(&good, "right").unwrap(), "07".repeat(32));
        let wrong = open(&good, "wrong").unwrap_err();
        let mut altered = good.clone();
        altered["crypto"]["ciphertext"] = json!("00".repeat(32));
        assert_eq!(open(&altered, "right").unwrap_err(), wrong);
        let mut other = good.clone();
        other["address"] = json!("00".repeat(20));
        let error = open(&other, "right").unwrap_err();
        assert!(error.contains("address"), "{error}");
        let mut none = good;
        none.as_object_mut().unwrap().remove("address");
        assert!(open(&none, "right").is_ok());
    }

    #[test]
    fn costs_and_lengths_are_checked_before_the_passphrase_is_asked_for() {
        let refused = |at: &str, value: Value, part: &str| {
            let mut keystore = cheap();
            *keystore.pointer_mut(at).unwrap() = value;
            let keystore = parse(&serde_json::to_vec(&keystore).unwrap());
            let opened = keystore.and_then(|found| found.open(|| panic!("asked")));
            let error = opened.unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        let params = "/crypto/kdfparams";
        refused(&format!("{params}/n"), json!(1 << 30), "0 to 8388608");
        refused(&format!("{params}/n"), json!(u64::MAX), "0 to 8388608");
        refused(&format!("{params}/p"), json!(1 << 22), "0 to 8388608");
        refused(&format!("{params}/n"), json!(3), "power of two");
        refused(&format!("{params}/n"), json!(0), "power of two");
        refused(&format!("{params}/r"), json!(0), "does not allow");
        refused(&format!("{params}/dklen"), json!(64), "dklen");
        refused("/crypto/cipher", json!("aes-128-cbc"), CIPHER);
        refused("/crypto/ciphertext", json!("00".repeat(33)), "ciphertext");
        refused("/crypto/ciphertext", json!(""), "ciphertext");
        refused("/crypto/mac", json!("zz"), "mac");
        refused("/version", json!(1), "version 3");
        let rounds = |c: u32, prf: &str| json!({"dklen": 32, "c": c, "prf": prf, "salt": ""});
        for (params, part) in [
            (rounds(MAX_ROUNDS + 1, PRF), "rounds"),
            (rounds(0, PRF), "rounds"),
            (rounds(1, "hmac-md5"), PRF),
        ] {
            let mut keystore = cheap();
            keystore["crypto"]["kdf"] = json!("pbkdf2");
            keystore["crypto"]["kdfparams"] = params;
            let keystore = parse(&serde_json::to_vec(&keystore).unwrap()).unwrap();
            let error = keystore.open(|| panic!("asked")).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn other_values_and_other_files_are_refused() {
        for len in [0, 31, 33] {
            let secret = Portable::bare(SecretBytes::new(vec![1; len]));
            let error = FORMAT.encode(&secret, &answers("x")).unwrap_err();
            assert!(error.to_string().contains("32 bytes"), "{error}");
        }
        assert!(!(FORMAT.recognises)(b"{\"version\":3}"));
        assert!(!(FORMAT.recognises)(b"version 3 crypto"));
        let deep = "[".repeat(1_000_000);
        assert!(FORMAT.decode(deep.as_bytes(), &answers("x")).is_err());
    }

    #[test]
    fn a_private_key_of_secp256k1_goes_out_as_its_bytes() {
        use crate::key::{Kind, PrivateKey, pem};
        let key = PrivateKey::new(Kind::Secp256k1, &[7; KEY]).unwrap();
        let secret = Portable::bare(pem::write(&key).unwrap());
        let sealed = FORMAT.encode(&secret, &answers("right")).unwrap();
        let opened = FORMAT.decode(sealed.expose(), &answers("right")).unwrap();
        assert_eq!(opened.value.expose(), [7; KEY]);
        let other = PrivateKey::generate(Kind::Ed25519);
        let secret = Portable::bare(pem::write(&other).unwrap());
        let error = FORMAT.encode(&secret, &answers("right")).unwrap_err();
        assert!(error.to_string().contains("Ed25519"), "{error}");
    }

    #[test]
    fn uuids_are_random_ones() {
        let uuid = random_uuid();
        let parts: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(uuid.get(14..15), Some("4"));
        assert!(matches!(uuid.get(19..20), Some("8" | "9" | "a" | "b")));
        assert_ne!(uuid, random_uuid());
    }

    proptest! {
        #[test]
        fn a_round_trip_gives_the_same_key(key: [u8; KEY], passphrase in ".{0,20}") {
            let sealed = seal(&key, &passphrase, 1).unwrap();
            prop_assert!((FORMAT.recognises)(sealed.expose()));
            let opened = parse(sealed.expose()).unwrap().open(|| Ok(Zeroizing::new(passphrase)));
            let opened = opened.unwrap();
            prop_assert_eq!(opened.expose(), key.as_slice());
        }
    }
}
