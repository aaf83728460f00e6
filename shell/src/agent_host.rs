//! The agent's process. It answers one request at a time, until it is locked, has been idle for too long, receives a
//! signal, or the machine was suspended. A task of its own reads from each caller, so that a slow one delays nothing.

use std::fs::Permissions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use keyshell_base::files;
use keyshell_client::account::Connect as _;
use keyshell_client::agent::{Answer, Ask, Found, MAX_MESSAGE, Purpose, Status, Values, line};
use keyshell_client::device::home;
use keyshell_client::error::Error as ClientError;
use keyshell_client::index::Index;
use keyshell_formats::item::TEXT;
use rustix::mm::{MlockAllFlags, mlockall};
use serde_bytes::ByteBuf;
use shared::codec;
use shared::secret::SecretBytes;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Interval, timeout};

use crate::agent::Handover;
use crate::commands::field::{self, Place};
use crate::error::{Error, Result};
use crate::options::Options;
use crate::process::wipe_stack;
use crate::repl::completer;
use crate::shell::Shell;
use crate::time::{suspended, uptime};

/// Interval of the checks for idle time and suspension.
const TICK: Duration = Duration::from_secs(1);
/// Minimum growth of the suspended time that counts as a suspension.
const MIN_SUSPENSION: Duration = Duration::from_secs(5);
/// Longest time that a caller has for one request, from its first to its last byte, and to take the answer.
const CALLER_TIMEOUT: Duration = Duration::from_secs(10);
/// Most callers at once; further ones wait.
const MAX_CALLERS: usize = 64;

/// Runs the agent; returns when it is locked.
pub fn run(options: Options) -> ExitCode {
    let _ = rustix::process::setsid();
    match serve(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The parent process reads the first line.
            report(&error.to_string());
            ExitCode::from(error.status())
        }
    }
}

fn report(line: &str) {
    let mut out = io::stdout();
    let _ = writeln!(out, "{}", line.replace('\n', " ")).and_then(|()| out.flush());
}

fn serve(options: Options) -> Result<()> {
    let memory_locked = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE).is_ok();
    let handover = read_handover()?;
    let mut shell = Shell::new(options)?;
    let path = shell.context.home.agent_socket();
    home::make_parent(&path)?;
    // Held as long as this process lives: there is one agent per profile.
    let lock = shell.context.home.agent_lock();
    home::make_parent(&lock)?;
    let _only = home::lock(&lock)?;
    let place = shell.context.home.agent_place();
    files::replace(&place, path.as_os_str().as_bytes()).map_err(Error::writing(&place))?;
    // The socket of an agent that has ended, since the lock was free.
    home::remove(&path)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::io("starting the agent"))?;
    let served = runtime.block_on(async {
        shell.account.renewal.asks_agent = false;
        shell
            .account
            .set_credential(SecretBytes::new(handover.secret.clone().into_vec()));
        shell.account.vault().await?;
        let listening = Error::io(format!("listening at {}", path.display()));
        let listener = UnixListener::bind(&path).map_err(&listening)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(&listening)?;
        let (requests, asked) = mpsc::channel(1);
        tokio::spawn(accept(listener, requests));
        report("ready");
        let mut host = Host {
            shell,
            handover,
            memory_locked,
            last_use: uptime(),
            suspended_before: suspended(),
        };
        let ended = host.answer_until_locked(asked).await;
        // `retire` wipes the keys first, whether or not the server answers.
        let retired = host.shell.retire().await.map(drop);
        ended.and(retired)
    });
    let gone = home::remove(&path).and(home::remove(&place));
    wipe_stack();
    served.and(gone.map_err(Error::from))
}

fn read_handover() -> Result<Handover> {
    let mut bytes = Vec::with_capacity(64 * 1024);
    io::stdin()
        .take(64 * 1024)
        .read_to_end(&mut bytes)
        .map_err(Error::io("reading the agent's credential"))?;
    let bytes = SecretBytes::new(bytes);
    codec::decode(bytes.expose(), bytes.len())
        .map_err(|_| Error::usage("the agent is started by `unlock`"))
}

/// Events that end the agent: signals and suspension.
struct Shutdown {
    terminated: Signal,
    interrupted: Signal,
    hung_up: Signal,
    tick: Interval,
    /// Total suspended time when the agent started.
    suspended_before: Duration,
}

