//! JSON documents that are longer than memory should be: one element at a time.

use std::fmt;
use std::io::{BufReader, Read};
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::FormatError;

/// Takes elements.
type Sink<'a, T> = dyn FnMut(T) -> Result<(), FormatError> + 'a;

/// Hands over each element at `path` of a JSON document; `*` in a path stands for each element of a list. What is not on
/// the path is checked to be JSON and forgotten.
///
/// # Errors
/// [`FormatError`]: no JSON, nested more than 128 deep, elements of another shape; and those of `sink`.
pub fn each<T: DeserializeOwned>(
    reader: impl Read,
    path: &[&str],
    sink: &mut Sink<'_, T>,
) -> Result<(), FormatError> {
    let mut stopped = None;
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(reader));
    let walk = Walk {
        path,
        sink,
        stopped: &mut stopped,
    };
    let walked = walk.deserialize(&mut json).and_then(|()| json.end());
    match (stopped, walked) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(FormatError::new(format!("it is not as expected: {error}"))),
        (None, Ok(())) => Ok(()),
    }
}

struct Walk<'a, 'b, T> {
    path: &'a [&'a str],
    sink: &'a mut Sink<'b, T>,
    /// The sink's own error, which serde's would flatten to text.
    stopped: &'a mut Option<FormatError>,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Walk<'_, '_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.path.first() {
            None => {
                let element = T::deserialize(deserializer)?;
                (self.sink)(element).map_err(|error| {
                    *self.stopped = Some(error);
                    serde::de::Error::custom("stopped")
                })
            }
            Some(&"*") => deserializer.deserialize_any(Elements(self, PhantomData)),
            Some(_) => deserializer.deserialize_any(Entries(self, PhantomData)),
        }
    }
}

impl<'b, T> Walk<'_, 'b, T> {
    fn next(&mut self) -> Walk<'_, 'b, T> {
        Walk {
            path: self.path.get(1..).unwrap_or_default(),
            sink: &mut *self.sink,
            stopped: &mut *self.stopped,
        }
    }
}

struct Elements<'a, 'b, T>(Walk<'a, 'b, T>, PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<'_, '_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(self.0.next())?.is_some() {}
        Ok(())
    }

    // Some programs write null for an empty list.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

struct Entries<'a, 'b, T>(Walk<'a, 'b, T>, PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<'_, '_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if self.0.path.first() == Some(&key.as_str()) {
                map.next_value_seed(self.0.next())?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn walk(json: &str, path: &[&str]) -> Result<Vec<u32>, FormatError> {
        let mut found = Vec::new();
        each(json.as_bytes(), path, &mut |element| {
            found.push(element);
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn elements_are_found_wherever_they_are() {
        let json = r#"{"x":[9],"a":[{"b":[1,2],"c":{}},{"b":null},{"b":[3]}],"z":null}"#;
        assert_eq!(walk(json, &["a", "*", "b", "*"]).unwrap(), [1, 2, 3]);
        assert!(walk(json, &["none", "*"]).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_json_or_of_another_shape_is_refused() {
        assert!(walk(r#"{"a":[1,"#, &["a", "*"]).is_err());
        assert!(walk(r#"{"a":["1"]}"#, &["a", "*"]).is_err());
        assert!(walk(r#"{"a":[1]} x"#, &["a", "*"]).is_err());
        let deep = "[".repeat(1_000_000);
        assert!(walk(&format!(r#"{{"b":{deep}"#), &["a", "*"]).is_err());
    }

    #[test]
    fn the_errors_of_the_sink_come_through() {
        let error = each("[1,2]".as_bytes(), &["*"], &mut |_: u32| {
            Err(FormatError::new("enough"))
        });
        assert_eq!(error.unwrap_err().to_string(), "enough");
    }
}
