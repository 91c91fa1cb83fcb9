//! The request of the `exec` activity: its input, parsed and validated.

use std::time::Duration;

use crate::activity::input::{
    entries, known_keys, read_pairs, read_timeout, scalar_text, table_keys,
};
use crate::activity::secret::SecretReference;
use crate::definition::tables;
use crate::value::{Map, Value, to_json_string};

#[derive(Debug)]
pub(crate) struct Request {
    /// The name under which the worker allows a program.
    pub(crate) command: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) input: Vec<u8>,
    pub(crate) environment: Vec<(String, String)>,
    /// Variables that are secrets.
    pub(crate) secrets: Vec<(String, SecretReference)>,
    pub(crate) output: OutputKind,
    /// The exit codes of success.
    pub(crate) success: Vec<i32>,
    pub(crate) timeout: Option<Duration>,
    /// Heartbeats are sent as long as it runs; otherwise only when it reports progress.
    pub(crate) is_alive_while_it_runs: bool,
}

/// How the standard output is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputKind {
    Text,
    Json,
    Bytes,
}

impl Request {
    /// An error names the key that is wrong and what it should be.
    pub(crate) fn read(input: &Value) -> Result<Request, String> {
        let map = input
            .as_map()
            .ok_or("a command is a mapping with at least `command`")?;
        known_keys(map, table_keys(&tables::EXEC), "the command")?;
        let command = map.get("command").and_then(Value::as_str);
        Ok(Request {
            command: command.ok_or("`command` is the name of a program")?.into(),
            arguments: read_arguments(map.get("args"))?,
            input: read_input(map.get("stdin"))?,
            environment: read_environment(map.get("env"))?,
            secrets: read_secrets(map)?,
            output: OutputKind::read(map.get("stdout"))?,
            success: read_success(map.get("success"))?,
            timeout: read_timeout(map.get("timeout"))?,
            is_alive_while_it_runs: read_heartbeats(map.get("heartbeats"))?,
        })
    }
}

impl OutputKind {
    fn read(value: Option<&Value>) -> Result<OutputKind, String> {
        Ok(match value.map(|v| (v, v.as_str())) {
            None | Some((Value::Null, _)) | Some((_, Some("text"))) => OutputKind::Text,
            Some((_, Some("json"))) => OutputKind::Json,
            Some((_, Some("bytes"))) => OutputKind::Bytes,
            Some(_) => return Err("`stdout` is text, json or bytes".into()),
        })
    }
}

fn read_arguments(value: Option<&Value>) -> Result<Vec<String>, String> {
    let wrong = "`args` is a list of texts, numbers and booleans";
    let items = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::List(items)) => items,
        Some(_) => return Err(wrong.into()),
    };
    let texts = items.iter().map(|item| {
        let text = scalar_text(item).ok_or(wrong)?;
        without_nul(text, "args")
    });
    texts.collect()
}

fn read_input(value: Option<&Value>) -> Result<Vec<u8>, String> {
    let value = value.map_or(Ok(&Value::Null), Value::force);
    Ok(match value.map_err(|e| e.to_string())? {
        Value::Null => Vec::new(),
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Bytes(bytes) => bytes.to_vec(),
        other => {
            let json = to_json_string(other).map_err(|e| format!("`stdin`: {e}"))?;
            json.into_bytes()
        }
    })
}

fn read_environment(value: Option<&Value>) -> Result<Vec<(String, String)>, String> {
    let pairs = read_pairs(value, "env")?.into_iter();
    let sound = pairs.map(|(name, text)| Ok((variable(name)?, without_nul(text, "env")?)));
    sound.collect()
}

fn read_secrets(map: &Map) -> Result<Vec<(String, SecretReference)>, String> {
    let entries = entries(map.get("secrets"), "secrets")?.into_iter();
    let named = entries.map(|(name, secret)| {
        let secret = SecretReference::read(secret, "secrets")?;
        Ok((variable(name)?, secret))
    });
    named.collect()
}

fn read_heartbeats(value: Option<&Value>) -> Result<bool, String> {
    match value.map(|v| (v, v.as_str())) {
        None | Some((Value::Null, _)) | Some((_, Some("automatic"))) => Ok(true),
        Some((_, Some("program"))) => Ok(false),
        Some(_) => Err("`heartbeats` is automatic or program".into()),
    }
}

fn read_success(value: Option<&Value>) -> Result<Vec<i32>, String> {
    let one = |value: &Value| match value {
        Value::Int(code) if (0..=255).contains(code) => Ok(*code as i32),
        _ => Err("`success` is an exit code from 0 to 255, or a list of these".to_owned()),
    };
    match value {
        None | Some(Value::Null) => Ok(vec![0]),
        Some(Value::List(codes)) => codes.iter().map(one).collect(),
        Some(code) => Ok(vec![one(code)?]),
    }
}

fn variable(name: String) -> Result<String, String> {
    match name.is_empty() || name.contains(['=', '\0']) {
        true => Err(format!("`{name}` is not the name of a variable")),
        false => Ok(name),
    }
}

fn without_nul(text: String, what: &str) -> Result<String, String> {
    match text.contains('\0') {
        true => Err(format!(
            "`{what}` has a text with the character U+0000, which no program takes"
        )),
        false => Ok(text),
    }
}
