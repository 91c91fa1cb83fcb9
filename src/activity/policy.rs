//! Which hosts the generic worker's own activities may talk to. The worker's policy wins over definition and input.
//!
//! A host is judged twice: by its name in the URL, and by each address that its name resolves to, at the moment of
//! connecting. Whatever a name leads to is therefore held to the same rules, however often it changes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Names under which clouds hand out a machine's credentials.
const METADATA_NAMES: [&str; 5] = [
    "metadata.google.internal",
    "metadata.goog",
    "metadata",
    "instance-data",
    "instance-data.ec2.internal",
];

/// Addresses under which clouds hand out a machine's credentials: all that is link-local (AWS, Azure, Google, Oracle,
/// DigitalOcean, OpenStack, ECS), and those that are not.
const METADATA_IPV4: [Ipv4Net; 4] = [
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 100, 100, 200), 32),
    Ipv4Net::new_assert(Ipv4Addr::new(168, 63, 129, 16), 32),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 0, 0, 192), 32),
];
const METADATA_IPV6: [Ipv6Net; 3] = [
    Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0), 32),
    Ipv6Net::new_assert(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0), 32),
];

/// One of a policy's lists: a host name in which `*` stands for anything, an address, or a network as `10.0.0.0/8`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Name(String),
    Network(IpNet),
}

#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Empty: every host that nothing refuses.
    allow: Vec<Pattern>,
    refuse: Vec<Pattern>,
}

/// What a name tells about a host before its addresses are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameVerdict {
    Allowed,
    /// No name is allowed that is this one; its address may be.
    AddressDecides,
}

impl Policy {
    /// Hosts that may be talked to (none: all) and hosts that may not, whatever else allows them.
    pub fn new(allow: &[String], refuse: &[String]) -> Result<Policy, String> {
        let read = |list: &[String]| -> Result<Vec<Pattern>, String> {
            list.iter().map(|p| Pattern::read(p)).collect()
        };
        Ok(Policy {
            allow: read(allow)?,
            refuse: read(refuse)?,
        })
    }

    /// Judges a host name. An error says why it is refused.
    pub fn check_name(&self, host: &str) -> Result<NameVerdict, String> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if self.refuse.iter().any(|p| p.matches_name(&host)) {
            return Err(format!("the worker's policy refuses the host {host}"));
        }
        let by_name = self.allow.iter().any(|p| p.matches_name(&host));
        let named = self.allow.contains(&Pattern::Name(host.clone()));
        if METADATA_NAMES.contains(&host.as_str()) && !named {
            return Err(format!(
                "{host} is a cloud's metadata service, which hands out the worker's own credentials; the worker refuses it unless its policy allows it by this very name"
            ));
        }
        if self.allow.is_empty() || by_name {
            return Ok(NameVerdict::Allowed);
        }
        if self.allow.iter().any(|p| matches!(p, Pattern::Network(_))) {
            return Ok(NameVerdict::AddressDecides);
        }
        Err(format!(
            "the host {host} is not among those that the worker's policy allows"
        ))
    }

    /// Judges an address: of the URL itself, or one that a name resolves to.
    pub fn check_address(&self, address: IpAddr, verdict: NameVerdict) -> Result<(), String> {
        let address = embedded(address);
        if self.refuse.iter().any(|p| p.matches_address(address)) {
            return Err(format!("the worker's policy refuses the address {address}"));
        }
        let allowed = self.allow.iter().any(|p| p.matches_address(address));
        if is_metadata(address) && !allowed {
            return Err(format!(
                "{address} is an address of a cloud's metadata service, which hands out the worker's own credentials; the worker refuses it unless its policy allows this very address"
            ));
        }
        if allowed || verdict == NameVerdict::Allowed {
            return Ok(());
        }
        Err(format!(
            "the address {address} is not among those that the worker's policy allows"
        ))
    }

    /// Judges the host of a URL as far as it can be known without resolving it.
    pub fn check_host(&self, host: &url::Host<&str>) -> Result<(), String> {
        let undecided = match self.allow.is_empty() {
            true => NameVerdict::Allowed,
            false => NameVerdict::AddressDecides,
        };
        match host {
            url::Host::Domain(name) => self.check_name(name).map(|_| ()),
            url::Host::Ipv4(address) => self.check_address(IpAddr::V4(*address), undecided),
            url::Host::Ipv6(address) => self.check_address(IpAddr::V6(*address), undecided),
        }
    }
}

