//! Names of devices that have none of their own.

use keyshell_base::names::SecretName;
use shared::ids::DeviceId;

/// Hexadecimal digits of a device's id that stand for its name.
const SHORT_ID_LEN: usize = 8;

/// The first 8 hexadecimal digits of a device's id, which stand for the name of a device that has none.
pub fn short_id(device: &DeviceId) -> String {
    device.to_string().chars().take(SHORT_ID_LEN).collect()
}

/// The name of this machine, with a number from 2 where `is_taken` says that another device has it; [`short_id`] where
/// the machine has no name that is acceptable.
pub(super) fn propose(device: &DeviceId, is_taken: impl Fn(&str) -> bool) -> SecretName {
    let machine = rustix::system::uname();
    let machine = machine.nodename().to_string_lossy();
    let numbered = (1..).map(|number| match number {
        1 => machine.to_string(),
        number => format!("{machine} {number}"),
    });
    let free = numbered.take(1000).find(|name| !is_taken(name));
    free.and_then(|name| SecretName::parse(&name).ok())
        .or_else(|| SecretName::parse(&short_id(device)).ok())
        .unwrap_or_else(|| unreachable!("hexadecimal digits are a name"))
}
