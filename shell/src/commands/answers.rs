//! Answers to the questions of formats, cached because an import reads each file twice.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;

use keyshell_formats::{Ask, Choices, FormatError};
use zeroize::Zeroizing;

use crate::error::Result;
use crate::passphrase;
use crate::prompt::Prompt;

/// Reads passphrases from the terminal or a file, and caches them.
#[derive(Debug)]
pub struct Answers {
    prompt: Prompt,
    passphrase_file: Option<PathBuf>,
    choices: Choices,
    passphrase: Mutex<Option<Zeroizing<String>>>,
    /// Answers by question.
    lines: Mutex<HashMap<String, String>>,
}

impl Answers {
    /// An empty cache.
    pub fn new(prompt: Prompt, passphrase_file: Option<PathBuf>, choices: Choices) -> Self {
        Self {
            prompt,
            passphrase_file,
            choices,
            passphrase: Mutex::new(None),
            lines: Mutex::default(),
        }
    }

    fn remembered(
        &self,
        ask: impl FnOnce(Prompt, Option<&std::path::Path>) -> Result<Zeroizing<String>>,
    ) -> Result<Zeroizing<String>, FormatError> {
        let mut known = self
            .passphrase
            .lock()
            .map_err(|_| FormatError::library("reading the passphrase was interrupted"))?;
        if let Some(known) = &*known {
            return Ok(known.clone());
        }
        let answer = ask(self.prompt, self.passphrase_file.as_deref())?;
        *known = Some(answer.clone());
        Ok(answer)
    }
}

impl Ask for Answers {
    fn passphrase(&self) -> Result<Zeroizing<String>, FormatError> {
        self.remembered(passphrase::get)
    }

    fn new_passphrase(&self) -> Result<Zeroizing<String>, FormatError> {
        self.remembered(passphrase::get_new)
    }

    fn passphrase_if_any(&self) -> Result<Option<Zeroizing<String>>, FormatError> {
        if self.passphrase_file.is_some() {
            return self.passphrase().map(Some);
        }
        if !self.prompt.is_interactive {
            return Ok(None);
        }
        let question = "Passphrase (empty for none): ";
        Ok(Some(self.prompt.hidden(question)?))
    }

    fn share(&self, missing: &str) -> Result<Zeroizing<String>, FormatError> {
        let instead = format!("shares are missing ({missing}): give their files too");
        self.prompt.require(&instead)?;
        let question = format!("Another share ({missing}): ");
        Ok(self.prompt.hidden(&question)?)
    }

    fn line(&self, question: &str) -> Result<Option<String>, FormatError> {
        if !self.prompt.is_interactive {
            return Ok(None);
        }
        let mut known = self
            .lines
            .lock()
            .map_err(|_| FormatError::library("reading the answer was interrupted"))?;
        if let Some(answer) = known.get(question) {
            return Ok(Some(answer.clone()));
        }
        let answer = self.prompt.line(question, "")?;
        known.insert(question.to_owned(), answer.clone());
        Ok(Some(answer))
    }

    fn choices(&self) -> &Choices {
        &self.choices
    }
}
