use super::*;
use crate::model::item::Item;
use crate::model::record::Record;
use crate::registry::detect;
use crate::testing::{Answers, is_seen, read_all, read_file};
use shared::secret::SecretBytes;

const ALL: [&VaultFormat; 9] = [
    &FIREFOX,
    &ONEPASSWORD,
    &APPLE,
    &KEEPASSXC,
    &KEEPASS,
    &PROTON,
    &NORDPASS,
    &DASHLANE,
    &ROBOFORM,
];

fn source(text: &str) -> Source {
    Source::memory(SecretBytes::from(text.as_bytes()), "")
}

/// The items of a table that is detected as this format.
#[track_caller]
fn items(format: &VaultFormat, table: &str) -> Vec<Item> {
    assert_eq!(detect(&source(table)).unwrap().name(), format.name);
    let (items, losses) = read_file(format, table.as_bytes()).unwrap();
    assert_eq!(losses, [""; 0]);
    items
}

fn record(item: &Item) -> Record {
    item.as_record().unwrap()
}

fn get(item: &Item, address: &str) -> String {
    record(item)
        .at(address)
        .map_or_else(|| "none".into(), |field| field.value.clone())
}

fn names(items: &[Item]) -> Vec<&str> {
    items.iter().map(|item| item.name.as_str()).collect()
}

#[test]
fn a_table_of_firefoxs_is_read() {
    let table = "\"url\",\"username\",\"password\",\"httpRealm\",\"formActionOrigin\",\"guid\",\"timeCreated\",\"timeLastUsed\",\"timePasswordChanged\"\n\
        \"https://www.example.org:8443\",\"anna\",\"p\"\"w\",,\"https://www.example.org\",\"{c1}\",\"1600000000000\",\"1600000000001\",\"1600000000002\"\n";
    let items = items(&FIREFOX, table);
    assert_eq!(names(&items), ["www.example.org"]);
    assert_eq!(
        items[0].newest().unwrap().created_ms,
        Some(1_600_000_000_002)
    );
    assert_eq!(get(&items[0], "password"), "p\"w");
    assert_eq!(get(&items[0], "guid"), "{c1}");
}

#[test]
fn tables_of_1password_are_read() {
    let table = "Title,Url,Username,Password,OTPAuth,Favorite,Archived,Tags,Notes\n\
        a/b,https://a.example,anna,p,otpauth://totp/x?secret=JBSWY3DPEHPK3PXP,true,FALSE,\"one,two\",\"n\n1\"\n\
        old,https://b.example,,q,,false,true,x;y,\n";
    let items = items(&ONEPASSWORD, table);
    assert_eq!(names(&items), ["a\u{2215}b", "old"]);
    assert_eq!(items[0].tags, ["one", "two", "favourite"]);
    assert_eq!(items[1].tags, ["archived", "x", "y"]);
    assert_eq!(
        get(&items[0], "totp"),
        "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP"
    );
    assert_eq!(record(&items[0]).customs().count(), 0);
}

#[test]
fn tables_of_apple_and_keepass_are_read() {
    for header in [
        "Title,URL,Username,Password,Notes,OTPAuth",
        "Title,Url,Username,Password,Notes,OTPAuth",
    ] {
        let items = items(
            &APPLE,
            &format!("{header}\nA,https://a.example,anna,p,n,otpauth://totp/x?secret=MZXW6\n"),
        );
        assert_eq!(get(&items[0], "url"), "https://a.example");
        assert_eq!(get(&items[0], "totp"), "otpauth://totp/x?secret=MZXW6");
        assert_eq!(get(&items[0], "note"), "n");
    }
    let table = "\"Group\",\"Title\",\"Username\",\"Password\",\"URL\",\"Notes\",\"TOTP\",\"Icon\",\"Last Modified\",\"Created\"\n\
        \"Root/Web/Mail\",\"A\",\"anna\",\"p\",\"https://a.example\",\"\",\"\",\"0\",\"2024-05-01T10:00:00Z\",\"2023-05-01T10:00:00Z\"\n\
        \"Root\",\"B\",\"\",\"q\",\"\",\"\",\"\",\"7\",\"\",\"\"\n";
    let xc = items(&KEEPASSXC, table);
    assert_eq!(names(&xc), ["Web/Mail/A", "B"]);
    assert_eq!(xc[0].newest().unwrap().created_ms, Some(1_714_557_600_000));
    assert_eq!(get(&xc[0], "Created"), "2023-05-01T10:00:00Z");
    assert_eq!(
        (get(&xc[0], "Icon"), get(&xc[1], "Icon")),
        ("none".into(), "7".into())
    );
    let table = "\"Account\",\"Login Name\",\"Password\",\"Web Site\",\"Comments\"\n\"A\",\"anna\",\"p\",\"https://a.example\",\"n\"\n";
    assert_eq!(get(&items(&KEEPASS, table)[0], "username"), "anna");
}

