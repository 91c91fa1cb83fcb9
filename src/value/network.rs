//! A range of IP addresses.

use std::fmt;
use std::net::IpAddr;

/// An address and how many of its first bits all addresses of the range share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cidr {
    address: IpAddr,
    prefix_length: u8,
}

impl Cidr {
    /// `None` if the address has fewer bits.
    pub(crate) fn new(address: IpAddr, prefix_length: u8) -> Option<Self> {
        (prefix_length <= width(address)).then_some(Cidr {
            address,
            prefix_length,
        })
    }

    pub(crate) fn address(self) -> IpAddr {
        self.address
    }

    pub(crate) fn prefix_length(self) -> u8 {
        self.prefix_length
    }

    /// A range of IPv4-mapped addresses as the range of the IPv4 addresses that they stand for.
    pub(crate) fn canonical(self) -> Self {
        const MAPPED_PREFIX_LENGTH: u8 = 96;
        match self.prefix_length.checked_sub(MAPPED_PREFIX_LENGTH) {
            Some(prefix_length) if self.address.to_canonical() != self.address => Cidr {
                address: self.address.to_canonical(),
                prefix_length,
            },
            _ => self,
        }
    }

    /// Written with the first address of the range.
    pub(crate) fn masked(self) -> Self {
        let address = match self.address {
            IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & self.mask() as u32).into()),
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & self.mask()).into()),
        };
        Cidr { address, ..self }
    }

    pub(crate) fn contains(self, address: IpAddr) -> bool {
        let same_family = address.is_ipv4() == self.address.is_ipv4();
        same_family && Cidr { address, ..self }.masked() == self.masked()
    }

    /// The shared bits, in the low ones of an address's width.
    fn mask(self) -> u128 {
        let free = u32::from(width(self.address).saturating_sub(self.prefix_length));
        u128::MAX.checked_shl(free).unwrap_or(0)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_length)
    }
}
