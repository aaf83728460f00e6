//! Content that a vault log entry carries sealed.

/// The result of decrypting and decoding the sealed content of an entry.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Unsealed<T> {
    /// The entry carries none of this kind.
    Absent,
    /// It does not decrypt, or decodes to something else.
    Unreadable,
    /// The decoded content.
    Content(T),
}

impl<T> Unsealed<T> {
    /// `None` stands for content that is unreadable.
    pub(super) fn new(content: Option<T>) -> Self {
        content.map_or(Self::Unreadable, Self::Content)
    }

    /// Whether the entry carries content that is unreadable.
    pub(super) fn is_unreadable(&self) -> bool {
        matches!(self, Self::Unreadable)
    }

    /// The content, where it is readable.
    pub(super) fn content(self) -> Option<T> {
        match self {
            Self::Content(content) => Some(content),
            Self::Absent | Self::Unreadable => None,
        }
    }
}
