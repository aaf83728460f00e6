//! JSON documents that are read one element at a time, because they may be longer than memory.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use crate::error::FormatError;

/// Limits on the lengths of parts of a document, in bytes.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// An element.
    element: u64,
    /// A text or a key, also one that is skipped: it is in memory as well.
    text: u64,
}

/// The limit on an element allows a secret with 190 versions of 1 MiB.
const LIMITS: Limits = Limits {
    element: 256 * 1024 * 1024,
    text: 64 * 1024 * 1024,
};

/// A function that receives elements.
type Sink<'a, T> = dyn FnMut(T) -> Result<(), FormatError> + 'a;

/// Calls `sink` with each element at `path` of a JSON document; `*` in a path is each element of a list,
/// or each value of an object. Other parts are
/// checked to be JSON and dropped.
///
/// # Errors
/// [`FormatError`]: no JSON, nested more than 128 deep, elements that are too long or of another shape; and those of
/// `sink`.
pub fn each<T: DeserializeOwned>(
    reader: impl Read,
    path: &[&str],
    sink: &mut Sink<'_, T>,
) -> Result<(), FormatError> {
    walk(reader, path, LIMITS, sink)
}

/// As [`each`], for elements of any length, of which `T` keeps little; texts in them are bounded.
///
/// # Errors
/// As [`each`].
pub fn each_outline<T: DeserializeOwned>(
    reader: impl Read,
    path: &[&str],
    sink: &mut Sink<'_, T>,
) -> Result<(), FormatError> {
    let limits = Limits {
        element: u64::MAX,
        ..LIMITS
    };
    walk(reader, path, limits, sink)
}

fn walk<T: DeserializeOwned>(
    reader: impl Read,
    path: &[&str],
    limits: Limits,
    sink: &mut Sink<'_, T>,
) -> Result<(), FormatError> {
    let mut stopped = None;
    let left = Cell::new(u64::MAX);
    let bounded = Bounded::new(reader, limits, Some(&left));
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(bounded));
    let walk = Walk {
        path,
        left: &left,
        longest: limits.element,
        sink,
        stopped: &mut stopped,
    };
    let walked = walk.deserialize(&mut json).and_then(|()| json.end());
    match (stopped, walked) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(unexpected(error)),
        (None, Ok(())) => Ok(()),
    }
}

/// The error for other JSON than the format has.
pub fn unexpected(error: serde_json::Error) -> FormatError {
    FormatError::malformed(format!(
        "the JSON does not have the expected structure: {error}"
    ))
}

/// A reader of JSON that bounds the length of each text.
pub fn short_texts(reader: impl Read) -> impl Read {
    Bounded::new(reader, LIMITS, None)
}

/// Counts bytes while reading, so that parts over a limit are refused before they are in memory.
struct Bounded<'a, R> {
    inner: R,
    limits: Limits,
    /// The bytes that may still be read of an element.
    left: Option<&'a Cell<u64>>,
    /// The length so far of the text that is being read.
    text: Option<u64>,
    /// Whether the previous byte is a backslash that escapes.
    is_escaped: bool,
}

impl<'a, R: Read> Bounded<'a, R> {
    fn new(inner: R, limits: Limits, left: Option<&'a Cell<u64>>) -> Self {
        Self {
            inner,
            limits,
            left,
            text: None,
            is_escaped: false,
        }
    }

    /// Counts bytes of an element; whether they are within the limit.
    fn may_read(&self, bytes: u64) -> bool {
        self.left.is_none_or(|left| {
            let rest = left.get().checked_sub(bytes);
            rest.map(|rest| left.set(rest)).is_some()
        })
    }

    /// The length of the longest text that goes on or ends in these bytes.
    fn longest_text(&mut self, bytes: &[u8]) -> u64 {
        let mut longest = 0;
        for byte in bytes {
            match &mut self.text {
                None if *byte == b'"' => self.text = Some(0),
                None => {}
                Some(_) if *byte == b'"' && !self.is_escaped => self.text = None,
                Some(len) => {
                    *len += 1;
                    longest = longest.max(*len);
                    self.is_escaped = *byte == b'\\' && !self.is_escaped;
                }
            }
        }
        longest
    }
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buffer)?;
        let read = buffer.get(..len).unwrap_or_default();
        let too_long = |what: &str, limit: u64| {
            let text = format!("{what} in it is longer than {} MiB", limit >> 20);
            Err(io::Error::other(text))
        };
        if self.longest_text(read) > self.limits.text {
            return too_long("a text", self.limits.text);
        }
        if !self.may_read(len as u64) {
            return too_long("an item", self.limits.element);
        }
        Ok(len)
    }
}

