//! `edit`

use clap::Args;
use keyshell_base::names::SecretName;
use keyshell_base::text::printable;
use keyshell_client::index::metadata::Metadata;
use keyshell_client::vault::commit::Change;
use serde_json::json;

use crate::commands::{naming, value};
use crate::context::Context;
use crate::editor;
use crate::error::Result;
use crate::shell::Shell;

/// Change the tags and the note of a secret; without options, keyshell asks for both.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  edit prod/db   # asks for tags and note\n  edit prod/db --editor   # for a long note\n  edit prod/db --tag live --untag test --note \"main database\""
)]
pub struct Edit {
    /// Name of the secret.
    name: String,
    /// Add a tag; can be given more than once.
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Remove a tag; can be given more than once.
    #[arg(long, value_name = "TAG")]
    untag: Vec<String>,
    /// Replace the note; an empty one removes it.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Edit the note with $VISUAL or $EDITOR.
    #[arg(long, conflicts_with = "note")]
    editor: bool,
}

impl Edit {
    pub(super) async fn run(mut self, shell: &mut Shell) -> Result<()> {
        let name = naming::existing(shell, &self.name).await?;
        let before = value::find(shell.account.vault().await?.index(), &name)?
            .metadata
            .clone();
        if self.editor {
            let note = editor::edit(&before.note, shell.context.home.state())?;
            self.note = (note != before.note.trim_end()).then_some(note);
        } else if self.tag.is_empty() && self.untag.is_empty() && self.note.is_none() {
            self.ask(&shell.context, &before)?;
        }
        let vault = shell.account.vault().await?;
        vault.commit(|index| self.plan(index, &name)).await?;
        let after = &value::find(vault.index(), &name)?.metadata;
        let object = json!({"name": name, "tags": after.tags, "note": after.note});
        shell.context.out.done(&format!("{name}: changed"), &object)
    }

    fn plan(
        &self,
        index: &keyshell_client::index::Index,
        name: &SecretName,
    ) -> Result<Vec<Change>> {
        let secret = value::find(index, name)?;
        let mut metadata = secret.metadata.clone();
        let mut tags = metadata.tags.clone();
        tags.retain(|tag| !self.untag.contains(tag));
        tags.extend(self.tag.iter().cloned());
        metadata.set_tags(tags);
        if let Some(note) = &self.note {
            metadata.note.clone_from(note);
        }
        if metadata == secret.metadata {
            return Ok(Vec::new());
        }
        Ok(vec![Change::Describe {
            secret: secret.id,
            metadata,
        }])
    }

    /// Asks for both with the present values prefilled, control characters escaped. An unchanged line keeps the stored
    /// value.
    fn ask(&mut self, context: &Context, before: &Metadata) -> Result<()> {
        context.prompt.require("give --tag, --untag or --note")?;
        let shown: Vec<String> = before.tags.iter().map(|tag| printable(tag)).collect();
        let typed =
            crate::line_editor::edit_line("Tags (separated by commas): ", &shown.join(", "))?;
        let typed: Vec<&str> = typed.split(',').map(str::trim).collect();
        for (tag, shown) in before.tags.iter().zip(&shown) {
            if !typed.contains(&shown.as_str()) {
                self.untag.push(tag.clone());
            }
        }
        let is_new = |tag: &&str| shown.iter().all(|shown| shown != tag);
        let new = typed.into_iter().filter(is_new);
        self.tag = new.map(str::to_owned).collect();
        let shown = printable(&before.note);
        let typed = crate::line_editor::edit_line("Note: ", &shown)?;
        self.note = (typed != shown.trim()).then_some(typed);
        Ok(())
    }
}
