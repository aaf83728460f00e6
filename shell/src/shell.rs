//! One run of the shell: who, where, and the session that is open.

use std::cell::Cell;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use shared::names::AccountName;
use shared::opaque::Slot;
use shared::secret::SecretBytes;
use shared::wire::Hello;

use crate::args::Options;
use crate::client::api::Api;
use crate::client::http::Endpoint;
use crate::client::login::By;
use crate::client::tls::{Pin, Trust};
use crate::device;
use crate::embedded::PrivateServer;
use crate::error::Error;
use crate::home::{Home, Profile};
use crate::local::{LocalError, LocalStore, Owner};
use crate::output::Output;
use crate::password::{Password, PasswordSource};
use crate::prompt::Prompt;
use crate::repl::resolve::Abbreviations;
use crate::vault::Vault;
use crate::vault::enrol::NewSlot;
use crate::vault::memory::Memory;
use crate::vault::pins::{Pins, PinsFile, ServerPins};
use crate::vault::restore::Loss;
use crate::vault::session::Session;

/// The account of a private server, where none is named: there is only its owner.
const EMBEDDED_ACCOUNT: &str = "me";
/// How long locking waits for the server to close the session: the keys are still there meanwhile.
const LOCKING: Duration = Duration::from_secs(2);

const NO_SERVER: &str = "no server is known: name one with --server https://host (or use --embedded), and an account with \
                         --account NAME; `register` makes it";

/// What every command works with.
#[derive(Debug)]
pub struct Shell {
    /// Where results go.
    pub out: Output,
    /// Who can be asked.
    pub prompt: Prompt,
    /// Where things are.
    pub home: Home,
    /// Set by `exit`.
    pub leaving: bool,
    /// Whether this run goes on after the session has ended: then it gets a credential of its own, to open the next one.
    pub stays: bool,
    /// Whether nothing comes after this command, so that one that takes long needs no session meanwhile.
    pub is_last: bool,
    /// What names may be abbreviated to; `None` outside the REPL.
    pub abbreviations: Option<Abbreviations>,
    options: Options,
    profile: Profile,
    passwords: PasswordSource,
    vault: Option<Vault>,
    local: Option<LocalStore>,
    embedded: Option<PrivateServer>,
    /// Whether the server was out of reach when it was last needed.
    offline: bool,
    /// Whether a value is to be seen on the screen.
    shown: Cell<bool>,
    /// Set by locking, until the REPL has told it: whether a value was to be seen.
    locked: Option<bool>,
}

/// Whether the owner says that the server was restored from a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Restored(bool);

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

impl Shell {
    /// Prepares a run; nothing is connected yet.
    ///
    /// # Errors
    /// [`Error::Usage`], [`Error::Failed`] for a profile that cannot be read.
    pub fn new(options: Options) -> Result<Self, Error> {
        let home = Home::new(&options.profile, options.home.as_deref())?;
        let profile = home.load_profile()?;
        let prompt = if options.non_interactive || !std::io::stdin().is_terminal() {
            Prompt::Nobody
        } else {
            Prompt::Person
        };
        let passwords = match (&options.password_file, &options.password_command) {
            (Some(path), _) => PasswordSource::File(path.clone()),
            (None, Some(command)) => PasswordSource::Command(command.clone()),
            (None, None) => PasswordSource::Prompt(prompt),
        };
        Ok(Self {
            out: Output::new(options.json, options.quiet, options.verbose),
            prompt,
            home,
            leaving: false,
            stays: false,
            is_last: false,
            abbreviations: None,
            profile,
            passwords,
            options,
            vault: None,
            local: None,
            embedded: None,
            offline: false,
            shown: Cell::new(false),
            locked: None,
        })
    }

    /// Whether the terminal's clipboard may be used; `None` if nobody was asked yet.
    pub fn terminal_clipboard(&self) -> Option<bool> {
        self.profile.terminal_clipboard
    }