#[test]
fn tables_of_proton_are_read() {
    let table = "type,name,url,email,username,password,note,totp,createTime,modifyTime,vault\n\
        login,Two,\"https://a.example/, https://b.example/x,y\",ana@mail.example,,pp-1,,otpauth://totp/x?secret=JBSWY3DPEHPK3PXP,1700000000,1700000001,Work\n\
        login,Three,,ana@mail.example,ana,pp-2,,,1700000000,1700000001,Work\n\
        creditCard,My Card,,,,,\"{\"\"cardholderName\"\":\"\"Ana\"\",\"\"number\"\":\"\"4000000000000002\"\",\"\"verificationNumber\"\":\"\"321\"\",\"\"expirationDate\"\":\"\"2031-01\"\",\"\"pin\"\":\"\"9\"\",\"\"note\"\":\"\"blue\"\"}\",,1700000000,1700000001,Work\n\
        identity,Me,,,,,\"{\"\"fullName\"\":\"\"Ana\"\",\"\"extraSections\"\":[{\"\"sectionName\"\":\"\"S\"\",\"\"sectionFields\"\":[{\"\"fieldName\"\":\"\"f\"\",\"\"type\"\":\"\"hidden\"\",\"\"data\"\":{\"\"content\"\":\"\"v\"\"}}]}]}\",,1700000000,1700000001,Work\n\
        alias,Hide,,hide.me@alias.example,,,,,1700000000,1700000001,\n\
        note,Note,,,,,{no JSON},,1700000000,1700000001,\n";
    let items = items(&PROTON, table);
    assert_eq!(
        names(&items),
        [
            "Work/Two",
            "Work/Three",
            "Work/My Card",
            "Work/Me",
            "Hide",
            "Note"
        ]
    );
    let two = record(&items[0]);
    assert_eq!(
        two.all("url").collect::<Vec<_>>(),
        ["https://a.example/", "https://b.example/x,y"]
    );
    assert_eq!(two.get("username"), Some("ana@mail.example"));
    assert_eq!(
        two.get("totp"),
        Some("otpauth://totp/x?secret=JBSWY3DPEHPK3PXP")
    );
    assert_eq!(
        items[0].newest().unwrap().created_ms,
        Some(1_700_000_001_000)
    );
    let three = record(&items[1]);
    assert_eq!(
        (three.get("username"), three.get("email")),
        (Some("ana"), Some("ana@mail.example"))
    );
    let card = record(&items[2]);
    assert_eq!(card.kind, "card");
    let hidden: Vec<_> = card
        .fields
        .iter()
        .filter(|own| own.hidden)
        .map(|own| own.name.as_str())
        .collect();
    assert_eq!(hidden, ["number", "code", "pin"]);
    assert_eq!(
        (card.get("expiry"), card.get("note")),
        (Some("2031-01"), Some("blue"))
    );
    let own = record(&items[3]).at("f").cloned().unwrap();
    assert_eq!(
        (own.value.as_str(), own.hidden, own.section.as_deref()),
        ("v", true, Some("S"))
    );
    assert_eq!(get(&items[4], "username"), "hide.me@alias.example");
    assert_eq!(get(&items[5], "note"), "{no JSON}");
}

#[test]
fn tables_of_nordpass_are_read() {
    let new = "name,url,additional_urls,username,password,note,cardholdername,cardnumber,cvc,pin,expirydate,zipcode,folder,full_name,phone_number,email,address1,address2,city,country,state,type,custom_fields\n\
        f1/f2,,,,,,,,,,,,,,,,,,,,,folder,\n\
        Site,https://a.example,\"[\"\"https://b.example\"\"]\",anna,p,n,,,,,,,f1/f2,,,,,,,,,password,\"[{\"\"label\"\":\"\"PIN\"\",\"\"type\"\":\"\"hidden\"\",\"\"value\"\":\"\"1234\"\"}]\"\n\
        Visa,,,,,the card,Jane,4242424242424242,123,9999,03/27,,,,,,,,,,,credit_card,\n\
        Jane,,,,,,,,,,,1010,,Jane Doe,555,j@a.example,Main Street 1,,Vienna,Austria,Wien,identity,\n\
        Router,,,,,the note,,,,,,,,,,,,,,,,note,\n";
    let read = items(&NORDPASS, new);
    assert_eq!(names(&read), ["f1/f2/Site", "Visa", "Jane", "Router"]);
    assert_eq!(record(&read[0]).all("url").count(), 2);
    assert!(record(&read[0]).at("PIN").unwrap().hidden);
    assert_eq!(get(&read[1], "expiry"), "2027-03");
    assert!(record(&read[1]).at("code").unwrap().hidden);
    assert_eq!(record(&read[2]).kind, "identity");
    assert!(read[3].as_record().is_none());
    let old = "name,url,username,password,note,cardholdername,cardnumber,cvc,expirydate,zipcode,folder,full_name,phone_number,email,address1,address2,city,country,state\n\
        Visa,,,,,Jane,4242424242424242,123,2027-03,,Cards,,,,,,,,\n";
    let read = items(&NORDPASS, old);
    assert_eq!(
        (names(&read), record(&read[0]).kind),
        (vec!["Cards/Visa"], "card".into())
    );
}

