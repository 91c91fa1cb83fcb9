//! Flags for what definitions may do on this machine.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use crate::activity::policy::Profile;
use crate::activity::{self, Activity};
use crate::cli::error::CliError;
use crate::cli::hidden;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "What definitions may do")]
pub(crate) struct PolicyArgs {
    /// A host that `http` and `grpc` may connect to: a name with * as wildcard, an address or a network; may be given several times
    /// [default: all but clouds' metadata services]
    #[arg(long, value_name = "PATTERN")]
    http_allow: Vec<String>,
    /// A host that `http` and `grpc` may not connect to, even if another flag allows it; may be given several times
    #[arg(long, value_name = "PATTERN")]
    http_refuse: Vec<String>,
    /// The policy for hosts that neither list names
    #[arg(long, value_enum, default_value = "open", value_name = "PROFILE")]
    http_policy: HttpPolicy,
    /// A program that `exec` may run, by a name of the worker's choice; may be given several times [default: none]
    #[arg(long, value_name = "NAME=PATH")]
    exec_allow: Vec<String>,
    /// An environment variable that definitions may set for these programs; may be given several times [default: none]
    #[arg(long, value_name = "NAME")]
    exec_env: Vec<String>,
    /// A folder whose file NAME contains the secret NAME [default: the environment's SEGNO_SECRET_NAME]
    #[arg(long, value_name = "FOLDER")]
    secrets_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum HttpPolicy {
    /// Allow every host that is not denied
    Open,
    /// Allow only hosts that --http-allow names, by https, on the public internet, without redirects to another origin
    Strict,
}

/// The hosts that `http` and `grpc` may connect to in a test, unless --http-allow names others.
const THIS_MACHINE: [&str; 3] = ["localhost", "127.0.0.0/8", "::1"];

impl PolicyArgs {
    /// Without other flags, connects only to this machine.
    pub(crate) fn on_this_machine(&self) -> PolicyArgs {
        let mut policy = self.clone();
        if policy.http_allow.is_empty() {
            policy.http_allow = THIS_MACHINE.map(str::to_owned).to_vec();
        }
        policy
    }

    pub(crate) fn activities(&self) -> Result<Vec<Arc<dyn Activity>>, CliError> {
        let PolicyArgs {
            http_allow,
            http_refuse,
            http_policy,
            exec_allow,
            exec_env,
            secrets_dir,
        } = self;
        let permissions = activity::Permissions {
            hosts: http_allow,
            hosts_refused: http_refuse,
            profile: match http_policy {
                HttpPolicy::Open => Profile::Open,
                HttpPolicy::Strict => Profile::Strict,
            },
            programs: exec_allow,
            variables: exec_env,
            secrets_folder: secrets_dir.clone(),
            keeper: std::env::current_exe().ok(),
        };
        if !exec_allow.is_empty() {
            hidden::keep_memory_private();
        }
        activity::built_in(permissions).map_err(CliError::usage)
    }
}
