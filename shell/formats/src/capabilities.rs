//! Capabilities of formats, and the losses of an item that follow from them.

use keyshell_base::text::plural;

use crate::model::item::{FAVOURITE, Item, Loss};
use crate::model::record::{Field, Record};

/// The parts of items that a format carries.
#[derive(Debug, Clone, Copy)]
pub struct Capabilities {
    /// Kinds of records; empty for all.
    pub kinds: &'static [&'static str],
    /// Well-known fields, once each; names that end with `*` any number of times.
    pub fields: &'static [&'static str],
    /// Fields that the owner defined.
    pub customs: bool,
    /// Tags.
    pub tags: bool,
    /// The tag of favourites; formats that carry tags carry this tag as well.
    pub favourite: bool,
    /// The note beside a value.
    pub note: bool,
    /// Values that are not text.
    pub binary: bool,
    /// Earlier versions.
    pub history: bool,
    /// Attachments.
    pub attachments: bool,
}

impl Capabilities {
    /// The capabilities of a format that carries values of text without metadata.
    pub const NONE: Self = Self {
        kinds: &[],
        fields: &[],
        customs: false,
        tags: false,
        favourite: false,
        note: false,
        binary: false,
        history: false,
        attachments: false,
    };

    /// Checks that the format carries the item at all.
    ///
    /// # Errors
    /// The reason.
    pub fn admits(&self, item: &Item) -> Result<(), Loss> {
        let lost = |what: String| Err(Loss::new(&item.name, what));
        if let Some(record) = item.as_record() {
            if self.kinds.is_empty() || self.kinds.contains(&record.kind.as_str()) {
                return Ok(());
            }
            return lost(format!("no place for an item of kind `{}`", record.kind));
        }
        let newest = item.newest().map(|newest| newest.value.expose());
        if !self.binary && std::str::from_utf8(newest.unwrap_or_default()).is_err() {
            return lost("its value is binary".into());
        }
        Ok(())
    }

    /// The losses of an admitted item.
    pub fn losses(&self, item: &Item) -> Vec<Loss> {
        let mut losses = Vec::new();
        let mut lose = |what: String| losses.push(Loss::new(&item.name, what));
        for tag in &item.tags {
            if !(self.tags || self.favourite && tag == FAVOURITE) {
                lose(format!("the tag `{tag}`"));
            }
        }
        if !self.note && !item.note.is_empty() {
            lose("the note beside its value".into());
        }
        if !self.history && item.versions.len() > 1 {
            lose(plural(item.versions.len() - 1, "earlier version"));
        }
        if !self.attachments {
            for attachment in &item.attachments {
                lose(format!("the attachment `{}`", attachment.name));
            }
        }
        if let Some(record) = item.as_record() {
            self.lost_fields(&record).into_iter().for_each(lose);
        }
        losses
    }

    fn lost_fields(&self, record: &Record) -> Vec<String> {
        let addresses = record.addresses();
        let fields = record.fields.iter().zip(addresses);
        let lost = fields.filter(|(field, address)| !self.has_place(field, address));
        lost.map(|(_, address)| format!("the field `{address}`"))
            .collect()
    }

    fn has_place(&self, field: &Field, address: &str) -> bool {
        if field.custom {
            return self.customs;
        }
        let known = self
            .fields
            .iter()
            .any(|known| match known.strip_suffix('*') {
                Some(many) => field.name == many,
                None => *known == address,
            });
        known || self.customs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::field;

    #[test]
    fn losses_name_tags_and_fields() {
        let mut record = Record::new("login");
        record.push(field::USERNAME, "anna");
        record.push(field::URL, "a");
        record.push(field::URL, "b");
        record.push(field::TOTP, "c");
        let mut item = Item::record("x", &record, None);
        item.tags = vec!["work".into(), FAVOURITE.into()];
        let carries = Capabilities {
            kinds: &["login"],
            fields: &[field::USERNAME, field::URL],
            favourite: true,
            ..Capabilities::NONE
        };
        assert!(carries.admits(&item).is_ok());
        let losses = carries.losses(&item).into_iter().map(|loss| loss.what);
        let expected = ["the tag `work`", "the field `url.2`", "the field `totp`"];
        assert_eq!(losses.collect::<Vec<_>>(), expected);
        let card = Item::record("y", &Record::new("card"), None);
        assert!(carries.admits(&card).is_err());
    }
}
