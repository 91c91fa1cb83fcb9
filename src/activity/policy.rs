//! Which hosts the generic worker's own activities may connect to. The worker's policy takes precedence over definition
//! and input.
//!
//! A host is checked twice: by its name in the URL, and by each address that its name resolves to, at the moment of
//! connecting. So the same rules apply to every address of a name, however often it changes.

mod address;
pub mod metadata;

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use url::{Host, Url};

use self::address::{is_public, meanings, normal};

/// An entry of a policy's list: a host name in which `*` matches anything, an address, or a network such as
/// `10.0.0.0/8`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// `*`: every name and every address.
    Any,
    Name(String),
    Network(IpNet),
}

/// The policy for hosts that are not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Every host that is not refused.
    #[default]
    Open,
    /// Only hosts that are named, by TLS, on the public internet; a request does not leave its origin.
    Strict,
}

#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// If empty: every host that is not refused; with the strict profile, none.
    allow: Vec<Pattern>,
    refuse: Vec<Pattern>,
    profile: Profile,
}

/// The verdict on a host's name before its addresses are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameVerdict {
    Allowed,
    /// The name is not allowed, but its address may be.
    AddressDecides,
}

impl Policy {
    /// Hosts that may be connected to (if empty, all) and hosts that may not, even if they are allowed otherwise.
    pub fn new(allow: &[String], refuse: &[String]) -> Result<Policy, String> {
        let read = |list: &[String]| -> Result<Vec<Pattern>, String> {
            list.iter().map(|p| Pattern::read(p)).collect()
        };
        Ok(Policy {
            allow: read(allow)?,
            refuse: read(refuse)?,
            profile: Profile::default(),
        })
    }

    pub fn with_profile(self, profile: Profile) -> Policy {
        Policy { profile, ..self }
    }

    /// Whether a request may be redirected to another origin.
    pub(crate) fn may_leave_origin(&self) -> bool {
        self.profile == Profile::Open
    }

    /// The verdict if no list decides.
    fn unlisted(&self) -> NameVerdict {
        let is_open = self.allow.is_empty() && self.profile == Profile::Open;
        match is_open || self.allow.contains(&Pattern::Any) {
            true => NameVerdict::Allowed,
            false => NameVerdict::AddressDecides,
        }
    }

    /// Checks a host name. An error explains why it is refused.
    pub(crate) fn check_name(&self, host: &str) -> Result<NameVerdict, String> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if self.refuse.iter().any(|p| p.matches_name(&host)) {
            return Err(format!("the worker's policy refuses the host {host}"));
        }
        let by_name = self.allow.iter().any(|p| p.matches_name(&host));
        let named = self.allow.contains(&Pattern::Name(host.clone()));
        if metadata::by_name(&host).is_some() && !named {
            return Err(format!(
                "{host} is a cloud's metadata service, which hands out the worker's own credentials; the worker refuses it unless its policy allows it by this very name"
            ));
        }
        if by_name || self.unlisted() == NameVerdict::Allowed {
            return Ok(NameVerdict::Allowed);
        }
        if self.allow.iter().any(|p| matches!(p, Pattern::Network(_))) {
            return Ok(NameVerdict::AddressDecides);
        }
        Err(format!(
            "the host {host} is not among those that the worker's policy allows"
        ))
    }

    /// Checks an address: that of the URL itself, or one that a name resolves to.
    pub(crate) fn check_address(
        &self,
        address: IpAddr,
        verdict: NameVerdict,
    ) -> Result<(), String> {
        let meanings = meanings(address);
        let refuses = |p: &Pattern| meanings.iter().any(|meaning| p.refuses(*meaning));
        let address = normal(address);
        if self.refuse.iter().any(refuses) {
            return Err(format!("the worker's policy refuses the address {address}"));
        }
        let services = meanings.iter().filter_map(|m| metadata::by_address(*m));
        if services.into_iter().next().is_some() && !self.names(address, &metadata::networks()) {
            return Err(format!(
                "{address} is an address of a cloud's metadata service, which hands out the worker's own credentials; the worker refuses it unless its policy allows this very address"
            ));
        }
        let is_strict = self.profile == Profile::Strict;
        if is_strict && !is_public(address) && !self.names(address, &address::special()) {
            return Err(format!(
                "the address {address} is not on the public internet; with `--http-policy strict` the worker refuses it unless its policy allows this very address or its network"
            ));
        }
        let allowed = self.allow.iter().any(|p| p.allows(address));
        if allowed || verdict == NameVerdict::Allowed {
            return Ok(());
        }
        Err(format!(
            "the address {address} is not among those that the worker's policy allows"
        ))
    }

    /// Whether the policy allows an address of these networks by a network inside one of them: a wider one was meant
    /// for other addresses.
    fn names(&self, address: IpAddr, networks: &[IpNet]) -> bool {
        self.allow.iter().any(|pattern| match pattern {
            Pattern::Network(own) => {
                own.contains(&address) && networks.iter().any(|network| network.contains(own))
            }
            Pattern::Name(_) | Pattern::Any => false,
        })
    }

    /// Checks the host of a URL, as far as possible without resolving it.
    pub(crate) fn check_host(&self, host: &Host<&str>) -> Result<(), String> {
        match host {
            Host::Domain(name) => self.check_name(name).map(|_| ()),
            Host::Ipv4(address) => self.check_address(IpAddr::V4(*address), self.unlisted()),
            Host::Ipv6(address) => self.check_address(IpAddr::V6(*address), self.unlisted()),
        }
    }

    /// Checks a URL, as far as possible without resolving its host.
    pub(crate) fn check_url(&self, url: &Url) -> Result<(), String> {
        let host = url.host().ok_or("its URL has no host")?;
        self.check_host(&host)?;
        match self.profile == Profile::Strict && url.scheme() != "https" {
            true => Err("with `--http-policy strict` the worker talks by https alone".into()),
            false => Ok(()),
        }
    }
}

