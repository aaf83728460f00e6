//! The encodings in which a value may appear in a program's output.

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, Encoding, HEXLOWER, HEXUPPER};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use zeroize::Zeroizing;

/// The unreserved characters of RFC 3986.
pub const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// Leaves slashes as well, as encoders of paths and Python's `quote` do.
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');
/// JavaScript's `encodeURIComponent`.
const COMPONENT: &AsciiSet = &UNRESERVED
    .remove(b'!')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*');
/// Leading base64 characters that depend on the bytes before the value, by their number modulo 3.
const MIXED: [usize; 3] = [0, 2, 3];

/// Lengths of lines of wrapped base64, in characters.
const LINES: [usize; 2] = [64, 76];
/// Minimum length of a last line that is searched for, in characters.
const MIN_LINE: usize = 8;

/// A value in one encoding, wiped after use.
pub type Encoded = Zeroizing<Vec<u8>>;

/// All encodings of a value: raw, base64 (whole, in lines, and as part of longer data), hex, URL-encoded, and as part of
/// a JSON string.
pub fn all(value: &[u8]) -> Vec<Encoded> {
    let mut forms = vec![Zeroizing::new(value.to_vec())];
    for encoding in [&BASE64_NOPAD, &BASE64URL_NOPAD] {
        let alone = Zeroizing::new(encoding.encode(value).into_bytes());
        let padding = alone.len().wrapping_neg() % 4;
        let mut padded = alone.clone();
        padded.extend(std::iter::repeat_n(b'=', padding));
        forms.extend(LINES.iter().flat_map(|length| lines(&padded, *length)));
        forms.extend([alone, padded]);
        forms.extend((0..MIXED.len()).map(|before| inside(encoding, before, value)));
    }
    for encoding in [&HEXLOWER, &HEXUPPER] {
        forms.push(Zeroizing::new(encoding.encode(value).into_bytes()));
    }
    for set in [UNRESERVED, PATH, COMPONENT] {
        let encoded = percent_encoding::percent_encode(value, set);
        forms.extend(spellings(encoded.to_string()));
    }
    forms.extend(spellings(form_urlencoded::byte_serialize(value).collect()));
    forms.extend(in_json(value));
    forms
}

/// The lines of a wrapped text; none if it fits on one line.
fn lines(text: &[u8], length: usize) -> Vec<Encoded> {
    if text.len() <= length {
        return Vec::new();
    }
    let lines = text.chunks(length).filter(|line| line.len() >= MIN_LINE);
    lines.map(|line| Zeroizing::new(line.to_vec())).collect()
}

/// The value as the content of a JSON string, as common encoders escape it; none if it is not UTF-8.
fn in_json(value: &[u8]) -> Vec<Encoded> {
    let quoted = std::str::from_utf8(value).map(serde_json::to_string);
    let Ok(Ok(quoted)) = quoted.map(|quoted| quoted.map(Zeroizing::new)) else {
        return Vec::new();
    };
    let inside = quoted.get(1..quoted.len() - 1).unwrap_or_default();
    // Which characters are escaped although JSON does not ask for it: none; all but ASCII (Python, PHP, Java); those of
    // HTML (Go, .NET, Rails).
    let is_escaped: [fn(char) -> bool; 3] = [
        |_| false,
        |c| !c.is_ascii(),
        |c| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'),
    ];
    let forms = is_escaped.iter().flat_map(|is_escaped| {
        let digits = [false, true].into_iter();
        digits.map(move |is_upper| json_escaped(inside, is_escaped, is_upper))
    });
    let forms: Vec<Encoded> = forms.collect();
    // PHP.
    let slashes = |form: &Encoded| {
        let text = String::from_utf8_lossy(form).replace('/', "\\/");
        Zeroizing::new(text.into_bytes())
    };
    let with_slashes: Vec<Encoded> = forms.iter().map(slashes).collect();
    forms.into_iter().chain(with_slashes).collect()
}

