//! New credentials for an existing account, sans I/O. They replace the old ones only after a complete login by each
//! of them has succeeded.

use std::collections::HashSet;
use std::fmt;

use opaque_ke::ServerSetup;
use serde_bytes::ByteBuf;
use shared::ids::{AccountId, PublicKey, ServerId};
use shared::names::AccountName;
use shared::opaque::{SUITE, Slot, Suite};
use shared::vault_log::{Due, Signer};
use shared::wire::error::Refusal;
use shared::wire::limits::MAX_SLOTS;
use shared::wire::login::LoginStart;
use shared::wire::register::{SlotRecord, SlotRequest};
use shared::wire::slots::Stage;

use crate::sessions::login::PendingLogin;
use crate::sessions::registration::{is_well_formed, respond};
use storage::api::{Account, StoredSlot};

/// The account of a session, and the credential that opened it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The account.
    pub account: AccountId,
    /// Name of the account.
    pub name: AccountName,
    /// Slot of the credential.
    pub slot: Slot,
    /// Generation of the credential. Requests are refused once the credential was replaced.
    pub generation: u64,
    /// Key epoch that the session knows.
    pub epoch: u32,
    /// Signing key of the credential, which authorises the device's key.
    pub signing: PublicKey,
}

impl Holder {
    /// Whether the session was opened with the password or the recovery code.
    pub fn is_person(&self) -> bool {
        !matches!(self.slot, Slot::Device(_))
    }
}

/// The session that requests new credentials.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// Account and credential of the session.
    pub holder: &'a Holder,
    /// Whether password or recovery code was proven within the proof time.
    pub is_proven: bool,
}

impl Asker<'_> {
    /// Whether the session may change the slot: without a recent proof only the slot of its own device.
    fn may_change(self, slot: &Slot) -> bool {
        let is_own = matches!(slot, Slot::Device(_)) && *slot == self.holder.slot;
        self.is_proven || is_own
    }
}

/// Answers registration requests.
///
/// # Errors
/// [`Refusal::NeedsPassword`], [`Refusal::TooLarge`], [`Refusal::Malformed`].
pub fn enrol(
    setup: &ServerSetup<Suite>,
    asker: Asker<'_>,
    requests: &[SlotRequest],
) -> Result<Vec<ByteBuf>, Refusal> {
    check_slots(asker, requests.iter().map(|request| request.slot))?;
    requests
        .iter()
        .map(|request| respond(setup, &asker.holder.name, request))
        .collect()
}

fn check_slots(asker: Asker<'_>, slots: impl Iterator<Item = Slot>) -> Result<(), Refusal> {
    let slots: Vec<Slot> = slots.collect();
    let distinct: HashSet<&Slot> = slots.iter().collect();
    if slots.is_empty() || distinct.len() != slots.len() {
        return Err(Refusal::Malformed);
    }
    if slots.len() > MAX_SLOTS {
        return Err(Refusal::TooLarge);
    }
    if !slots.iter().all(|slot| asker.may_change(slot)) {
        return Err(Refusal::NeedsPassword);
    }
    Ok(())
}

/// New credentials that are not proven yet.
pub struct Staged {
    slots: Vec<SlotRecord>,
    logins: Vec<PendingLogin>,
}

impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staged").finish_non_exhaustive()
    }
}

impl Staged {
    /// Starts a login by each new credential; returns the pending state and one KE2 per slot.
    ///
    /// # Errors
    /// As [`enrol`].
    pub fn start(
        setup: &ServerSetup<Suite>,
        server: ServerId,
        asker: Asker<'_>,
        stage: Stage,
    ) -> Result<(Self, Vec<ByteBuf>), Refusal> {
        let holder = asker.holder;
        check_slots(asker, stage.slots.iter().map(|record| record.slot))?;
        let in_order = stage.slots.len() == stage.ke1.len();
        if !in_order || !stage.slots.iter().all(is_well_formed) {
            return Err(Refusal::Malformed);
        }
        let mut logins = Vec::new();
        let mut answers = Vec::new();
        for (record, ke1) in stage.slots.iter().zip(stage.ke1) {
            let message = LoginStart {
                suite: SUITE,
                account: holder.name.clone(),
                slot: record.slot,
                ke1,
            };
            let account = Account {
                id: holder.account,
                name: holder.name.clone(),
                signer: Signer {
                    epoch: record.wrapped.epoch,
                    log_key: PublicKey::new([0; PublicKey::LEN]),
                    due: Due::Nothing,
                },
                slots: vec![StoredSlot::new(record.clone(), holder.signing)],
                created_ms: 0,
            };
            let (login, ke2) = PendingLogin::start(setup, server, message, Some(account))?;
            logins.push(login);
            answers.push(ke2);
        }
        let staged = Self {
            slots: stage.slots,
            logins,
        };
        Ok((staged, answers))
    }

    /// Checks the last message of each login; returns the credentials.
    ///
    /// # Errors
    /// [`Refusal::LoginRefused`] if a KE3 is wrong, or their number is.
    pub fn prove(&self, ke3: &[ByteBuf]) -> Result<Vec<SlotRecord>, Refusal> {
        let proven = ke3.len() == self.logins.len()
            && self
                .logins
                .iter()
                .zip(ke3)
                .all(|(login, ke3)| login.is_proven_by(ke3));
        proven
            .then(|| self.slots.clone())
            .ok_or(Refusal::LoginRefused)
    }
}
