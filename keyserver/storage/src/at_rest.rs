//! Seals rows that hold account names or addresses, and digests those that are keys. The keys are derived from the key
//! file, which is not in the database: the database alone reveals neither names nor addresses.

use std::net::IpAddr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::aead;
use shared::codec;
use shared::ids::Digest;
use shared::kdf::{derive, length_prefixed, mac};
use shared::names::AccountName;
use shared::secret::Key;

use crate::error::StorageError;
use crate::network::network;
use crate::tables::Table;

/// Keys that are derived from the key file's at-rest key.
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

    /// Key of an account name, and of the attempts on it.
    pub fn name(&self, name: &AccountName) -> Digest {
        self.digest(&[b"name", name.as_str().as_bytes()])
    }

    /// Key of the attempts on an account name by senders that have free attempts left.
    pub fn name_and_newcomers(&self, name: &AccountName) -> Digest {
        self.digest(&[b"newcomers", name.as_str().as_bytes()])
    }

    /// Key of the count of records that the aggregates of a name became; takes the key of the name.
    pub fn aggregate_records(&self, name: &[u8]) -> Digest {
        self.digest(&[b"aggregate records", name])
    }

    /// Key of the attempts on an account name from one address.
    pub fn name_and_address(&self, name: &AccountName, address: IpAddr) -> Digest {
        self.digest(&[b"pair", name.as_str().as_bytes(), &bucket(address)])
    }

    /// Key of the attempts from an address on any name.
    pub fn address(&self, address: IpAddr) -> Digest {
        self.digest(&[b"address", &bucket(address)])
    }

    fn digest(&self, fields: &[&[u8]]) -> Digest {
        Digest::new(mac(self.names.expose(), fields))
    }

    /// Encodes and seals a row.
    pub fn seal(
        &self,
        table: Table,
        key: &[u8],
        row: &impl Serialize,
    ) -> Result<Vec<u8>, StorageError> {
        let encoded = codec::encode(row).map_err(StorageError::failed)?;
        Ok(aead::seal_random(&self.rows, &aad(table, key), &encoded))
    }

    /// Opens and decodes a row.
    pub fn open<T: Serialize + DeserializeOwned>(
        &self,
        table: Table,
        key: &[u8],
        sealed: &[u8],
    ) -> Result<T, StorageError> {
        let opened = aead::open_random(&self.rows, &aad(table, key), sealed).map_err(|_| {
            let table = table.name();
            StorageError::Failed(format!(
                "a row of table {table} does not open: damaged, or not of this key file"
            ))
        })?;
        codec::decode(opened.expose(), opened.len()).map_err(|_| table.damaged())
    }
}

fn aad(table: Table, key: &[u8]) -> Vec<u8> {
    length_prefixed(&[b"keyserver/1 at rest", table.name().as_bytes(), key])
}

/// The bytes of the network that an address belongs to.
fn bucket(address: IpAddr) -> Vec<u8> {
    match network(address) {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
