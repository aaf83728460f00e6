//! Chrome's passwords, and those of its kin: `name,url,username,password,note`.

use super::table::{Row, comes_back, has_columns, list_changed, read, write};
use crate::capabilities::Capabilities;
use crate::format::{FormatError, Item, Loss, Peek, Source, VaultFormat, Written};
use crate::model::record::{Record, field};
use crate::vaults::draft;

const COLUMNS: [&str; 5] = ["name", "url", "username", "password", "note"];
/// The fields are those of the columns after the name, in their order.
const CAPABILITIES: Capabilities = Capabilities {
    kinds: &["login"],
    fields: &[field::URL, field::USERNAME, field::PASSWORD, field::NOTE],
    ..Capabilities::NONE
};

/// The format.
pub const CHROME: VaultFormat = VaultFormat {
    write: Some(|items, _| export(items)),
    ..VaultFormat::new(
        "chrome-csv",
        "Chrome's table of passwords: name, one URL, user name, password, note",
        recognises,
        |source, _, sink| read(source, sink, item),
    )
};

fn recognises(_: &Source, peek: &Peek) -> bool {
    // Tables of older versions have no note.
    has_columns(peek, &["name", "url", "username", "password"])
}

fn export(items: &[Item]) -> Result<(Written, Vec<Loss>), FormatError> {
    let (mut rows, mut losses) = (Vec::new(), Vec::new());
    for item in items {
        let admitted = CAPABILITIES.admits(item);
        let login = item.as_record().filter(|_| admitted.is_ok());
        let Some(login) = login else {
            let why = Loss::new(&item.name, "it is no login");
            losses.push(admitted.err().unwrap_or(why));
            continue;
        };
        losses.extend(CAPABILITIES.losses(item));
        let cell = |name: &str| login.get(name).unwrap_or_default().to_owned();
        let mut cells = vec![item.name.clone()];
        cells.extend(CAPABILITIES.fields.iter().copied().map(cell));
        if !comes_back(item, (&COLUMNS, &cells), self::item) {
            list_changed(item, &mut losses);
        }
        rows.push((item.name.clone(), cells));
    }
    Ok((write(&COLUMNS, rows, &mut losses)?, losses))
}

fn item(row: &Row<'_>) -> Item {
    let mut login = Record::new("login");
    login.push(field::USERNAME, row.get("username"));
    login.push(field::PASSWORD, row.get("password"));
    login.push(field::URL, row.get("url"));
    login.push(field::NOTE, row.get("note"));
    login.fields.extend(row.others(&COLUMNS));
    let name = match row.get("name") {
        "" => draft::host(row.get("url")),
        name => name.to_owned(),
    };
    Item::record(name, &login, None)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    #[test]
    fn a_table_of_chromes_is_read() {
        let table = "name,url,username,password,note\n\
            ,https://a.example:8443/x,anna,\"p\"\"w\",\"two\nlines\"\n\
            b.example,https://b.example,,q,\n";
        let items = testing::read(&CHROME, table.as_bytes()).unwrap();
        let names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["a.example", "b.example"]);
        let login = items.first().unwrap().as_record().unwrap();
        assert_eq!(login.get(field::PASSWORD), Some("p\"w"));
        assert_eq!(login.get(field::NOTE), Some("two\nlines"));
        let (again, losses) = testing::round_trip(&CHROME, &items).unwrap();
        assert_eq!(losses, []);
        assert_eq!(again, items);
    }

    #[test]
    fn fields_without_a_column_are_losses() {
        let mut login = Record::new("login");
        login.push(field::USERNAME, "anna");
        login.push(field::TOTP, "AAAA");
        login.push(field::URL, "https://a.example");
        login.push(field::URL, "https://b.example");
        let mut shown = Record::new("login");
        shown.push(field::PASSWORD, "p");
        shown
            .fields
            .iter_mut()
            .for_each(|field| field.hidden = false);
        let items = [
            Item::record("x", &login, None),
            Item::record("y", &shown, None),
            Item::text("z", "text", None),
        ];
        let (again, losses) = testing::round_trip(&CHROME, &items).unwrap();
        let losses: Vec<_> = losses.iter().map(ToString::to_string).collect();
        let expected = [
            "x: the field `totp`",
            "x: the field `url.2`",
            "y: how some of its fields are laid out: they come back as others",
            "z: it is no login",
        ];
        assert_eq!(losses, expected);
        assert_eq!(again.len(), 2);
    }

    proptest! {
        #[test]
        fn items_come_back_or_are_losses(items in testing::tabular_items()) {
            let (again, losses) = testing::round_trip(&CHROME, &items).unwrap();
            testing::assert_same_or_listed(&items, &again, &losses);
        }

        #[test]
        fn values_of_the_columns_have_no_losses(
            texts in prop::collection::vec("[^=+@'\\-\t\r]\\PC{0,8}", 4),
            name in "[a-z][a-z/ é\u{2215},\"]{0,5}",
        ) {
            let mut login = Record::new("login");
            let names = [field::USERNAME, field::PASSWORD, field::URL, field::NOTE];
            for (name, text) in names.into_iter().zip(&texts) {
                login.push(name, text.as_str());
            }
            let items = [Item::record(name, &login, None)];
            let (again, losses) = testing::round_trip(&CHROME, &items).unwrap();
            prop_assert_eq!(losses, []);
            prop_assert_eq!(again, items);
        }
    }
}
