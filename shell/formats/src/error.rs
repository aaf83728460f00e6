//! Errors of reading and writing formats.

use std::fmt::Display;
use std::ops::RangeInclusive;

/// The error of reading or writing a file. `Display` gives one line.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The content is not of the format.
    #[error("{0}")]
    NotThisFormat(String),
    /// The content is of the format, and damaged or inconsistent.
    #[error("{0}")]
    Malformed(String),
    /// The content uses a version, an algorithm or a feature that is not implemented.
    #[error("{0}")]
    Unsupported(String),
    /// A part of the content is over a limit.
    #[error("{what}: the limit is {limit} {unit}")]
    TooLarge {
        /// The part, as a sentence.
        what: String,
        /// The limit.
        limit: u64,
        /// The unit of the limit, in the plural.
        unit: &'static str,
    },
    /// A cost parameter of a key derivation is outside the range that is allowed.
    #[error("the file asks for {value} {what}; {} to {} are allowed: open it with its own program and choose other settings",
        allowed.start(), allowed.end())]
    CostNotAllowed {
        /// The parameter, in the plural.
        what: &'static str,
        /// The value in the file.
        value: u64,
        /// The allowed values.
        allowed: RangeInclusive<u64>,
    },
    /// The passphrase or private key does not open the file.
    #[error("{0}")]
    WrongPassphrase(String),
    /// The format cannot carry the value.
    #[error("{0}")]
    CannotCarry(String),
    /// The operating system refused an operation.
    #[error("{doing}: {error}")]
    Io {
        /// The operation.
        doing: String,
        /// The error of the operating system.
        error: std::io::Error,
    },
    /// A library or a program that this crate calls refused an operation.
    #[error("{0}")]
    Library(String),
    /// The choices do not fit the format: recipients, shares, identities.
    #[error("{0}")]
    Usage(String),
    /// An error of the caller's own, from [`Ask`](crate::Ask) or from the function that takes the items; passed through.
    #[error(transparent)]
    Caller(Box<dyn std::error::Error + Send + Sync>),
}

impl FormatError {
    /// [`Self::NotThisFormat`].
    pub fn not_this_format(text: impl Display) -> Self {
        Self::NotThisFormat(text.to_string())
    }

    /// [`Self::Malformed`].
    pub fn malformed(text: impl Display) -> Self {
        Self::Malformed(text.to_string())
    }

    /// [`Self::Unsupported`].
    pub fn unsupported(text: impl Display) -> Self {
        Self::Unsupported(text.to_string())
    }

    /// [`Self::TooLarge`].
    pub fn too_large(what: impl Display, limit: u64, unit: &'static str) -> Self {
        let what = what.to_string();
        Self::TooLarge { what, limit, unit }
    }

    /// Checks a length or a count.
    ///
    /// # Errors
    /// [`Self::TooLarge`] for more than `most`; `what` is a sentence, `unit` a plural.
    pub fn check_size(
        what: impl Display,
        size: usize,
        most: usize,
        unit: &'static str,
    ) -> Result<(), Self> {
        if size <= most {
            return Ok(());
        }
        Err(Self::too_large(what, most as u64, unit))
    }

    /// Checks a length in bytes; the error states the limit in MiB.
    ///
    /// # Errors
    /// [`Self::TooLarge`] for more than `most`.
    pub fn check_mib(what: impl Display, len: u64, most: u64) -> Result<(), Self> {
        if len <= most {
            return Ok(());
        }
        Err(Self::too_large(what, most >> 20, "MiB"))
    }

    /// Checks a cost parameter.
    ///
    /// # Errors
    /// [`Self::CostNotAllowed`] for a value that is not among the allowed ones.
    pub fn check_cost(
        what: &'static str,
        value: u64,
        allowed: RangeInclusive<u64>,
    ) -> Result<u64, Self> {
        if allowed.contains(&value) {
            return Ok(value);
        }
        Err(Self::CostNotAllowed {
            what,
            value,
            allowed,
        })
    }

    /// [`Self::WrongPassphrase`].
    pub fn wrong_passphrase(text: impl Display) -> Self {
        Self::WrongPassphrase(text.to_string())
    }

    /// [`Self::CannotCarry`].
    pub fn cannot_carry(text: impl Display) -> Self {
        Self::CannotCarry(text.to_string())
    }

    /// [`Self::Io`].
    pub fn io(doing: impl Display, error: std::io::Error) -> Self {
        let doing = doing.to_string();
        Self::Io { doing, error }
    }

    /// [`Self::Io`] of reading a file.
    pub fn unreadable(error: std::io::Error) -> Self {
        Self::io("the file cannot be read", error)
    }

    /// [`Self::Library`].
    pub fn library(text: impl Display) -> Self {
        Self::Library(text.to_string())
    }

    /// An error of the caller's own.
    pub fn caller(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Caller(error.into())
    }

    /// The error with the part of the input that it is about. Errors of the caller and of usage stay as they are.
    #[must_use]
    pub fn in_part(mut self, part: impl Display) -> Self {
        match &mut self {
            Self::NotThisFormat(text)
            | Self::Malformed(text)
            | Self::Unsupported(text)
            | Self::TooLarge { what: text, .. }
            | Self::WrongPassphrase(text)
            | Self::CannotCarry(text)
            | Self::Io { doing: text, .. }
            | Self::Library(text) => *text = format!("{part}: {text}"),
            Self::CostNotAllowed { .. } | Self::Usage(_) | Self::Caller(_) => {}
        }
        self
    }
}
