//! Clouds' metadata services, which hand out a machine's credentials to any client on it: one table, with the
//! documentation of each.

use std::net::IpAddr;

use ipnet::IpNet;

/// One service, with all its names and networks.
pub struct Service {
    pub cloud: &'static str,
    pub names: &'static [&'static str],
    pub networks: &'static [&'static str],
    /// The documentation of it.
    pub source: &'static str,
}

/// All link-local addresses are included (RFC 3927, RFC 4291), where most of them are: at 169.254.169.254 alone those
/// of AWS, Google, Azure, Oracle, DigitalOcean, Hetzner, OpenStack, Exoscale, Vultr and IBM. The others are listed one
/// by one.
pub const SERVICES: [Service; 12] = [
    Service {
        cloud: "link-local",
        names: &[],
        networks: &["169.254.0.0/16", "fe80::/10"],
        source: "https://www.rfc-editor.org/rfc/rfc3927, https://docs.openstack.org/nova/latest/user/metadata.html",
    },
    Service {
        cloud: "AWS: instances, containers of ECS and pods of EKS, DNS and time",
        names: &["instance-data", "instance-data.ec2.internal"],
        networks: &["fd00:ec2::/32"],
        source: "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html, https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html",
    },
    Service {
        cloud: "Google",
        names: &["metadata", "metadata.google.internal", "metadata.goog"],
        networks: &["fd20:ce::/32"],
        source: "https://cloud.google.com/compute/docs/metadata/querying-metadata",
    },
    Service {
        cloud: "Azure: the host agent",
        names: &[],
        networks: &["168.63.129.16/32"],
        source: "https://learn.microsoft.com/en-us/azure/virtual-network/what-is-ip-address-168-63-129-16",
    },
    Service {
        cloud: "Alibaba",
        names: &[],
        networks: &["100.100.100.200/32", "fd00:100::100:200/128"],
        source: "https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata",
    },
    Service {
        cloud: "Oracle",
        names: &[],
        networks: &["fd00:c1::/32"],
        source: "https://docs.oracle.com/en-us/iaas/Content/Compute/Tasks/gettingmetadata.htm, https://github.com/oracle/oci-python-sdk/blob/master/src/oci/auth/signers/instance_principals_security_token_signer.py",
    },
    Service {
        cloud: "Oracle Classic",
        names: &[],
        networks: &["192.0.0.192/32"],
        source: "https://docs.oracle.com/en/cloud/iaas/compute-iaas-cloud/stcsg/retrieving-instance-metadata.html",
    },
    Service {
        cloud: "Scaleway",
        names: &[],
        networks: &["fd00:42::42/128"],
        source: "https://docs.cloud-init.io/en/latest/reference/datasources/scaleway.html",
    },
    Service {
        cloud: "Akamai (Linode)",
        names: &[],
        networks: &["fd00:a9fe:a9fe::/48"],
        source: "https://techdocs.akamai.com/cloud-computing/docs/metadata-service-api",
    },
    Service {
        cloud: "Tencent",
        names: &["metadata.tencentyun.com"],
        networks: &[],
        source: "https://www.tencentcloud.com/document/product/213/4934",
    },
    Service {
        cloud: "IBM",
        names: &["api.metadata.cloud.ibm.com"],
        networks: &[],
        source: "https://cloud.ibm.com/docs/vpc?topic=vpc-imd-about",
    },
    Service {
        cloud: "Rancher",
        names: &["rancher-metadata", "rancher-metadata.rancher.internal"],
        networks: &[],
        source: "https://rancher.com/docs/rancher/v1.6/en/rancher-services/metadata-service/",
    },
];

pub(crate) fn by_name(host: &str) -> Option<&'static Service> {
    SERVICES
        .iter()
        .find(|service| service.names.contains(&host))
}

pub(crate) fn by_address(address: IpAddr) -> Option<&'static Service> {
    let holds = |network: &str| {
        network
            .parse::<IpNet>()
            .is_ok_and(|network| network.contains(&address))
    };
    SERVICES
        .iter()
        .find(|service| service.networks.iter().any(|network| holds(network)))
}

/// The networks of all of them.
pub(crate) fn networks() -> Vec<IpNet> {
    let all = SERVICES.iter().flat_map(|service| service.networks);
    all.filter_map(|network| network.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_networks_lower_case_names_and_sources() {
        for service in &SERVICES {
            assert!(service.source.starts_with("https://"), "{}", service.cloud);
            for network in service.networks {
                let read: IpNet = network.parse().unwrap();
                assert_eq!(read.trunc(), read, "{network}");
            }
            for name in service.names {
                assert_eq!(*name, name.to_ascii_lowercase());
            }
        }
    }
}
