//! `completions`

use clap::Args;
use serde_json::json;

use crate::args;
use crate::error::Error;
use crate::shell::Shell;

/// Print the completions of a shell: what Tab knows of keyshell's options, commands and files.
///
/// For bash: `keyshell completions bash > ~/.local/share/bash-completion/completions/keyshell`. For zsh: into a file
/// `_keyshell` in a folder of `$fpath`. For fish: into `~/.config/fish/completions/keyshell.fish`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  completions bash\n  completions zsh")]
pub struct Completions {
    /// Which shell.
    #[arg(value_name = "SHELL")]
    kind: clap_complete::Shell,
}

impl Completions {
    pub(super) fn run(self, shell: &Shell) -> Result<(), Error> {
        let mut script = Vec::new();
        clap_complete::generate(self.kind, &mut args::program(), "keyshell", &mut script);
        if shell.out.is_json() {
            let text = String::from_utf8_lossy(&script);
            let object = json!({"shell": self.kind.to_string(), "script": text});
            return shell.out.object(&object);
        }
        shell.out.bytes(&script)
    }
}
