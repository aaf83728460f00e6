//! Selection of the server, and of the trust in its TLS key.

use std::path::Path;
use std::sync::Arc;

use keyshell_client::account::{Account, Connect, Connected, Purpose};
use keyshell_client::device::home::Home;
use keyshell_client::device::pins::ServerPins;
use keyshell_client::error::{Error, UntrustedServer};
use keyshell_client::transport::api::Api;
use keyshell_client::transport::http::Endpoint;
use keyshell_client::transport::tls::{Pin, Trust};
use shared::wire::Hello;

use crate::context::{Context, Saved};
use crate::embedded::PrivateServer;
use crate::options::Options;
use crate::output::Output;
use crate::prompt::Prompt;

const NO_SERVER: &str = "no server is configured: name one with --server https://host (or use --embedded), and an account with \
                         --account NAME; `register` creates it";

/// The server that options and profile name.
#[derive(Debug)]
pub struct NamedServer {
    options: Options,
    home: Home,
    profile: Arc<Saved>,
    out: Output,
    prompt: Prompt,
    private: Option<PrivateServer>,
}

/// The account of a run.
pub type OwnAccount = Account<NamedServer>;

impl NamedServer {
    /// The server of this run; nothing is connected or started yet.
    pub fn new(context: &Context) -> Self {
        Self {
            options: context.options().clone(),
            home: context.home.clone(),
            profile: Arc::clone(&context.profile),
            out: context.out,
            prompt: context.prompt,
            private: None,
        }
    }

    /// The options with which another process of this user selects the same server.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Stops the private server, if one runs in this process.
    pub fn stop(&mut self) {
        if let Some(running) = self.private.take() {
            running.stop();
        }
    }

    /// Short name of the server, for the prompt; `None` if none is configured.
    pub fn label(&self) -> Option<String> {
        if self.options.embedded {
            return Some("embedded".to_owned());
        }
        let endpoint = Endpoint::parse(&self.address()?).ok()?;
        Some(endpoint.label())
    }

    /// Connects without a question about trust.
    ///
    /// # Errors
    /// As [`Connect::connect`].
    pub async fn examine(&mut self) -> Result<Connected, Error> {
        let (endpoint, trust) = self.endpoint()?;
        let mut api = Api::new(endpoint, trust.clone(), self.options.timeout)?;
        let hello = api.hello().await?;
        Ok(Connected { api, hello, trust })
    }

    fn address(&self) -> Option<String> {
        let named = self.options.server.clone();
        named.or_else(|| self.profile.get().server)
    }

    /// The server's address and the trusted keys; starts the private server with `--embedded`.
    fn endpoint(&mut self) -> Result<(Endpoint, Trust), Error> {
        if self.options.embedded {
            let private = match &mut self.private {
                Some(running) => running,
                none => none.insert(PrivateServer::start(&self.home.embedded_server())?),
            };
            let (address, pin) = private.address_and_pin();
            let endpoint = Endpoint::parse(&format!("https://{address}"))?;
            return Ok((endpoint, Trust::Pin(Pin::parse(pin)?)));
        }
        let named = self
            .address()
            .ok_or_else(|| Error::Usage(NO_SERVER.into()))?;
        let endpoint = Endpoint::parse(&named)?;
        let trust = self.trust(&endpoint)?;
        Ok((endpoint, trust))
    }

    /// Pins and CA file of the profile apply to the profile's server only.
    fn trust(&self, endpoint: &Endpoint) -> Result<Trust, Error> {
        if let Some(pin) = &self.options.pin {
            return Ok(Trust::Pin(Pin::parse(pin)?));
        }
        if let Some(path) = &self.options.ca_file {
            return Ok(Trust::CaFile(path.clone()));
        }
        let profile = self.profile.get();
        if !self.is_saved(endpoint) {
            return Ok(Trust::System);
        }
        if let Some(pin) = &profile.pin {
            return Ok(Trust::Pin(Pin::parse(pin)?));
        }
        Ok(profile.ca_file.map_or(Trust::System, Trust::CaFile))
    }

    /// Whether the profile saves this server.
    fn is_saved(&self, endpoint: &Endpoint) -> bool {
        let saved = self.profile.get().server;
        let known = saved.and_then(|server| Endpoint::parse(&server).ok());
        known.is_some_and(|known| known == *endpoint)
    }

