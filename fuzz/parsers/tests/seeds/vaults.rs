//! Vaults of other programs.

use keyshell_formats::item::Item;
use keyshell_formats::{Choices, Written, keepass};
use parsers::imports::Answers;
use parsers::vaults::export;

use crate::seed;

/// The example of the standard.
const CXF: &str = include_str!("../../../../shell/formats/src/vaults/cxf/appendix-a.json");

const XML: &str = "<KeePassFile><Meta><RecycleBinUUID>AQ==</RecycleBinUUID><Binaries><Binary ID=\"0\">AAH/</Binary></Binaries>\
</Meta><Root><Group><Name>x</Name><Group><Name>Work</Name><Entry><UUID>AAAAAAAAAAAAAAAAAAAAAw==</UUID><Tags>a;b</Tags>\
<Times><LastModificationTime>2021-01-02T03:04:05Z</LastModificationTime><Expires>True</Expires>\
<ExpiryTime>2030-01-02T03:04:05Z</ExpiryTime></Times><String><Key>Title</Key><Value>a &amp; b</Value></String>\
<String><Key>Password</Key><Value ProtectInMemory=\"True\">p</Value></String><Binary><Key>f</Key><Value Ref=\"0\"/></Binary>\
<History><Entry><String><Key>Password</Key><Value>o</Value></String></Entry></History></Entry></Group></Group></Root>\
</KeePassFile>";

const TEXT: &str = "hunter2\nuser: anna\notpauth://totp/x?secret=AA\nPIN: 1\n\nnote\n";

const ONE_PUX: &str = r#"{"accounts":[{"attrs":{"name":"A","email":"a@x"},"vaults":[{"attrs":{"name":"V","desc":"d"},"items":[
{"uuid":"u","favIndex":1,"createdAt":1,"updatedAt":2,"state":"archived","categoryUuid":"001","details":{"loginFields":[
{"value":"anna","id":"i","name":"n","fieldType":"T","designation":"username"},
{"value":{"email_address":"a@x","provider":"p"},"id":"","name":"m","fieldType":"P"}],"notesPlain":"n","sections":[
{"title":"S","name":"s","fields":[{"title":"t","id":"TOTP_1","value":{"totp":"AA"},"guarded":true},
{"title":"d","id":"d","value":{"date":-1}},{"title":"m","id":"m","value":{"monthYear":203012}},
{"title":"a","id":"address","value":{"address":{"street":"s","zip":"1"}}},{"title":"e","id":"e","value":{"email":"a@x"}},
{"title":"k","id":"k","value":{"sshKey":{"privateKey":"p","metadata":{"publicKey":"q","x":1}}}},
{"title":"f","id":"f","value":{"file":{"fileName":"b","documentId":"a","decryptedSize":1}}}]}],
"passwordHistory":[{"value":"old","time":1}],"password":"p","documentAttributes":{"fileName":"x","documentId":"y"}},
"overview":{"title":"a/b","subtitle":"s","url":"https://a","urls":[{"label":"l","url":"https://b"}],"tags":["t"],"ps":1}},
{"item":{"overview":{"title":"old"},"trashed":true},"file":{"attrs":{"name":"b"},"path":"a__b"}},
{"categoryUuid":"003","uuid":"n","details":{"notesPlain":"note"},"overview":{"title":"note"}}]},
{"attrs":{"name":"W"},"items":null}]}]}"#;

const VAULT_KV: &str = r#"{"request_id":"r","lease_id":"","lease_duration":0,"renewable":false,"data":{"data":{"a":"b","c":[1.50]},
"metadata":{"created_time":"2022-06-15T20:14:17.107852Z","custom_metadata":{"o":"p"},"deletion_time":"","destroyed":false,
"version":3}},"warnings":null}
{"request_id":"r","lease_id":"","lease_duration":0,"renewable":false,"data":{"data":"x","metadata":{}}}
"#;

const VARIABLES: &str = "# x\nA=b # c\nexport D.e='$f\n#'\nG=\"h\\n\\\"\\\\\\$i\"\r\nA=j\n";

pub fn write() {
    seed("vaults", "cxf", 0, CXF);
    seed("vaults", "xml", 1, XML);
    let items = [Item::text("x", "note", Some(1000))];
    let (written, _) = keepass::DATABASE
        .write(&items, &Answers(Choices::default()))
        .unwrap();
    let Written::File(file) = written else {
        panic!("a file");
    };
    // Its header, without what has to be stretched; it differs at each run, so only where there is none yet.
    let there = super::fuzz().join("corpus/vaults/seed-kdbx");
    if !there.exists() {
        seed("vaults", "kdbx", 2, &file.expose()[..200]);
    }
    // Number and key of the stream, one attachment, the end.
    let mut inside =
        b"\x01\x04\0\0\0\x03\0\0\0\x02\x01\0\0\0k\x03\x02\0\0\0\x01a\0\0\0\0\0".to_vec();
    inside.extend(XML.as_bytes());
    seed("vaults", "inside", 3, inside);
    seed("vaults", "text", 4, TEXT);
    seed("vaults", "value", 4, "a password\n");
    seed("vaults", "1pux", 5, export(ONE_PUX.as_bytes()));
    seed("vaults", "1pux-json", 6, ONE_PUX);
    seed("vaults", "vault-kv", 7, VAULT_KV);
    seed("vaults", "dotenv", 8, VARIABLES);
}
