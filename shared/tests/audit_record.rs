//! Audit records: names of operations, their classes, and what a request tag covers.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use shared::audit_record::{AuditedOperation, TagInput};
use shared::codec;
use shared::ids::{DeviceId, SecretId, SessionId};
use shared::secret::Key;

#[test]
fn an_operation_has_one_name_on_the_wire_and_on_the_command_line() {
    let mut names = HashSet::new();
    for operation in AuditedOperation::ALL {
        let name = operation.name();
        assert!(names.insert(name), "{name}");
        assert_eq!(AuditedOperation::named(name), Some(operation));
        assert_eq!(codec::encode(&operation), codec::encode(&name));
    }
    assert_eq!(AuditedOperation::named("PUT"), None);
    assert_eq!(AuditedOperation::named(""), None);
}

#[test]
fn operations_are_classified() {
    let names = |is: fn(AuditedOperation) -> bool| -> Vec<&str> {
        let matching = AuditedOperation::ALL
            .into_iter()
            .filter(|operation| is(*operation));
        matching.map(AuditedOperation::name).collect()
    };
    assert_eq!(
        names(AuditedOperation::is_change),
        ["put", "describe", "remove", "append", "slot", "rekey"]
    );
    assert_eq!(
        names(|operation| !operation.needs_tag()),
        ["register", "login_start", "login"]
    );
}

#[test]
fn a_tag_covers_each_of_its_fields() {
    let (session, device, secret) = (SessionId::random(), DeviceId::random(), SecretId::random());
    let (other_session, other_device) = (SessionId::random(), DeviceId::random());
    let input = TagInput {
        session: &session,
        counter: 1,
        position: 0,
        device: &device,
        operation: AuditedOperation::Get,
        secret: Some(&secret),
    };
    let others = [
        TagInput {
            session: &other_session,
            ..input
        },
        TagInput {
            counter: 2,
            ..input
        },
        TagInput {
            position: 1,
            ..input
        },
        TagInput {
            device: &other_device,
            ..input
        },
        TagInput {
            operation: AuditedOperation::Put,
            ..input
        },
        TagInput {
            secret: None,
            ..input
        },
    ];
    let key = Key::random();
    let tag = input.tag(&key);
    assert_eq!(input.tag(&key), tag);
    assert_ne!(input.tag(&Key::random()), tag);
    for other in others {
        assert_ne!(other.tag(&key), tag, "{other:?}");
    }
}
