//! Both halves of the sealed channel, with everything between them in the fuzzer's hands.

use serde_bytes::ByteBuf;
use shared::channel::{
    ChannelError, ClientIdle, ClientWaiting, Received, Sealed, ServerChannel, session_id,
};
use shared::ids::SessionId;

use crate::cursor::Cursor;
use crate::wire::canonical;
use crate::world::SESSION_KEY;

enum Client {
    Idle(ClientIdle),
    Waiting(ClientWaiting),
}

/// The channel, and what must be true of it.
struct Model {
    server: ServerChannel,
    client: Client,
    /// Requests that the server has taken in, newest last, as sealed and as meant.
    taken: Vec<Sealed>,
    /// The request under way in the client's hands.
    meant: Vec<u8>,
    /// The newest answer, as sealed and as meant; `None` while the newest request is worked on.
    answer: Option<(Sealed, Vec<u8>)>,
}

/// Runs a script of sending, losing, repeating, altering and making up messages. The server works on each request
/// once, in order, as it was meant; nobody takes in what the other half did not seal.
pub(crate) fn channel(data: &[u8]) {
    let mut script = Cursor::new(data);
    let server = ServerChannel::new(&SESSION_KEY);
    let welcome = server.welcome(b"welcome");
    if script.choice(4) == 0 {
        if let Some(shown) = canonical::<Sealed>(script.rest(), usize::MAX) {
            let started = ClientIdle::start(&SESSION_KEY, &shown);
            assert_eq!(started.is_ok(), shown == welcome);
        }
        return;
    }
    let (client, opened) = ClientIdle::start(&SESSION_KEY, &welcome).unwrap();
    assert_eq!(opened.expose(), b"welcome");
    let mut model = Model {
        server,
        client: Client::Idle(client),
        taken: Vec::new(),
        meant: Vec::new(),
        answer: None,
    };
    while !script.is_empty() {
        match model.step(&mut script) {
            Some(next) => model = next,
            None => return,
        }
    }
}

impl Model {
    /// `None` where the client's session has ended.
    fn step(mut self, script: &mut Cursor<'_>) -> Option<Self> {
        match script.choice(8) {
            0 | 1 => self.request(script.chunk()),
            2 => self.deliver(),
            3 => self.work(script.chunk()),
            4 => return self.receive_answer(),
            5 => self.forge(script),
            6 => self.replay(usize::from(script.byte())),
            _ => return self.forge_answer(script),
        }
        Some(self)
    }

    fn request(&mut self, plaintext: &[u8]) {
        let placeholder = Client::Idle(
            ClientIdle::start(&SESSION_KEY, &self.server.welcome(b""))
                .unwrap()
                .0,
        );
        self.client = match std::mem::replace(&mut self.client, placeholder) {
            Client::Idle(idle) => {
                self.meant = plaintext.to_vec();
                Client::Waiting(idle.request(plaintext))
            }
            waiting @ Client::Waiting(_) => waiting,
        };
    }

    /// The client's request arrives, perhaps once more.
    fn deliver(&mut self) {
        let Client::Waiting(waiting) = &self.client else {
            return;
        };
        let sealed = waiting.sealed().clone();
        let received = self.server.receive(&sealed);
        if self.taken.last() != Some(&sealed) {
            let Ok(Received::New(plaintext)) = received else {
                panic!("a new request was not taken: {received:?}");
            };
            assert_eq!(plaintext.expose(), self.meant);
            self.taken.push(sealed);
            self.answer = None;
        } else if let Some((answer, _)) = &self.answer {
            assert!(matches!(received, Ok(Received::Repeated(same)) if same == *answer));
        } else {
            assert_eq!(received.err(), Some(ChannelError::Busy));
        }
    }

    fn work(&mut self, plaintext: &[u8]) {
        let expected = !self.taken.is_empty() && self.answer.is_none();
        let answer = self.server.answer(plaintext);
        assert_eq!(answer.is_ok(), expected);
        if let Ok(answer) = answer {
            self.answer = Some((answer, plaintext.to_vec()));
        }
    }

    fn receive_answer(mut self) -> Option<Self> {
        let Client::Waiting(waiting) = self.client else {
            return Some(self);
        };
        let Some((answer, meant)) = &self.answer else {
            self.client = Client::Waiting(waiting);
            return Some(self);
        };
        let is_own = self.taken.last() == Some(waiting.sealed());
        let opened = waiting.answer(answer);
        assert_eq!(opened.is_ok(), is_own);
        let (idle, plaintext) = opened.ok()?;
        assert_eq!(plaintext.expose(), meant);
        self.client = Client::Idle(idle);
        Some(self)
    }

    /// Something that the client did not seal comes to the server.
    fn forge(&mut self, script: &mut Cursor<'_>) {
        let genuine = match &self.client {
            Client::Waiting(waiting) => waiting.sealed().clone(),
            Client::Idle(_) => Sealed {
                session: session_id(&SESSION_KEY),
                counter: script.number(),
                body: ByteBuf::from(script.chunk().to_vec()),
            },
        };
        let forged = altered(&genuine, script);
        if forged != genuine {
            assert!(
                !matches!(self.server.receive(&forged), Ok(Received::New(_))),
                "a forged request was taken"
            );
        }
    }

    /// A request of before comes once more.
    fn replay(&mut self, which: usize) {
        if self.taken.is_empty() {
            return;
        }
        let old = self.taken[which % self.taken.len()].clone();
        let is_newest = self.taken.last() == Some(&old);
        match self.server.receive(&old) {
            Ok(Received::New(_)) => panic!("a request was taken twice"),
            Ok(Received::Repeated(answer)) => {
                assert!(
                    is_newest
                        && self
                            .answer
                            .as_ref()
                            .is_some_and(|(known, _)| *known == answer)
                );
            }
            Err(_) => assert!(!is_newest || self.answer.is_none()),
        }
    }

    /// Something that the server did not seal comes to the client, whose session must end.
    fn forge_answer(self, script: &mut Cursor<'_>) -> Option<Self> {
        let Client::Waiting(waiting) = self.client else {
            return Some(self);
        };
        let genuine = self.answer.map(|(answer, _)| answer);
        let base = genuine.clone().unwrap_or_else(|| waiting.sealed().clone());
        let forged = altered(&base, script);
        assert!(genuine == Some(forged.clone()) || waiting.answer(&forged).is_err());
        None
    }
}

/// Alters session, counter, length or bytes.
fn altered(sealed: &Sealed, script: &mut Cursor<'_>) -> Sealed {
    let mut altered = sealed.clone();
    match script.choice(5) {
        0 => altered.session = SessionId::new(script.array()),
        1 => altered.counter = altered.counter.wrapping_add(script.number()),
        2 => {
            let position = usize::from(script.byte()) % altered.body.len().max(1);
            if let Some(byte) = altered.body.get_mut(position) {
                *byte ^= script.byte();
            }
        }
        3 => altered.body.truncate(usize::from(script.byte())),
        _ => altered.body.extend_from_slice(script.chunk()),
    }
    altered
}
