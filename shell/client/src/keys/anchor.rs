//! Anchor codes: what a device has verified, as text for paper or for another device. A device that is given one refuses a
//! server that shows anything older or other.

use shared::checkpoint::TreeHead;
use shared::ids::{AccountId, Digest, Seq};
use shared::kdf::length_prefixed;
use shared::merkle;
use shared::secret::SecretBytes;

use crate::device::pins::{Pins, ServerPins};
use crate::error::{Error, Result};
use crate::keys::paper_code::{Form, encode};

const FORM: Form = Form {
    len: 1 + 4 + 8 + 8 + HASH_LEN,
    check: 6,
    label: b"keyshell/2 anchor check",
};
const VERSION: u8 = 2;
/// Length of the hash in bytes: 160 bits, since the server has a part in what is hashed and could look for collisions.
const HASH_LEN: usize = 20;
/// The label of the code on a recovery sheet.
pub const ON_SHEET: &str = "state code";

/// A lower bound of the state of an account: its identity, key epoch, and the heads of both logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The key epoch.
    pub epoch: u32,
    /// Position of the newest entry of the vault log.
    pub seq: Seq,
    /// Number of audit records.
    pub audit_size: u64,
    hash: [u8; HASH_LEN],
}

impl Anchor {
    /// The anchor of the newest state that this device has verified.
    pub fn of(pins: &Pins) -> Self {
        let audit = pins.audit.unwrap_or(TreeHead {
            size: 0,
            root: merkle::empty_root(),
        });
        Self {
            epoch: pins.epoch,
            seq: pins.head.seq,
            audit_size: audit.size,
            hash: hash(&pins.server, &pins.account, [&pins.head.hash, &audit.root]),
        }
    }

    /// Whether it names this server and account, an entry of this hash, and an audit tree of this root.
    pub fn names(
        &self,
        server: &ServerPins,
        account: &AccountId,
        entry: &Digest,
        root: &Digest,
    ) -> bool {
        self.hash == hash(server, account, [entry, root])
    }

    /// The code, in groups of four characters.
    pub fn text(&self) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(self.epoch.to_be_bytes());
        bytes.extend(self.seq.0.to_be_bytes());
        bytes.extend(self.audit_size.to_be_bytes());
        bytes.extend(self.hash);
        FORM.show(&encode(&bytes)).to_string()
    }

    /// Parses a typed code: any case, any grouping.
    ///
    /// # Errors
    /// [`Error::Usage`] for other or mistyped text.
    pub fn parse(typed: &str) -> Result<Self> {
        let canonical = FORM.read(typed);
        let bytes = canonical.as_ref().and_then(|text| FORM.decode(text));
        let anchor = bytes.as_ref().and_then(Self::decode);
        anchor.ok_or_else(|| Error::Usage("this is no state code, or it is mistyped".into()))
    }

    /// Reads the code from a recovery sheet; `None` where it has none.
    ///
    /// # Errors
    /// [`Error::Usage`] for a code that was changed.
    pub fn from_sheet(text: &str) -> Result<Option<Self>> {
        let mut lines = text.lines();
        let code = lines.find_map(|line| line.split_once(ON_SHEET));
        code.map(|(_, code)| Self::parse(code.split('<').next().unwrap_or_default()))
            .transpose()
    }

    fn decode(bytes: &SecretBytes) -> Option<Self> {
        let (version, rest) = bytes.expose().split_first()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (seq, rest) = rest.split_first_chunk()?;
        let (audit_size, hash) = rest.split_first_chunk()?;
        (*version == VERSION).then_some(Self {
            epoch: u32::from_be_bytes(*epoch),
            seq: Seq(u64::from_be_bytes(*seq)),
            audit_size: u64::from_be_bytes(*audit_size),
            hash: hash.try_into().ok()?,
        })
    }
}

fn hash(server: &ServerPins, account: &AccountId, heads: [&Digest; 2]) -> [u8; HASH_LEN] {
    let [entry, root] = heads.map(Digest::as_bytes);
    let digest = Digest::of(&length_prefixed(&[
        b"keyshell/2 anchor",
        server.server.as_bytes(),
        server.opaque_key.as_bytes(),
        server.checkpoint_key.as_bytes(),
        account.as_bytes(),
        entry,
        root,
    ]));
    let mut hash = [0; HASH_LEN];
    hash.copy_from_slice(&digest.as_bytes()[..HASH_LEN]);
    hash
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use shared::ids::{PublicKey, ServerId};
    use shared::vault_log::Head;

    use super::*;

    #[test]
    fn codes_are_read_back_and_name_one_state() {
        let server = ServerPins {
            server: ServerId::new([1; 16]),
            opaque_key: PublicKey::new([2; 32]),
            checkpoint_key: PublicKey::new([3; 32]),
        };
        let account = AccountId::new([4; 16]);
        let (entry, root) = (Digest::new([5; 32]), Digest::new([6; 32]));
        let anchor = Anchor {
            epoch: 7,
            seq: Seq(8),
            audit_size: 9,
            hash: hash(&server, &account, [&entry, &root]),
        };
        let text = anchor.text();
        assert_eq!(text.split('-').count(), 18, "{text}");
        let sheet = format!("first\n{ON_SHEET}      {}\n", text.to_lowercase());
        assert_eq!(Anchor::from_sheet(&sheet).unwrap(), Some(anchor.clone()));
        assert_eq!(Anchor::from_sheet("first").unwrap(), None);
        let mut mistyped = text.clone();
        mistyped.replace_range(
            3..4,
            if text.get(3..4) == Some("A") {
                "B"
            } else {
                "A"
            },
        );
        assert!(Anchor::parse(&mistyped).is_err());
        assert!(Anchor::from_sheet(&format!("{ON_SHEET} {mistyped}")).is_err());

        assert!(anchor.names(&server, &account, &entry, &root));
        assert!(!anchor.names(&server, &account, &root, &entry));
        assert!(!anchor.names(&server, &AccountId::new([5; 16]), &entry, &root));
        let other = ServerPins {
            checkpoint_key: PublicKey::new([9; 32]),
            ..server
        };
        assert!(!anchor.names(&other, &account, &entry, &root));
    }

    #[test]
    fn a_code_names_what_the_pins_hold() {
        let server = ServerPins {
            server: ServerId::new([1; 16]),
            opaque_key: PublicKey::new([2; 32]),
            checkpoint_key: PublicKey::new([3; 32]),
        };
        let mut pins = Pins::new(server, AccountId::new([4; 16]), 1);
        pins.head = Head {
            seq: Seq(3),
            hash: Digest::new([5; 32]),
        };
        for root in [merkle::empty_root(), Digest::new([6; 32])] {
            let anchor = Anchor::of(&pins);
            assert!(anchor.names(&server, &pins.account, &pins.head.hash, &root));
            pins.audit = Some(TreeHead {
                size: 2,
                root: Digest::new([6; 32]),
            });
        }
        assert_eq!(Anchor::of(&pins).audit_size, 2);
    }
}