impl Shutdown {
    fn new(suspended_before: Duration) -> Result<Self> {
        let listen = |kind| signal(kind).map_err(Error::io("starting the agent"));
        Ok(Self {
            terminated: listen(SignalKind::terminate())?,
            interrupted: listen(SignalKind::interrupt())?,
            hung_up: listen(SignalKind::hangup())?,
            tick: tokio::time::interval(TICK),
            suspended_before,
        })
    }

    /// Waits for a signal or a suspension of the machine.
    async fn requested(&mut self) {
        self.requested_or_at(Duration::MAX).await;
    }

    /// Waits for a signal, a suspension, or the uptime `deadline`.
    async fn requested_or_at(&mut self, deadline: Duration) {
        loop {
            tokio::select! {
                _ = self.tick.tick() => {
                    let asleep = suspended().saturating_sub(self.suspended_before) > MIN_SUSPENSION;
                    if asleep || uptime() >= deadline {
                        return;
                    }
                }
                _ = self.terminated.recv() => return,
                _ = self.interrupted.recv() => return,
                _ = self.hung_up.recv() => return,
            }
        }
    }
}

/// A request of a caller.
struct Request {
    ask: Ask,
    answer: oneshot::Sender<Reply>,
}

/// The answer to a request.
struct Reply {
    answer: Answer,
    /// Told once the answer was sent.
    sent: Option<oneshot::Sender<()>>,
}

/// Delivers the last answer before the process ends.
async fn deliver(to: oneshot::Sender<Reply>, answer: Answer) {
    let (sent, was_sent) = oneshot::channel();
    let sent = Some(sent);
    if to.send(Reply { answer, sent }).is_ok() {
        let _ = was_sent.await;
    }
}

/// Takes callers until the process ends.
async fn accept(listener: UnixListener, requests: mpsc::Sender<Request>) {
    let callers = Arc::new(Semaphore::new(MAX_CALLERS));
    loop {
        let Ok(place) = Arc::clone(&callers).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let requests = requests.clone();
        tokio::spawn(async move {
            pass_on(stream, requests).await;
            drop(place);
        });
    }
}

