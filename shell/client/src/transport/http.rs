//! HTTP/1.1 over one TLS connection at a time; each answer is bounded in size and time.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use shared::wire::CONTENT_TYPE;
use shared::wire::limits::MAX_BODY_LEN;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::error::{Error, Result, UntrustedServer};
use crate::transport::tls::{self, Seen, Trust};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_PORT: u16 = 7443;

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
}

impl Endpoint {
    /// Parses `https://host[:port]`; the scheme may be left out.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn parse(url: &str) -> Result<Self> {
        let bad = || Error::Usage(format!("`{url}` is no server address: https://host[:port]"));
        let lower = url.trim().to_ascii_lowercase();
        if lower.starts_with("http://") {
            let text = format!("`{url}`: this server speaks https only");
            return Err(Error::Usage(text));
        }
        let rest = lower.strip_prefix("https://").unwrap_or(&lower);
        let authority: hyper::http::uri::Authority = rest
            .strip_suffix('/')
            .unwrap_or(rest)
            .parse()
            .map_err(|_| bad())?;
        let host = authority.host().to_owned();
        let has_port = authority.as_str().len() > host.len();
        let port = authority.port_u16();
        if host.is_empty() || authority.as_str().contains('@') || (has_port && port.is_none()) {
            return Err(bad());
        }
        let endpoint = Self {
            host,
            port: port.unwrap_or(DEFAULT_PORT),
        };
        // `a[::1]` passes for an authority.
        ServerName::try_from(endpoint.bare_host()).map_err(|_| bad())?;
        Ok(endpoint)
    }

    /// The address without the scheme, and without the port where it is the default one (7443).
    pub fn label(&self) -> String {
        if self.port == DEFAULT_PORT {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The host without the brackets of an IPv6 address.
    fn bare_host(&self) -> &str {
        let host = self.host.strip_prefix('[').unwrap_or(&self.host);
        host.strip_suffix(']').unwrap_or(host)
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "https://{}:{}", self.host, self.port)
    }
}

/// Status and body of an answer.
#[derive(Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body, at most [`MAX_BODY_LEN`] bytes.
    pub body: Bytes,
}

/// A client of one server.
#[derive(Debug)]
pub struct Http {
    endpoint: Endpoint,
    trust: Trust,
    config: Arc<ClientConfig>,
    seen: Seen,
    connection: Option<SendRequest<Full<Bytes>>>,
    date: Option<String>,
    /// Bounds one exchange: up to 4 MiB on a slow line, to a server that syncs to a slow disk.
    timeout: Duration,
}

impl Http {
    /// A client that has not connected yet; `timeout` bounds each exchange.
    ///
    /// # Errors
    /// [`Error::Failed`] for a CA file that cannot be used.
    pub fn new(endpoint: Endpoint, trust: Trust, timeout: Duration) -> Result<Self> {
        let seen = Seen::default();
        let config = tls::config(&trust, &seen)?;
        Ok(Self {
            endpoint,
            trust,
            config,
            seen,
            connection: None,
            date: None,
            timeout,
        })
    }

    /// The server's address.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The TLS key of the newest connection, trusted or not.
    pub fn seen(&self) -> Option<tls::Pin> {
        self.seen.pin()
    }

    /// The `Date` header of the newest answer; only TLS authenticates it.
    pub fn date(&self) -> Option<&str> {
        self.date.as_deref()
    }

    /// Sends one request and returns its answer. A connection that fails is not used again.
    ///
    /// # Errors
    /// [`Error::Unreachable`]; [`Error::Untrusted`] if the server's TLS key is not trusted.
    pub async fn exchange(&mut self, method: Method, path: &str, body: Bytes) -> Result<Response> {
        let mut connection = match self.connection.take() {
            Some(connection) if !connection.is_closed() => connection,
            _ => self.connect().await?,
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(
                header::HOST,
                format!("{}:{}", self.endpoint.host, self.endpoint.port),
            )
            .header(header::CONTENT_TYPE, CONTENT_TYPE)
            .body(Full::new(body))
            .map_err(Error::failed)?;
        let exchange = async {
            connection.ready().await.map_err(|e| self.lost(&e))?;
            let answer = connection
                .send_request(request)
                .await
                .map_err(|e| self.lost(&e))?;
            let status = answer.status();
            let date = answer.headers().get(header::DATE);
            let date = date.and_then(|date| date.to_str().ok()).map(str::to_owned);
            let body = Limited::new(answer.into_body(), MAX_BODY_LEN)
                .collect()
                .await
                .map_err(|error| self.lost(&*error))?
                .to_bytes();
            Ok::<_, Error>((Response { status, body }, date))
        };
        let (response, date) = tokio::time::timeout(self.timeout, exchange)
            .await
            .map_err(|_| self.lost(&"no answer in time"))??;
        self.connection = Some(connection);
        self.date = date;
        Ok(response)
    }

    fn lost(&self, why: &(impl std::fmt::Display + ?Sized)) -> Error {
        Error::Unreachable(format!("connection to {} lost: {why}", self.endpoint))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        tokio::time::timeout(CONNECT_TIMEOUT.min(self.timeout), self.handshake())
            .await
            .map_err(|_| self.unreachable("no answer in time"))?
    }

    fn unreachable(&self, why: &str) -> Error {
        Error::Unreachable(format!(
            "{} is not reached ({why}); is the server running, and the address right?",
            self.endpoint
        ))
    }

    async fn handshake(&self) -> Result<SendRequest<Full<Bytes>>> {
        let host = self.endpoint.bare_host();
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::Usage(format!("`{host}` is no host name")))?;
        let stream = TcpStream::connect((host, self.endpoint.port))
            .await
            .map_err(|error| self.unreachable(&error.to_string()))?;
        // Requests are single small writes, which Nagle's algorithm would only delay.
        let _ = stream.set_nodelay(true);
        let tls = TlsConnector::from(Arc::clone(&self.config))
            .connect(name, stream)
            .await
            .map_err(|error| self.tls_error(&error))?;
        let (sender, connection) = http1::handshake(TokioIo::new(tls))
            .await
            .map_err(|error| self.unreachable(&error.to_string()))?;
        // Ends by itself when the sender is dropped or the connection breaks; the sender then reports it.
        tokio::spawn(connection);
        Ok(sender)
    }

    fn tls_error(&self, error: &std::io::Error) -> Error {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let Some(rustls::Error::InvalidCertificate(reason)) = inner else {
            return self.unreachable(&format!("TLS: {error}"));
        };
        let shown = self
            .seen
            .pin()
            .map_or_else(|| "none".to_owned(), |pin| pin.to_string());
        let server = self.endpoint.to_string();
        let untrusted = match &self.trust {
            Trust::Pin(pin) => UntrustedServer::OtherKey {
                server,
                shown,
                pinned: pin.to_string(),
            },
            Trust::CaFile(_) | Trust::System => UntrustedServer::Certificate {
                server,
                shown,
                reason: format!("{reason:?}"),
            },
        };
        untrusted.into()
    }
}