struct Walk<'a, 'b, T> {
    path: &'a [&'a str],
    /// The bytes that may still be read of an element.
    left: &'a Cell<u64>,
    /// The limit on one element, in bytes.
    longest: u64,
    sink: &'a mut Sink<'b, T>,
    /// The error of the sink: serde's errors are text only.
    stopped: &'a mut Option<FormatError>,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Walk<'_, '_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.path.first() {
            None => {
                self.left.set(self.longest);
                let element = T::deserialize(deserializer)?;
                self.left.set(u64::MAX);
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
            left: self.left,
            longest: self.longest,
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

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while map.next_key::<IgnoredAny>()?.is_some() {
            map.next_value_seed(self.0.next())?;
        }
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
        let json = r#"{"a":{"x":{"b":[1]},"y":{"b":[2],"c":3}}}"#;
        assert_eq!(walk(json, &["a", "*", "b", "*"]).unwrap(), [1, 2]);
        assert!(walk(json, &["none", "*"]).unwrap().is_empty());
    }

    #[test]
    fn other_text_and_other_shapes_are_refused() {
        assert!(walk(r#"{"a":[1,"#, &["a", "*"]).is_err());
        assert!(walk(r#"{"a":["1"]}"#, &["a", "*"]).is_err());
        assert!(walk(r#"{"a":[1]} x"#, &["a", "*"]).is_err());
        let deep = "[".repeat(1_000_000);
        assert!(walk(&format!(r#"{{"b":{deep}"#), &["a", "*"]).is_err());
    }

    const MEBIBYTE: usize = 1 << 20;
    const SMALL: Limits = Limits {
        element: MEBIBYTE as u64,
        text: MEBIBYTE as u64,
    };

    fn walk_small<T: DeserializeOwned>(json: &str, path: &[&str]) -> Result<(), String> {
        super::walk(json.as_bytes(), path, SMALL, &mut |_: T| Ok(()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn one_element_is_bounded_and_the_document_is_not() {
        let spaces = " ".repeat(2 * MEBIBYTE);
        let long = format!("[[1{spaces}]]");
        let error = walk_small::<Vec<u32>>(&long, &["*"]).unwrap_err();
        assert!(
            error.contains("an item in it is longer than 1 MiB"),
            "{error}"
        );
        // As much altogether, or beside the path, or of what is kept in outline.
        let many = format!("[1{}],", " ".repeat(MEBIBYTE / 2)).repeat(4);
        walk_small::<Vec<u32>>(&format!("[{many}[1]]"), &["*"]).unwrap();
        let beside = format!(r#"{{"b":[{spaces}],"a":[[1]]}}"#);
        walk_small::<Vec<u32>>(&beside, &["a", "*"]).unwrap();
        let outline = Limits {
            element: u64::MAX,
            ..SMALL
        };
        super::walk(long.as_bytes(), &["*"], outline, &mut |_: Vec<u32>| Ok(())).unwrap();
    }

    #[test]
    fn a_text_is_bounded_wherever_it_is() {
        let text = "x".repeat(MEBIBYTE + 1);
        for head in [r#"{"b":""#, r#"{""#, r#"{"a":["\""#] {
            let long = format!(r#"{head}{text}":[]}}"#);
            let error = walk_small::<String>(&long, &["a", "*"]).unwrap_err();
            assert!(
                error.contains("a text in it is longer than 1 MiB"),
                "{error}"
            );
        }
        let endless = b"\"".chain(io::repeat(b'x'));
        let error = io::copy(&mut short_texts(endless), &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("longer than 64 MiB"), "{error}");
        let short = r#"{"a":["\"","\\","x"]}"#;
        let mut found = Vec::new();
        each(short.as_bytes(), &["a", "*"], &mut |text: String| {
            found.push(text);
            Ok(())
        })
        .unwrap();
        assert_eq!(found, ["\"", "\\", "x"]);
    }

    #[test]
    fn the_errors_of_the_sink_come_through() {
        let error = each("[1,2]".as_bytes(), &["*"], &mut |_: u32| {
            Err(FormatError::malformed("enough"))
        });
        assert_eq!(error.unwrap_err().to_string(), "enough");
    }
}
