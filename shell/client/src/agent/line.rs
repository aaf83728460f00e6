//! Framing of the messages between clients and their agent: `length (4 bytes, big-endian) || MessagePack`, over a
//! socket of the same user.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use rustix::net::sockopt::socket_peercred;
use shared::secret::SecretBytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Longest message, in bytes.
pub const MAX_MESSAGE: usize = 8 * 1024 * 1024;

/// Whether a process of the same user is at the other end.
pub fn is_own(stream: impl AsFd) -> bool {
    socket_peercred(stream).is_ok_and(|peer| peer.uid == rustix::process::geteuid())
}

/// Sends one message.
///
/// # Errors
/// Those of the operating system, and [`io::ErrorKind::InvalidData`] for messages of 4 GiB or more.
pub fn write(to: &mut impl Write, message: &SecretBytes) -> io::Result<()> {
    let len = u32::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    to.write_all(&len.to_be_bytes())?;
    to.write_all(message.expose())?;
    to.flush()
}

/// As [`write()`], asynchronously.
///
/// # Errors
/// As [`write()`].
pub async fn send(to: &mut (impl AsyncWrite + Unpin), message: &SecretBytes) -> io::Result<()> {
    let len = u32::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    to.write_all(&len.to_be_bytes()).await?;
    to.write_all(message.expose()).await?;
    to.flush().await
}

/// As [`read`], asynchronously.
///
/// # Errors
/// As [`read`].
pub async fn receive(from: &mut (impl AsyncRead + Unpin)) -> io::Result<SecretBytes> {
    let mut len = [0; 4];
    from.read_exact(&mut len).await?;
    let mut message = vec![0; message_len(len)?];
    from.read_exact(&mut message).await?;
    Ok(SecretBytes::new(message))
}

fn message_len(len: [u8; 4]) -> io::Result<usize> {
    let len = usize::try_from(u32::from_be_bytes(len)).unwrap_or(usize::MAX);
    if len > MAX_MESSAGE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(len)
}

/// Receives one message.
///
/// # Errors
/// Those of the operating system, and [`io::ErrorKind::InvalidData`] for messages over [`MAX_MESSAGE`] bytes.
pub fn read(from: &mut impl Read) -> io::Result<SecretBytes> {
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let mut message = vec![0; message_len(len)?];
    from.read_exact(&mut message)?;
    Ok(SecretBytes::new(message))
}
