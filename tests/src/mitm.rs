//! A proxy that terminates TLS, as companies and attackers have them: it reads and records every HTTP message between
//! client and server, and can change one.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::BASE64;
use keyshell_client::transport::tls::{self, Pin, Seen, Trust};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConnection, ServerConfig, ServerConnection, StreamOwned, version};
use shared::ids::Digest;

use crate::server::Server;

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A request.
    ToServer,
    /// An answer.
    ToClient,
}

/// An HTTP message, as the proxy sees it.
#[derive(Debug, Clone)]
pub struct Message {
    /// Which way it went.
    pub way: Way,
    /// The path that was asked for.
    pub path: String,
    /// Request or status line, and headers.
    pub head: Vec<u8>,
    /// The body.
    pub body: Vec<u8>,
}

#[derive(Default)]
struct State {
    seen: Vec<Message>,
    alter: Option<(Way, String)>,
}

/// The proxy; its threads end with their connections.
pub struct Mitm {
    /// What clients connect to.
    pub url: String,
    /// What clients pin who trust it.
    pub pin: String,
    state: Arc<Mutex<State>>,
}

impl Mitm {
    /// A proxy in front of a server, with a certificate of its own.
    pub fn before(server: &Server) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let public = rcgen::PublicKeyData::subject_public_key_info(&key);
        let pin = format!("sha256:{}", BASE64.encode(Digest::of(&public).as_bytes()));
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let mitm = Self {
            url,
            pin,
            state: Arc::default(),
        };
        let (state, config) = (Arc::clone(&mitm.state), Arc::new(config));
        let behind = Behind::of(server);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (state, config, behind) = (Arc::clone(&state), Arc::clone(&config), behind);
                // A connection that breaks is over, on both sides.
                std::thread::spawn(move || drop(serve(client, config, behind, &state)));
            }
        });
        mitm
    }

    /// Changes one byte of the next message that goes this way with this path.
    pub fn alter(&self, way: Way, path: &str) {
        state(&self.state).alter = Some((way, path.to_owned()));
    }

    /// Whether a message is still waiting to be changed.
    pub fn waits(&self) -> bool {
        state(&self.state).alter.is_some()
    }

    /// Takes what was recorded so far.
    pub fn take(&self) -> Vec<Message> {
        std::mem::take(&mut state(&self.state).seen)
    }
}

fn state(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The real server.
#[derive(Clone, Copy)]
struct Behind {
    address: SocketAddr,
    pin: Pin,
}

impl Behind {
    fn of(server: &Server) -> Self {
        Self {
            address: server.address().parse().unwrap(),
            pin: Pin::parse(&server.pin).unwrap(),
        }
    }

    fn connect(&self) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let config = tls::config(&Trust::Pin(self.pin), &Seen::default()).unwrap();
        let name = "localhost".try_into().unwrap();
        let connection = ClientConnection::new(config, name).unwrap();
        Ok(StreamOwned::new(
            connection,
            TcpStream::connect(self.address)?,
        ))
    }
}

fn serve(
    client: io::Result<TcpStream>,
    config: Arc<ServerConfig>,
    behind: Behind,
    shared: &Mutex<State>,
) -> io::Result<()> {
    let connection = ServerConnection::new(config).unwrap();
    let mut client = StreamOwned::new(connection, client?);
    let mut server = behind.connect()?;
    loop {
        let (head, body) = read(&mut client)?;
        let line = String::from_utf8_lossy(&head).into_owned();
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        pass(shared, Way::ToServer, &path, head, body, &mut server)?;
        let (head, body) = read(&mut server)?;
        pass(shared, Way::ToClient, &path, head, body, &mut client)?;
    }
}

fn pass(
    shared: &Mutex<State>,
    way: Way,
    path: &str,
    head: Vec<u8>,
    body: Vec<u8>,
    to: &mut impl Write,
) -> io::Result<()> {
    let mut message = Message {
        way,
        path: path.to_owned(),
        head,
        body,
    };
    {
        let mut state = state(shared);
        state.seen.push(message.clone());
        if state
            .alter
            .take_if(|(w, p)| *w == way && p == path)
            .is_some()
        {
            let middle = message.body.len() / 2;
            message.body[middle] ^= 1;
        }
    }
    to.write_all(&[message.head, message.body].concat())?;
    to.flush()
}

/// Head and body of one message; every message here says how long it is.
fn read(from: &mut impl Read) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        from.read_exact(&mut byte)?;
        head.extend_from_slice(&byte);
    }
    let text = String::from_utf8_lossy(&head).to_lowercase();
    let len = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let len = len.map_or(0, |len| len.trim().parse().unwrap());
    let mut body = vec![0; len];
    from.read_exact(&mut body)?;
    Ok((head, body))
}