impl Pattern {
    fn read(text: &str) -> Result<Pattern, String> {
        let text = text.trim().trim_end_matches('.').to_lowercase();
        let wrong = || {
            format!(
                "`{text}` is not a host; expected a name like api.example.com or *.example.com, an address, or a network like 10.0.0.0/8"
            )
        };
        if text == "*" {
            return Ok(Pattern::Any);
        }
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Pattern::Network(normal_network(network)));
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Pattern::Network(IpNet::from(normal(address))));
        }
        if text.contains('*') && text.contains(|c: char| c.is_ascii_digit()) {
            let is_of_address = |c: char| c.is_ascii_digit() || ".*".contains(c);
            if text.chars().all(is_of_address) {
                return Err(format!(
                    "`{text}` is a part of an address; write the network, like 10.0.0.0/8"
                ));
            }
        }
        // Read like the hosts of URLs: `0x7f.1` is an address, and other alphabets have a form in ASCII.
        let name = match Host::parse(&text) {
            Ok(Host::Domain(name)) => name,
            Ok(Host::Ipv4(address)) => {
                return Ok(Pattern::Network(IpNet::from(IpAddr::V4(address))));
            }
            Ok(Host::Ipv6(address)) => {
                return Ok(Pattern::Network(IpNet::from(normal(IpAddr::V6(address)))));
            }
            Err(_) => return Err(wrong()),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.*".contains(c);
        match !name.is_empty() && name.chars().all(is_name) {
            true => Ok(Pattern::Name(name)),
            false => Err(wrong()),
        }
    }

    fn matches_name(&self, host: &str) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Name(glob) => matches_glob(glob, host),
            Pattern::Network(_) => false,
        }
    }

    fn allows(&self, address: IpAddr) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Network(network) => network.contains(&address),
            Pattern::Name(_) => false,
        }
    }

    /// A refused name also refuses addresses that are written like it.
    fn refuses(&self, address: IpAddr) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Network(network) => network.contains(&address),
            Pattern::Name(glob) => matches_glob(glob, &address.to_string()),
        }
    }
}

/// A network of mapped addresses becomes a network of the addresses inside them.
fn normal_network(network: IpNet) -> IpNet {
    let length = network.prefix_len();
    match (network, normal(network.network())) {
        (IpNet::V6(_), IpAddr::V4(v4)) if length >= 96 => {
            Ipv4Net::new(v4, length - 96).map_or(network, IpNet::V4)
        }
        _ => network.trunc(),
    }
}

