//! Bitwarden's JSON, and tables of logins.

use crate::seed;

const BITWARDEN: &str = include_str!("../../../../shell/formats/tests/vectors/bitwarden.json");

const TABLES: [(u8, &str, &str); 4] = [
    (
        1,
        "bitwarden",
        "folder,favorite,type,name,notes,fields,reprompt,login_uri,login_username,login_password,login_totp\n\
        Work/Mail,1,login,Site,note,\"PIN: 1234\nColour: blue\",1,\"https://a.example,https://b.example/c,d\",anna,=pw,AAAA\n\
        ,,note,Diary,\"two\nlines\",,0,,,,\n",
    ),
    (
        2,
        "lastpass",
        "url,username,password,totp,extra,name,grouping,fav\n\
        https://a.example,anna,pw,AAAA,a note,Site,Work\\Mail,1\n\
        http://sn,,,,\"NoteType:Credit Card\nNumber:4111\nExpiration Date:June,2030\nNotes:two\nlines: here\",Card,,0\n",
    ),
    (
        3,
        "firefox",
        "\"url\",\"username\",\"password\",\"httpRealm\",\"guid\",\"timePasswordChanged\"\n\
        \"https://a.example:8443\",\"anna\",\"p\"\"w\",,\"{c1}\",\"1600000000002\"\n",
    ),
    (
        4,
        "chrome",
        "name,url,username,password,note,keyshell_guarded\n\
        ,https://a.example,anna,'=pw,\"a \"\"note\"\"\",password\n",
    ),
];

pub fn write() {
    seed("tables", "json", 0, BITWARDEN);
    let small = r#"{"encrypted":false,"collections":[{"id":"c","name":"Team"}],"items":[{"id":"1","type":1,"name":"a",
        "collectionIds":["c"],"login":{"password":"p","uris":[{"uri":"x","match":3}]},"x":[1],
        "passwordHistory":[{"password":"o","lastUsedDate":"2020-01-01T00:00:00.000Z"}]},
        {"type":3,"name":"b","card":{"expMonth":"04","expYear":"2030","brand":"v"}},{"type":2,"name":"c","notes":"n"}]}"#;
    seed("tables", "small", 0, small);
    for (choice, name, table) in TABLES {
        seed("tables", name, choice, table);
    }
}
