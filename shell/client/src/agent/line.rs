//! Messages between one-shots and their agent: `length u32, big-endian || MessagePack`, over a socket that only the same
//! user may use.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use rustix::net::sockopt::socket_peercred;
use shared::secret::SecretBytes;

use crate::agent::MAX_MESSAGE;

/// Whether the other side is a process of the same user.
pub fn is_own(stream: &UnixStream) -> bool {
    socket_peercred(stream).is_ok_and(|peer| peer.uid == rustix::process::geteuid())
}

/// Sends one message.
///
/// # Errors
/// What the operating system says.
pub fn write(to: &mut impl Write, message: &SecretBytes) -> io::Result<()> {
    let len = u32::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    to.write_all(&len.to_be_bytes())?;
    to.write_all(message.expose())?;
    to.flush()
}

/// Receives one message.
///
/// # Errors
/// What the operating system says, and messages that are too long.
pub fn read(from: &mut impl Read) -> io::Result<SecretBytes> {
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let len = usize::try_from(u32::from_be_bytes(len)).unwrap_or(usize::MAX);
    if len > MAX_MESSAGE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; len];
    from.read_exact(&mut message)?;
    Ok(SecretBytes::new(message))
}
