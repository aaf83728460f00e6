//! Reading sealed values.

use serde::{Deserialize, Serialize};

use crate::ids::{SecretId, Version};

/// Reads at most [`crate::wire::limits::MAX_BATCH`] sealed values; answers with the first ones of them in the same
/// order, as many as fit and at least one, `None` for a value that does not exist. No further refusals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fetch(pub Vec<ValueRef>);

/// One version of one secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueRef {
    /// The secret.
    pub secret: SecretId,
    /// The version.
    pub version: Version,
}
