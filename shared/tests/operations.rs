//! Requests and answers of operations: their types, and their bytes on the wire.
#![allow(clippy::unwrap_used)]

use serde_bytes::ByteBuf;
use shared::codec;
use shared::ids::{Digest, SecretId, Seq, Version};
use shared::vault_log::Head;
use shared::wire::call::{Answer, Append, Call, Delete, Fetch, Logout, ValueRef};
use shared::wire::error::Refusal;
use shared::wire::operation::{Operation, UnexpectedAnswer};
use shared::wire::rekey::{ReadPrepared, ReadRewritten, Rekey, Rewrite};
use shared::wire::slots::{Enrol, Install, ListSlots};

#[test]
fn an_answer_is_taken_only_by_its_operation() {
    let head = Head {
        seq: Seq(7),
        hash: Digest::new([7; 32]),
    };
    assert_eq!(
        Append::decode_answer(Append::encode_answer(head)),
        Ok(Ok(head))
    );
    assert_eq!(Logout::decode_answer(Logout::encode_answer(())), Ok(Ok(())));
    let refused = Answer::Refused(Refusal::Conflict(head));
    assert_eq!(
        Append::decode_answer(refused),
        Ok(Err(Refusal::Conflict(head)))
    );
    // Appending and installing both answer with a head, each with its own.
    let other = Install::encode_answer(head);
    assert_eq!(Append::decode_answer(other), Err(UnexpectedAnswer));
    assert_eq!(
        Install::decode_answer(Answer::Logout),
        Err(UnexpectedAnswer)
    );
    assert_eq!(
        Logout::decode_answer(Append::encode_answer(head)),
        Err(UnexpectedAnswer)
    );
}

/// Request types leave no trace in the encoding: a call is its name and its bare content (protocol.md, section 6).
#[test]
fn a_call_is_its_name_and_its_content() {
    let item = ValueRef {
        secret: SecretId::new([1; 16]),
        version: Version(2),
    };
    let install = Install {
        ke3: vec![ByteBuf::from([3; 2])],
        entries: Vec::new(),
    };
    let cases = [
        (Append(Vec::new()).into(), named("append", &[0x90])),
        (Rewrite(Vec::new()).into(), named("rewrite", &[0x90])),
        (Enrol(Vec::new()).into(), named("enrol", &[0x90])),
        (
            Fetch(vec![item]).into(),
            named(
                "fetch",
                &[&[0x91, 0x92, 0xc4, 16][..], &[1; 16], &[2]].concat(),
            ),
        ),
        (Delete(5).into(), named("delete", &[5])),
        (ReadRewritten(Seq(6)).into(), named("rewritten", &[6])),
        (
            Rekey(install).into(),
            named("rekey", &[0x92, 0x91, 0xc4, 2, 3, 3, 0x90]),
        ),
        (Logout.into(), text("logout")),
        (ListSlots.into(), text("slots")),
        (ReadPrepared.into(), text("prepared")),
    ];
    for (call, bytes) in cases {
        let call: Call = call;
        assert_eq!(codec::encode(&call).unwrap(), bytes, "{call:?}");
        assert_eq!(codec::decode::<Call>(&bytes, 100), Ok(call));
    }
}

fn text(name: &str) -> Vec<u8> {
    let len = u8::try_from(name.len()).unwrap();
    [&[0xa0 | len], name.as_bytes()].concat()
}

fn named(name: &str, content: &[u8]) -> Vec<u8> {
    [&[0x81], text(name).as_slice(), content].concat()
}