    /// Closes the registration of a private server that has its owner's account: stops the server and returns true, so
    /// that the next start accepts no registration.
    fn close_registration(&mut self, hello: &Hello, purpose: Purpose<'_>) -> Result<bool, Error> {
        let pins = match purpose {
            Purpose::Login(None) if self.private.as_ref().is_some_and(PrivateServer::is_open) => {
                let text = "there is no account yet: `register` creates it";
                return Err(Error::Usage(text.into()));
            }
            Purpose::Register => None,
            Purpose::Login(pins) | Purpose::Recover(pins) => pins,
        };
        let is_owned = pins.is_some_and(|pins| pins.server == ServerPins::from(hello));
        let open = self
            .private
            .take_if(|private| is_owned && private.is_open());
        let stopped = open.map(PrivateServer::stop_owned).transpose()?;
        Ok(stopped.is_some())
    }

    /// Connects, and decides whether the TLS key is trusted: at the first connection to a server without a trusted
    /// certificate the user compares the key, or `--trust-on-first-use` pins it.
    async fn connect_trusted(&mut self) -> Result<Connected, Error> {
        let (endpoint, trust) = self.endpoint()?;
        self.out.detail(&format!("connecting to {endpoint}"));
        let mut api = Api::new(endpoint.clone(), trust.clone(), self.options.timeout)?;
        let refused = match api.hello().await {
            Ok(hello) => return Ok(Connected { api, hello, trust }),
            Err(Error::Untrusted(_)) if trust == Trust::System && self.is_saved(&endpoint) => {
                return Err(UntrustedServer::CertificateChanged(endpoint.to_string()).into());
            }
            Err(error @ Error::Untrusted(_)) if trust == Trust::System => error,
            Err(error) => return Err(error),
        };
        let Some(shown) = api.seen() else {
            return Err(refused);
        };
        if !self.options.trust_on_first_use && !self.owner_trusts(&endpoint, shown, refused)? {
            return Err(UntrustedServer::Declined(endpoint.to_string()).into());
        }
        self.out
            .note(&format!("the key of {endpoint} is pinned: {shown}"));
        // For the rest of this run; a login or registration that succeeds saves it.
        self.options.pin = Some(shown.to_string());
        let trust = Trust::Pin(shown);
        let mut api = Api::new(endpoint, trust.clone(), self.options.timeout)?;
        let hello = api.hello().await?;
        Ok(Connected { api, hello, trust })
    }

    fn owner_trusts(&self, endpoint: &Endpoint, shown: Pin, refused: Error) -> Result<bool, Error> {
        if !self.prompt.is_interactive {
            return Err(refused);
        }
        self.out.say(&format!(
            "{endpoint} is unknown, and no trusted authority has signed its certificate. Its key is\n  {shown}\nCompare it \
             with the output of `keyserver pin` on the server."
        ));
        Ok(self.prompt.confirm("Trust it?", "give --pin")?)
    }
}

impl Connect for NamedServer {
    async fn connect(&mut self, purpose: Purpose<'_>) -> Result<Connected, Error> {
        let connected = self.connect_trusted().await?;
        if self.close_registration(&connected.hello, purpose)? {
            drop(connected);
            return self.connect_trusted().await;
        }
        Ok(connected)
    }

    fn check_known(&self) -> Result<(), Error> {
        if self.options.embedded || self.address().is_some() {
            return Ok(());
        }
        Err(Error::Usage(NO_SERVER.into()))
    }

    fn server_name(&self) -> Option<String> {
        if self.options.embedded {
            return Some("private, inside this process".into());
        }
        self.address()
    }

    fn remember(
        &mut self,
        account: &str,
        endpoint: &Endpoint,
        trust: &Trust,
        explicit: bool,
    ) -> Result<(), Error> {
        if !explicit && self.profile.get().server.is_some() {
            return Ok(());
        }
        let embedded = self.options.embedded;
        let changed = self.profile.change(|profile| {
            profile.account = Some(account.to_owned());
            if embedded {
                return;
            }
            profile.server = Some(endpoint.to_string());
            (profile.pin, profile.ca_file) = match trust {
                Trust::Pin(pin) => (Some(pin.to_string()), None),
                Trust::CaFile(path) => (None, Some(absolute(path))),
                Trust::System => (None, None),
            };
        });
        Ok(changed?)
    }
}

fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