/// Passes on the requests of one caller, until it closes the connection, is too slow, or breaks the protocol.
async fn pass_on(mut stream: UnixStream, requests: mpsc::Sender<Request>) {
    if !line::is_own(&stream) {
        return;
    }
    while let Ok(Ok(message)) = timeout(CALLER_TIMEOUT, line::receive(&mut stream)).await {
        let Ok(ask) = codec::decode::<Ask>(message.expose(), MAX_MESSAGE) else {
            return;
        };
        let (answer, answered) = oneshot::channel();
        if requests.send(Request { ask, answer }).await.is_err() {
            return;
        }
        let Ok(Reply { answer, sent }) = answered.await else {
            return;
        };
        let Ok(encoded) = codec::encode(&answer).map(SecretBytes::new) else {
            return;
        };
        let written = timeout(CALLER_TIMEOUT, line::send(&mut stream, &encoded)).await;
        // Dropping `sent` tells as well.
        drop(sent);
        if !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
}

struct Host {
    shell: Shell,
    handover: Handover,
    memory_locked: bool,
    last_use: Duration,
    suspended_before: Duration,
}

impl Host {
    async fn answer_until_locked(&mut self, mut asked: mpsc::Receiver<Request>) -> Result<()> {
        let mut shutdown = Shutdown::new(self.suspended_before)?;
        loop {
            let request = tokio::select! {
                request = asked.recv() => request,
                () = shutdown.requested_or_at(self.last_use + self.idle()) => return Ok(()),
            };
            let Some(Request { ask, answer }) = request else {
                return Ok(());
            };
            // A request to a silent server must not delay the exit.
            let answered = tokio::select! {
                answered = self.answer(ask) => answered,
                () = shutdown.requested() => return Ok(()),
            };
            // Without its credential the agent cannot answer any request.
            if matches!(answered, Answer::Locked { .. }) || !self.shell.account.has_credential() {
                // Before the answer is sent: the next caller must find no agent.
                let _ = home::remove(&self.shell.context.home.agent_socket());
                // The caller relies on wiped keys when it reads `Locked`. Memory is wiped when it is freed.
                let is_retired = self.shell.retire().await.unwrap_or_default();
                self.handover.secret = ByteBuf::new();
                let answered = match answered {
                    Answer::Locked { .. } => Answer::Locked { is_retired },
                    answered => answered,
                };
                deliver(answer, answered).await;
                return Ok(());
            }
            let _ = answer.send(Reply {
                answer: answered,
                sent: None,
            });
            wipe_stack();
        }
    }

    fn idle(&self) -> Duration {
        Duration::from_millis(self.handover.idle_ms)
    }

    fn left(&self) -> Duration {
        (self.last_use + self.idle()).saturating_sub(uptime())
    }

    async fn answer(&mut self, ask: Ask) -> Answer {
        if self.left().is_zero() {
            return Answer::Locked { is_retired: false };
        }
        match ask {
            Ask::Status => Answer::Status(self.status()),
            Ask::Lock => Answer::Locked { is_retired: false },
            Ask::Names(_) | Ask::Credential if !self.handover.reveals => Answer::NoReveal,
            Ask::Names(typed) => Answer::Names(self.names(&typed)),
            Ask::Credential => {
                self.last_use = uptime();
                Answer::Credential(self.handover.secret.clone())
            }
            Ask::Values(values) => {
                if values.purpose == Purpose::Reveal && !self.handover.reveals {
                    return Answer::NoReveal;
                }
                self.last_use = uptime();
                match self.values(&values).await {
                    Ok(answer) => answer,
                    Err(Error::Client(ClientError::NoSuchSecret(what))) => {
                        Answer::Missing(what, None)
                    }
                    Err(Error::Client(ClientError::NoSuchVersion(text))) => {
                        Answer::MissingVersion(text)
                    }
                    Err(Error::Client(ClientError::NoSuchSecretBut(what, near))) => {
                        Answer::Missing(what, Some(near))
                    }
                    Err(error) => {
                        if error.is_verification() {
                            self.shell.account.distrust(&error.to_string());
                        }
                        Answer::Failed(error.status(), error.to_string())
                    }
                }
            }
        }
    }

    fn status(&self) -> Status {
        Status {
            account: self.handover.account.clone(),
            server: self.shell.account.connector.server_name(),
            pid: std::process::id(),
            seconds_left: self.left().as_secs(),
            reveals: self.handover.reveals,
            reason: self.handover.reason.clone(),
            memory_locked: self.memory_locked,
        }
    }

    /// Names from the index in memory: a completion must not wait for the server, nor cause audit records.
    fn names(&self, typed: &str) -> Vec<String> {
        let Some(vault) = self.shell.account.open_vault() else {
            return Vec::new();
        };
        let newer = vault.newer_index();
        let secrets = newer.as_ref().unwrap_or(vault.index()).secrets();
        let names = secrets.iter().map(|secret| secret.metadata.name.as_str());
        completer::below(typed, names)
    }

    async fn values(&mut self, asked: &Values) -> Result<Answer> {
        let vault = self.shell.account.vault().await?;
        let mut wanted = Vec::new();
        let mut about = Vec::new();
        for place in find(vault.index(), asked)? {
            about.push((place.secret.metadata.clone(), place.field));
            wanted.push((place.secret.id, *place.info));
        }
        let values = vault.fetch(&wanted).await?;
        let values: Option<Vec<_>> = values.into_iter().collect();
        let values = values.ok_or_else(|| Error::no_such_secrets(&asked.names))?;
        let found = values.into_iter().zip(&wanted).zip(about);
        let found = found.map(|((value, (_, info)), (mut metadata, field))| {
            let value = field::take(metadata.name.as_str(), value, field)?;
            if field.is_some() {
                metadata.content_type = Some(TEXT.into());
            }
            Ok(Found {
                version: info.version,
                metadata: ByteBuf::from(metadata.encode()?.expose().to_vec()),
                value: ByteBuf::from(value.expose().to_vec()),
            })
        });
        found.collect::<Result<_, _>>().map(Answer::Values)
    }
}

/// Finds the requested values as a command without an agent does. Errors suggest similar names only if the values may be
/// revealed.
fn find<'a, 'n>(index: &'a Index, asked: &'n Values) -> Result<Vec<Place<'a, 'n>>> {
    match asked.purpose {
        Purpose::Reveal => {
            let names = asked.names.iter();
            names
                .map(|name| field::find(index, name, asked.version))
                .collect()
        }
        Purpose::Use => field::find_all(index, &asked.names, asked.version)
            .map_err(|missing| Error::no_such_secrets(&missing)),
    }
}
