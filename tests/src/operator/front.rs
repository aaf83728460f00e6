//! What clients of an operator connect to: the real service, with a lie where one is told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, PayloadConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use ed25519_dalek::SigningKey;
use keyserver::config::Config;
use keyserver::embedded::{self, Parts};
use keyserver::operations::call::Taken;
use keyserver::operations::service::Service;
use keyserver::sessions::Seal;
use keyserver::sessions::session::Context;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;
use shared::channel::Sealed;
use shared::codec;
use shared::ids::{AccountId, PublicKey};
use shared::request::Opening;
use shared::wire::call::{Answer, Append, Call, NewEntry, Request, SyncAnswer};
use shared::wire::error::Refusal;
use shared::wire::login::{LoginFinish, LoginStart};
use shared::wire::register::{RegisterFinish, RegisterStart};
use shared::wire::{CONTENT_TYPE, path};
use storage::api::{Account, ReadAudit};
use tokio::sync::oneshot;

use super::ledger::seen_sizes;
use super::lie::Lie;

const REMOTE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const MAX_BODY: usize = 8 * 1024 * 1024;
const DRIP: Duration = Duration::from_millis(50);

/// What the front remembers.
#[derive(Default)]
pub struct Front(Mutex<State>);

#[derive(Default)]
struct State {
    lie: Option<Lie>,
    told: usize,
    writes_after: usize,
    appended: Vec<(AccountId, NewEntry)>,
    calls: Vec<Call>,
    /// What the database holds of the account that a login was started for last.
    truth: Option<Account>,
}

impl Front {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the lie, and counts anew.
    pub fn lie(&self, lie: Option<Lie>) {
        let mut state = self.state();
        state.lie = lie;
        state.told = 0;
        state.writes_after = 0;
    }

    /// How many answers were changed.
    pub fn told(&self) -> usize {
        self.state().told
    }

    /// How many requests to write came after that.
    pub fn writes_after(&self) -> usize {
        self.state().writes_after
    }

    /// Every entry that came in.
    pub fn appended(&self) -> Vec<(AccountId, NewEntry)> {
        self.state().appended.clone()
    }

    /// Every call that came in.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// Lets the device of a session in that another credential opened than the database holds: towards their own server
    /// the operator vouches for it.
    fn vouch(&self, context: &mut Context, request: &mut Request) {
        let is_lying = matches!(self.state().lie, Some(Lie::Account(_)));
        let (account, session, by) = (&context.account, &context.session, context.by);
        let is_wrong = |opening: &&mut Opening| {
            (opening.slot, opening.generation) != by
                || !opening.is_signed_by(account, session, &context.signing)
        };
        let opening = request.opening.as_mut().filter(is_wrong);
        if let Some(opening) = opening.filter(|_| is_lying) {
            let key = SigningKey::from_bytes(&[1; 32]);
            *opening = Opening::sign(account, session, by, opening.device, &key);
            context.signing = PublicKey::new(key.verifying_key().to_bytes());
        }
    }

    /// Lets the lie change a message, and counts it where it did.
    fn change<T: Clone + Serialize>(&self, message: &mut T, lie: impl FnOnce(&mut Lie, &mut T)) {
        let mut state = self.state();
        let encoded = |message: &T| codec::encode(message).unwrap();
        if let Some(told) = &mut state.lie {
            let before = encoded(message);
            lie(told, message);
            if encoded(message) != before {
                state.told += 1;
            }
        }
    }

    fn loses(&self) -> bool {
        let mut state = self.state();
        let loses = matches!(state.lie, Some(Lie::Lost));
        state.told += usize::from(loses);
        loses
    }

    fn instead(&self, request: &Request) -> Option<Answer> {
        let mut state = self.state();
        let Some(Lie::Instead(lie)) = &mut state.lie else {
            return None;
        };
        let answer = lie(request)?;
        state.told += 1;
        Some(answer)
    }

    fn hold(&self, request: &Request) -> Option<oneshot::Receiver<()>> {
        match &mut self.state().lie {
            Some(Lie::Hold(hold)) => hold(request),
            _ => None,
        }
    }

    fn http_lie(&self, asked: &str) -> Option<HttpResponse> {
        let mut state = self.state();
        let answer = match &state.lie {
            Some(Lie::Http(path, status, body)) if *path == asked => {
                let status = StatusCode::from_u16(*status).unwrap();
                HttpResponse::build(status)
                    .content_type(CONTENT_TYPE)
                    .body(body.clone())
            }
            Some(Lie::Drip(path)) if *path == asked => HttpResponse::Ok().streaming(drip()),
            _ => return None,
        };
        state.told += 1;
        Some(answer)
    }

