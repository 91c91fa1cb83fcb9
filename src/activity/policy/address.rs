//! One normal form of addresses: the destination, whatever form it is written in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// What a system connects to when the address is the unspecified one (`0.0.0.0` or `::`).
const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// Where a NAT64 prefix of RFC 6052 (2.2) has the bytes of the IPv4 address, by the prefix's length: the ninth byte is
/// left out.
const NAT64_PLACES: [[usize; 4]; 6] = [
    [4, 5, 6, 7],
    [5, 6, 7, 9],
    [6, 7, 9, 10],
    [7, 9, 10, 11],
    [9, 10, 11, 12],
    [12, 13, 14, 15],
];

/// All destinations of an address, itself first: those that it contains by mapping, translation or a tunnel, and
/// loopback for "any address". If one of them is refused, so is the address.
pub(crate) fn meanings(address: IpAddr) -> Vec<IpAddr> {
    let mut meanings = vec![address];
    if let IpAddr::V6(v6) = address {
        meanings.extend(inside(v6).into_iter().map(IpAddr::V4));
    }
    if address.is_unspecified() || normal(address).is_unspecified() {
        meanings.extend(LOOPBACK);
    }
    meanings
}

/// The form in which an address is shown, and compared with the allowed ones: the IPv4 address that it certainly means,
/// else itself.
pub(crate) fn normal(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    match *inside(v6).as_slice() {
        [v4] => IpAddr::V4(v4),
        _ => address,
    }
}

/// The IPv4 addresses that an IPv6 address may mean.
fn inside(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let bytes = address.octets();
    let at = |places: [usize; 4]| Ipv4Addr::from(places.map(|place| bytes[place]));
    let last = at([12, 13, 14, 15]);
    match address.segments() {
        // Mapped (RFC 4291, 2.5.5.2), and translated (RFC 2765).
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => vec![last],
        // Compatible (RFC 4291, 2.5.5.1), but not :: and ::1.
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => vec![last],
        // NAT64 (RFC 6052), and the prefix for local use, of any length (RFC 8215).
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => vec![last],
        [0x64, 0xff9b, 1, ..] => NAT64_PLACES[2..].iter().map(|places| at(*places)).collect(),
        // 6to4 (RFC 3056).
        [0x2002, ..] => vec![at([2, 3, 4, 5])],
        // Teredo (RFC 4380): the server, and the client with inverted bits.
        [0x2001, 0, ..] => vec![at([4, 5, 6, 7]), Ipv4Addr::from(!u32::from(last))],
        // ISATAP (RFC 5214), below any prefix.
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => vec![last],
        _ => Vec::new(),
    }
}

/// Networks that are not the public internet, by IANA's registries of special-purpose addresses:
/// https://www.iana.org/assignments/iana-ipv4-special-registry, https://www.iana.org/assignments/iana-ipv6-special-registry.
const NOT_PUBLIC: [&str; 30] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001:db8::/32",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    "::ffff:0:0:0/96",
    "2001:2::/48",
    "2001:10::/28",
];

/// The networks that are not the public internet.
pub(crate) fn special() -> Vec<IpNet> {
    NOT_PUBLIC.iter().filter_map(|n| n.parse().ok()).collect()
}

/// Whether all destinations of the address are on the public internet.
pub(crate) fn is_public(address: IpAddr) -> bool {
    let networks = special();
    let special = |address: &IpAddr| networks.iter().any(|network| network.contains(address));
    let meanings = meanings(address);
    // A mapped address is the one inside it; its own network is irrelevant.
    let own = normal(address);
    !special(&own) && !meanings[1..].iter().any(special)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_inside_addresses_are_found() {
        for text in [
            "127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:0:7f00:1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1:7f00:0:100::",
            "64:ff9b:1:7f:0:1::",
            "64:ff9b:1:0:7f:0:100::",
            "64:ff9b:1::7f00:1",
            "2002:7f00:1::",
            "2001:0:7f00:1::",
            "2001:0:5db8:d822::80ff:fffe",
            "fd00::5efe:7f00:1",
            "fd00::200:5efe:7f00:1",
            "0.0.0.0",
            "::",
            "::ffff:0.0.0.0",
            "64:ff9b::",
        ] {
            let meanings = meanings(address(text));
            assert!(
                meanings.contains(&address("127.0.0.1")),
                "{text}: {meanings:?}"
            );
            assert!(!is_public(address(text)), "{text}");
        }
        for text in ["::1", "fd00::1", "2001:db8::7f00:1", "2606:4700::1111"] {
            assert_eq!(meanings(address(text)), [address(text)], "{text}");
        }
    }

    #[test]
    fn public_addresses_are_told_from_others() {
        assert!(NOT_PUBLIC.iter().all(|n| n.parse::<IpNet>().is_ok()));
        for text in [
            "93.184.216.34",
            "2606:4700::1111",
            "::ffff:93.184.216.34",
            "64:ff9b::5db8:d822",
            "2002:5db8:d822::1",
        ] {
            assert!(is_public(address(text)), "{text}");
        }
        for text in [
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "0.1.2.3",
            "198.18.0.1",
            "::1",
            "::",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "3fff::1",
            "::ffff:10.0.0.1",
            "2002:0a00:1::",
            "64:ff9b::a00:1",
        ] {
            assert!(!is_public(address(text)), "{text}");
        }
    }
}
