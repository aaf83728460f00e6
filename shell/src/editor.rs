//! Runs the user's editor for notes, which are not secret values.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyshell_base::files;
use keyshell_client::device::home;

use crate::error::{Error, Result};

/// Used if neither VISUAL nor EDITOR is set.
const EDITOR: &str = "vi";
/// Maximum length of the edited text, in bytes.
const MAX_LEN: u64 = 1024 * 1024;

/// Opens a text in the editor, and returns the result without line breaks at the end. The file and the editor's own files
/// are in a temporary folder, below `XDG_RUNTIME_DIR` if that is set, which is removed afterwards.
///
/// # Errors
/// [`Error::failed`], also if the editor ends with a status other than 0; [`Error::usage`] for text that is not UTF-8.
pub fn edit(text: &str, state: &Path) -> Result<String> {
    let failed = Error::io("editing");
    let parent = runtime_folder().unwrap_or_else(|| state.to_owned());
    home::make_parent(&parent.join("note"))?;
    let folder = tempfile::Builder::new()
        .prefix("note-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(parent)
        .map_err(&failed)?;
    let path = folder.path().join("note.txt");
    files::create_new(&path, format!("{text}\n").as_bytes()).map_err(&failed)?;
    let status = Command::new("sh")
        // Through a shell, since the variable may hold arguments.
        .args(["-c", &format!("{} \"$1\"", editor()), "sh"])
        .arg(&path)
        .status()
        .map_err(&failed)?;
    if !status.success() {
        let text = format!("the editor ended with {status}; nothing was changed");
        return Err(Error::failed(text));
    }
    let content = files::read_existing(&path, MAX_LEN).map_err(&failed)?;
    let text = std::str::from_utf8(content.expose())
        .map_err(|_| Error::usage("the text is not UTF-8; nothing was changed"))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn editor() -> String {
    let set = |name| std::env::var(name).ok();
    [set("VISUAL"), set("EDITOR")]
        .into_iter()
        .flatten()
        .find(|editor| !editor.trim().is_empty())
        .unwrap_or_else(|| EDITOR.to_owned())
}

fn runtime_folder() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?);
    (folder.is_absolute() && folder.is_dir()).then_some(folder)
}
