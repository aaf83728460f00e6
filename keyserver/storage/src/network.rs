//! Groups addresses that one sender controls.

use std::net::{IpAddr, Ipv6Addr};

/// The network that is counted as one sender: an IPv4 address, or the IPv6 /64, which belongs to one customer.
pub fn network(address: IpAddr) -> IpAddr {
    prefix(address, 64)
}

/// The largest network that one customer may hold: an IPv4 address, or the IPv6 /48 with its 65,536 /64 networks.
pub fn site(address: IpAddr) -> IpAddr {
    prefix(address, 48)
}

fn prefix(address: IpAddr, bits: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let rest = 128 - bits;
            IpAddr::V6(Ipv6Addr::from(u128::from(address) >> rest << rest))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_ipv6_network_are_one_sender() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        let site_of = |text: &str| site(text.parse().unwrap());
        assert_eq!(site_of("2001:db8:0:1::1"), site_of("2001:db8:0:ffff::1"));
        assert_ne!(site_of("2001:db8:0::1"), site_of("2001:db8:1::1"));
        assert_eq!(site_of("192.0.2.1"), of("192.0.2.1"));
    }
}
