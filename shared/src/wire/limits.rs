//! Bounds that both sides keep, in bytes unless said otherwise.

/// Longest value, before padding and sealing.
pub const MAX_VALUE_LEN: usize = 1024 * 1024;
/// Longest sealed value: padding adds at most an eighth, sealing 28 bytes.
pub const MAX_SEALED_VALUE_LEN: usize = MAX_VALUE_LEN + MAX_VALUE_LEN / 8 + 64;
/// Longest body of a request or an answer.
pub const MAX_BODY_LEN: usize = 4 * 1024 * 1024;
/// Longest body of a request before login.
pub const MAX_OPEN_BODY_LEN: usize = 16 * 1024;
/// Most entries in one append, values in one fetch: a count.
pub const MAX_BATCH: usize = 256;
/// Most entries in one sync answer, records in one audit answer: a count.
pub const MAX_PAGE: usize = 1000;
/// What the server fills an answer with at most, so that one more item still fits below [`MAX_BODY_LEN`].
pub const ANSWER_BUDGET: usize = 2 * 1024 * 1024;
/// Most slots of one account: a count.
pub const MAX_SLOTS: usize = 16;
/// Most sessions of one account that a list of them shows: a count.
pub const MAX_SESSIONS: usize = 256;
