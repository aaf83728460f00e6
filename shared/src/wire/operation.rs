//! Operations of a session: each request type names the type of its answer.

use serde_bytes::ByteBuf;

use crate::vault_log::Head;
use crate::wire::call::{
    Answer, Append, AuditAnswer, AuditRange, Call, Delete, Deleted, Fetch, Logout, Sync, SyncAnswer,
};
use crate::wire::error::Refusal;
use crate::wire::slots::{Enrol, Install, ListSlots, SlotsAnswer, Stage};

/// A request that is sent in the sealed channel of a session, with the type of its answer.
///
/// Every operation can be refused as
/// - `malformed`: the plaintext is no [`crate::wire::call::Request`], carries another number of signatures than
///   operations or no operation at all, or is not a `sync` with an opening where it is the first request;
/// - `bad_signature`: opening or signature does not verify; such a request leaves no audit record;
/// - `too_large`: more than [`crate::wire::limits::MAX_BATCH`] operations in one request;
/// - `no_session`: the account was deleted, or the account key or the credential of the session was replaced or
///   revoked;
/// - `throttled`: the account's rate of operations is used up, or the queue of writes is full;
/// - `quota`: the account's audit records are over their quota; `disk_full`: the server has no room for them. Neither
///   refuses a logout;
/// - `internal`, `unavailable`: the server failed, or is shutting down.
///
/// Each request type lists its further refusals. A refused operation changed nothing but the audit log.
pub trait Operation: Into<Call> {
    /// The server's answer once the operation is done.
    type Answer;

    /// The answer as a message.
    fn encode_answer(done: Self::Answer) -> Answer;

    /// Takes this operation's answer out of a message; the inner result is the server's refusal.
    ///
    /// # Errors
    /// [`UnexpectedAnswer`] if the message answers another operation.
    fn decode_answer(answer: Answer) -> Result<Result<Self::Answer, Refusal>, UnexpectedAnswer>;
}

/// The message answers another operation than the request's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer belongs to another operation")]
pub struct UnexpectedAnswer;

/// Implements [`Operation`]: `request -> answer, request to Call, answer to Answer`; a fourth argument matches an
/// answer variant without content.
macro_rules! operation {
    ($request:ident -> $done:ty, $call:expr, $answer:path) => {
        operation!($request -> $done, $call, $answer, $answer(done) => done);
    };
    ($request:ident -> $done:ty, $call:expr, $answer:expr, $variant:pat => $content:expr) => {
        impl From<$request> for Call {
            fn from(request: $request) -> Self {
                let call: fn($request) -> Self = $call;
                call(request)
            }
        }

        impl Operation for $request {
            type Answer = $done;

            fn encode_answer(done: $done) -> Answer {
                let answer: fn($done) -> Answer = $answer;
                answer(done)
            }

            fn decode_answer(answer: Answer) -> Result<Result<$done, Refusal>, UnexpectedAnswer> {
                match answer {
                    $variant => Ok(Ok($content)),
                    Answer::Refused(refusal) => Ok(Err(refusal)),
                    _ => Err(UnexpectedAnswer),
                }
            }
        }
    };
}

operation!(Sync -> SyncAnswer, Call::Sync, Answer::Sync);
operation!(Append -> Head, Call::Append, Answer::Append);
operation!(Fetch -> Vec<Option<ByteBuf>>, Call::Fetch, Answer::Fetch);
operation!(AuditRange -> AuditAnswer, Call::Audit, Answer::Audit);
operation!(Logout -> (), Call::Logout, |()| Answer::Logout, Answer::Logout => ());
operation!(ListSlots -> SlotsAnswer, |ListSlots| Call::Slots, Answer::Slots);
operation!(Enrol -> Vec<ByteBuf>, Call::Enrol, Answer::Enrol);
operation!(Stage -> Vec<ByteBuf>, Call::Stage, Answer::Stage);
operation!(Install -> Head, Call::Install, Answer::Install);
operation!(Delete -> Deleted, Call::Delete, Answer::Delete);