#[test]
fn tables_of_dashlane_are_read_alone_and_in_a_zip() {
    let logins = "username,username2,username3,title,password,note,url,category,otpSecret\n\
        ada,ada2,,Site,p,n,https://a.example,Dev/Ops,JBSWY3DPEHPK3PXP\n";
    let payments = "type,account_name,account_holder,cc_number,code,expiration_month,expiration_year,routing_number,account_number,country,issuing_bank,note,name\n\
        payment_card,Visa,Ada,4111111111111111,123,3,2029,,,US,,,\n\
        bank,Giro,Ada,,,,,22,33,US,Bank,,\n";
    let ids = "type,number,name,issue_date,expiration_date,place_of_issue,state\npassport,P1,Ada,2020-01-02,2030-01-01,US,\ntax_number,T1,,,,,\n";
    let people = "type,title,first_name,middle_name,last_name,login,date_of_birth,place_of_birth,email,email_type,item_name,phone_number,address,country,state,city,zip,address_recipient,address_building,address_apartment,address_floor,address_door_code,job_title,url\n\
        email,,,,,,,,ada@a.example,work,Mail,,,,,,,,,,,,,\n";
    let notes = "title,note\nSafe,\"two\nlines\"\n";
    let read = items(&DASHLANE, logins);
    assert_eq!(names(&read), ["Dev\u{2215}Ops/Site"]);
    assert_eq!(
        (get(&read[0], "username.2"), get(&read[0], "totp")),
        ("ada2".into(), "JBSWY3DPEHPK3PXP".into())
    );
    let read = items(&DASHLANE, payments);
    assert_eq!(
        (names(&read), get(&read[0], "expiry")),
        (vec!["Visa", "Giro"], "2029-03".into())
    );
    assert_eq!(
        (record(&read[1]).kind, get(&read[1], "number")),
        ("bank-account".into(), "33".into())
    );
    assert_eq!(
        names(&items(&DASHLANE, ids)),
        ["passport Ada", "tax_number"]
    );
    assert_eq!(names(&items(&DASHLANE, people)), ["Mail"]);
    assert_eq!(names(&items(&DASHLANE, notes)), ["Safe"]);
    let zip = crate::testing::zip(&[
        ("credentials.csv", logins.as_bytes()),
        ("ids.csv", ids.as_bytes()),
        ("later.csv", b"a,b\n1,2\n"),
        ("none.csv", b""),
        ("payments.csv", payments.as_bytes()),
        ("securenotes.csv", notes.as_bytes()),
    ]);
    let source = Source::memory(SecretBytes::new(zip), "");
    assert_eq!(detect(&source).unwrap().name(), DASHLANE.name);
    let (items, losses) = read_all(&DASHLANE, &source, &Answers::default()).unwrap();
    assert_eq!(items.len(), 6);
    assert_eq!(
        losses,
        ["later.csv: the whole file, which is no table of a known kind"]
    );
}

#[test]
fn tables_of_roboform_are_read() {
    let table = "\u{feff}Name,Url,MatchUrl,Login,Pwd,Note,Folder,RfFieldsV2\n\
        A,https://a.example,https://a.example,anna,'@x,n,/Web/Mail,\"User ID$,,,txt,anna\",\"Secret$,,,pwd,a,b\",\"TOTP KEY$,,,txt,JBSWY3DPEHPK3PXP\"\n\
        Note,,,,,text,,\nshort,https://b.example\n";
    let items = items(&ROBOFORM, table);
    assert_eq!(names(&items), ["Web/Mail/A", "Note", "short"]);
    let login = record(&items[0]);
    assert_eq!(login.all("url").count(), 1);
    assert_eq!(
        (login.get("password"), login.get("totp")),
        (Some("'@x"), Some("JBSWY3DPEHPK3PXP"))
    );
    let own: Vec<_> = login
        .customs()
        .map(|own| (own.name.as_str(), own.value.as_str(), own.hidden))
        .collect();
    assert_eq!(own, [("Secret", "a,b", true)]);
    assert_eq!(items[0].losses.len(), 1);
    assert!(items[1].as_record().is_none());
}