/// Replaces characters by `\uXXXX`, one per UTF-16 unit.
fn json_escaped(text: &str, is_escaped: impl Fn(char) -> bool, is_upper: bool) -> Encoded {
    let mut escaped = Zeroizing::new(Vec::new());
    for c in text.chars() {
        let mut buffer = [0; 2];
        if !is_escaped(c) {
            escaped.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        for unit in c.encode_utf16(&mut buffer) {
            let unit = if is_upper {
                format!("\\u{unit:04X}")
            } else {
                format!("\\u{unit:04x}")
            };
            escaped.extend_from_slice(unit.as_bytes());
        }
    }
    escaped
}

/// The part of longer base64 data that depends on the value only; the value begins after `before` bytes (modulo 3).
fn inside(encoding: &Encoding, before: usize, value: &[u8]) -> Encoded {
    let mut longer = Zeroizing::new(vec![0; before]);
    longer.extend_from_slice(value);
    let encoded = Zeroizing::new(encoding.encode(&longer).into_bytes());
    let from = MIXED.get(before).copied().unwrap_or_default();
    let to = longer.len() * 8 / 6;
    Zeroizing::new(encoded.get(from..to).unwrap_or_default().to_vec())
}

/// Percent-encoded text with upper-case and lower-case digits, with spaces as `%20` and as `+`.
fn spellings(encoded: String) -> [Encoded; 4] {
    let small = with_small_escapes(&encoded);
    let plus = |text: &str| text.replace("%20", "+");
    let texts = [plus(&encoded), plus(&small), encoded, small];
    texts.map(|text| Zeroizing::new(text.into_bytes()))
}

fn with_small_escapes(encoded: &str) -> String {
    let mut escape = 0_u8;
    let small = |c: char| {
        let is_escape = escape > 0;
        escape = if c == '%' {
            2
        } else {
            escape.saturating_sub(1)
        };
        if is_escape { c.to_ascii_lowercase() } else { c }
    };
    encoded.chars().map(small).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(value: &[u8], text: &str) -> bool {
        let forms = all(value);
        forms.iter().any(|form| {
            let text = text.as_bytes();
            text.windows(form.len()).any(|window| window == &form[..])
        })
    }

    #[test]
    fn encodings_of_common_programs_are_known() {
        let value = "pä ss/w+rd!~*'".as_bytes();
        for text in [
            "p%C3%A4%20ss%2Fw%2Brd%21~%2A%27",
            "p%c3%a4%20ss%2fw%2brd%21~%2a%27",
            "p%C3%A4+ss%2Fw%2Brd%21~%2A%27",
            "p%C3%A4+ss%2Fw%2Brd%21%7E*%27",
            "p%C3%A4%20ss/w%2Brd%21~%2A%27",
            "p%C3%A4%20ss%2Fw%2Brd!~*'",
            "70c3a42073732f772b7264217e2a27",
            "70C3A42073732F772B7264217E2A27",
            "cMOkIHNzL3crcmQhfion",
        ] {
            assert!(found(value, text), "{text}");
            assert!(!found(b"another value", text), "{text}");
        }
        let lines = "-----BEGIN KEY-----\n\"x\"\n";
        assert!(found(
            lines.as_bytes(),
            r#"{"key":"-----BEGIN KEY-----\n\"x\"\n"}"#
        ));
        for text in [
            r"p\u00e4 ss/w+rd!~*'",
            r"p\u00E4 ss\/w+rd!~*'",
            r"p\u00e4 ss\/w+rd!~*'",
        ] {
            assert!(found(value, text), "{text}");
        }
        let html = "a<b>&c\u{1f511}".as_bytes();
        assert!(found(html, "a\\u003cb\\u003e\\u0026c\u{1f511}"));
        assert!(found(html, r"a<b>&c\ud83d\udd11"));
        assert!(all(b"12345").iter().any(|form| form[..] == *b"MTIzNDU="));
    }

    #[test]
    fn base64_in_lines_is_known_line_by_line() {
        let value: Vec<u8> = (0..=255).collect();
        let encoded = data_encoding::BASE64.encode(&value);
        let forms = all(&value);
        for length in LINES {
            for line in encoded.as_bytes().chunks(length) {
                assert!(forms.iter().any(|form| form[..] == *line));
            }
        }
    }

    proptest! {
        #[test]
        fn base64_is_found_wherever_the_value_stands(
            before in proptest::collection::vec(any::<u8>(), 0..8),
            value in proptest::collection::vec(any::<u8>(), 4..40),
            after in proptest::collection::vec(any::<u8>(), 0..8),
        ) {
            let all = [&before[..], &value, &after].concat();
            for encoding in [&data_encoding::BASE64, &data_encoding::BASE64URL] {
                prop_assert!(found(&value, &encoding.encode(&all)));
            }
        }
    }
}