/// `*` matches any number of characters, including dots.
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
            "http://[fd00:c1::a9fe:a9fe]/",
            "http://[fd00:42::42]/",
            "http://[fd00:a9fe:a9fe::1]/",
            "http://[fd20:ce::254]/",
            "http://192.0.0.192/",
            "http://[64:ff9b:1::a9fe:a9fe]/",
            "http://[64:ff9b:1:a9fe:a9:fe00::]/",
            "http://[::a9fe:a9fe]/",
            "http://[::ffff:0:a9fe:a9fe]/",
            "http://[2001:0:a9fe:a9fe::1]/",
            "http://[fd00::5efe:a9fe:a9fe]/",
            "http://１６９.２５４.１６９.２５４/",
            "http://169.254.169.254./",
            "http://%31%36%39.254.169.254/",
            "http://metadata.tencentyun.com/",
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
        for wide in ["*", "0.0.0.0/0", "*.internal"] {
            let wide = policy(&[wide, "::/0"], &[]);
            assert!(check(&wide, "http://metadata.google.internal/").is_err());
            assert!(check(&wide, "http://169.254.169.254/").is_err());
            assert!(check(&wide, "http://[fd00:ec2::254]/").is_err());
        }
        let named = policy(&["169.254.0.0/16", "fd00:ec2::254"], &[]);
        check(&named, "http://[::ffff:169.254.169.254]/").unwrap();
        check(&named, "http://[fd00:ec2::254]/").unwrap();
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
    fn refusals_cover_addresses_however_they_are_written() {
        let all = policy(&[], &["*"]);
        let this_machine = policy(&[], &["127.0.0.0/8", "::1", "localhost"]);
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://0177.0.0.1/",
            "http://0.0.0.0/",
            "http://0/",
            "http://[::]/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[64:ff9b:1::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://localhost./",
            "http://LOCALHOST/",
        ] {
            assert!(check(&all, url).is_err(), "{url}");
            assert!(check(&this_machine, url).is_err(), "{url}");
        }
        assert!(check(&all, "http://93.184.216.34/").is_err());
        check(&this_machine, "http://93.184.216.34/").unwrap();
        for pattern in [
            "0.0.0.0",
            "0",
            "[::]",
            "::ffff:127.0.0.1",
            "::ffff:127.0.0.0/104",
            "0x7f.1",
        ] {
            let refused = policy(&[], &[pattern]);
            assert!(
                check(&refused, "http://0.0.0.0/").is_err()
                    || check(&refused, "http://[::]/").is_err(),
                "{pattern}"
            );
        }
        // With a zone the address depends on the machine: URLs do not accept one.
        assert!(url::Url::parse("http://[fe80::1%25eth0]/").is_err());
    }

    #[test]
    fn the_strict_profile_allows_named_hosts_on_the_public_internet() {
        let strict = |allow: &[&str]| policy(allow, &[]).with_profile(Profile::Strict);
        let judge = |policy: &Policy, url: &str| policy.check_url(&Url::parse(url).unwrap());
        let nothing = strict(&[]);
        for url in [
            "https://example.com",
            "https://93.184.216.34",
            "https://[2606:4700::1111]",
        ] {
            assert!(judge(&nothing, url).is_err(), "{url}");
        }
        let named = strict(&["api.example.com", "93.184.216.34", "10.1.0.0/16"]);
        judge(&named, "https://api.example.com").unwrap();
        judge(&named, "https://93.184.216.34").unwrap();
        judge(&named, "https://10.1.2.3").unwrap();
        assert!(
            judge(&named, "http://api.example.com")
                .unwrap_err()
                .contains("https alone")
        );
        assert!(judge(&named, "https://10.2.0.1").is_err());
        let verdict = named.check_name("api.example.com").unwrap();
        let resolved = |address: &str| named.check_address(address.parse().unwrap(), verdict);
        resolved("93.184.216.35").unwrap();
        resolved("10.1.0.1").unwrap();
        for private in [
            "127.0.0.1",
            "192.168.0.1",
            "::1",
            "fd12::1",
            "::ffff:10.9.9.9",
            "64:ff9b::a00:1",
        ] {
            assert!(
                resolved(private)
                    .unwrap_err()
                    .contains("not on the public internet"),
                "{private}"
            );
        }
        let wide = strict(&["*", "0.0.0.0/0"]);
        assert!(judge(&wide, "https://10.0.0.1").is_err());
        judge(&wide, "https://93.184.216.34").unwrap();
        assert!(!wide.may_leave_origin() && policy(&[], &[]).may_leave_origin());
    }

    #[test]
    fn a_part_of_an_address_is_no_name() {
        let error = Policy::new(&["10.*".to_owned()], &[]).unwrap_err();
        assert!(error.contains("write the network"), "{error}");
        let other = policy(&["bücher.example"], &[]);
        check(&other, "https://bücher.example/").unwrap();
        check(&other, "https://xn--bcher-kva.example/").unwrap();
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
