//! The `callback` activity: hands its task token to an HTTP endpoint or a program, which completes the activity.
//! Reference: docs/steps/callback.md.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::attempt::lasting;
use super::exec::request::{OutputKind, Request as Command};
use super::exec::{Exec, Handed};
use super::http::request::{Request, ResponseKind};
use super::http::{Attached, Http};
use super::input::{known_keys, request, table_keys};
use super::{Activity, ActivityContext};
use crate::definition::tables;
use crate::engine::failure::Failure;
use crate::value::{Map, Value};

/// The types of its failures, beside those of `http` and `exec`.
pub(crate) mod failure_type {
    /// The input does not name a receiver of the token. Not retried.
    pub(crate) const REQUEST: &str = "CallbackRequest";
}

/// Handing over has a timeout of its own: the attempt's is for the completion.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(30);

pub struct Callback {
    http: Arc<Http>,
    exec: Arc<Exec>,
}

impl Callback {
    pub fn new(http: Arc<Http>, exec: Arc<Exec>) -> Callback {
        Callback { http, exec }
    }
}

#[async_trait]
impl Activity for Callback {
    fn name(&self) -> &str {
        "callback"
    }

    fn is_completed_outside(&self) -> bool {
        true
    }

    async fn run(&self, context: ActivityContext, arguments: Vec<Value>) -> Result<Value, Failure> {
        if context.is_local {
            return Err(lasting(
                failure_type::REQUEST,
                "nobody outside can complete a local activity: leave `local` out",
            ));
        }
        let token = Token::of(&context);
        let read = |input: &Value| Receiver::read(input, &context, &token);
        match request(&arguments, read, failure_type::REQUEST)? {
            Receiver::Http(request, attached) => {
                self.http.answer(&context, &request, Some(attached)).await
            }
            Receiver::Exec(command, handed) => self.exec.end(&context, &command, handed).await,
        }
    }
}

/// The task token and the other attributes of the attempt, by the names under which receivers get them.
struct Token {
    /// As the server made it: whoever reads it in any form has it.
    bytes: Vec<u8>,
    text: String,
    about: [(&'static str, String); 5],
}

impl Token {
    fn of(context: &ActivityContext) -> Token {
        Token {
            bytes: context.task_token.clone(),
            text: BASE64.encode(&context.task_token),
            about: [
                ("namespace", context.namespace.clone()),
                ("workflow_id", context.workflow_id.clone()),
                ("run_id", context.run_id.clone()),
                ("activity_id", context.activity_id.clone()),
                ("attempt", context.attempt.to_string()),
            ],
        }
    }

    /// The token, and the text that is handed over: either may be encoded again.
    fn secrets(&self) -> Vec<Vec<u8>> {
        vec![self.bytes.clone(), self.text.clone().into_bytes()]
    }

    fn named(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let about = self.about.iter().map(|(name, text)| (*name, text));
        std::iter::once(("task_token", &self.text)).chain(about)
    }
}

/// The receiver of the token, and how it is sent.
enum Receiver {
    Http(Box<Request>, Attached),
    Exec(Box<Command>, Handed),
}

impl Receiver {
    fn read(input: &Value, context: &ActivityContext, token: &Token) -> Result<Receiver, String> {
        let map = input
            .as_map()
            .ok_or("a callback is a mapping with `http` or `exec`")?;
        known_keys(map, table_keys(&tables::CALLBACK), "the callback")?;
        match (map.get("http"), map.get("exec")) {
            (Some(request), None) => Receiver::http(request, context, token),
            (None, Some(command)) => Receiver::exec(command, token),
            _ => Err("a callback has `http` or `exec`, one of them".into()),
        }
    }

    fn http(request: &Value, context: &ActivityContext, token: &Token) -> Result<Receiver, String> {
        let map = request.as_map().ok_or("`http` is a request, a mapping")?;
        let method = map.get("method").and_then(Value::as_str).unwrap_or("POST");
        let takes_body = !["GET", "HEAD"].contains(&&*method.to_ascii_uppercase());
        // Without a body of the author's own, all attributes are sent as JSON.
        let is_body_ours = takes_body && map.get("body").or(map.get("form")).is_none();
        let mut map = Map::clone(map);
        if is_body_ours {
            map.insert("body", body(context, token));
        }
        let mut request = Request::read(&Value::map(map))?;
        if request.poll.is_some() {
            return Err("a token is handed over once: leave `poll` out".into());
        }
        request.timeout.get_or_insert(HAND_OVER_TIMEOUT);
        request.response = ResponseKind::None;
        let headers = token.named().map(|(name, text)| {
            let name = format!("segno-{}", name.replace('_', "-"));
            (name, header_text(text))
        });
        let attached = Attached {
            headers: headers.collect(),
            tokens: token.secrets(),
        };
        Ok(Receiver::Http(Box::new(request), attached))
    }

    fn exec(command: &Value, token: &Token) -> Result<Receiver, String> {
        let mut command = Command::read(command)?;
        command.timeout.get_or_insert(HAND_OVER_TIMEOUT);
        command.output = OutputKind::Bytes;
        command.is_alive_while_it_runs = false;
        let variables = token.named().map(|(name, text)| {
            let name = format!("SEGNO_{}", name.to_ascii_uppercase());
            (name, text.clone())
        });
        let handed = Handed {
            variables: variables.collect(),
            secrets: token.secrets(),
        };
        Ok(Receiver::Exec(Box::new(command), handed))
    }
}

fn body(context: &ActivityContext, token: &Token) -> Value {
    let mut body = Map::new();
    for (name, text) in token.named() {
        body.insert(name, text.as_str());
    }
    body.insert("attempt", i64::from(context.attempt));
    body.insert("workflow_type", context.workflow_type.as_str());
    body.insert(
        "last_heartbeat",
        context.last_heartbeat().unwrap_or(Value::Null),
    );
    Value::map(body)
}

/// A header can contain only plain ASCII: everything else is percent-encoded, and so is the percent sign itself.
fn header_text(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
