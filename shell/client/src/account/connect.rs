//! Connecting to the server, and deciding whether to trust its key.

use std::time::Duration;

use shared::wire::Hello;

use crate::device::pins::Pins;
use crate::error::Result;
use crate::transport::api::Api;
use crate::transport::http::Endpoint;
use crate::transport::tls::{Pin, Trust};

/// A server that answered, and is trusted.
#[derive(Debug)]
pub struct Connected {
    /// The connection.
    pub api: Api,
    /// The identity that the server claims.
    pub hello: Hello,
    /// Why its TLS key is trusted.
    pub trust: Trust,
}

/// The purpose of a connection.
#[derive(Debug, Clone, Copy)]
pub enum Purpose<'a> {
    /// To make an account.
    Register,
    /// To open a session by the password or by the device's own credential; with the pins of the account, where this
    /// device has any.
    Login(Option<&'a Pins>),
    /// To open a session by the recovery code, also on a device that has never opened one; with the same pins.
    Recover(Option<&'a Pins>),
}

/// Connects to the server of an account.
pub trait Connect {
    /// Connects, and decides whether the server's TLS key is trusted.
    ///
    /// # Errors
    /// [`Error::Unreachable`](crate::error::Error::Unreachable), [`Error::Untrusted`](crate::error::Error::Untrusted), [`Error::Usage`](crate::error::Error::Usage) where no server is known.
    fn connect(&mut self, purpose: Purpose<'_>) -> impl Future<Output = Result<Connected>>;

    /// Fails where no server is known, before anything is asked for.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage).
    fn check_known(&self) -> Result<()> {
        Ok(())
    }

    /// The server as it was named, to compare with the agent's.
    fn server_name(&self) -> Option<String>;

    /// Remembers server and account after a login; `explicit` where the owner asked for the login.
    ///
    /// # Errors
    /// [`Error::Failed`](crate::error::Error::Failed).
    fn remember(
        &mut self,
        _account: &str,
        _endpoint: &Endpoint,
        _trust: &Trust,
        _explicit: bool,
    ) -> Result<()> {
        Ok(())
    }
}

/// A server whose address and trust are known.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its address.
    pub endpoint: Endpoint,
    /// Which TLS keys are trusted.
    pub trust: Trust,
    /// The deadline of one answer.
    pub timeout: Duration,
}

impl Server {
    /// A server at this address whose TLS key is pinned (`sha256:` and base64 of its SubjectPublicKeyInfo).
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage) for an invalid address or pin.
    pub fn pinned(url: &str, pin: &str, timeout: Duration) -> Result<Self> {
        Ok(Self {
            endpoint: Endpoint::parse(url)?,
            trust: Trust::Pin(Pin::parse(pin)?),
            timeout,
        })
    }
}

impl Connect for Server {
    async fn connect(&mut self, _: Purpose<'_>) -> Result<Connected> {
        let mut api = Api::new(self.endpoint.clone(), self.trust.clone(), self.timeout)?;
        let hello = api.hello().await?;
        let trust = self.trust.clone();
        Ok(Connected { api, hello, trust })
    }

    fn server_name(&self) -> Option<String> {
        Some(self.endpoint.to_string())
    }
}