    /// Remembers that.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn set_terminal_clipboard(&mut self, answer: bool) -> Result<(), Error> {
        self.profile.terminal_clipboard = Some(answer);
        self.home.save_profile(&self.profile)
    }

    /// The options of this run.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Where the password comes from.
    pub fn passwords(&self) -> &PasswordSource {
        &self.passwords
    }

    /// The account, if one is known without asking.
    pub fn known_account(&self) -> Option<String> {
        let named = self.options.account.clone();
        let embedded = self.options.embedded.then(|| EMBEDDED_ACCOUNT.to_owned());
        named.or_else(|| self.profile.account.clone()).or(embedded)
    }

    /// The account; asks where none is known.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn account(&mut self) -> Result<AccountName, Error> {
        let name = match self.known_account() {
            Some(name) => name,
            None => self
                .prompt
                .line("Account: ", "name the account with --account NAME")?,
        };
        let account = AccountName::parse(&name)
            .map_err(|error| Error::Usage(format!("`{name}`: {error}")))?;
        self.options.account = Some(name);
        Ok(account)
    }

    /// Whoever begins should hear of everything that is missing at once.
    fn check_known(&self) -> Result<(), Error> {
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
    async fn close_registration(
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
        let refused = match api.hello().await {
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

    /// What this device remembers of an account.
    pub fn pins_file(&self, account: &AccountName) -> PinsFile {
        PinsFile::new(&self.home.pins(account))
    }

    /// The open vault, brought up to date; logs in where there is no session.
    ///
    /// # Errors
    /// What did not prove out before, as long as there is no explicit `login`; those of a login.
    pub async fn vault(&mut self) -> Result<&mut Vault, Error> {
        self.check_trust()?;
        // Taken out meanwhile, so that a session that fails is not used again.
        if let Some(mut vault) = self.vault.take() {
            vault.sync().await?;
            self.vault = Some(vault);
        } else {
            self.log_in(false).await?;
        }
        let vault = self.vault.as_mut().ok_or(Error::SessionEnded)?;
        for notice in vault.take_notices() {
            self.out.say(&notice);
        }
        Ok(vault)
    }

    /// The address of the server, for showing.
    pub fn server_name(&self) -> Option<String> {
        if self.options.embedded {
            return Some("private, inside this process".into());
        }
        self.named_server().cloned()
    }

    fn named_server(&self) -> Option<&String> {
        let named = self.options.server.as_ref();
        named.or(self.profile.server.as_ref())
    }

    /// The open vault as it is; `None` without a session.
    pub fn open_vault(&self) -> Option<&Vault> {
        self.vault.as_ref()
    }

    /// Logs in; `explicit` where the person asked for just that, which saves server, account and pin.
    ///
    /// # Errors
    /// [`Error::LoginRefused`], [`Error::Verification`], and those of every exchange.
    pub async fn log_in(&mut self, explicit: bool) -> Result<(), Error> {
        self.check_known()?;
        let account = self.account()?;
        if explicit {
            self.trust_again()?;
        }
        let connected = self.connect().await?;
        if self.embedded.as_ref().is_some_and(PrivateServer::is_open)
            && self.pins_file(&account).load()?.is_none()
        {
            let text = "there is no account yet: `register` makes it";
            return Err(Error::Usage(text.into()));
        }
        let password = self.passwords.get(account.as_str())?;
        self.log_in_with(connected, &account, &password, explicit)
            .await
    }

    /// Logs in with a password that is at hand.
    ///
    /// # Errors
    /// As [`Self::log_in`].
    pub async fn log_in_with(
        &mut self,
        connected: Connected,
        account: &AccountName,
        password: &Password,
        explicit: bool,
    ) -> Result<(), Error> {
        let trust = connected.trust.clone();
        let by = By {
            slot: Slot::Password,
            secret: password.as_secret(),
        };
        let (session, memory, pins) = self.session(connected, account, by).await?;
        let endpoint = session.endpoint().clone();
        let mut vault = Vault::open(session, self.passwords.clone(), memory, pins).await?;
        self.keep_local_store(account, &mut vault, password)?;
        if self.stays {
            self.enrol(&mut vault).await?;
        }
        self.vault = Some(vault);
        if explicit || self.profile.server.is_none() {
            self.save_profile(&endpoint, &trust, account)?;
        }
        Ok(())
    }

    /// Without a credential of its own a run only asks for the password more often.
    async fn enrol(&self, vault: &mut Vault) -> Result<(), Error> {
        let device = vault.session().device();
        let name = device::name(vault.index().credentials(), &device);
        match vault.enrol_device(&name).await {
            Err(error @ Error::Verification(_)) => Err(error),
            Err(error) => {
                self.out.detail(&format!(
                    "this device has no credential of its own: {error}"
                ));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Opens a session with the recovery code, and puts a new password and a new code in the place of the old ones.
    ///
    /// # Errors
    /// As [`Self::log_in`] and [`Vault::install`].
    pub async fn recover(
        &mut self,
        connected: Connected,
        code: &SecretBytes,
        password: &Password,
        next_code: &SecretBytes,
    ) -> Result<(), Error> {
        let account = self.account()?;
        let trust = connected.trust.clone();
        let by = By {
            slot: Slot::Recovery,
            secret: code,
        };
        let (session, memory, pins) = self.session(connected, &account, by).await?;
        let endpoint = session.endpoint().clone();
        let mut vault = Vault::open(session, self.passwords.clone(), memory, pins).await?;
        let new = |slot, secret| NewSlot {
            slot,
            secret,
            name: None,
        };
        vault
            .install(&[
                new(Slot::Password, password.as_secret()),
                new(Slot::Recovery, next_code),
            ])
            .await?;
        self.keep_local_store(&account, &mut vault, password)?;
        self.vault = Some(vault);
        self.save_profile(&endpoint, &trust, &account)
    }

    /// Puts another password in the place of the old one, which is asked for first.
    ///
    /// # Errors
    /// As [`Self::log_in`] and [`Vault::install`].
    pub async fn change_password(&mut self, new: &Password) -> Result<(), Error> {
        let account = self.account()?;
        let mut vault = self.vault.take().ok_or(Error::SessionEnded)?;
        vault
            .install(&[NewSlot {
                slot: Slot::Password,
                secret: new.as_secret(),
                name: None,
            }])
            .await?;
        self.keep_local_store(&account, &mut vault, new)?;
        self.vault = Some(vault);
        Ok(())
    }

    /// A vault whose session was opened with the password: only there credentials can be changed.
    ///
    /// # Errors
    /// As [`Self::log_in`].
    pub async fn persons_vault(&mut self) -> Result<&mut Vault, Error> {
        self.check_trust()?;
        let by = self.vault.as_ref().map(|vault| vault.session().by().slot);
        if by != Some(Slot::Password) {
            self.log_out().await?;
            self.log_in(false).await?;
        }
        self.vault().await
    }

    /// Deletes the account, and what this device keeps of it; returns the server's last signed checkpoint.
    ///
    /// # Errors
    /// [`Error::Verification`] for a receipt that does not cover what this device has seen, and those of every exchange.
    pub async fn delete_account(&mut self) -> Result<String, Error> {
        let account = self.account()?;
        let vault = self.vault.take().ok_or(Error::SessionEnded)?;
        let receipt = vault.delete().await?;
        self.local = None;
        self.home.forget_account(&account)?;
        Ok(receipt)
    }

    async fn session(
        &mut self,
        connected: Connected,
        account: &AccountName,
        by: By<'_>,
    ) -> Result<(Session, Memory, Pins), Error> {
        self.session_of(connected, account, by, Restored(false))
            .await
    }

    async fn session_of(
        &mut self,
        connected: Connected,
        account: &AccountName,
        by: By<'_>,
        restored: Restored,
    ) -> Result<(Session, Memory, Pins), Error> {
        let file = self.pins_file(account);
        let mut pins = file.load()?;
        if let (Some(pins), Restored(true)) = (&mut pins, restored) {
            pins.generations.clear();
        }
        let device = self.home.device()?;
        let connected = self.close_registration(connected, pins.as_ref()).await?;
        let Connected { api, hello, .. } = connected;
        let session = Session::open(api, &hello, account, device, by, &mut pins).await?;
        let pins = pins.ok_or_else(|| Error::Failed("no pins after a login".into()))?;
        let memory = Memory {
            pins: file,
            index: self.home.index(account),
        };
        Ok((session, memory, pins))
    }

    /// Opens a session with a server that was restored from a backup, see [`Vault::accept_restore`].
    ///
    /// # Errors
    /// As [`Self::log_in`] and [`Vault::accept_restore`].
    pub async fn accept_restore(
        &mut self,
        accept: impl FnOnce(&Loss) -> Result<(), Error>,
    ) -> Result<Loss, Error> {
        self.log_out().await?;
        self.trust_again()?;
        let account = self.account()?;
        let connected = self.connect().await?;
        let password = self.passwords.get(account.as_str())?;
        let by = By {
            slot: Slot::Password,
            secret: password.as_secret(),
        };
        // The password of before may hold again; the vault log tells.
        let restored = Restored(true);
        let (session, memory, pins) = self.session_of(connected, &account, by, restored).await?;
        let passwords = self.passwords.clone();
        let (mut vault, loss) =
            Vault::accept_restore(session, passwords, memory, pins, accept).await?;
        self.keep_local_store(&account, &mut vault, &password)?;
        self.vault = Some(vault);
        Ok(loss)
    }

    fn save_profile(
        &mut self,
        endpoint: &Endpoint,
        trust: &Trust,
        account: &AccountName,
    ) -> Result<(), Error> {
        let mut profile = Profile {
            account: Some(account.as_str().to_owned()),
            ..self.profile.clone()
        };
        if !self.options.embedded {
            profile.server = Some(endpoint.to_string());
            profile.pin = match trust {
                Trust::Pin(pin) => Some(pin.to_string()),
                Trust::CaFile(_) | Trust::System => None,
            };
            profile.ca_file = match trust {
                Trust::CaFile(path) => Some(absolute(path)),
                Trust::Pin(_) | Trust::System => None,
            };
        }
        if profile != self.profile {
            self.home.save_profile(&profile)?;
            self.profile = profile;
        }
        Ok(())
    }

    /// The local store opens with the password alone, so it is made, or follows a new password, when one is at hand.
    fn keep_local_store(
        &mut self,
        account: &AccountName,
        vault: &mut Vault,
        password: &Password,
    ) -> Result<(), Error> {
        let path = self.home.local_store(account);
        let owner = Owner {
            account: vault.pins().account,
            device: vault.session().device(),
        };
        let key = vault.session().keys().local_store();
        let open = || LocalStore::open_with_key(&path, owner, &key);
        let store = if path.exists() {
            open()
        } else {
            crate::home::make_parent(&path)?;
            match LocalStore::create(&path, owner, password.as_secret(), &key) {
                // Another run was faster.
                Err(LocalError::Exists(_)) => open(),
                made => made,
            }
        };
        match store.and_then(|mut store| {
            if !vault.knows_local_password() {
                store.set_password(password.as_secret())?;
            }
            Ok(store)
        }) {
            Ok(store) => {
                self.local = Some(store);
                vault.note_local_password()
            }
            Err(error) => {
                self.out
                    .say(&format!("the local store is not usable: {error}"));
                Ok(())
            }
        }
    }

    /// The local store as it is on the disk now; opens it with the password where there is no session.
    ///
    /// # Errors
    /// [`Error::LoginRefused`] for a wrong password, [`Error::Failed`] for a damaged or missing store.
    pub fn local_store(&mut self) -> Result<&mut LocalStore, Error> {
        if let Some(store) = &mut self.local {
            store.refresh()?;
        } else {
            let account = self.account()?;
            let path = self.home.local_store(&account);
            let missing = || {
                Error::Failed("there is no local store here yet; the first `login` makes it".into())
            };
            let pins = self.pins_file(&account).load()?.ok_or_else(missing)?;
            if !path.exists() {
                return Err(missing());
            }
            let device = self.home.device()?;
            let password = self.passwords.get(account.as_str())?;
            let owner = Owner {
                account: pins.account,
                device,
            };
            let store = LocalStore::open_with_password(&path, owner, password.as_secret())?;
            self.local = Some(store);
        }
        self.local
            .as_mut()
            .ok_or_else(|| Error::Failed("the local store is closed".into()))
    }

    /// Remembers that something did not prove out, for later runs as well, and drops whatever might be touched by it.
    pub fn distrust(&mut self, error: &Error) {
        self.vault = None;
        let Ok(account) = self.account() else {
            return;
        };
        // What cannot be kept is still said.
        if let Err(error) = self.home.note_distrust(&account, &error.to_string()) {
            self.out.say(&error.to_string());
        }
    }

    /// What did not prove out, until the owner logs in again.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn distrusted(&mut self) -> Result<Option<String>, Error> {
        let account = self.account()?;
        self.home.distrust(&account)
    }

    fn check_trust(&mut self) -> Result<(), Error> {
        self.distrusted()?
            .map_or(Ok(()), |text| Err(Error::Distrusted(text)))
    }

    /// Goes on with a server of which something did not prove out: the owner asks for just that.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn trust_again(&mut self) -> Result<(), Error> {
        let account = self.account()?;
        self.home.forget_distrust(&account)
    }

    /// Whether keys are in memory.
    pub fn is_unlocked(&self) -> bool {
        self.vault.is_some() || self.local.is_some()
    }

    /// Wipes all keys, and closes the session if the server answers soon; says whether there were any.
    ///
    /// # Errors
    /// [`Error::Verification`]; the keys are gone in any case.
    pub async fn lock(&mut self) -> Result<bool, Error> {
        if !self.is_unlocked() {
            return Ok(false);
        }
        self.local = None;
        if let Some(known) = &mut self.abbreviations {
            known.forget();
        }
        self.locked = Some(self.shown.take());
        let Some(vault) = self.vault.take() else {
            return Ok(true);
        };
        match tokio::time::timeout(LOCKING, vault.close()).await {
            Ok(Err(error @ Error::Verification(_))) => {
                self.distrust(&error);
                Err(error)
            }
            // Else it ends by itself.
            _ => Ok(true),
        }
    }

    /// Whether [`Self::lock`] did something since this was last asked, and then whether a value was to be seen.
    pub fn take_lock(&mut self) -> Option<bool> {
        self.locked.take()
    }

    /// Notes that a value is on the screen.
    pub fn note_shown(&self) {
        self.shown.set(true);
    }

    /// Notes whether the server was reached.
    pub fn note_reached<T>(&mut self, done: &Result<T, Error>) {
        match done {
            Err(Error::Unreachable(_)) => self.offline = true,
            _ if self.vault.is_some() => self.offline = false,
            _ => {}
        }
    }

    /// Whether the server was out of reach when it was last needed.
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// After a command was dropped: whether a request was under way. Then nobody knows what became of it, nor what it
    /// left of the vault, and the next command opens it anew.
    pub fn interrupted(&mut self) -> bool {
        let under_way = |vault: &Vault| vault.session().is_waiting();
        let dropped = self.vault.take_if(|vault| under_way(vault));
        dropped.is_some()
    }

    /// Names in the local store, if that is open.
    pub fn local_names(&self) -> Vec<&str> {
        let secrets = self.local.as_ref().map(LocalStore::secrets);
        let secrets = secrets.into_iter().flatten();
        secrets.map(|secret| secret.name.as_str()).collect()
    }

    /// The server in a word.
    pub fn server_label(&self) -> Option<String> {
        if self.options.embedded {
            return Some("embedded".to_owned());
        }
        let endpoint = Endpoint::parse(self.named_server()?).ok()?;
        Some(endpoint.label())
    }

    /// Closes the session, if there is one.
    ///
    /// # Errors
    /// Those of every exchange; the session is over for this device in any case.
    pub async fn log_out(&mut self) -> Result<bool, Error> {
        self.local = None;
        match self.vault.take() {
            Some(vault) => vault.close().await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Ends the run: closes the session and stops the private server.
    ///
    /// # Errors
    /// [`Error::Verification`]; a session that could not be closed for another reason ends by itself.
    pub async fn leave(&mut self) -> Result<(), Error> {
        let closed = self.log_out().await;
        if let Some(running) = self.embedded.take() {
            running.stop();
        }
        match closed {
            Err(error @ Error::Verification(_)) => {
                self.distrust(&error);
                Err(error)
            }
            Err(error) => {
                self.out
                    .detail(&format!("the session was not closed: {error}"));
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }
}

fn absolute(path: &std::path::Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
