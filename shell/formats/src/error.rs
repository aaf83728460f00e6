//! Errors of reading and writing formats.

/// Why a file is not read or written.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The content is not of the format, or the format cannot carry it.
    #[error("{0}")]
    Content(String),
    /// The choices do not fit the format: recipients, shares, identities.
    #[error("{0}")]
    Usage(String),
    /// An error of the caller's own, from [`Ask`] or from the function that takes the items; it is passed through.
    #[error(transparent)]
    Caller(Box<dyn std::error::Error + Send + Sync>),
}

impl FormatError {
    /// Content that is not as it should be.
    pub fn new(text: impl Into<String>) -> Self {
        Self::Content(text.into())
    }

    /// An error of the caller's own.
    pub fn caller(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Caller(error.into())
    }

    /// A failure of the operating system, with what was being done.
    pub fn io(doing: &str, error: &std::io::Error) -> Self {
        Self::Content(format!("{doing}: {error}"))
    }
}
