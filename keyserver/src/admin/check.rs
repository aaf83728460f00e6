//! `keyserver check`: verifies the database under the key file, and counts its contents.

use std::fmt;

use storage::Store;
use storage::api::Summary;

use crate::admin::AdminError;
use crate::config::Config;
use crate::keyfile::KeyFile;

/// Output of `check`: one count per line.
#[derive(Debug)]
pub struct Report(Summary);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary {
            accounts,
            entries,
            secrets,
            values,
            records,
            ..
        } = self.0;
        writeln!(f, "accounts {accounts}")?;
        writeln!(f, "vault log entries {entries}")?;
        writeln!(f, "secrets {secrets}")?;
        writeln!(f, "values {values}")?;
        writeln!(f, "audit records {records}")?;
        write!(f, "whole")
    }
}

/// Reads the whole database without changing it; no server may run on it.
pub fn check(config: &Config) -> Result<Report, AdminError> {
    if !storage_lmdb::was_used(&config.data_dir) {
        return Err(AdminError::NoServer(config.data_dir.clone()));
    }
    let keys = KeyFile::open(&config.key_file(), &config.data_dir)?;
    let summary = config
        .engine()
        .and_then(|engine| Store::open(engine, config.storage(), &keys.at_rest))
        .and_then(|store| store.check())
        .map_err(|error| AdminError::Database(error.to_string()))?;
    Ok(Report(summary))
}
