//! One share as words (SLIP-39): what it belongs to, its part of the secret, and a checksum that finds any three wrong
//! words.

use std::sync::LazyLock;

use zeroize::Zeroizing;

use crate::error::FormatError;
use crate::words::normalised;

/// The standard's 1024 words, as the shamir-mnemonic package (MIT) has them.
static WORDS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| include_str!("words.txt").lines().collect());

/// The length of the shortest secret that can be shared, in bytes.
pub const MIN_SECRET: usize = 16;
/// The length of the longest one, in bytes.
pub const MAX_SECRET: usize = 64;
/// Bits that a word stands for.
const RADIX: usize = 10;
const RADIX_MASK: u32 = (1 << RADIX) - 1;
/// Words before the share's value.
const HEAD: usize = 4;
/// Words of the checksum.
const CHECKSUM: usize = 3;

/// The parameters that all shares of one secret have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheme {
    /// 15 random bits.
    pub identifier: u16,
    /// Whether the identifier is left out of the stretching, so that the secret can be shared out once more.
    pub extendable: bool,
    /// The iteration exponent: 10,000 · 2^n rounds.
    pub exponent: u8,
    /// The number of groups that restore the secret.
    pub group_threshold: u8,
    /// The number of groups.
    pub groups: u8,
}

/// A share.
#[derive(Clone, PartialEq, Eq)]
pub struct Share {
    /// The parameters of the secret.
    pub scheme: Scheme,
    /// The number of the group, from 0.
    pub group: u8,
    /// The number in the group, from 0.
    pub member: u8,
    /// The number of shares of the group that are needed.
    pub threshold: u8,
    /// The value of the share.
    pub value: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Share([redacted])")
    }
}

impl Scheme {
    fn customization(self) -> &'static [u8] {
        if self.extendable {
            b"shamir_extendable"
        } else {
            b"shamir"
        }
    }
}

impl Share {
    /// The words.
    pub fn words(&self) -> Zeroizing<String> {
        let scheme = &self.scheme;
        let minus_one = |number: u8| u64::from(number.saturating_sub(1));
        let fields = [
            (u64::from(scheme.identifier), 15),
            (u64::from(scheme.extendable), 1),
            (u64::from(scheme.exponent), 4),
            (u64::from(self.group), 4),
            (minus_one(scheme.group_threshold), 4),
            (minus_one(scheme.groups), 4),
            (u64::from(self.member), 4),
            (minus_one(self.threshold), 4),
        ];
        let head = fields
            .iter()
            .fold(0_u64, |head, (field, bits)| (head << bits) | field);
        let [_, _, _, head @ ..] = head.to_be_bytes();
        let mut indices = to_indices(&head);
        indices.extend(to_indices(&self.value).iter());
        let checksum = checksum(scheme.customization(), &indices);
        indices.extend(checksum);
        let words: Vec<&str> = indices
            .iter()
            .map(|index| *WORDS.get(usize::from(*index)).unwrap_or(&""))
            .collect();
        Zeroizing::new(words.join(" "))
    }

    /// Reads words, whatever their case and what is between them.
    ///
    /// # Errors
    /// [`FormatError`], which tells nothing of the words but their places.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let text = normalised(text.as_bytes()).ok_or_else(|| not("it is too long"))?;
        let indices = (1..).zip(text.split_whitespace()).map(|(place, word)| {
            let unknown = || not(format!("word {place} is not in the list of SLIP-39"));
            index(word).ok_or_else(unknown)
        });
        let indices = Zeroizing::new(indices.collect::<Result<Vec<u16>, _>>()?);
        let (head, rest) = indices
            .split_at_checked(HEAD)
            .ok_or_else(|| not("it is too short"))?;
        let (value, _) = rest
            .split_at_checked(rest.len().saturating_sub(CHECKSUM))
            .unwrap_or_default();
        let head = head
            .iter()
            .fold(0_u64, |head, index| (head << RADIX) | u64::from(*index));
        let field = |from: u32, bits: u32| {
            u8::try_from((head >> from) & ((1 << bits) - 1)).unwrap_or_default()
        };
        let scheme = Scheme {
            identifier: u16::try_from(head >> 25).unwrap_or_default(),
            extendable: field(24, 1) == 1,
            exponent: field(20, 4),
            group_threshold: field(12, 4) + 1,
            groups: field(8, 4) + 1,
        };
        if polymod(scheme.customization(), &indices) != 1 {
            let text = "the checksum is wrong: a word is another, or in another place";
            return Err(not(text));
        }
        if scheme.group_threshold > scheme.groups {
            return Err(not("it asks for more groups than there are"));
        }
        let value = from_indices(value).ok_or_else(|| not("it has no whole number of bytes"))?;
        if !(MIN_SECRET..=MAX_SECRET).contains(&value.len()) {
            let len = value.len();
            let text = format!("it has {len} bytes; {MIN_SECRET} to {MAX_SECRET} are read");
            return Err(not(text));
        }
        Ok(Self {
            scheme,
            group: field(16, 4),
            member: field(4, 4),
            threshold: field(0, 4) + 1,
            value,
        })
    }
}

