//! The address of the cluster and the credentials: flags, then environment, then `temporal.toml`, as in the official
//! command line.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use temporalio_client::envconfig::{
    ClientConfigProfile, DataSource, LoadClientConfigProfileOptions,
};
use temporalio_client::{Connection, ConnectionOptions, GrpcCompression};
use temporalio_common::envconfig::{ClientConfigTLS, load_client_config_profile};
use temporalio_common::telemetry::metrics::TemporalMeter;

use super::{ClientError, CodecSettings};
use crate::payload::Codec;

const NAMESPACE_DEFAULT: &str = "default";
const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// The user's settings for the connection; what is `None` is read from the environment or the file.
#[derive(Debug, Clone, Default)]
pub struct ConnectionSettings {
    pub address: Option<String>,
    pub namespace: Option<String>,
    pub api_key: Option<String>,
    pub tls: Option<bool>,
    pub tls_ca: Option<Source>,
    pub tls_cert: Option<Source>,
    pub tls_key: Option<Source>,
    pub tls_server_name: Option<String>,
    pub tls_disable_host_verification: bool,
    pub grpc_meta: Vec<(String, String)>,
    pub identity: Option<String>,
    pub profile: Option<String>,
    pub config_file: Option<String>,
    pub disable_config_file: bool,
    pub disable_config_env: bool,
    /// Compression by gzip. By default it is on, except for an address on this machine, where it only costs time.
    pub grpc_compression: Option<bool>,
    pub connect_timeout: Option<Duration>,
    pub codec: CodecSettings,
}

/// A certificate or key: in a file, or the text itself.
#[derive(Debug, Clone)]
pub enum Source {
    Path(String),
    Data(String),
}

/// The settings with the environment and the file applied.
#[derive(Clone)]
pub struct ResolvedSettings {
    pub(crate) namespace: String,
    pub(crate) address: String,
    pub(crate) options: ConnectionOptions,
    pub(crate) codec: Codec,
}

impl ConnectionSettings {
    pub fn resolve(&self) -> Result<ResolvedSettings, ClientError> {
        let profile = self.profile()?;
        let namespace = profile.namespace.clone();
        let namespace = namespace.unwrap_or_else(|| NAMESPACE_DEFAULT.to_owned());
        let codec = self.codec.resolve(profile.codec.as_ref(), &namespace)?;
        let disable_host_verification = profile
            .tls
            .as_ref()
            .is_some_and(|tls| tls.disable_host_verification);
        let mut options = ConnectionOptions::try_from(profile).map_err(config_error)?;
        if disable_host_verification && let Some(tls) = options.tls_options.as_mut() {
            tls.server_cert_verifier = Some(Arc::new(AnyCertificate));
        }
        options.identity = self.identity.clone().unwrap_or_else(default_identity);
        options.connect_timeout = Some(self.connect_timeout.unwrap_or(CONNECT_TIMEOUT_DEFAULT));
        let loopback = is_loopback(options.target.host_str().unwrap_or_default());
        if !self.grpc_compression.unwrap_or(!loopback) {
            options.grpc_compression = GrpcCompression::None;
        }
        if loopback {
            options.dns_load_balancing = None;
        }
        Ok(ResolvedSettings {
            namespace,
            address: options.target.to_string(),
            options,
            codec,
        })
    }

    fn profile(&self) -> Result<ClientConfigProfile, ClientError> {
        if let Some(path) = &self.config_file
            && !Path::new(path).exists()
        {
            return Err(ClientError::Config(format!(
                "the configuration file {path} does not exist"
            )));
        }
        let mut profile = self.configured()?;
        set(&mut profile.address, &self.address);
        set(&mut profile.namespace, &self.namespace);
        set(&mut profile.api_key, &self.api_key);
        for (name, value) in &self.grpc_meta {
            profile
                .grpc_meta
                .insert(name.to_lowercase().replace('_', "-"), value.clone());
        }
        if self.speaks_of_tls() {
            let tls = profile.tls.get_or_insert_with(ClientConfigTLS::default);
            // An option of TLS turns it on even if the file turned it off; `--tls=false` takes precedence.
            tls.disabled = self.tls.map(|on| !on).or(Some(false));
            set(
                &mut tls.server_ca_cert,
                &self.tls_ca.as_ref().map(Source::data_source),
            );
            set(
                &mut tls.client_cert,
                &self.tls_cert.as_ref().map(Source::data_source),
            );
            set(
                &mut tls.client_key,
                &self.tls_key.as_ref().map(Source::data_source),
            );
            set(&mut tls.server_name, &self.tls_server_name);
            tls.disable_host_verification |= self.tls_disable_host_verification;
        }
        Ok(profile)
    }

