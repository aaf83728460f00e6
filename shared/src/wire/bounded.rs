//! Sequences with a limit that is checked while decoding: short encodings of items would otherwise take up many times
//! their length in memory.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};

/// Decodes a sequence of at most `MAX` items.
///
/// # Errors
/// Those of the deserialiser, and one for a longer sequence.
pub fn sequence<'de, D, T, const MAX: usize>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Items<T, const MAX: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Items<T, MAX> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a sequence of at most {MAX} items")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Vec<T>, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = from.next_element()? {
                if items.len() == MAX {
                    return Err(A::Error::custom("the sequence is too long"));
                }
                items.push(item);
            }
            Ok(items)
        }
    }

    from.deserialize_seq(Items::<T, MAX>(PhantomData))
}
