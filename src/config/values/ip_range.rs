//! A range of addresses in CIDR notation.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// A range of addresses in CIDR notation (RFC 4632, RFC 4291 section 2.3): `10.0.0.0/8`, `fd00::/8`, or one address.
///
/// An IPv4 address and its IPv4-mapped form (`::ffff:10.0.0.1`) are the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpRange {
    base: IpAddr,
    prefix: u8,
}

impl IpRange {
    /// Reads a range. Bits of the address beyond the prefix do not count.
    ///
    /// # Errors
    /// Says what is accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        let accepted = || "accepted is an IP address or a range such as 10.0.0.0/8".to_owned();
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.trim(), None),
        };
        let written: IpAddr = address.parse().map_err(|_| accepted())?;
        let most: u8 = if written.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            // `u8::from_str` would take a sign
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().filter(|p| *p <= most).ok_or_else(accepted)?
            }
            Some(_) => return Err(accepted()),
        };
        // a mapped range that reaches beyond the IPv4 addresses stays an IPv6 range
        let (base, prefix) = match written.to_canonical() {
            IpAddr::V4(v4) if most == 128 && prefix >= 96 => (IpAddr::V4(v4), prefix - 96),
            _ => (written, prefix),
        };
        Ok(Self { base, prefix })
    }

    /// Whether the address lies in the range.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                (base.to_bits() ^ address.to_bits()) & mask == 0
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => self.contains_v6(base, address),
            (IpAddr::V6(base), IpAddr::V4(address)) => self.contains_v6(base, address.to_ipv6_mapped()),
            (IpAddr::V4(_), IpAddr::V6(_)) => false,
        }
    }

    fn contains_v6(&self, base: Ipv6Addr, address: Ipv6Addr) -> bool {
        let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
        (base.to_bits() ^ address.to_bits()) & mask == 0
    }
}

impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}