    /// The profile from the file and the environment.
    fn configured(&self) -> Result<ClientConfigProfile, ClientError> {
        if self.disable_config_file && self.disable_config_env {
            return Ok(ClientConfigProfile::default());
        }
        let load = LoadClientConfigProfileOptions::builder()
            .maybe_config_source(self.config_file.clone().map(DataSource::Path))
            .maybe_config_file_profile(self.profile.clone())
            .disable_file(self.disable_config_file)
            .disable_env(self.disable_config_env)
            .build();
        load_client_config_profile(load, None).map_err(config_error)
    }

    fn speaks_of_tls(&self) -> bool {
        self.tls.is_some()
            || self.tls_ca.is_some()
            || self.tls_cert.is_some()
            || self.tls_key.is_some()
            || self.tls_server_name.is_some()
            || self.tls_disable_host_verification
    }
}

impl Source {
    fn data_source(&self) -> DataSource {
        match self {
            Source::Path(path) => DataSource::Path(path.clone()),
            Source::Data(data) => DataSource::Data(data.clone().into_bytes()),
        }
    }
}

impl ResolvedSettings {
    pub(crate) async fn connect(
        &self,
        metrics: Option<TemporalMeter>,
    ) -> Result<Connection, ClientError> {
        let mut options = self.options.clone();
        options.metrics_meter = metrics;
        Connection::connect(options)
            .await
            .map_err(|e| ClientError::Connect {
                address: self.address.clone(),
                reason: innermost(&e),
            })
    }
}

fn set<T: Clone>(slot: &mut Option<T>, value: &Option<T>) {
    if value.is_some() {
        slot.clone_from(value);
    }
}

fn config_error(error: temporalio_client::envconfig::ConfigError) -> ClientError {
    ClientError::Config(error.to_string())
}

/// The outer errors of a connection only read "transport error".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    let mut reason = error.to_string();
    while let Some(source) = error.source() {
        error = source;
        reason = error.to_string();
    }
    reason
}

/// `process id@host`, as in the SDKs.
pub(crate) fn default_identity() -> String {
    let host = gethostname::gethostname();
    format!("{}@{}", std::process::id(), host.to_string_lossy())
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']);
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Accepts any certificate, for `--tls-disable-host-verification`.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(settings: ConnectionSettings) -> ResolvedSettings {
        ConnectionSettings {
            disable_config_env: true,
            disable_config_file: settings.config_file.is_none(),
            ..settings
        }
        .resolve()
        .unwrap()
    }

    #[test]
    fn compresses_only_what_leaves_the_machine() {
        for (address, compressed) in [
            ("localhost:7233", false),
            ("127.0.0.1:7233", false),
            ("[::1]:7233", false),
            ("temporal.example:7233", true),
        ] {
            let settings = ConnectionSettings {
                address: Some(address.into()),
                ..Default::default()
            };
            let gzip = resolve(settings).options.grpc_compression == GrpcCompression::Gzip;
            assert_eq!(gzip, compressed, "{address}");
        }
    }

    #[test]
    fn flags_win_over_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "[profile.prod]\naddress = \"prod.example:7233\"\nnamespace = \"orders\"\n[profile.prod.grpc_meta]\nTeam_Name = \"a\"\n",
        )
        .unwrap();
        let settings = ConnectionSettings {
            config_file: Some(file.path().to_string_lossy().into_owned()),
            profile: Some("prod".into()),
            namespace: Some("other".into()),
            tls: Some(true),
            grpc_meta: vec![("team-name".into(), "b".into())],
            ..Default::default()
        };
        let resolved = resolve(settings);
        assert_eq!(resolved.address, "https://prod.example:7233/");
        assert_eq!(resolved.namespace, "other");
        assert_eq!(resolved.options.headers.unwrap()["team-name"], "b");
    }

    #[test]
    fn a_key_or_an_option_of_tls_turns_tls_on() {
        let with_key = ConnectionSettings {
            api_key: Some("k".into()),
            ..Default::default()
        };
        assert!(resolve(with_key.clone()).options.tls_options.is_some());
        let off = ConnectionSettings {
            tls: Some(false),
            ..with_key
        };
        assert!(resolve(off).options.tls_options.is_none());
        let insecure = ConnectionSettings {
            tls_disable_host_verification: true,
            ..Default::default()
        };
        let tls = resolve(insecure).options.tls_options.unwrap();
        assert!(tls.server_cert_verifier.is_some());
    }

    #[test]
    fn a_file_that_is_named_must_be_there() {
        let settings = ConnectionSettings {
            config_file: Some("no-such.toml".into()),
            ..Default::default()
        };
        let error = settings.resolve().err().unwrap().to_string();
        assert_eq!(error, "the configuration file no-such.toml does not exist");
    }
}
