//! Newtypes for identifiers, digests, public keys and counters: `bin` in MessagePack, lower-case hex in JSON and TOML.

use std::fmt;

use data_encoding::HEXLOWER;
use rand::RngCore as _;
use rand::rngs::OsRng;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::kdf::length_prefixed;

macro_rules! bytes_newtype {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Wraps the bytes.
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// From a slice of exactly [`Self::LEN`] bytes; `None` for any other length.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// From exactly twice [`Self::LEN`] lower-case hex digits; `None` for any other text.
            pub fn from_hex(text: &str) -> Option<Self> {
                Self::from_slice(&HEXLOWER.decode(text.as_bytes()).ok()?)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    return serializer.collect_str(self);
                }
                serializer.serialize_bytes(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    return Self::from_hex(&text).ok_or_else(|| D::Error::custom("not lower-case hex"));
                }
                serde_bytes::ByteArray::<$len>::deserialize(deserializer)
                    .map(|bytes| Self(bytes.into_array()))
            }
        }
    };
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        bytes_newtype!($(#[$doc])* $name, 16);

        impl $name {
            /// A random id from the operating system's CSPRNG.
            pub fn random() -> Self {
                let mut bytes = [0; 16];
                OsRng.fill_bytes(&mut bytes);
                Self(bytes)
            }
        }
    };
}

random_id!(
    /// An account: 16 random bytes, chosen by the client at registration.
    AccountId
);
random_id!(
    /// A secret: 16 random bytes, chosen by the client. The name of the secret is only in sealed metadata.
    SecretId
);
bytes_newtype!(
    /// A device of the owner: the first 16 bytes of a SHA-256 over its public key, see [`DeviceId::of`].
    DeviceId,
    16
);
random_id!(
    /// An authenticated session: 16 bytes derived from the OPAQUE session key, see [`crate::channel::session_id`].
    SessionId
);
random_id!(
    /// A key server: 16 random bytes, generated at the first start.
    ServerId
);
random_id!(
    /// A registration or login that was started and is not finished: 16 random bytes, chosen by the server.
    PendingId
);
bytes_newtype!(
    /// A SHA-256 digest.
    Digest,
    32
);
bytes_newtype!(
    /// A public key of 32 bytes: Ed25519 or ristretto255, as the field says.
    PublicKey,
    32
);
bytes_newtype!(
    /// An Ed25519 signature (RFC 8032).
    Signature,
    64
);
impl Digest {
    /// SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl DeviceId {
    /// The id of the device that has this key (Ed25519).
    pub fn of(key: &PublicKey) -> Self {
        let digest = Digest::of(&length_prefixed(&[b"keyshell/2 device id", key.as_bytes()]));
        let mut id = [0; Self::LEN];
        id.copy_from_slice(&digest.as_bytes()[..Self::LEN]);
        Self(id)
    }
}

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The next number; saturates at `u64::MAX`.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

counter!(
    /// Position in a vault log: 1 for the first entry (genesis); 0 stands for the empty log.
    Seq
);
counter!(
    /// Version of a secret, from 1.
    Version
);
