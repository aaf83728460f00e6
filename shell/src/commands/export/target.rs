//! The target of a vault export: a new file, or standard output.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd as _;
use std::path::Path;

use keyshell_base::files::NewFile;

use crate::commands::value::{self, is_pipe};
use crate::context::Context;
use crate::error::{Error, Result};

/// A new file, or standard output.
pub enum Target<'a> {
    /// The unfinished file, and its final path.
    File(NewFile, &'a Path),
    /// Standard output without the standard library's buffer, which is never wiped.
    Pipe(BufWriter<File>),
}

impl<'a> Target<'a> {
    /// Creates the unfinished file, or opens standard output.
    ///
    /// # Errors
    /// [`Error::usage`] if standard output is a terminal; [`Error::failed`].
    pub fn begin(context: &Context, path: &'a Path) -> Result<Self> {
        if !is_pipe(path) {
            let file = NewFile::create(path);
            let file = file.map(|file| Self::File(file, path));
            return file.map_err(Error::writing(path));
        }
        if context.out.is_terminal() {
            let text = "`--out -` would write to the terminal: give a file, or pipe the output";
            return Err(Error::usage(text));
        }
        let stdout = io::stdout().as_fd().try_clone_to_owned();
        let stdout = stdout.map_err(Error::io("writing to standard output"))?;
        Ok(Self::Pipe(BufWriter::new(File::from(stdout))))
    }

    /// Flushes the data; a file is synced to disk and gets its final name.
    ///
    /// # Errors
    /// [`Error::exists`], [`Error::failed`].
    pub fn finish(self) -> Result<()> {
        match self {
            Self::File(file, path) => file
                .finish()
                .map_err(|error| value::not_written(path, error)),
            Self::Pipe(mut pipe) => pipe
                .flush()
                .map_err(Error::io("writing to standard output")),
        }
    }
}

impl Write for Target<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file, _) => file.write(bytes),
            Self::Pipe(pipe) => pipe.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file, _) => file.flush(),
            Self::Pipe(pipe) => pipe.flush(),
        }
    }
}
