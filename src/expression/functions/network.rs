//! The network extension library: IP addresses and ranges of them.

use std::net::IpAddr;

use super::{Call, Row, Section, row, string, unexpected};
use crate::expression::context::{Failure, Operand};
use crate::expression::operators::shown;
use crate::value::{Cidr, Value};

pub(crate) const SECTION: Section = Section {
    title: "Network",
    extension: false,
    about: "Addresses with a zone and dotted IPv4 addresses within IPv6 are refused. An IPv4-mapped address such as `::ffff:c0a8:1` is the IPv4 address that it stands for, and a range of them the range of those.",
    rows: ROWS,
};

const ROWS: &[Row] = &[
    row(
        "ip(string) -> IP",
        ip,
        "The address; other text is an error.",
        &[
            "ip('192.168.0.1').family() == 4",
            "ip('::ffff:c0a8:1') == ip('192.168.0.1')",
        ],
    ),
    row(
        "isIP(string) -> bool",
        is_ip,
        "Whether the text is an address.",
        &["isIP('::1')", "!isIP('1.2.3')"],
    ),
    row(
        "ip.isCanonical(string) -> bool",
        is_canonical,
        "Whether the address is written in its shortest form.",
        &["!ip.isCanonical('2001:DB8::68')"],
    ),
    row(
        "IP.family() -> int",
        family,
        "4 or 6.",
        &["ip('::1').family() == 6"],
    ),
    row(
        "IP.isUnspecified() -> bool",
        is_unspecified,
        "Whether it is `0.0.0.0` or `::`.",
        &["ip('::').isUnspecified()"],
    ),
    row(
        "IP.isLoopback() -> bool",
        is_loopback,
        "Whether it is the machine's own.",
        &["ip('127.0.0.1').isLoopback()"],
    ),
    row(
        "IP.isGlobalUnicast() -> bool",
        is_global_unicast,
        "Whether it is an address of one host beyond its link.",
        &["ip('192.168.0.1').isGlobalUnicast()"],
    ),
    row(
        "IP.isLinkLocalMulticast() -> bool",
        is_link_local_multicast,
        "Whether it is a multicast address of a link.",
        &["ip('224.0.0.1').isLinkLocalMulticast()"],
    ),
    row(
        "IP.isLinkLocalUnicast() -> bool",
        is_link_local_unicast,
        "Whether it is an address of one host on its link.",
        &["ip('fe80::1').isLinkLocalUnicast()"],
    ),
    row(
        "cidr(string) -> CIDR",
        cidr,
        "The range; other text is an error.",
        &["cidr('10.0.0.0/8').prefixLength() == 8"],
    ),
    row(
        "isCIDR(string) -> bool",
        is_cidr,
        "Whether the text is a range.",
        &["isCIDR('10.0.0.0/8')"],
    ),
    row(
        "CIDR.containsIP(IP) -> bool",
        contains_ip,
        "Whether the address lies in the range.",
        &["cidr('10.0.0.0/8').containsIP(ip('10.1.2.3'))"],
    ),
    row(
        "CIDR.containsIP(string) -> bool",
        contains_ip,
        "Whether the address lies in the range.",
        &["!cidr('10.0.0.0/8').containsIP('11.1.2.3')"],
    ),
    row(
        "CIDR.containsCIDR(CIDR) -> bool",
        contains_cidr,
        "Whether the whole range lies in the range.",
        &["cidr('10.0.0.0/8').containsCIDR(cidr('10.1.0.0/16'))"],
    ),
    row(
        "CIDR.containsCIDR(string) -> bool",
        contains_cidr,
        "Whether the whole range lies in the range.",
        &["!cidr('10.0.0.0/8').containsCIDR('0.0.0.0/0')"],
    ),
    row(
        "CIDR.ip() -> IP",
        cidr_ip,
        "The address that the range is written with.",
        &["cidr('10.1.0.0/8').ip() == ip('10.1.0.0')"],
    ),
    row(
        "CIDR.masked() -> CIDR",
        masked,
        "The range written with its first address.",
        &["cidr('10.1.0.0/8').masked() == cidr('10.0.0.0/8')"],
    ),
    row(
        "CIDR.prefixLength() -> int",
        prefix_length,
        "How many bits all addresses of the range share.",
        &["cidr('::/32').prefixLength() == 32"],
    ),
    row(
        "string(IP) -> string",
        to_string,
        "The address in its shortest form.",
        &["string(ip('2001:DB8::68')) == '2001:db8::68'"],
    ),
    row(
        "string(CIDR) -> string",
        to_string,
        "The range.",
        &["string(cidr('10.0.0.0/8')) == '10.0.0.0/8'"],
    ),
];

