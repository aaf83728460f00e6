#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn patterns(forms: &[Vec<u8>]) -> Arc<Patterns> {
    let forms: Vec<Encoded> = forms.iter().cloned().map(Zeroizing::new).collect();
    Arc::new(Patterns::new(&forms).unwrap())
}

/// A reference without streaming: marks every byte of every occurrence, and joins adjacent ones.
fn reference(forms: &[Vec<u8>], text: &[u8]) -> Vec<u8> {
    let mut marked = vec![false; text.len()];
    for form in forms {
        for (start, window) in text.windows(form.len()).enumerate() {
            if window == &form[..] {
                marked[start..start + form.len()].fill(true);
            }
        }
    }
    let mut expected = Vec::new();
    let mut before = false;
    for (byte, is_marked) in text.iter().zip(marked) {
        if !is_marked {
            expected.push(*byte);
        } else if !before {
            expected.extend_from_slice(MASK);
        }
        before = is_marked;
    }
    expected
}

/// Length of the longest suffix of the text that is a proper prefix of a pattern.
fn open(forms: &[Vec<u8>], text: &[u8]) -> usize {
    let begins = |end: &[u8]| {
        let mut forms = forms.iter();
        forms.any(|form| form.len() > end.len() && form.starts_with(end))
    };
    let lengths = (0..=text.len()).rev();
    lengths
        .filter(|len| begins(&text[text.len() - len..]))
        .max()
        .unwrap()
}

fn letters(len: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Vec<u8>> {
    vec(b'a'..=b'b', len)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Two letters only, so that patterns overlap, hold each other, and begin within each other.
    #[test]
    fn streaming_masks_the_same_and_holds_no_more_than_needed(
        forms in vec(letters(1..6), 1..5),
        chunks in vec(letters(0..9), 0..8),
    ) {
        let mut mask = Mask::new(patterns(&forms));
        let (mut through, mut text) = (Vec::new(), Vec::new());
        for chunk in &chunks {
            text.extend_from_slice(chunk);
            through.extend(mask.push(chunk));
            prop_assert!(mask.held.len() <= open(&forms, &text));
        }
        through.extend(mask.finish());
        prop_assert_eq!(through, reference(&forms, &text));
    }
}

#[test]
fn a_value_is_masked_in_all_its_forms_and_nothing_else_is_touched() {
    let value = SecretBytes::from("s3cret välue\n".as_bytes());
    let patterns = Arc::new(Patterns::of([&value]).unwrap().unwrap());
    let text = "a s3cret välue, b s3cret%20v%C3%A4lue c czNjcmV0IHbDpGx1ZQ== d \
                7333637265742076c3a46c7565 e s3cret value";
    for size in [1, 2, 7, 4096] {
        let mut mask = Mask::new(Arc::clone(&patterns));
        let chunks = text.as_bytes().chunks(size);
        let mut masked: Vec<u8> = chunks.flat_map(|chunk| mask.push(chunk)).collect();
        masked.extend(mask.finish());
        let masked = String::from_utf8(masked).unwrap();
        assert_eq!(
            masked,
            "a [masked], b [masked] c [masked] d [masked] e s3cret value"
        );
    }
}

#[test]
fn lines_of_a_value_are_masked_alone_and_indented() {
    let value = SecretBytes::from(&b"first secret\r\n  second=secret\ntrue\n\nthird one\n"[..]);
    let mut mask = Mask::new(Arc::new(Patterns::of([&value]).unwrap().unwrap()));
    let mut masked =
        mask.push(b"key: |\n    third one\n    first secret\n  true\n  second=secret.");
    masked.extend(mask.finish());
    let expected = "key: |\n    [masked]\n    [masked]\n  true\n  [masked].";
    assert_eq!(String::from_utf8(masked).unwrap(), expected);
}

#[test]
fn other_output_passes_at_once() {
    let value = SecretBytes::from(&b"secret"[..]);
    let patterns = Arc::new(Patterns::of([&value]).unwrap().unwrap());
    let mut mask = Mask::new(patterns);
    assert_eq!(mask.push(b"Go on? "), b"Go on? ");
    assert_eq!(mask.push(b"yes, sec"), b"yes, ");
    assert_eq!(mask.push(b"ond"), b"second");
    // A whole one is masked without waiting for what follows.
    assert_eq!(mask.push(b"secret"), MASK);
    assert_eq!(mask.push(b"sec"), b"");
    assert_eq!(mask.finish(), b"sec");
}

#[test]
fn values_that_are_everywhere_are_not_looked_for() {
    let too_long = vec![b'x'; MAX_LEN + 1];
    let values = [&b""[..], b"abc", b"abc\n", &too_long].map(SecretBytes::from);
    assert!(Patterns::of(&values).unwrap().is_none());
    assert!(values.iter().all(|value| !is_maskable(value)));
    let long = SecretBytes::new((0..=255).cycle().take(MAX_LEN).collect());
    let patterns = Patterns::of([&long]).unwrap().unwrap();
    let mut mask = Mask::new(Arc::new(patterns));
    assert_eq!(mask.push(long.expose()), MASK);
}
