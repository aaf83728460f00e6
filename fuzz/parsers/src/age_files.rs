//! age files. They are apart from the other import formats because the age crate measures the machine each time that it
//! is given a passphrase, which is slow.

use std::io::Write as _;

use age::secrecy::SecretString;
use keyshell_formats::source::Source;
use keyshell_formats::{FormatError, age_file};
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use crate::cursor::Cursor;

/// Passphrase of the age files in the corpus.
pub const PASSPHRASE: &str = "passphrase";
/// Most scrypt work that is spent on a made-up age file, as the logarithm of N.
const MAX_WORK_FACTOR: u8 = 3;

/// Any file, and any content of one.
pub(crate) fn age_files(data: &[u8]) {
    let mut script = Cursor::new(data);
    if script.choice(4) == 0 {
        content(script.rest());
    } else {
        file(script.rest());
    }
}

/// Any file, unless it asks for more work than a fuzzer has time for.
fn file(bytes: &[u8]) {
    let asks_too_much = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| line.starts_with(b"-> "))
        .flat_map(|line| line.split(|byte| *byte == b' '))
        .filter_map(|word| std::str::from_utf8(word).ok()?.parse::<u8>().ok())
        .any(|number| number > MAX_WORK_FACTOR);
    if asks_too_much {
        return;
    }
    if let Ok(content) = open(bytes, PASSPHRASE) {
        assert!(age_file::is_sealed(bytes) && age_file::is_under_passphrase(bytes));
        assert!(content.len() < bytes.len());
        assert!(open(bytes, "another passphrase").is_err());
    }
}

/// Any content, sealed with hardly any work: it comes back, and what is cut off or altered does not.
fn content(content: &[u8]) {
    let sealed = seal(content);
    assert!(age_file::is_sealed(&sealed) && age_file::is_under_passphrase(&sealed));
    let opened = open(&sealed, PASSPHRASE).unwrap();
    assert_eq!(opened, SecretBytes::from(content));
    let mut altered = sealed.clone();
    let place = sealed.len() - 1 - content.first().map_or(0, |byte| usize::from(*byte) % 16);
    altered[place] ^= 1;
    assert!(open(&altered, PASSPHRASE).is_err());
    assert!(open(&sealed[..place], PASSPHRASE).is_err());
}

fn open(bytes: &[u8], passphrase: &str) -> Result<SecretBytes, FormatError> {
    let mut source = Source::memory(SecretBytes::from(bytes), "");
    source.open_with(Zeroizing::new(passphrase.to_owned()));
    source.bytes(1 << 30)
}

/// An age file that costs next to nothing to open.
pub fn seal(content: &[u8]) -> Vec<u8> {
    let mut recipient = age::scrypt::Recipient::new(SecretString::from(PASSPHRASE.to_owned()));
    recipient.set_work_factor(1);
    let recipients = std::iter::once(&recipient as &dyn age::Recipient);
    let mut sealed = Vec::new();
    let mut writer = age::Encryptor::with_recipients(recipients)
        .unwrap()
        .wrap_output(&mut sealed)
        .unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap();
    sealed
}
