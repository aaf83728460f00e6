//! `completions`

use clap::Args;
use clap_complete::Shell;
use serde_json::json;

use crate::error::Result;
use crate::line::grammar;

/// Completion of names for bash, in quoted form; if no name fits, the generated completion is used.
const BASH: &str = r#"
_keyshell_names() {
    local name
    COMPREPLY=()
    while IFS= read -r name; do
        [[ -n $name ]] && COMPREPLY+=("$name")
    done < <(command keyshell __complete bash "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 0 ]]; then
        _keyshell "$@"
    elif [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == */ ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
"#;
/// Completion of names for zsh, which quotes by itself; replaces the first line of the generated main function, where
/// all words are visible.
const ZSH: &str = r#"_keyshell_names() {
    local -a names
    names=("${(@f)$(command keyshell __complete words "${(@)_keyshell_words}" 2>/dev/null)}")
    names=("${(@)names:#}")
    if (( ! $#names )); then
        _default
        return
    fi
    compadd -S '' -- "${(@M)names:#*/}"
    compadd -- "${(@)names:#*/}"
}

_keyshell() {
    local -a _keyshell_words
    _keyshell_words=("${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}")
"#;
/// Completion of names for fish, which quotes by itself.
const FISH: &str = r#"
function __fish_keyshell_finds_names
    set -l token (commandline -ct)
    set -l typed (string unescape -- $token; or string unescape -- $token\"; or string unescape -- $token\')
    set -g __fish_keyshell_names (command keyshell __complete words (commandline -opc)[2..-1] "$typed" 2>/dev/null | string match -v '')
    test -n "$__fish_keyshell_names"
end

complete -c keyshell -n __fish_keyshell_finds_names -f -a '$__fish_keyshell_names'
"#;

/// Print a completion script for a shell.
///
/// Tab then completes options, commands and files, and the names of secrets while the agent is unlocked. For bash, run
/// `keyshell completions bash > ~/.local/share/bash-completion/completions/keyshell`. For zsh, write the output to a
/// file `_keyshell` in a folder of `$fpath`; for fish, to `~/.config/fish/completions/keyshell.fish`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  completions bash\n  completions zsh")]
pub struct Completions {
    /// The shell.
    #[arg(value_name = "SHELL")]
    kind: Shell,
}

impl Completions {
    pub(super) fn run(self, shell: &crate::shell::Shell, mut program: clap::Command) -> Result<()> {
        let out = shell.context.out;
        let mut script = Vec::new();
        clap_complete::generate(self.kind, &mut program, "keyshell", &mut script);
        let script = with_names(self.kind, &String::from_utf8_lossy(&script));
        if out.is_json() {
            let object = json!({"shell": self.kind.to_string(), "script": script});
            return out.object(&object);
        }
        out.bytes(script.as_bytes())
    }
}

/// The generated script, extended to ask keyshell for names in arguments that take a name.
fn with_names(kind: Shell, script: &str) -> String {
    match kind {
        Shell::Bash => {
            let script = script.replace("complete -F _keyshell ", "complete -F _keyshell_names ");
            format!("{script}{BASH}")
        }
        Shell::Zsh => {
            let script = script.replacen("_keyshell() {\n", ZSH, 1);
            let lines = script.lines().map(|line| {
                let value = line.trim_start_matches(['\'', ':', '*']);
                let is_name = grammar::NAMES
                    .iter()
                    .any(|name| value.starts_with(&format!("{name} -- ")));
                if is_name && line.starts_with('\'') {
                    line.replace(":_default'", ":_keyshell_names'")
                } else {
                    line.to_owned()
                }
            });
            lines.map(|line| line + "\n").collect()
        }
        Shell::Fish => format!("{script}{FISH}"),
        _ => script.to_owned(),
    }
}