    fn note(&self, account: AccountId, request: &Request) {
        let mut state = self.state();
        state.calls.push(request.call.clone());
        let is_write = matches!(request.call, Call::Append(_) | Call::Install(_));
        if is_write && state.told > 0 {
            state.writes_after += 1;
        }
        if let Call::Append(Append(entries)) = &request.call {
            let entries = entries.iter().map(|new| (account, new.clone()));
            state.appended.extend(entries);
        }
    }
}

/// Runs until `stopped`.
pub async fn serve(
    config: &Config,
    front: std::sync::Arc<Front>,
    ready: &mpsc::Sender<(SocketAddr, String)>,
    stopped: oneshot::Receiver<()>,
) {
    let Parts {
        service,
        certificate,
        pin,
    } = embedded::assemble(config).unwrap();
    let storage = service.storage.clone();
    let (service, front) = (Data::new(service), Data::from(front));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(PayloadConfig::new(MAX_BODY))
            .app_data(service.clone())
            .app_data(front.clone())
            .default_service(web::to(handle))
    })
    .workers(1)
    // As patient as the real server: between two requests a client stretches keys, which takes long on a busy machine.
    .keep_alive(config.keep_alive)
    .client_request_timeout(config.request_timeout)
    .tls_handshake_timeout(config.request_timeout)
    .shutdown_timeout(1)
    .disable_signals()
    .bind_rustls_0_23(
        config.listen.as_slice(),
        certificate.server_config().unwrap(),
    )
    .unwrap();
    let address = *server.addrs().first().unwrap();
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    ready.send((address, pin)).unwrap();
    // A dropped sender is a stop.
    let _ = stopped.await;
    handle.stop(false).await;
    storage.send(keyserver::storage::Stop).await.unwrap();
    actix::System::current().stop();
}

async fn handle(
    request: HttpRequest,
    body: Bytes,
    service: Data<Service>,
    front: Data<Front>,
) -> HttpResponse {
    if let Some(lie) = front.http_lie(request.path()) {
        return lie;
    }
    let answer = match request.path() {
        path::HELLO => {
            let mut hello = service.hello();
            front.change(&mut hello, |lie, hello| {
                if let Lie::Hello(lie) = lie {
                    lie(hello);
                }
            });
            encode(&hello)
        }
        path::REGISTER_START => register_start(&service, &front, &body).await,
        path::REGISTER_FINISH => match decode::<RegisterFinish>(&body) {
            Ok(message) => service
                .register_finish(message, REMOTE)
                .await
                .and_then(|()| encode(&())),
            Err(refusal) => Err(refusal),
        },
        path::LOGIN_START => login_start(&service, &front, &body).await,
        path::LOGIN_FINISH => login_finish(&service, &front, &body).await,
        path::CALL => call(&service, &front, &body).await,
        _ => Err(Refusal::Malformed),
    };
    match answer {
        Ok(body) => HttpResponse::Ok().content_type(CONTENT_TYPE).body(body),
        Err(refusal) => HttpResponse::BadRequest()
            .content_type(CONTENT_TYPE)
            .body(codec::encode(&refusal).unwrap()),
    }
}

fn drip() -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    futures_util::stream::unfold((), |()| async {
        actix_web::rt::time::sleep(DRIP).await;
        Some((Ok(Bytes::from_static(b"\x91")), ()))
    })
}

fn encode(message: &impl Serialize) -> Result<Vec<u8>, Refusal> {
    codec::encode(message).map_err(|_| Refusal::Internal)
}

fn decode<T: Serialize + DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    codec::decode(body, MAX_BODY).map_err(|_| Refusal::Malformed)
}

async fn register_start(service: &Service, front: &Front, body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let message: RegisterStart = decode(body)?;
    let mut answer = service.register_start(message, REMOTE).await?;
    front.change(&mut answer, |lie, answer| {
        if let Lie::Register(lie) = lie {
            lie(answer);
        }
    });
    encode(&answer)
}

async fn login_start(service: &Service, front: &Front, body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let message: LoginStart = decode(body)?;
    if front.told() > 0 && front.loses() {
        return Err(Refusal::Throttled(60_000));
    }
    let mut account = service.count_login(&message, REMOTE).await?;
    front.state().truth.clone_from(&account);
    front.change(&mut account, |lie, account| {
        if let Lie::Account(lie) = lie {
            lie(account);
        }
    });
    let mut answer = service.answer_login(message, account, REMOTE).await?;
    front.change(&mut answer, |lie, answer| {
        if let Lie::Login(lie) = lie {
            lie(answer);
        }
    });
    encode(&answer)
}

