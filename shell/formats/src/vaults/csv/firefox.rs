//! Firefox's logins: `url,username,password,httpRealm,formActionOrigin,guid,timeCreated,timeLastUsed,timePasswordChanged`.

use super::table::{self, Row, has_columns, read};
use crate::format::{Item, VaultFormat};
use crate::model::record::{Record, field};

const COLUMNS: [&str; 4] = ["url", "username", "password", "timePasswordChanged"];

/// The format.
pub const FIREFOX: VaultFormat = VaultFormat::new(
    "firefox-csv",
    "Firefox's table of logins, with their times",
    |_, peek| has_columns(peek, &COLUMNS),
    |source, _, sink| read(source, sink, item),
);

fn item(row: &Row<'_>) -> Item {
    let mut login = Record::new("login");
    login.push(field::USERNAME, row.get("username"));
    login.push(field::PASSWORD, row.get("password"));
    login.push(field::URL, row.get("url"));
    login.fields.extend(row.others(&COLUMNS));
    let changed = row.get("timePasswordChanged").parse().ok();
    Item::record(table::host(row.get("url")), &login, changed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_table_of_firefoxs_is_read() {
        let table = "\"url\",\"username\",\"password\",\"httpRealm\",\"formActionOrigin\",\"guid\",\"timeCreated\",\"timeLastUsed\",\"timePasswordChanged\"\n\
            \"https://www.example.org:8443\",\"anna\",\"p\"\"w\",,\"https://www.example.org\",\"{c1}\",\"1600000000000\",\"1600000000001\",\"1600000000002\"\n";
        let items = testing::read(&FIREFOX, table.as_bytes()).unwrap();
        let item = items.first().unwrap();
        assert_eq!(item.name, "www.example.org");
        assert_eq!(item.newest().unwrap().created_ms, Some(1_600_000_000_002));
        let login = item.as_record().unwrap();
        assert_eq!(login.get(field::PASSWORD), Some("p\"w"));
        assert_eq!(login.at("guid").unwrap().value, "{c1}");
    }
}