impl Pattern {
    fn read(text: &str) -> Result<Pattern, String> {
        let text = text.trim().trim_end_matches('.').to_ascii_lowercase();
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Pattern::Network(network));
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Pattern::Network(IpNet::from(embedded(address))));
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.*".contains(c);
        if text.is_empty() || !text.chars().all(is_name) {
            return Err(format!(
                "`{text}` is not a host: a name as api.example.com or *.example.com, an address, or a network as 10.0.0.0/8"
            ));
        }
        Ok(Pattern::Name(text))
    }

    fn matches_name(&self, host: &str) -> bool {
        match self {
            Pattern::Name(glob) => matches_glob(glob, host),
            Pattern::Network(_) => false,
        }
    }

    fn matches_address(&self, address: IpAddr) -> bool {
        match self {
            Pattern::Network(network) => network.contains(&address),
            Pattern::Name(_) => false,
        }
    }
}

/// `*` stands for any number of characters, dots included.
fn matches_glob(glob: &str, text: &str) -> bool {
    let Some((head, rest)) = glob.split_once('*') else {
        return glob == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return text.ends_with(piece);
        }
        match text.find(piece) {
            Some(at) => text = &text[at + piece.len()..],
            None => return false,
        }
    }
    true
}

fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => METADATA_IPV4.iter().any(|n| n.contains(&v4)),
        IpAddr::V6(v6) => METADATA_IPV6.iter().any(|n| n.contains(&v6)),
    }
}

/// The IPv4 address that an IPv6 one leads to by mapping, NAT64 or 6to4, else the address itself.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return IpAddr::V4(v4);
    }
    let s = v6.segments();
    let v4 =
        |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match s {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        // The deprecated form ::a.b.c.d, but not :: and ::1.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => v4(high, low),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allow: &[&str], refuse: &[&str]) -> Policy {
        let own = |list: &[&str]| list.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
        Policy::new(&own(allow), &own(refuse)).unwrap()
    }

    fn check(policy: &Policy, url: &str) -> Result<(), String> {
        policy.check_host(&url::Url::parse(url).unwrap().host().unwrap())
    }

    #[test]
    fn metadata_services_are_refused_however_they_are_written() {
        for url in [
            "http://169.254.169.254/latest",
            "http://0xA9FEA9FE/",
            "http://2852039166/",
            "http://0251.0376.0251.0376/",
            "http://169.254.170.2/",
            "http://100.100.100.200/",
            "http://168.63.129.16/",
            "http://[fd00:ec2::254]/",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[2002:a9fe:a9fe::]/",
            "http://metadata.google.internal/",
            "http://METADATA.google.internal./",
            "http://metadata/",
        ] {
            let error = check(&policy(&[], &[]), url).expect_err(url);
            assert!(error.contains("metadata service"), "{url}: {error}");
        }
        check(
            &policy(&["169.254.169.254"], &[]),
            "http://169.254.169.254/",
        )
        .unwrap();
        let wide = policy(&["*"], &[]);
        assert!(check(&wide, "http://metadata.google.internal/").is_err());
        assert!(check(&wide, "http://169.254.169.254/").is_err());
    }

    #[test]
    fn other_hosts_are_allowed_until_a_list_says_otherwise() {
        for url in [
            "http://localhost:8080",
            "http://127.0.0.1",
            "http://[::1]/",
            "https://example.com",
        ] {
            check(&policy(&[], &[]), url).unwrap();
        }
        let listed = policy(
            &["*.example.com", "10.0.0.0/8"],
            &["admin.example.com", "10.1.2.3"],
        );
        check(&listed, "https://api.example.com/").unwrap();
        check(&listed, "https://a.b.EXAMPLE.com./").unwrap();
        check(&listed, "http://10.9.9.9/").unwrap();
        assert!(check(&listed, "https://admin.example.com/").is_err());
        assert!(check(&listed, "http://10.1.2.3/").is_err());
        assert!(check(&listed, "http://192.168.0.1/").is_err());
        assert_eq!(
            listed.check_name("example.org"),
            Ok(NameVerdict::AddressDecides)
        );
        assert!(
            policy(&["*.example.com"], &[])
                .check_name("example.org")
                .is_err()
        );
    }

    #[test]
    fn a_name_is_held_to_the_rules_for_its_addresses() {
        let open = policy(&[], &["192.168.0.0/16"]);
        let verdict = open.check_name("rebound.example").unwrap();
        for address in ["169.254.169.254", "192.168.7.7", "::ffff:192.168.7.7"] {
            assert!(
                open.check_address(address.parse().unwrap(), verdict)
                    .is_err(),
                "{address}"
            );
        }
        open.check_address("93.184.216.34".parse().unwrap(), verdict)
            .unwrap();
    }

    #[test]
    fn globs() {
        for (glob, text, expected) in [
            ("*", "anything", true),
            ("*.a.com", "x.a.com", true),
            ("*.a.com", "a.com", false),
            ("api-*.a.com", "api-1.a.com", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXcYb", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches_glob(glob, text), expected, "{glob} {text}");
        }
    }

    #[test]
    fn what_is_no_host_is_an_error() {
        let error = Policy::new(&["https://a.com".to_owned()], &[]).unwrap_err();
        assert!(error.contains("is not a host"), "{error}");
    }
}