/// Whether this is one of the standard's words.
pub fn is_word(word: &str) -> bool {
    index(&word.to_ascii_lowercase()).is_some()
}

fn index(word: &str) -> Option<u16> {
    let found = WORDS.binary_search(&word).ok()?;
    u16::try_from(found).ok()
}

/// Bytes as numbers of ten bits, filled up with zeros in front.
fn to_indices(bytes: &[u8]) -> Zeroizing<Vec<u16>> {
    let count = (bytes.len() * 8).div_ceil(RADIX);
    let mut indices = Zeroizing::new(Vec::with_capacity(count));
    let (mut bits, mut held) = (0_u32, count * RADIX - bytes.len() * 8);
    for byte in bytes {
        bits = (bits << 8) | u32::from(*byte);
        held += 8;
        if held >= RADIX {
            held -= RADIX;
            indices.push(u16::try_from((bits >> held) & RADIX_MASK).unwrap_or_default());
        }
        bits &= RADIX_MASK;
    }
    indices
}

/// The other way round, to a multiple of two bytes; nothing where that leaves more than eight bits over, or other than
/// zeros.
fn from_indices(indices: &[u16]) -> Option<Zeroizing<Vec<u8>>> {
    let len = indices.len() * RADIX / 16 * 2;
    let mut over = indices.len() * RADIX - len * 8;
    if over > 8 {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(len));
    let (mut bits, mut held) = (0_u32, 0);
    for index in indices {
        bits = (bits << RADIX) | u32::from(*index);
        held += RADIX;
        if over > 0 {
            held -= over;
            if bits >> held != 0 {
                return None;
            }
            over = 0;
        }
        while held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).unwrap_or_default());
        }
        bits &= (1 << held) - 1;
    }
    Some(bytes)
}

/// The Reed-Solomon code of the standard over numbers of ten bits.
fn polymod(customization: &[u8], indices: &[u16]) -> u32 {
    const GENERATOR: [u32; 10] = [
        0x00e0_e040,
        0x01c1_c080,
        0x0383_8100,
        0x0707_0200,
        0x0e0e_0009,
        0x1c0c_2412,
        0x3808_6c24,
        0x3090_fc48,
        0x21b1_f890,
        0x03f3_f120,
    ];
    let values = customization.iter().copied().map(u32::from);
    let values = values.chain(indices.iter().copied().map(u32::from));
    values.fold(1, |sum, value| {
        let top = sum >> 20;
        let next = ((sum & 0xf_ffff) << RADIX) ^ value;
        let chosen = GENERATOR.iter().enumerate();
        chosen
            .filter(|(bit, _)| (top >> bit) & 1 == 1)
            .fold(next, |next, (_, term)| next ^ term)
    })
}

fn checksum(customization: &[u8], indices: &[u16]) -> [u16; CHECKSUM] {
    let padded = Zeroizing::new([indices, &[0; CHECKSUM]].concat());
    let sum = polymod(customization, &padded) ^ 1;
    [20, 10, 0].map(|shift| u16::try_from((sum >> shift) & RADIX_MASK).unwrap_or_default())
}

fn not(what: impl std::fmt::Display) -> FormatError {
    FormatError::not_this_format(format!("this is not a share: {what}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn share() -> impl Strategy<Value = Share> {
        let scheme = (0_u16..1 << 15, any::<bool>(), 0_u8..16, 1_u8..=16, 0_u8..16);
        let scheme =
            scheme.prop_map(
                |(identifier, extendable, exponent, threshold, more)| Scheme {
                    identifier,
                    extendable,
                    exponent,
                    group_threshold: threshold,
                    groups: (threshold + more).min(16),
                },
            );
        let value = proptest::collection::vec(any::<[u8; 2]>(), 8..=32);
        (scheme, 0_u8..16, 0_u8..16, 1_u8..=16, value).prop_map(
            |(scheme, group, member, threshold, value)| Share {
                scheme,
                group,
                member,
                threshold,
                value: Zeroizing::new(value.concat()),
            },
        )
    }

    #[test]
    fn the_list_is_the_standards() {
        assert_eq!(WORDS.len(), 1024);
        assert!(WORDS.is_sorted());
    }

    proptest! {
        #[test]
        fn a_round_trip_gives_the_same_share(share in share()) {
            prop_assert_eq!(Share::parse(&share.words()).unwrap(), share);
        }

        #[test]
        fn up_to_three_wrong_words_are_noticed(
            share in share(),
            wrong in proptest::collection::vec((any::<prop::sample::Index>(), 1_u16..1024), 1..=3),
        ) {
            let words = share.words();
            let mut indices: Vec<u16> = words.split(' ').map(|word| index(word).unwrap()).collect();
            for (place, by) in wrong {
                let place = place.index(indices.len());
                indices[place] ^= by;
            }
            let altered: Vec<&str> = indices.iter().map(|index| WORDS[usize::from(*index)]).collect();
            let altered = altered.join(" ");
            // Two changes of one word may undo each other.
            if altered != *words {
                prop_assert!(Share::parse(&altered).is_err());
            }
        }

        #[test]
        fn no_text_panics(text in "([a-z]{1,8} ){0,40}") {
            prop_assert!(Share::parse(&text).is_err());
        }
    }
}
