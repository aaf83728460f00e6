//! What this device is called.

use keyshell_base::names::SecretName;
use shared::ids::DeviceId;
use shared::opaque::Slot;

use crate::index::Credentials;

/// The name that the device has, or that of the machine, made different from those of other devices.
pub fn name(credentials: &Credentials, device: &DeviceId) -> SecretName {
    let known = credentials.get(&Slot::Device(*device));
    if let Some(name) = known.and_then(|state| state.name.clone()) {
        return name;
    }
    let machine = rustix::system::uname();
    let machine = machine.nodename().to_string_lossy();
    let taken = |name: &str| {
        credentials
            .iter()
            .filter_map(|(_, state)| state.name.as_ref())
            .any(|known| known.as_str() == name)
    };
    let numbered = (1..).map(|number| match number {
        1 => machine.to_string(),
        number => format!("{machine} {number}"),
    });
    let free = numbered.take(1000).find(|name| !taken(name));
    let name = free.and_then(|name| SecretName::parse(&name).ok());
    // A machine of no name, or one that cannot be shown.
    name.unwrap_or_else(|| device_id_name(device))
}

fn device_id_name(device: &DeviceId) -> SecretName {
    SecretName::parse(&short_id(device)).unwrap_or_else(|_| unreachable!("hex digits are a name"))
}

/// The beginning of its id: what a device without a name is called.
pub fn short_id(device: &DeviceId) -> String {
    device.to_string().chars().take(8).collect()
}
