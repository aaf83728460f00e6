//! Single HTTP requests over TLS, from any address of the loopback network, without the shell's good manners.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use keyshell_client::transport::tls::{self, Pin, Seen, Trust};
use rustix::net::{AddressFamily, SocketType};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::{ClientConnection, StreamOwned};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::codec;
use shared::wire::CONTENT_TYPE;
use shared::wire::error::Refusal;
use shared::wire::limits::MAX_BODY_LEN;

use crate::server::Host;

/// Longer than any answer takes; shorter than a test may hang.
const PATIENCE: Duration = Duration::from_mins(1);

/// A connection.
pub struct Raw {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

/// Lets this process hold as many connections as the kernel allows.
pub fn allow_many() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, most).unwrap();
}

/// Connects from this address, without TLS.
///
/// # Errors
/// What the operating system says.
pub fn tcp(server: &impl Host, from: Ipv4Addr) -> io::Result<TcpStream> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    rustix::net::bind(&socket, &SocketAddr::new(IpAddr::V4(from), 0))?;
    let to = server.url().strip_prefix("https://").unwrap();
    let to: SocketAddr = to.parse().unwrap();
    rustix::net::connect(&socket, &to)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Raw {
    /// Connects from this address.
    pub fn from(server: &impl Host, from: Ipv4Addr) -> Self {
        let trust = Trust::Pin(Pin::parse(server.pin()).unwrap());
        let config = tls::config(&trust, &Seen::default()).unwrap();
        let name = "localhost".try_into().unwrap();
        let connection = ClientConnection::new(Arc::clone(&config), name).unwrap();
        let stream = StreamOwned::new(connection, tcp(server, from).unwrap());
        Self { stream }
    }

    /// Connects.
    pub fn to(server: &impl Host) -> Self {
        Self::from(server, Ipv4Addr::LOCALHOST)
    }

    /// Writes bytes and nothing else.
    ///
    /// # Errors
    /// What the operating system or TLS says.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Reads an answer: status and body.
    ///
    /// # Errors
    /// What the operating system or TLS says, or a connection that is closed.
    pub fn answer(&mut self) -> io::Result<(u16, Vec<u8>)> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            self.stream.read_exact(&mut byte)?;
            head.extend_from_slice(&byte);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let len = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let len: usize = len.map_or(0, |len| len.trim().parse().unwrap());
        let mut body = vec![0; len];
        self.stream.read_exact(&mut body)?;
        Ok((status, body))
    }

    /// Posts a body.
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub fn post(&mut self, path: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.write(&[head.as_bytes(), body].concat())?;
        self.answer()
    }

    /// Posts a message; the answer, or the refusal.
    ///
    /// # Errors
    /// The refusal.
    pub fn ask<T: Serialize + DeserializeOwned>(
        &mut self,
        path: &str,
        message: &impl Serialize,
    ) -> Result<T, Refusal> {
        message_of(self.post(path, &codec::encode(message).unwrap()).unwrap())
    }

    /// Gets an answer: status and body.
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub fn get(&mut self, path: &str) -> io::Result<(u16, Vec<u8>)> {
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        self.write(head.as_bytes())?;
        self.answer()
    }
}

fn message_of<T: Serialize + DeserializeOwned>(
    (status, body): (u16, Vec<u8>),
) -> Result<T, Refusal> {
    if status == 200 {
        Ok(codec::decode(&body, MAX_BODY_LEN).unwrap())
    } else {
        Err(codec::decode(&body, MAX_BODY_LEN).unwrap())
    }
}