/// Each cell of each table is seen afterwards: with the columns of a description, one that no description has, and each
/// kind of a row.
#[test]
fn no_cell_is_swallowed() {
    let tables = ALL.iter().zip([
        FIREFOX_TABLES,
        ONEPASSWORD_TABLES,
        APPLE_TABLES,
        KEEPASSXC_TABLES,
        KEEPASS_TABLES,
        PROTON_TABLES,
        NORDPASS_TABLES,
        DASHLANE_TABLES,
        ROBOFORM_TABLES,
    ]);
    let tables =
        tables.flat_map(|(format, tables)| tables.iter().map(move |table| (format, table)));
    let mut count = 0;
    for (format, table) in tables {
        let mut columns: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
        if !table.is_exact {
            columns.push("unknown column");
        }
        for kind in KINDS.iter().map(|(kind, _)| *kind).chain(["", "other"]) {
            let cell = |(number, (column, _)): (usize, (&&str, usize))| match *column {
                "type" => kind.to_owned(),
                "Group" => format!("Root/marker-{number}-"),
                _ => format!("marker-{number}-"),
            };
            let cells: Vec<_> = columns.iter().zip(0..).enumerate().map(cell).collect();
            let text = format!("{}\n{}\n", columns.join(","), cells.join(","));
            let read = read_file(format, text.as_bytes()).unwrap();
            assert_eq!(read.0.len(), 1, "{}: {text}", format.name);
            for (column, cell) in columns
                .iter()
                .zip(&cells)
                .filter(|(_, cell)| cell.contains("marker"))
            {
                let cell = cell.trim_start_matches("Root/");
                assert!(is_seen(cell, &read), "{}: {column} of {kind}", format.name);
                count += 1;
            }
        }
    }
    assert!(count > 1000, "{count}");
}

struct Map(crate::ask::Choices, Vec<(&'static str, &'static str)>);

impl Ask for Map {
    fn passphrase(&self) -> Result<zeroize::Zeroizing<String>, FormatError> {
        Err(FormatError::malformed("no passphrase is needed"))
    }

    fn new_passphrase(&self) -> Result<zeroize::Zeroizing<String>, FormatError> {
        self.passphrase()
    }

    fn line(&self, question: &str) -> Result<Option<String>, FormatError> {
        let answer = self
            .1
            .iter()
            .find(|(column, _)| question.contains(&format!("`{column}`")));
        Ok(answer.map(|(_, answer)| (*answer).to_owned()))
    }

    fn choices(&self) -> &crate::ask::Choices {
        &self.0
    }
}

#[test]
fn any_table_is_read_by_a_map() {
    let table = "Titre;Compte;Mot de passe;Site;Divers\nA;anna;p;https://a.example;x\n";
    let read = |ask: &Map| {
        let mut items = Vec::new();
        MAPPED.read(&source(table), ask, &mut |incoming| {
            if let Incoming::Item(item) = incoming {
                items.push(*item);
            }
            Ok(())
        })?;
        Ok::<_, FormatError>(items)
    };
    let map = |pairs: &[(&str, &str)]| {
        let map = pairs
            .iter()
            .map(|(to, from)| ((*to).to_owned(), (*from).to_owned()));
        let choices = crate::ask::Choices {
            map: map.collect(),
            ..Default::default()
        };
        Map(choices, Vec::new())
    };
    let given = map(&[
        ("name", "Titre"),
        ("username", "Compte"),
        ("password", "Mot de passe"),
        ("url", "Site"),
    ]);
    let asked = [
        ("Titre", "name"),
        ("Compte", "username"),
        ("Mot de passe", "password"),
        ("Site", "url"),
        ("Divers", ""),
    ];
    for ask in [given, Map(crate::ask::Choices::default(), asked.to_vec())] {
        let items = read(&ask).unwrap();
        assert_eq!(names(&items), ["A"]);
        assert_eq!(
            (get(&items[0], "username"), get(&items[0], "password")),
            ("anna".into(), "p".into())
        );
        assert!(record(&items[0]).at("password").unwrap().hidden);
        assert_eq!(get(&items[0], "Divers"), "x");
    }
    for (ask, says) in [
        (map(&[]), "--map name=COLUMN"),
        (map(&[("nom", "Titre")]), "it takes name,"),
        (map(&[("name", "Title")]), "it has Titre, Compte"),
    ] {
        let error = read(&ask).unwrap_err();
        assert!(
            matches!(error, FormatError::Usage(_)) && error.to_string().contains(says),
            "{error}"
        );
    }
}
