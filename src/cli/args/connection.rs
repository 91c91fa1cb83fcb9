//! The connection's flags, as in the official command line.

use clap::Args;

use super::codec::CodecArgs;
use super::values::key_value;
use crate::cli::error::CliError;
use crate::client::{Client, ConnectionSettings, ResolvedSettings, Source};
use crate::value::Duration;

/// Flags take precedence over the environment (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, …), which takes precedence over temporal.toml.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// The server's gRPC endpoint [env: TEMPORAL_ADDRESS] [default: localhost:7233]
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// The namespace [env: TEMPORAL_NAMESPACE] [default: default]
    #[arg(long, short = 'n')]
    namespace: Option<String>,
    /// The API key; turns TLS on [env: TEMPORAL_API_KEY]
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// Use TLS; any other TLS option and an API key turn it on too [env: TEMPORAL_TLS]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    tls: Option<bool>,
    /// File with the CA certificate for the server [env: TEMPORAL_TLS_SERVER_CA_CERT_PATH]
    #[arg(long, value_name = "FILE", conflicts_with = "tls_ca_data")]
    tls_ca_path: Option<String>,
    /// The CA certificate itself [env: TEMPORAL_TLS_SERVER_CA_CERT_DATA]
    #[arg(long, value_name = "PEM")]
    tls_ca_data: Option<String>,
    /// File with the client's certificate [env: TEMPORAL_TLS_CLIENT_CERT_PATH]
    #[arg(long, value_name = "FILE", conflicts_with = "tls_cert_data")]
    tls_cert_path: Option<String>,
    /// The client's certificate itself [env: TEMPORAL_TLS_CLIENT_CERT_DATA]
    #[arg(long, value_name = "PEM")]
    tls_cert_data: Option<String>,
    /// File with the client's private key [env: TEMPORAL_TLS_CLIENT_KEY_PATH]
    #[arg(long, value_name = "FILE", conflicts_with = "tls_key_data")]
    tls_key_path: Option<String>,
    /// The client's private key itself [env: TEMPORAL_TLS_CLIENT_KEY_DATA]
    #[arg(long, value_name = "PEM")]
    tls_key_data: Option<String>,
    /// The name to expect in the server's certificate [env: TEMPORAL_TLS_SERVER_NAME]
    #[arg(long, value_name = "NAME")]
    tls_server_name: Option<String>,
    /// Do not verify the server's certificate [env: TEMPORAL_TLS_DISABLE_HOST_VERIFICATION]
    #[arg(long)]
    tls_disable_host_verification: bool,
    /// A header of every request; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    grpc_meta: Vec<(String, String)>,
    /// This client's identity [default: pid@host]
    #[arg(long)]
    identity: Option<String>,
    /// The profile of the configuration file [env: TEMPORAL_PROFILE] [default: default]
    #[arg(long)]
    profile: Option<String>,
    /// The configuration file [env: TEMPORAL_CONFIG_FILE] [default: temporalio/temporal.toml in the user's folder]
    #[arg(long, value_name = "FILE")]
    config_file: Option<String>,
    /// Read no configuration file
    #[arg(long)]
    disable_config_file: bool,
    /// Read nothing from the environment
    #[arg(long)]
    disable_config_env: bool,
    /// Compress requests and responses [default: true, but false for a server on this machine]
    #[arg(long, value_name = "BOOL")]
    grpc_compression: Option<bool>,
    /// How long to try to connect, for instance 10s
    #[arg(long, value_name = "DURATION", value_parser = Duration::parse)]
    client_connect_timeout: Option<Duration>,
    #[command(flatten)]
    codec: CodecArgs,
}

impl ConnectionArgs {
    pub(crate) fn settings(&self) -> ConnectionSettings {
        let source = |path: &Option<String>, data: &Option<String>| {
            let path = path.clone().map(Source::Path);
            path.or_else(|| data.clone().map(Source::Data))
        };
        ConnectionSettings {
            address: self.address.clone(),
            namespace: self.namespace.clone(),
            api_key: self.api_key.clone(),
            tls: self.tls,
            tls_ca: source(&self.tls_ca_path, &self.tls_ca_data),
            tls_cert: source(&self.tls_cert_path, &self.tls_cert_data),
            tls_key: source(&self.tls_key_path, &self.tls_key_data),
            tls_server_name: self.tls_server_name.clone(),
            tls_disable_host_verification: self.tls_disable_host_verification,
            grpc_meta: self.grpc_meta.clone(),
            identity: self.identity.clone(),
            profile: self.profile.clone(),
            config_file: self.config_file.clone(),
            disable_config_file: self.disable_config_file,
            disable_config_env: self.disable_config_env,
            grpc_compression: self.grpc_compression,
            connect_timeout: self.client_connect_timeout.and_then(Duration::to_std),
            codec: self.codec.settings(),
        }
    }

    pub(crate) fn resolve(&self) -> Result<ResolvedSettings, CliError> {
        self.settings().resolve().map_err(CliError::usage)
    }

    pub(crate) async fn connect(&self) -> Result<Client, CliError> {
        Ok(Client::connect(&self.resolve()?).await?)
    }
}
