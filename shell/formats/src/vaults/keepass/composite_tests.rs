use super::tests::{entry, strings_of, with_root};
use super::{DATABASE, XML};
use crate::model::item::Item;
use crate::model::record::{Record, field};
use crate::testing::{read_file, round_trip};

fn read(strings: &[(&str, &str)]) -> Item {
    let strings: Vec<_> = strings
        .iter()
        .map(|(key, value)| (*key, value.replace('&', "&amp;")))
        .collect();
    let strings: Vec<_> = strings
        .iter()
        .map(|(key, value)| (*key, &**value))
        .collect();
    let text = with_root(&entry(&strings, ""));
    read_file(&XML, text.as_bytes()).unwrap().0.remove(0)
}

/// Strings, the URI, and the keys that stay fields.
type Case<'a> = (&'a [(&'a str, &'a str)], String, &'a [&'a str]);

#[test]
fn older_one_time_codes_become_uris() {
    let seed = ("TOTP Seed", "gezd gnbv-GY3T qojq");
    let uri = "otpauth://totp/x%20y?secret=GEZDGNBVGY3TQOJQ";
    let cases: [Case; 8] = [
        (&[seed], format!("{uri}&period=30&digits=6"), &[]),
        (
            &[seed, ("TOTP Settings", "60;8")],
            format!("{uri}&period=60&digits=8"),
            &[],
        ),
        (
            &[("TOTP Settings", "30;S"), seed],
            format!("{uri}&period=30&digits=5&encoder=steam"),
            &[],
        ),
        // The address of a server for the time has no place in a URI.
        (
            &[seed, ("TOTP Settings", "30;6;https://time.example")],
            format!("{uri}&period=30&digits=6"),
            &["TOTP Settings"],
        ),
        (
            &[("otp", "key=GEZDGNBVGY3TQOJQ&step=60&size=8")],
            format!("{uri}&period=60&digits=8"),
            &[],
        ),
        (
            &[(
                "otp",
                "type=Totp&key=gezdgnbvgy3tqojq%3D%3D&otpHashMode=Sha256",
            )],
            format!("{uri}&algorithm=SHA256"),
            &[],
        ),
        (
            &[("otp", "key=GEZDGNBVGY3TQOJQ&type=Hotp&counter=7")],
            format!("{}&counter=7", uri.replace("totp", "hotp")),
            &[],
        ),
        (
            &[("otp", "otpauth://totp/a?secret=GEZDGNBVGY3TQOJQ"), seed],
            "otpauth://totp/a?secret=GEZDGNBVGY3TQOJQ".to_owned(),
            &["TOTP Seed"],
        ),
    ];
    for (strings, expected, customs) in cases {
        let strings = [&[("Title", "x y")], strings].concat();
        let item = read(&strings);
        let record = item.as_record().unwrap();
        assert_eq!(record.get(field::TOTP), Some(expected.as_str()));
        let own: Vec<_> = record.customs().map(|field| field.name.as_str()).collect();
        assert_eq!(own, customs, "{strings:?}");
        let written = strings_of(&item);
        assert!(written.contains(&("otp".into(), expected)), "{written:?}");
    }
}

#[test]
fn seeds_of_other_programs_go_out_as_uris_and_come_back_as_they_were() {
    let uri = "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQ";
    for (value, expected) in [
        (
            "gezd gnbv gy3t qojq",
            uri.replace("GEZDGNBVGY3TQOJQ", "gezdgnbvgy3tqojq"),
        ),
        (
            "steam://GEZDGNBVGY3TQOJQ",
            format!("{uri}&digits=5&encoder=steam"),
        ),
        (uri, uri.to_owned()),
    ] {
        let mut record = Record::new("login");
        record.push(field::TOTP, value);
        let item = Item::record("x", &record, Some(1000));
        let written = strings_of(&item);
        assert!(written.contains(&("otp".into(), expected)), "{written:?}");
        let (again, losses) = round_trip(&DATABASE, std::slice::from_ref(&item)).unwrap();
        assert!(losses.is_empty());
        assert_eq!(again[0].as_record().unwrap(), record);
    }
}

#[test]
fn codes_that_cannot_be_read_stay_as_they_are() {
    for strings in [
        [("TOTP Seed", "no base32!"), ("TOTP Settings", "30;6")],
        [
            ("TOTP Seed", "GEZDGNBVGY3TQOJQ"),
            ("TOTP Settings", "soon;6"),
        ],
        [("TOTP Seed", "GEZDGNBVGY3TQOJQ"), ("TOTP Settings", "30")],
    ] {
        let record = read(&strings).as_record().unwrap();
        assert_eq!(record.get(field::TOTP), None);
        assert_eq!(record.customs().count(), 2);
    }
    for text in [
        "key=&step=30",
        "key=GEZDGNBVGY3TQOJQ&new=1",
        "key=1",
        "GEZDGNBVGY3TQOJQ",
    ] {
        let record = read(&[("otp", text)]).as_record().unwrap();
        assert_eq!(record.get(field::TOTP), Some(text));
    }
}

#[test]
fn codes_by_counter_of_keepass_are_fields_and_go_out_as_they_came() {
    let strings = [
        ("HmacOtp-Counter", "7"),
        ("HmacOtp-Secret", "1234567890"),
        ("Title", "x"),
    ];
    let mut item = read(&strings);
    let record = item.as_record().unwrap();
    let uri = "otpauth://hotp/x?secret=GEZDGNBVGY3TQOJQ&counter=7";
    assert_eq!(record.get(field::TOTP), Some(uri));
    assert_eq!(record.fields.len(), 1);
    let owned = |strings: &[(&str, &str)]| -> Vec<_> {
        let own = strings.iter();
        own.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    assert_eq!(strings_of(&item), owned(&strings));
    // The counter of a code that was used.
    let mut record = record;
    record.set(field::TOTP, uri.replace("=7", "=8"));
    item.versions = Item::record("x", &record, Some(1000)).versions;
    let [_, rest @ ..] = strings;
    let used = [&[("HmacOtp-Counter", "8")], rest.as_slice()].concat();
    assert_eq!(strings_of(&item), owned(&used));
}
