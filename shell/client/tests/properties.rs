//! Encoded data decode to the same data, and other bytes cause no panic.
#![allow(missing_docs, clippy::unwrap_used)]

use keyshell_base::names::SecretName;
use keyshell_client::index::Index;
use keyshell_client::index::metadata::Metadata;
use keyshell_client::keys::account::AccountKeys;
use keyshell_client::keys::recovery::RecoveryCode;
use keyshell_client::keys::seal::SecretContext;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use rmpv::Value;
use shared::ids::{AccountId, SecretId, Version};
use shared::secret::{Key, SecretBytes};
use shared::vault_log::FIRST_EPOCH;
use unicode_normalization::UnicodeNormalization as _;

fn metadata() -> impl Strategy<Value = Metadata> {
    let unknown = prop_oneof![
        any::<u64>().prop_map(Value::from),
        ".{0,10}".prop_map(Value::from),
        vec(any::<u8>(), 0..10).prop_map(Value::from),
    ];
    (
        "[a-zA-Z0-9äß/ .]{1,40}",
        vec(".{1,10}", 0..4),
        ".{0,50}",
        option::of("[a-z/]{1,10}"),
        option::of(any::<u64>()),
        btree_map("x-[a-z]{1,5}", unknown, 0..3),
    )
        .prop_filter_map(
            "a name",
            |(name, tags, note, content_type, created_ms, other)| {
                let mut metadata = Metadata::named(SecretName::parse(name.trim()).ok()?);
                metadata.set_tags(tags);
                metadata.note = note;
                metadata.content_type = content_type;
                metadata.created_ms = created_ms;
                metadata.other = other;
                Some(metadata)
            },
        )
}

proptest! {
    #[test]
    fn metadata_come_back_with_what_is_not_known(metadata in metadata()) {
        let encoded = metadata.encode().unwrap();
        let decoded = Metadata::decode(encoded.expose()).unwrap();
        prop_assert_eq!(&decoded, &metadata);
        let again = decoded.encode().unwrap();
        prop_assert_eq!(again.expose(), encoded.expose());
    }

    #[test]
    fn values_come_back_and_their_length_is_hidden(value in vec(any::<u8>(), 0..3000)) {
        let account = AccountId::new([1; 16]);
        let keys = AccountKeys::first(account, Key::new([2; 32]));
        let place = SecretContext {
            secret: SecretId::new([3; 16]),
            version: Version(1),
        };
        let value = SecretBytes::new(value);
        let sealed = place.seal_value(&keys, &value).unwrap();
        prop_assert_eq!(place.open_value(&keys, FIRST_EPOCH, &sealed).unwrap(), value.clone());
        if value.len() <= 60 {
            prop_assert_eq!(sealed.len(), 12 + 64 + 16);
        }
        prop_assert!(sealed.len() <= 28 + (value.len() + 4) * 9 / 8 + 64);
    }

    #[test]
    fn names_are_normalised_once(text in ".{0,60}") {
        if let Ok(name) = SecretName::parse(&text) {
            prop_assert_eq!(SecretName::parse(name.as_str()).unwrap(), name.clone());
            prop_assert!(name.as_str().nfc().eq(name.as_str().chars()));
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in vec(any::<u8>(), 0..300), text in ".{0,60}") {
        let _ = Metadata::decode(&bytes);
        let _ = Index::decode(&bytes);
        let _ = RecoveryCode::parse(&text);
    }
}
