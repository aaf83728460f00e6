//! Vaults of other programs.

use keyshell::formats::item::Item;
use keyshell::formats::keepass::Kdbx;
use keyshell::formats::{Choices, VaultFormat, Written};
use parsers::imports::Answers;

use crate::seed;

/// The example of the standard.
const CXF: &str = include_str!("../../../../shell/src/formats/cxf/appendix-a.json");

const XML: &str = "<KeePassFile><Meta><RecycleBinUUID>AQ==</RecycleBinUUID><Binaries><Binary ID=\"0\">AAH/</Binary></Binaries>\
</Meta><Root><Group><Name>x</Name><Group><Name>Work</Name><Entry><UUID>AAAAAAAAAAAAAAAAAAAAAw==</UUID><Tags>a;b</Tags>\
<Times><LastModificationTime>2021-01-02T03:04:05Z</LastModificationTime><Expires>True</Expires>\
<ExpiryTime>2030-01-02T03:04:05Z</ExpiryTime></Times><String><Key>Title</Key><Value>a &amp; b</Value></String>\
<String><Key>Password</Key><Value ProtectInMemory=\"True\">p</Value></String><Binary><Key>f</Key><Value Ref=\"0\"/></Binary>\
<History><Entry><String><Key>Password</Key><Value>o</Value></String></Entry></History></Entry></Group></Group></Root>\
</KeePassFile>";

const TEXT: &str = "hunter2\nuser: anna\notpauth://totp/x?secret=AA\nPIN: 1\n\nnote\n";

pub fn write() {
    seed("vaults", "cxf", 0, CXF);
    seed("vaults", "xml", 1, XML);
    let items = [Item::text("x", "note", Some(1000))];
    let (written, _) = Kdbx.write(&items, &Answers(Choices::default())).unwrap();
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
}
