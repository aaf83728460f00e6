//! The agent's own process: it answers one question after the other, until it was unused for too long, the machine was
//! suspended, or somebody says so.

use std::fs::Permissions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::ExitCode;
use std::time::Duration;

use keyshell_base::files;
use keyshell_client::account::Connect as _;
use keyshell_client::agent::{Answer, Ask, Found, MAX_MESSAGE, Purpose, Status, Values, line};
use keyshell_client::device::home;
use keyshell_client::index::Index;
use keyshell_formats::item::TEXT;
use rustix::mm::{MlockAllFlags, mlockall};
use serde_bytes::ByteBuf;
use shared::codec;
use shared::secret::SecretBytes;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Interval;

use crate::agent::Handover;
use crate::commands::field::{self, Place};
use crate::error::Error;
use crate::options::Options;
use crate::process::wipe_stack;
use crate::repl::completer;
use crate::shell::Shell;
use crate::time::{suspended, uptime};

/// How often the clock is looked at.
const TICK: Duration = Duration::from_secs(1);
/// So much more on the clock that counts suspended time means that the machine was.
const SUSPENDED: Duration = Duration::from_secs(5);
/// How long a caller may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs as agent; returns when it is locked.
pub fn run(options: Options) -> ExitCode {
    let _ = rustix::process::setsid();
    match serve(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever started it reads this; later nobody does.
            say(&error.to_string());
            ExitCode::from(error.status())
        }
    }
}

fn say(line: &str) {
    let mut out = io::stdout();
    let _ = writeln!(out, "{}", line.replace('\n', " ")).and_then(|()| out.flush());
}

fn serve(options: Options) -> Result<(), Error> {
    let memory_locked = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE).is_ok();
    let handover = read_handover()?;
    let mut shell = Shell::new(options)?;
    let path = shell.context.home.agent_socket();
    home::make_parent(&path)?;
    // Held as long as this process lives: there is one agent a profile.
    let lock = shell.context.home.agent_lock();
    home::make_parent(&lock)?;
    let _only = home::lock(&lock)?;
    let place = shell.context.home.agent_place();
    files::replace(&place, path.as_os_str().as_bytes())
        .map_err(|error| Error::io(&format!("writing {}", place.display()), &error))?;
    // Of an agent that is dead, as the lock says.
    home::remove(&path)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::io("starting the agent", &error))?;
    let served = runtime.block_on(async {
        shell.account.renewal.asks_agent = false;
        shell
            .account
            .set_credential(SecretBytes::new(handover.secret.clone().into_vec()));
        shell.account.vault().await?;
        let listening = |error| Error::io(&format!("listening at {}", path.display()), &error);
        let listener = UnixListener::bind(&path).map_err(listening)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(listening)?;
        say("ready");
        let mut host = Host {
            shell,
            handover,
            memory_locked,
            last_use: uptime(),
            suspended: suspended(),
        };
        let ended = host.answer_until_locked(&listener).await;
        // The keys go first; what the server makes of it is its affair.
        let retired = host.shell.retire().await.map(drop);
        ended.and(retired)
    });
    let gone = home::remove(&path).and(home::remove(&place));
    wipe_stack();
    served.and(gone.map_err(Error::from))
}

fn read_handover() -> Result<Handover, Error> {
    let mut bytes = Vec::with_capacity(64 * 1024);
    io::stdin()
        .take(64 * 1024)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::io("reading what to unlock", &error))?;
    let bytes = SecretBytes::new(bytes);
    codec::decode(bytes.expose(), bytes.len())
        .map_err(|_| Error::Usage("the agent is started by `unlock`".into()))
}

/// What ends it beside its callers.
struct Watch {
    terminated: Signal,
    interrupted: Signal,
    hung_up: Signal,
    tick: Interval,
    /// How long the machine was suspended when it began.
    suspended: Duration,
}

