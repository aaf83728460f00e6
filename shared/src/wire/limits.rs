//! Limits that both sides enforce.

/// Longest value before padding and encryption, in bytes.
pub const MAX_VALUE_LEN: usize = 1024 * 1024;
/// Longest sealed value, in bytes: padding adds at most an eighth, encryption 28 bytes.
pub const MAX_SEALED_VALUE_LEN: usize = MAX_VALUE_LEN + MAX_VALUE_LEN / 8 + 64;
/// Longest body of a request or an answer, in bytes.
pub const MAX_BODY_LEN: usize = 4 * 1024 * 1024;
/// Longest body of a request before login, in bytes.
pub const MAX_OPEN_BODY_LEN: usize = 16 * 1024;
/// Most entries in one append, and most values in one fetch.
pub const MAX_BATCH: usize = 256;
/// Most entries in one sync answer, and most records in one audit answer.
pub const MAX_PAGE: usize = 1000;
/// Most devices with a `seen` whose consistency proofs one sync answer carries.
pub const MAX_SEEN: usize = 64;
/// Bytes of items after which the server ends an answer; one more item still fits below [`MAX_BODY_LEN`].
pub const ANSWER_BUDGET: usize = 2 * 1024 * 1024;
/// How long after its removal any session may destroy a secret, in milliseconds: 30 days.
pub const REMOVED_KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// Most slots of one account.
pub const MAX_SLOTS: usize = 16;
/// Most sessions in one answer.
pub const MAX_SESSIONS: usize = 256;
