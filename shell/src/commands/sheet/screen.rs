//! The sheet at a person's terminal: on its other screen, where nothing of it stays, and then asked for from paper.

use keyshell_client::keys::recovery::RecoveryCode;
use zeroize::Zeroizing;

use crate::commands::sheet::Sheet;
use crate::commands::sheet::paper::Code;
use crate::context::Context;
use crate::error::Error;
use crate::output::reveal::{pages, reveal};
use crate::output::terminal::Size;

impl Sheet {
    /// Shows the sheet until a key is pressed: a page of text, and a page for each QR code.
    ///
    /// # Errors
    /// [`Error::Usage`] where there is no terminal, [`Error::Failed`].
    pub(super) fn show(&self, context: &Context) -> Result<(), Error> {
        let codes = self.codes()?;
        let colours = context.out.has_colours();
        reveal(context.options().idle_lock, |room| {
            self.screens(&codes, room, colours)
        })
    }

    fn screens(&self, codes: &[Code], room: Size, colours: bool) -> Vec<Zeroizing<String>> {
        let drawn: Option<Vec<_>> = codes
            .iter()
            .map(|code| code.qr.page(code.name, room, colours))
            .collect();
        let mut text = self.text();
        let Some(drawn) = drawn else {
            text.push_str(
                "\nThis terminal is too small for QR codes; for a page to print with them:\n`recovery renew \
                 --recovery-file FILE.svg`\n",
            );
            return pages(&text, room);
        };
        let mut screens = pages(&text, room);
        screens.extend(drawn);
        screens
    }

    /// Asks for two groups of the code, until they are right: a sheet that was never written is found out now, not later.
    ///
    /// # Errors
    /// [`Error::Interrupted`], [`Error::Failed`].
    pub(super) fn confirm(&self, context: &Context) -> Result<(), Error> {
        for number in RecoveryCode::two_groups() {
            let question = format!("Group {} of the code, from your paper: ", number + 1);
            loop {
                let typed = Zeroizing::new(context.prompt.line(&question, "give --no-confirm")?);
                if typed.is_empty() {
                    self.show(&context)?;
                } else if self.code.is_group(number, &typed) {
                    break;
                } else {
                    context.out.say(
                        "that is not it; Enter alone shows the sheet again (Ctrl-C breaks off, and the code holds all the \
                         same)",
                    );
                }
            }
        }
        Ok(())
    }
}
