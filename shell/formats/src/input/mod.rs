//! Files on their way in: opened, decrypted, bounded and split into elements.

pub mod age_file;
pub mod archive;
pub mod json_stream;
pub mod read_budget;
pub mod source;

use std::io::{Read, Seek};

/// A reader that can go back to its beginning.
pub trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}