impl Watch {
    fn new(suspended: Duration) -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(|error| Error::io("starting the agent", &error));
        Ok(Self {
            terminated: listen(SignalKind::terminate())?,
            interrupted: listen(SignalKind::interrupt())?,
            hung_up: listen(SignalKind::hangup())?,
            tick: tokio::time::interval(TICK),
            suspended,
        })
    }

    /// Returns at a signal, and when the machine was suspended.
    async fn ended(&mut self) {
        self.left(Duration::MAX).await;
    }

    /// The same, and when the machine has been up for this long.
    async fn left(&mut self, until: Duration) {
        loop {
            tokio::select! {
                _ = self.tick.tick() => {
                    let asleep = suspended().saturating_sub(self.suspended) > SUSPENDED;
                    if asleep || uptime() >= until {
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

struct Host {
    shell: Shell,
    handover: Handover,
    memory_locked: bool,
    last_use: Duration,
    suspended: Duration,
}

/// Whether it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Stay,
    Leave,
}

impl Host {
    async fn answer_until_locked(&mut self, listener: &UnixListener) -> Result<(), Error> {
        let mut watch = Watch::new(self.suspended)?;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = watch.left(self.last_use + self.idle()) => return Ok(()),
            };
            let Ok((stream, _)) = accepted else { continue };
            // A server that is silent must not keep it from leaving.
            let then = tokio::select! {
                then = self.serve(stream) => then,
                () = watch.ended() => Then::Leave,
            };
            if then == Then::Leave {
                return Ok(());
            }
            wipe_stack();
        }
    }

    fn idle(&self) -> Duration {
        Duration::from_millis(self.handover.idle_ms)
    }

    fn left(&self) -> Duration {
        (self.last_use + self.idle()).saturating_sub(uptime())
    }

    /// One caller, as many questions as it has.
    async fn serve(&mut self, stream: UnixStream) -> Then {
        let Ok(mut stream) = stream.into_std() else {
            return Then::Stay;
        };
        let ready = stream
            .set_nonblocking(false)
            .and_then(|()| stream.set_read_timeout(Some(PATIENCE)))
            .and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
        if ready.is_err() || !line::is_own(&stream) {
            return Then::Stay;
        }
        while let Ok(message) = line::read(&mut stream) {
            let Ok(ask) = codec::decode::<Ask>(message.expose(), MAX_MESSAGE) else {
                return Then::Stay;
            };
            let answer = self.answer(ask).await;
            // Without its credential it is of no use to anybody.
            let is_over = answer == Answer::Locked || !self.shell.account.has_credential();
            let then = if is_over { Then::Leave } else { Then::Stay };
            if then == Then::Leave {
                // Before anybody hears of it: who asks next must find none.
                let _ = home::remove(&self.shell.context.home.agent_socket());
                // Whoever hears that it is locked goes by it.
                let _ = self.shell.retire().await;
            }
            let Ok(encoded) = codec::encode(&answer).map(SecretBytes::new) else {
                return then;
            };
            let sent = line::write(&mut stream, &encoded);
            if then == Then::Leave || sent.is_err() {
                return then;
            }
        }
        Then::Stay
    }

    async fn answer(&mut self, ask: Ask) -> Answer {
        if self.left().is_zero() {
            return Answer::Locked;
        }
        match ask {
            Ask::Status => Answer::Status(self.status()),
            Ask::Lock => Answer::Locked,
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
                    Err(Error::NoSuchSecret(what)) => Answer::Missing(what, None),
                    Err(Error::NoSuchVersion(text)) => Answer::MissingVersion(text),
                    Err(Error::NoSuchSecretBut(what, near)) => Answer::Missing(what, Some(near)),
                    Err(error) => {
                        if let Error::Verification(_) = error {
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

    /// By what is known on this device: Tab must not wait for a server, nor be seen in its log.
    fn names(&self, typed: &str) -> Vec<String> {
        let Some(vault) = self.shell.account.open_vault() else {
            return Vec::new();
        };
        let newer = vault.newer_index();
        let secrets = newer.as_ref().unwrap_or(vault.index()).secrets();
        let names = secrets.iter().map(|secret| secret.metadata.name.as_str());
        completer::below(typed, names)
    }

    async fn values(&mut self, asked: &Values) -> Result<Answer, Error> {
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

/// What a command without an agent would find, and say of what is not there: names that are near only where values may be
/// seen too.
fn find<'a, 'n>(index: &'a Index, asked: &'n Values) -> Result<Vec<Place<'a, 'n>>, Error> {
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