async fn login_finish(service: &Service, front: &Front, body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let message: LoginFinish = decode(body)?;
    let mut proven = service.check_proof(message, REMOTE).await?;
    // Storage goes by what it holds; the operator lets in whoever they answered.
    let shown = proven.wrapped.clone();
    if let Some(truth) = &front.state().truth {
        let mut slots = truth.slots.iter().map(|held| &held.credential);
        let held = slots.find(|held| held.slot == proven.slot);
        proven.wrapped = held.map_or_else(|| shown.clone(), |held| held.wrapped.clone());
    }
    let (holder, mut welcome) = service.record_login(&proven, REMOTE).await?;
    if welcome.wrapped != shown {
        // The keys of later epochs would give the wrapped one away as an old one.
        welcome.slot_key = None;
        welcome.history = None;
    }
    welcome.wrapped = shown;
    front.change(&mut welcome, |lie, welcome| {
        if let Lie::Welcome(lie) = lie {
            lie(welcome);
        }
    });
    let begun = service.begin(holder, proven.session_key, &welcome, REMOTE);
    let mut sealed = begun.await?;
    front.change(&mut sealed, |lie, sealed| {
        if let Lie::Begin(lie) = lie {
            lie(sealed);
        }
    });
    encode(&sealed)
}

async fn call(service: &Service, front: &Front, body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let sealed: Sealed = decode(body)?;
    match service.open(sealed.clone()).await? {
        Taken::Repeated(answer) => encode(&answer),
        Taken::New(mut context, request) => {
            let mut request = request.ok_or(Refusal::Malformed)?;
            front.vouch(&mut context, &mut request);
            let is_append = matches!(request.call, Call::Append(_));
            let answer = answer(service, front, context, *request).await?;
            if is_append && front.loses() {
                return Err(Refusal::NoSession);
            }
            encode(&seal(service, front, &sealed, answer).await?)
        }
    }
}

async fn answer(
    service: &Service,
    front: &Front,
    context: Context,
    request: Request,
) -> Result<Seal, Refusal> {
    let (session, account) = (context.session, context.account);
    front.note(account, &request);
    if let Some(held) = front.hold(&request) {
        let _ = held.await;
    }
    let mut answer = match front.instead(&request) {
        Some(answer) => answer,
        None => service
            .perform(context, Some(Box::new(request.clone())), REMOTE)
            .await
            .unwrap_or_else(Answer::Refused),
    };
    let truth = answer.clone();
    front.change(&mut answer, |lie, answer| {
        if let Lie::Answer(lie) = lie {
            lie(&request, answer);
        }
    });
    if let (Answer::Sync(truth), Answer::Sync(shown)) = (truth, &mut answer) {
        prove_seen(service, account, &truth, shown).await;
    }
    let mut plaintext = ByteBuf::from(encode(&answer)?);
    front.change(&mut plaintext, |lie, plaintext| {
        if let Lie::Plaintext(lie) = lie {
            lie(&request, plaintext);
        }
    });
    Ok(Seal {
        session,
        answer: plaintext,
        is_done: !matches!(answer, Answer::Refused(_)),
        close: matches!(request.call, Call::Logout(_)),
    })
}

/// Where a lie shows other entries under the true checkpoint: proves what their devices have seen, as the operator can.
async fn prove_seen(
    service: &Service,
    account: AccountId,
    truth: &SyncAnswer,
    shown: &mut SyncAnswer,
) {
    let entries = |sync: &SyncAnswer| codec::encode(&sync.entries).unwrap();
    let is_told = shown.seen != truth.seen || shown.checkpoint != truth.checkpoint;
    if is_told || entries(truth) == entries(shown) {
        return;
    }
    // A signed note (C2SP `tlog-checkpoint`): its second line is the size.
    let size: u64 = shown.checkpoint.lines().nth(1).unwrap().parse().unwrap();
    let read = ReadAudit {
        account,
        from: 0,
        limit: 0,
        size: Some(size),
        verified_size: 0,
        proofs: false,
        seen: seen_sizes(shown, size).into_iter().collect(),
    };
    let page = keyserver::storage::ask(&service.storage, read).await;
    shown.seen = page.unwrap().seen;
}

async fn seal(
    service: &Service,
    front: &Front,
    request: &Sealed,
    answer: Seal,
) -> Result<Sealed, Refusal> {
    let mut sealed = service.seal_encoded(answer).await?;
    front.change(&mut sealed, |lie, sealed| {
        if let Lie::Sealed(lie) = lie {
            lie(request, sealed);
        }
    });
    Ok(sealed)
}
