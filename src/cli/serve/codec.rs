//! `segno codec`: decodes payloads for Temporal's UI and command line, and encodes them.

mod callers;
mod server;

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::stop::cancel_on_signal;
use crate::cli::args::codec::CodecArgs;
use crate::cli::error::{CliError, End};
use crate::cli::print::{Output, Tone, styled};
use crate::payload::{Codec, CodecError};
use crate::telemetry::{LogFormat, LogLevel, init_logs};
use server::Door;

/// The namespace in an endpoint if no client names one.
const NAMESPACE_DEFAULT: &str = "default";

#[derive(Debug, Subcommand)]
pub(crate) enum CodecCommand {
    /// Serve the codecs over HTTP, for Temporal's UI and the temporal command line
    Serve(Box<CodecServeArgs>),
    /// Decode payloads: protobuf's JSON, {"payloads": […]}, from standard input to standard output
    Decode(CodecArgs),
    /// Encode payloads: protobuf's JSON, {"payloads": […]}, from standard input to standard output
    Encode(CodecArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CodecServeArgs {
    /// The port to listen on; 0 selects a free one
    #[arg(long, env = "SEGNO_CODEC_PORT", default_value_t = 8081)]
    port: u16,
    /// The address to listen on; one that other machines reach needs --auth-file, and TLS in front
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    ip: IpAddr,
    /// An origin whose pages may send requests, for instance http://localhost:8233; may be given several times [default: none]
    #[arg(long, value_name = "ORIGIN")]
    origin: Vec<String>,
    /// A namespace to serve; may be given several times [default: all]
    #[arg(long, short = 'n', value_name = "NAME")]
    namespace: Vec<String>,
    /// A file with the header Authorization that clients must send, for instance Bearer TOKEN
    #[arg(long, value_name = "FILE")]
    auth_file: Option<PathBuf>,
    #[command(flatten)]
    codec: CodecArgs,
}

pub(crate) async fn run(command: CodecCommand, output: Output) -> Result<End, CliError> {
    match command {
        CodecCommand::Serve(args) => serve(*args, output).await,
        CodecCommand::Decode(args) => {
            let codec = codec(&args)?;
            print(codec.decode_json(&read()?).await, output)
        }
        CodecCommand::Encode(args) => {
            let codec = codec(&args)?;
            print(codec.encode_json(&read()?).await, output)
        }
    }
}

/// The codecs of the flags, of which there must be one.
fn codec(args: &CodecArgs) -> Result<Codec, CliError> {
    let codec = args.settings().resolve(None, NAMESPACE_DEFAULT)?;
    match codec.is_none() {
        false => Ok(codec),
        true => Err(CliError::usage("no codec was given").help(
            "name codecs with --codec, or pass a key for encryption with --codec-key ID=FILE",
        )),
    }
}

fn read() -> Result<Vec<u8>, CliError> {
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text)?;
    Ok(text)
}

fn print(payloads: Result<Json, CodecError>, output: Output) -> Result<End, CliError> {
    let payloads = payloads.map_err(|error| match error {
        CodecError::Json(error) => CliError::usage(error),
        error => CliError::new(error),
    })?;
    output.json(&payloads)?;
    Ok(End::Done)
}

async fn serve(args: CodecServeArgs, output: Output) -> Result<End, CliError> {
    init_logs(LogLevel::Info, LogFormat::Text).map_err(CliError::usage)?;
    let codec = codec(&args.codec)?;
    let authorization = match &args.auth_file {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path);
            let text =
                text.map_err(|e| CliError::usage(format!("cannot read {}: {e}", path.display())))?;
            Some(text.trim().to_owned())
        }
    };
    let address = SocketAddr::new(args.ip, args.port);
    let listener = TcpListener::bind(address).await.map_err(|error| {
        CliError::new(format!("cannot listen at {address}: {error}"))
            .help("choose another port with --port; 0 selects a free one")
    })?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    if !args.ip.is_loopback() && authorization.is_none() {
        tracing::warn!(
            "any client that reaches {endpoint} can decode payloads; authenticate clients with --auth-file"
        );
    }
    match output.is_json() {
        true => output.json(&json!({ "endpoint": endpoint, "codec": codec.to_string() }))?,
        false => output.line(format!("{} {endpoint}", styled(Tone::Bold, "codec server")))?,
    }
    let shutdown = CancellationToken::new();
    tokio::spawn(cancel_on_signal(shutdown.clone()));
    let door = Door {
        origins: args.origin,
        namespaces: args.namespace,
        authorization,
    };
    server::serve(listener, codec, door, shutdown).await;
    Ok(End::Done)
}
