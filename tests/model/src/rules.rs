//! What the programs do: the rules of `docs/protocol.md`, and faults that break one of them each.

/// A rule that is broken, so that a test can show that the checker would find the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A new password is installed without a key epoch.
    PasswordKeepsEpoch,
    /// A client does not compare the key history with the account key that its credential wraps.
    HistoryNotBound,
    /// The account key of a new epoch is also encapsulated to the credentials that are revoked with it.
    EncapsulatedToRevoked,
    /// The account key of a new epoch is not encapsulated to the recovery code.
    RecoveryForgotten,
    /// The KEM key of a device's slot descends from the device seed alone.
    DeviceKemFromSeed,
    /// Entries that outlive sessions need no authorisation.
    NothingAuthorised,
    /// An acknowledgement neither renews nor revokes the credentials that are back.
    AcknowledgedWithoutRenewal,
    /// Credentials are compared after a loss by their generation alone.
    CredentialsByGeneration,
    /// A device accepts every acknowledgement that names its head.
    AcknowledgementUnsigned,
    /// A device takes the log key of its pinned epoch from the log that it is shown: it pins the number of the epoch.
    EpochByNumber,
    /// A device pins the length of the log and no hash.
    PinnedByLength,
    /// The shown state is pinned before the acknowledgement is sent.
    PinnedBeforeAcknowledged,
    /// A device forgets the entries that the server refused.
    RefusalsForgotten,
    /// A device accepts a log that ends within the entries of one installation: after `acknowledge` or `rekey`, and before
    /// a credential or a revocation. The programs do not (`Signer::is_whole` in `shared/src/vault_log/rules.rs`).
    ReadInParts,
    /// The server stores the entries of an installation before slot keys and key history.
    InstalledInParts,
}

/// What an attacker has besides everything that the operator ever stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Thief {
    /// Nothing: the operator alone.
    Nobody,
    /// The first password. The thief forges once the owner has replaced it: before, it is the owner's password.
    Password,
    /// The first recovery code, as above.
    Recovery,
    /// A device that was taken while its session was open: its credential and all account keys of that time.
    RunningDevice,
    /// A device that was taken switched off: its seed.
    DeviceSwitchedOff,
}

/// A change that the owner makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// `passwd`
    Password,
    /// `recover`: a new password and a new recovery code, by the recovery code.
    Recover,
    /// `recovery renew`
    Recovery,
    /// `devices revoke`
    Revoke(u8),
    /// `rotate-key`
    RotateKey,
    /// `devices add`: a credential for the device itself; no epoch begins.
    Enrol,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It is stored, and the answer arrives.
    Done,
    /// The client is killed before it sends the request.
    Killed,
    /// The client is killed after that: the operator has the signed entries, and may store them.
    Unanswered,
    /// The operator says that it refused the request.
    Refused,
}

/// The bounds of an exploration.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// What the attacker has.
    pub thief: Thief,
    /// Whether the second device has never seen the account.
    pub is_second_fresh: bool,
    /// The changes that the owner makes.
    pub changes: Vec<Change>,
    /// Most actions of each kind.
    pub most: crate::state::Taken,
}