fn parse_ip(text: &str) -> Result<IpAddr, Failure> {
    let shown = || shown(&Value::from(text));
    if text.contains('%') {
        return Err(Failure::new(format!(
            "IP Address {} with zone value is not allowed",
            shown()
        )));
    }
    if text.contains(':') && text.contains('.') {
        return Err(Failure::new(format!(
            "IPv4-mapped IPv6 address {} is not allowed",
            shown()
        )));
    }
    text.parse().map_err(|_| {
        Failure::new(format!(
            "IP Address {} parse error during conversion from string",
            shown()
        ))
    })
}

fn parse_cidr(text: &str) -> Result<Cidr, Failure> {
    let error = || {
        Failure::new(format!(
            "{}: network address parse error during conversion from string",
            shown(&Value::from(text))
        ))
    };
    let (address, length) = text.split_once('/').ok_or_else(error)?;
    let address = parse_ip(address)?;
    let plain = length == "0" || !length.starts_with(['0', '+']);
    let prefix_length = length.parse().map_err(|_| error())?;
    Cidr::new(address, prefix_length)
        .filter(|_| plain)
        .ok_or_else(error)
}

fn address(call: &Call, value: &Value) -> Result<IpAddr, Failure> {
    let address = match value {
        Value::Ip(ip) => *ip,
        Value::String(text) => parse_ip(text)?,
        other => return Err(unexpected(other)),
    };
    let semantics = call.budget.semantics;
    semantics.choose(|| Ok(address.to_canonical()), || Ok(address))
}

fn network(call: &Call, value: &Value) -> Result<Cidr, Failure> {
    let network = match value {
        Value::Cidr(cidr) => *cidr,
        Value::String(text) => parse_cidr(text)?,
        other => return Err(unexpected(other)),
    };
    let semantics = call.budget.semantics;
    semantics.choose(|| Ok(network.canonical()), || Ok(network))
}

fn ip(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    address(call, &arguments[0]).map(Value::Ip)
}

fn is_ip(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    Ok(Value::Bool(parse_ip(string(&arguments[0])?).is_ok()))
}

fn is_canonical(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let text = string(&arguments[0])?;
    Ok(Value::Bool(parse_ip(text)?.to_string() == **text))
}

fn family(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let v4 = address(call, &arguments[0])?.is_ipv4();
    Ok(Value::Int(if v4 { 4 } else { 6 }))
}

fn is_unspecified(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    Ok(Value::Bool(address(call, &arguments[0])?.is_unspecified()))
}

fn is_loopback(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    Ok(Value::Bool(address(call, &arguments[0])?.is_loopback()))
}

fn link_local_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn is_global_unicast(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let ip = address(call, &arguments[0])?;
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    let special = broadcast || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast();
    Ok(Value::Bool(!special && !link_local_unicast(ip)))
}

fn is_link_local_multicast(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    Ok(Value::Bool(match address(call, &arguments[0])? {
        IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
        IpAddr::V6(v6) => v6.octets()[0] == 0xff && v6.octets()[1] & 0x0f == 2,
    }))
}

fn is_link_local_unicast(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    Ok(Value::Bool(link_local_unicast(address(
        call,
        &arguments[0],
    )?)))
}

fn cidr(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    network(call, &arguments[0]).map(Value::Cidr)
}

fn is_cidr(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    Ok(Value::Bool(parse_cidr(string(&arguments[0])?).is_ok()))
}

fn contains_ip(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let ip = address(call, &arguments[1])?;
    Ok(Value::Bool(network(call, &arguments[0])?.contains(ip)))
}

fn contains_cidr(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let (outer, inner) = (network(call, &arguments[0])?, network(call, &arguments[1])?);
    let narrower = inner.prefix_length() >= outer.prefix_length();
    Ok(Value::Bool(narrower && outer.contains(inner.address())))
}

fn cidr_ip(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let range = network(call, &arguments[0])?;
    address(call, &Value::Ip(range.address())).map(Value::Ip)
}

fn masked(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    Ok(Value::Cidr(network(call, &arguments[0])?.masked()))
}

fn prefix_length(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let length = network(call, &arguments[0])?.prefix_length();
    Ok(Value::Int(i64::from(length)))
}

fn to_string(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    match &*arguments[0] {
        Value::Ip(_) => Ok(Value::from(address(call, &arguments[0])?.to_string())),
        other => Ok(Value::from(network(call, other)?.to_string())),
    }
}
