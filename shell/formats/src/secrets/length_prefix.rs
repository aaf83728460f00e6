//! `len`: one length byte, then the value. `len32`: the same with four length bytes, big-endian.

use shared::secret::SecretBytes;

use crate::format::{Ask, FormatError, Portable, SecretFormat, bounded};

pub struct Len {
    name: &'static str,
    about: &'static str,
    width: usize,
}

pub const ONE_BYTE: Len = Len {
    name: "len",
    about: "one length byte, then the value: at most 255 bytes",
    width: 1,
};
pub const FOUR_BYTES: Len = Len {
    name: "len32",
    about: "four length bytes (big-endian), then the value",
    width: 4,
};

impl SecretFormat for Len {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn encode(&self, secret: &Portable, _: &dyn Ask) -> Result<SecretBytes, FormatError> {
        let len = secret.value.len();
        let bytes = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
        let (unused, prefix) = bytes.split_at(bytes.len() - self.width);
        if unused.iter().any(|byte| *byte != 0) {
            return Err(FormatError::cannot_carry(format!(
                "format `len` carries at most 255 bytes, this value has {len}: use --format len32"
            )));
        }
        Ok(SecretBytes::new([prefix, secret.value.expose()].concat()))
    }

    fn decode(&self, bytes: &[u8], _: &dyn Ask) -> Result<Portable, FormatError> {
        let name = self.name;
        let (prefix, value) = bytes.split_at_checked(self.width).ok_or_else(|| {
            FormatError::not_this_format(format!("this is not `{name}`: it is too short"))
        })?;
        let says = prefix
            .iter()
            .fold(0, |len, byte| (len << 8) | usize::from(*byte));
        if value.len() != says {
            let has = value.len();
            return Err(FormatError::not_this_format(format!(
                "this is not `{name}`: the prefix states {says} bytes, but {has} follow"
            )));
        }
        bounded(value.to_vec()).map(Portable::bare)
    }
}
