//! Which server, and whom to believe.

use keyshell_client::device::pins::{Pins, ServerPins};
use keyshell_client::transport::api::Api;
use keyshell_client::transport::http::Endpoint;
use keyshell_client::transport::tls::{Pin, Trust};
use shared::wire::Hello;

use crate::embedded::PrivateServer;
use crate::error::Error;
use crate::prompt::Prompt;
use crate::shell::Shell;

const NO_SERVER: &str = "no server is known: name one with --server https://host (or use --embedded), and an account with \
                         --account NAME; `register` makes it";

/// A server that answered, and whom to believe.
#[derive(Debug)]
pub struct Connected {
    /// The way to it.
    pub api: Api,
    /// Who it says it is.
    pub hello: Hello,
    /// Why it is trusted.
    pub trust: Trust,
}

/// What a server answered to somebody who wants nothing of it.
#[derive(Debug)]
pub struct Examined {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Who it says it is.
    pub hello: Hello,
    /// Why it is trusted.
    pub trust: Trust,
    /// Its time, as HTTP writes it.
    pub date: Option<String>,
}

impl Shell {
    /// Whoever begins should hear of everything that is missing at once.
    pub(super) fn check_known(&self) -> Result<(), Error> {
        if self.options.embedded || self.named_server().is_some() {
            return Ok(());
        }
        Err(Error::Usage(NO_SERVER.into()))
    }

    /// The address of the server, if one is known; starts the private one where that is asked for.
    ///
    /// # Errors
    /// [`Error::Usage`], [`Error::Failed`] if the private server does not start.
    fn server(&mut self) -> Result<(Endpoint, Trust), Error> {
        if self.options.embedded {
            let private = self.embedded()?;
            let endpoint = Endpoint::parse(&format!("https://{}", private.address()))?;
            return Ok((endpoint, Trust::Pin(Pin::parse(private.pin())?)));
        }
        let named = self
            .named_server()
            .ok_or_else(|| Error::Usage(NO_SERVER.into()))?;
        let endpoint = Endpoint::parse(named)?;
        let trust = self.trust(&endpoint)?;
        Ok((endpoint, trust))
    }

    /// What the profile remembers counts for the profile's own server only.
    fn trust(&self, endpoint: &Endpoint) -> Result<Trust, Error> {
        let remembered = self.is_saved(endpoint).then_some(&self.profile);
        let pin = self.options.pin.as_ref();
        let ca_file = self.options.ca_file.as_ref();
        if let Some(pin) = pin {
            return Ok(Trust::Pin(Pin::parse(pin)?));
        }
        if let Some(path) = ca_file {
            return Ok(Trust::CaFile(path.clone()));
        }
        if let Some(pin) = remembered.and_then(|profile| profile.pin.as_ref()) {
            return Ok(Trust::Pin(Pin::parse(pin)?));
        }
        let remembered = remembered.and_then(|profile| profile.ca_file.clone());
        Ok(remembered.map_or(Trust::System, Trust::CaFile))
    }

    /// Whether the profile knows this server already.
    fn is_saved(&self, endpoint: &Endpoint) -> bool {
        let saved = self.profile.server.as_ref();
        let known = saved.and_then(|server| Endpoint::parse(server).ok());
        known.is_some_and(|known| known == *endpoint)
    }

    fn embedded(&mut self) -> Result<&PrivateServer, Error> {
        if self.embedded.is_none() {
            let folder = self.home.embedded_server();
            self.embedded = Some(PrivateServer::start(&folder)?);
        }
        self.embedded
            .as_ref()
            .ok_or_else(|| Error::Failed("the private server is gone".into()))
    }

    /// Starts a private server again that takes accounts although its owner has one by now.
    pub(super) async fn close_registration(
        &mut self,
        connected: Connected,
        pins: Option<&Pins>,
    ) -> Result<Connected, Error> {
        let shown = ServerPins::from(&connected.hello);
        let is_owned = pins.is_some_and(|pins| pins.server == shown);
        let open = self
            .embedded
            .take_if(|private| is_owned && private.is_open());
        let Some(open) = open else {
            return Ok(connected);
        };
        drop(connected);
        open.stop_owned()?;
        self.connect().await
    }

    /// Connects, and settles whom to believe: at first sight of a server without a trusted certificate the owner
    /// compares its key, or `--trust-on-first-use` takes it.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Untrusted`].
    pub async fn connect(&mut self) -> Result<Connected, Error> {
        let (endpoint, trust) = self.server()?;
        self.out.detail(&format!("connecting to {endpoint}"));
        let mut api = Api::new(endpoint.clone(), trust.clone(), self.options.timeout)?;
        let refused = match api.hello().await.map_err(Error::from) {
            Ok(hello) => return Ok(Connected { api, hello, trust }),
            Err(Error::Untrusted(_)) if trust == Trust::System && self.is_saved(&endpoint) => {
                return Err(Error::Untrusted(format!(
                    "the certificate of {endpoint} was trusted before, and is not now: someone may be in between; if the \
                     server really has a new one, compare its key with `keyserver pin` there and give it as --pin"
                )));
            }
            Err(error @ Error::Untrusted(_)) if trust == Trust::System => error,
            Err(error) => return Err(error),
        };
        let Some(shown) = api.seen() else {
            return Err(refused);
        };
        if !self.options.trust_on_first_use && !self.owner_trusts(&endpoint, shown, refused)? {
            return Err(Error::Untrusted(format!(
                "{endpoint} is not trusted; nothing was sent"
            )));
        }
        self.out
            .note(&format!("trusting {endpoint} with key {shown} from now on"));
        // For the rest of this run; a login or registration that succeeds saves it.
        self.options.pin = Some(shown.to_string());
        let trust = Trust::Pin(shown);
        let mut api = Api::new(endpoint, trust.clone(), self.options.timeout)?;
        let hello = api.hello().await?;
        Ok(Connected { api, hello, trust })
    }

    /// Asks the server who it is, and nobody whether to trust it.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn examine_server(&mut self) -> Result<Examined, Error> {
        let (endpoint, trust) = self.server()?;
        let mut api = Api::new(endpoint.clone(), trust.clone(), self.options.timeout)?;
        let hello = api.hello().await?;
        let date = api.date().map(str::to_owned);
        Ok(Examined {
            endpoint,
            hello,
            trust,
            date,
        })
    }

    fn owner_trusts(&self, endpoint: &Endpoint, shown: Pin, refused: Error) -> Result<bool, Error> {
        if self.prompt == Prompt::Nobody {
            return Err(refused);
        }
        self.out.say(&format!(
            "{endpoint} is not known yet, and no authority vouches for it. Its key is\n  {shown}\nCompare it with what \
             `keyserver pin` prints on the server."
        ));
        self.prompt.confirm("Trust it?", "give --pin")
    }

    /// The address of the server, for showing.
    pub fn server_name(&self) -> Option<String> {
        if self.options.embedded {
            return Some("private, inside this process".into());
        }
        self.named_server().cloned()
    }

    pub(super) fn named_server(&self) -> Option<&String> {
        let named = self.options.server.as_ref();
        named.or(self.profile.server.as_ref())
    }

    /// The server in a word.
    pub fn server_label(&self) -> Option<String> {
        if self.options.embedded {
            return Some("embedded".to_owned());
        }
        let endpoint = Endpoint::parse(self.named_server()?).ok()?;
        Some(endpoint.label())
    }
}
