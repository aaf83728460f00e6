//! Where an operator can lie.

use std::sync::mpsc;

use serde_bytes::ByteBuf;
use shared::channel::Sealed;
use shared::wire::Hello;
use shared::wire::call::{Answer, AuditAnswer, Call, Request, SyncAnswer};
use shared::wire::login::{LoginResponse, Welcome};
use shared::wire::register::RegisterResponse;
use storage::api::Account;
use tokio::sync::oneshot;

type Change<T> = Box<dyn FnMut(&mut T) + Send>;
type ChangeAnswer<Q, A> = Box<dyn FnMut(&Q, &mut A) + Send>;
type Hold = Box<dyn FnMut(&Request) -> Option<oneshot::Receiver<()>> + Send>;
type Replace = Box<dyn FnMut(&Request) -> Option<Answer> + Send>;

/// A lie: changes one kind of message. What it leaves as it is counts as told the truth.
pub enum Lie {
    /// Who the server is.
    Hello(Change<Hello>),
    /// The answer to a registration's first message.
    Register(Change<RegisterResponse>),
    /// The stored account that a login is answered from.
    Account(Change<Option<Account>>),
    /// KE2.
    Login(Change<LoginResponse>),
    /// The first sealed message of a session.
    Welcome(Change<Welcome>),
    /// The same, sealed.
    Begin(Change<Sealed>),
    /// An answer, before it is sealed.
    Answer(ChangeAnswer<Request, Answer>),
    /// An answer instead of doing what was asked for.
    Instead(Replace),
    /// What is asked for is done only once the sender has spoken, or is gone; meanwhile others go on.
    Hold(Hold),
    /// The bytes of an answer, before they are sealed.
    Plaintext(ChangeAnswer<Request, Vec<u8>>),
    /// A sealed answer; the request that it answers is given.
    Sealed(ChangeAnswer<Sealed, Sealed>),
    /// Does what an append asks for, says outside the channel that there is no session, and refuses the next login.
    Lost,
    /// Status and body of an HTTP answer to this path.
    Http(&'static str, u16, Vec<u8>),
    /// An HTTP answer to this path that comes byte by byte and never ends.
    Drip(&'static str),
}

impl Lie {
    /// Holds the first request whose call `is_meant`. The receiver tells when it has come; it is carried out once the sender
    /// is dropped.
    pub fn hold_first(
        is_meant: fn(&Call) -> bool,
    ) -> (Self, mpsc::Receiver<()>, oneshot::Sender<()>) {
        let (reached, at) = mpsc::channel();
        let (release, waits) = oneshot::channel();
        let mut waits = Some(waits);
        let hold = Box::new(move |request: &Request| {
            let first = waits.take_if(|_| is_meant(&request.call))?;
            reached.send(()).unwrap();
            Some(first)
        });
        (Self::Hold(hold), at, release)
    }

    /// Changes answers to `fetch`.
    pub fn values(mut change: impl FnMut(&mut Vec<Option<ByteBuf>>) + Send + 'static) -> Self {
        Self::Answer(Box::new(move |_, answer| {
            if let Answer::Fetch(values) = answer {
                change(values);
            }
        }))
    }

    /// Answers every `fetch` with this one value.
    pub fn value(value: &[u8]) -> Self {
        let value = ByteBuf::from(value.to_vec());
        Self::values(move |values| *values = vec![Some(value.clone())])
    }

    /// Changes answers to `sync`.
    pub fn sync(mut change: impl FnMut(&mut SyncAnswer) + Send + 'static) -> Self {
        Self::Answer(Box::new(move |_, answer| {
            if let Answer::Sync(sync) = answer {
                change(sync);
            }
        }))
    }

    /// Changes answers to `audit`.
    pub fn audit(mut change: impl FnMut(&mut AuditAnswer) + Send + 'static) -> Self {
        Self::Answer(Box::new(move |_, answer| {
            if let Answer::Audit(audit) = answer {
                change(audit);
            }
        }))
    }
}
