//! The sheet on the terminal's alternate screen, which keeps no scrollback, and the check that it was written down.

use keyshell_client::keys::recovery::RecoveryCode;
use zeroize::Zeroizing;

use crate::commands::sheet::Sheet;
use crate::commands::sheet::paper::Code;
use crate::context::Context;
use crate::error::Result;
use crate::output::reveal::{pages, reveal};
use crate::output::terminal::Size;

impl Sheet {
    /// Shows the sheet until a key is pressed: pages of text, and one page per QR code.
    ///
    /// # Errors
    /// [`Error::usage`](crate::error::Error::usage) where there is no terminal, [`Error::failed`](crate::error::Error::failed).
    pub(super) fn show(&self, context: &Context) -> Result<()> {
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
                "\nThis terminal is too small for QR codes.\n`recovery renew --recovery-file FILE.svg` writes a page to print with \
                 them.\n",
            );
            return pages(&text, room);
        };
        let mut screens = pages(&text, room);
        screens.extend(drawn);
        screens
    }

    /// Asks for two groups of the code until they are right, which shows that the code was written down.
    ///
    /// # Errors
    /// [`Error::failed`](crate::error::Error::failed).
    pub(super) fn confirm(&self, context: &Context) -> Result<()> {
        for number in RecoveryCode::two_groups() {
            let question = format!("Group {} of the code, from your paper: ", number + 1);
            loop {
                let typed = match context.prompt.line(&question, "give --no-confirm") {
                    Err(error) if error.is_stopped() => {
                        context
                            .out
                            .note("not checked; the code is valid in any case");
                        return Ok(());
                    }
                    typed => Zeroizing::new(typed?),
                };
                if typed.is_empty() {
                    self.show(context)?;
                } else if self.code.is_group(number, &typed) {
                    break;
                } else {
                    context.out.say(
                        "the group does not match; press Enter to see the sheet again (Ctrl-C skips this check; the code is valid \
                        in any case)",
                    );
                }
            }
        }
        Ok(())
    }
}
