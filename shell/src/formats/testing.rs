//! What tests of formats share.

use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use super::item::{Item, Loss};
use super::source::Source;
use super::{Ask, Choices, FormatError, Incoming, VaultFormat, Written};

/// Answers with the same passphrase always.
#[derive(Debug, Default)]
pub struct Answers(pub Choices);

impl Ask for Answers {
    fn passphrase(&self) -> Result<Zeroizing<String>, FormatError> {
        Ok(Zeroizing::new("correct horse".into()))
    }

    fn new_passphrase(&self) -> Result<Zeroizing<String>, FormatError> {
        self.passphrase()
    }

    fn choices(&self) -> &Choices {
        &self.0
    }
}

/// All items of a file.
pub fn read(format: &dyn VaultFormat, bytes: &[u8]) -> Result<Vec<Item>, FormatError> {
    let source = Source::memory(SecretBytes::from(bytes), "");
    let mut items = Vec::new();
    format.read(&source, &Answers::default(), &mut |incoming| {
        if let Incoming::Item(item) = incoming {
            items.push(*item);
        }
        Ok(())
    })?;
    Ok(items)
}

/// Out and in again.
pub fn round_trip(
    format: &dyn VaultFormat,
    items: &[Item],
) -> Result<(Vec<Item>, Vec<Loss>), FormatError> {
    let (written, losses) = format.write(items, &Answers::default())?;
    let Written::File(bytes) = written else {
        return Err(FormatError::new("it is no file"));
    };
    Ok((read(format, bytes.expose())?, losses))
}
