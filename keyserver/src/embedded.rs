//! The whole server on a thread of its own, for the daemon, for shells that host a private server, and for tests.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use actix::{Actor as _, System};
use actix_server::Server;
use tokio::sync::oneshot;

use crate::admin::{self, AdminError};
use crate::audit::Audit;
use crate::config::{Config, ConfigError};
use crate::http;
use crate::invites::Invites;
use crate::keyfile::KeyFile;
use crate::operations::service::Service;
use crate::sessions::Sessions;
use crate::sessions::registration::ServerIdentity;
use crate::storage::Storage;
use crate::tls::Certificate;

/// The server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The options.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Data folder, key file or certificate.
    #[error(transparent)]
    Files(#[from] AdminError),
    /// The database.
    #[error("database: {0}")]
    Storage(String),
    /// An address.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// What went wrong.
        error: io::Error,
    },
    /// The thread, or its sockets.
    #[error("cannot serve: {0}")]
    Serve(#[from] io::Error),
    /// The thread panicked while starting.
    #[error("the server's thread died while starting")]
    Died,
}

impl From<crate::tls::TlsError> for StartError {
    fn from(error: crate::tls::TlsError) -> Self {
        Self::Files(error.into())
    }
}

/// A running server; dropping it stops the server.
#[derive(Debug)]
pub struct Running {
    /// The addresses that it listens on, with the real ports; at least one.
    pub addresses: Vec<SocketAddr>,
    /// Pin of the certificate: `sha256:` of its SubjectPublicKeyInfo.
    pub pin: String,
    certificate: Arc<Certificate>,
    stop: Option<oneshot::Sender<()>>,
    ended: oneshot::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Finishes current requests, closes the database and joins the thread.
    pub fn stop(mut self) {
        self.shut_down();
    }

    /// Reads the certificate files again; keeps the old certificate if they are invalid.
    pub fn reload(&self) {
        match self.certificate.reload() {
            Ok(()) => tracing::info!("certificate reloaded"),
            Err(error) => tracing::error!(%error, "the certificate stays as it is"),
        }
    }

    /// Resolves when the server has ended without [`Self::stop`].
    pub async fn ended(&mut self) {
        // The sender is dropped at the end and never used.
        let _ = (&mut self.ended).await;
    }

    fn shut_down(&mut self) {
        if let Some(stop) = self.stop.take() {
            // An error means that the server is gone already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the server's thread panicked");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Message of the thread once the server listens.
struct Ready {
    addresses: Vec<SocketAddr>,
    pin: String,
    certificate: Arc<Certificate>,
}

/// Starts a server and returns when it listens.
pub fn start(config: Config) -> Result<Running, StartError> {
    config.check()?;
    let (ready, is_ready) = mpsc::sync_channel(1);
    let (stop, stopped) = oneshot::channel();
    let (ending, ended) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("keyserver".into())
        .spawn(move || {
            let _ending: oneshot::Sender<()> = ending;
            System::new().block_on(run(config, ready, stopped));
        })?;
    let Ready {
        addresses,
        pin,
        certificate,
    } = is_ready.recv().map_err(|_| StartError::Died)??;
    Ok(Running {
        addresses,
        pin,
        certificate,
        stop: Some(stop),
        ended,
        thread: Some(thread),
    })
}

async fn run(
    config: Config,
    ready: mpsc::SyncSender<Result<Ready, StartError>>,
    stopped: oneshot::Receiver<()>,
) {
    let (server, storage) = match build(&config) {
        Ok((server, storage, message)) => {
            tracing::info!(addresses = ?message.addresses, "listening");
            // The receiver exists: `start` returns only after this message.
            let _ = ready.send(Ok(message));
            (server, storage)
        }
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    let handle = server.handle();
    let stopping = actix_web::rt::spawn(async move {
        // A dropped sender is a stop as well.
        let _ = stopped.await;
        handle.stop(true).await;
    });
    if let Err(error) = server.await {
        tracing::error!(%error, "the HTTP server failed");
    }
    stopping.abort();
    if storage.send(crate::storage::Stop).await.is_err() {
        tracing::error!("storage stopped before the server did");
    }
    System::current().stop();
    tracing::info!("stopped");
}

/// The parts of a server before it listens.
pub struct Parts {
    /// The API.
    pub service: Service,
    /// The TLS certificate.
    pub certificate: Arc<Certificate>,
    /// Pin of the certificate: `sha256:` of its SubjectPublicKeyInfo.
    pub pin: String,
}

/// Opens database, keys and certificate, and starts the actors in the running actix system.
pub fn assemble(config: &Config) -> Result<Parts, StartError> {
    let pin = admin::init(config)?;
    let keys = KeyFile::open(&config.key_file(), &config.data_dir).map_err(AdminError::from)?;
    if let Some(warning) = config.key_file().warning(&config.data_dir) {
        tracing::warn!("{warning}");
    }
    let certificate = admin::certificate(config)?;
    let identity = ServerIdentity {
        server: keys.server_id,
        opaque_key: keys.opaque_key(),
        checkpoint_key: keys.checkpoint_key(),
    };
    let storage = open_storage(config, &keys)?;
    let audit = Audit::new(keys.checkpoint.clone(), keys.server_id, storage.clone()).start();
    let sessions = Sessions::new(keys.opaque, identity, config.sessions()).start();
    let service = Service {
        sessions,
        storage,
        audit,
        identity,
        registration: config.registration(),
        invites: Invites::new(&config.data_dir),
        repeat_wait: config.repeat_wait,
        session_idle: config.session_idle,
        session_lifetime: config.session_lifetime,
    };
    Ok(Parts {
        service,
        certificate,
        pin,
    })
}

fn build(config: &Config) -> Result<(Server, actix::Addr<Storage>, Ready), StartError> {
    // Fails before any actor is started.
    let listeners = http::listen_on(&config.listen)
        .map_err(|(address, error)| StartError::Listen { address, error })?;
    let addresses = listeners.iter().map(TcpListener::local_addr);
    let addresses = addresses.collect::<io::Result<_>>()?;
    let Parts {
        service,
        certificate,
        pin,
    } = assemble(config)?;
    let storage = service.storage.clone();
    let server = http::serve(service, &certificate.server_config()?, config, listeners)?;
    let ready = Ready {
        addresses,
        pin,
        certificate,
    };
    Ok((server, storage, ready))
}

fn open_storage(config: &Config, keys: &KeyFile) -> Result<actix::Addr<Storage>, StartError> {
    let storage = config
        .engine()
        .and_then(|engine| Storage::open(engine, config.storage(), &keys.at_rest))
        .map_err(|error| StartError::Storage(error.to_string()))?;
    Ok(storage.start())
}
