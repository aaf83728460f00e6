//! Sealing of rows that tell who somebody is: account names, addresses. The key is in the key file, not in the
//! database, so that the database alone says nothing about them.

use std::net::IpAddr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::aead;
use shared::codec;
use shared::ids::Digest;
use shared::kdf::{derive, length_prefixed, mac};
use shared::names::AccountName;
use shared::secret::Key;

use crate::network::network;
use crate::storage::api::StorageError;

/// The keys, derived from the key file's at-rest key.
#[derive(Debug, Clone)]
pub struct AtRest {
    rows: Key,
    names: Key,
}

impl AtRest {
    /// Derives the keys.
    pub fn new(key: &Key) -> Self {
        let part = |label| Key::new(*derive::<32>(key.expose(), label, &[]));
        Self {
            rows: part("keyserver/1 at rest"),
            names: part("keyserver/1 names"),
        }
    }

    /// What stands for an account name in keys of tables.
    pub fn name(&self, name: &AccountName) -> Digest {
        self.digest(&[b"name", name.as_str().as_bytes()])
    }

    /// What stands for an account name tried by those who have tried it little.
    pub fn name_and_newcomers(&self, name: &AccountName) -> Digest {
        self.digest(&[b"newcomers", name.as_str().as_bytes()])
    }

    /// What stands for how many records floods of a name have become. Takes what stands for the name.
    pub fn loudness(&self, name: &[u8]) -> Digest {
        self.digest(&[b"loudness", name])
    }

    /// What stands for an account name tried from an address.
    pub fn name_and_address(&self, name: &AccountName, address: IpAddr) -> Digest {
        self.digest(&[b"pair", name.as_str().as_bytes(), &bucket(address)])
    }

    /// What stands for an address.
    pub fn address(&self, address: IpAddr) -> Digest {
        self.digest(&[b"address", &bucket(address)])
    }

    fn digest(&self, fields: &[&[u8]]) -> Digest {
        Digest::new(mac(self.names.expose(), fields))
    }

    /// Encodes and seals a row.
    pub fn seal(
        &self,
        table: &str,
        key: &[u8],
        row: &impl Serialize,
    ) -> Result<Vec<u8>, StorageError> {
        let encoded =
            codec::encode(row).map_err(|error| StorageError::Failed(error.to_string()))?;
        Ok(aead::seal_random(&self.rows, &aad(table, key), &encoded))
    }

    /// Opens and decodes a row.
    pub fn open<T: Serialize + DeserializeOwned>(
        &self,
        table: &str,
        key: &[u8],
        sealed: &[u8],
    ) -> Result<T, StorageError> {
        let opened = aead::open_random(&self.rows, &aad(table, key), sealed).map_err(|_| {
            StorageError::Failed(format!(
                "a row of table {table} does not open: damaged, or not of this key file"
            ))
        })?;
        codec::decode(opened.expose(), opened.len())
            .map_err(|_| StorageError::Failed(format!("a row of table {table} is malformed")))
    }
}

fn aad(table: &str, key: &[u8]) -> Vec<u8> {
    length_prefixed(&[b"keyserver/1 at rest", table.as_bytes(), key])
}

/// The bytes of the network that an address counts for.
fn bucket(address: IpAddr) -> Vec<u8> {
    match network(address) {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
