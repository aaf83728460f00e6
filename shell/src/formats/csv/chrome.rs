//! Chrome's passwords, and those of its kin: `name,url,username,password,note`.

use super::super::carry::Carries;
use super::super::record::{Field, Record, field};
use super::{
    Ask, FormatError, Incoming, Item, Loss, Peek, Row, Source, VaultFormat, Written, has_columns,
    read, write,
};

const COLUMNS: [&str; 5] = ["name", "url", "username", "password", "note"];
const CARRIES: Carries = Carries {
    kinds: &["login"],
    fields: &[field::URL, field::USERNAME, field::PASSWORD, field::NOTE],
    customs: false,
    tags: false,
    favourite: false,
    note: false,
    binary: false,
    history: false,
    attachments: false,
};

/// The format.
pub struct ChromeCsv;

impl VaultFormat for ChromeCsv {
    fn name(&self) -> &'static str {
        "chrome-csv"
    }

    fn about(&self) -> &'static str {
        "Chrome's table of passwords: name, one URL, user name, password, note"
    }

    fn recognises(&self, _: &Source, peek: &Peek) -> bool {
        // Older ones have no note.
        COLUMNS
            .split_last()
            .is_some_and(|(_, columns)| has_columns(peek, columns))
            && !has_columns(peek, &["grouping"])
    }

    fn read(
        &self,
        source: &Source,
        _: &dyn Ask,
        sink: &mut dyn FnMut(Incoming) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        read(source, sink, item)
    }

    fn is_written(&self) -> bool {
        true
    }

    fn write(&self, items: &[Item], _: &dyn Ask) -> Result<(Written, Vec<Loss>), FormatError> {
        let (mut rows, mut losses) = (Vec::new(), Vec::new());
        for item in items {
            let admitted = CARRIES.admits(item);
            let login = item.as_record().filter(|_| admitted.is_ok());
            let Some(login) = login else {
                let why = Loss::new(&item.name, "it is no login");
                losses.push(admitted.err().unwrap_or(why));
                continue;
            };
            losses.extend(CARRIES.losses(item));
            let cell = |name: &str| login.get(name).unwrap_or_default().to_owned();
            rows.push((
                item.name.clone(),
                vec![
                    item.name.clone(),
                    cell(field::URL),
                    cell(field::USERNAME),
                    cell(field::PASSWORD),
                    cell(field::NOTE),
                ],
            ));
        }
        Ok((write(&COLUMNS, rows, &mut losses)?, losses))
    }
}

fn item(row: &Row<'_>) -> Item {
    let mut login = Record::new("login");
    login.push(field::USERNAME, row.get("username"));
    login.push(field::PASSWORD, row.get("password"));
    login.push(field::URL, row.get("url"));
    login.push(field::NOTE, row.get("note"));
    for (column, cell) in row.others(&COLUMNS) {
        login.fields.push(Field::custom(column, cell, false));
    }
    let name = match row.get("name") {
        "" => super::host(row.get("url")),
        name => name.to_owned(),
    };
    Item::record(name, &login, None)
}
