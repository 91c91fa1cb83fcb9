//! The editor's side of the language server protocol, as much as the tests need, with the real server on its pipes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

/// A line, a column where it begins and one where it ends; and the message.
type Problem = ((u64, u64, u64), String);

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

pub struct Client {
    server: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    requests: u64,
}

impl Client {
    pub fn start() -> Client {
        install();
        let mut server = Command::new(".tools/bin/node")
            .arg(".tools/editor/node_modules/yaml-language-server/bin/yaml-language-server")
            .arg("--stdio")
            .current_dir(ROOT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = server.stdin.take().unwrap();
        let output = BufReader::new(server.stdout.take().unwrap());
        let mut client = Client {
            server,
            input,
            output,
            requests: 0,
        };
        let root = uri("");
        client.request(
            "initialize",
            json!({
                "processId": std::process::id(),
                "rootUri": root,
                "workspaceFolders": [{ "uri": root, "name": "segno" }],
                "capabilities": { "workspace": { "configuration": true, "workspaceFolders": true } },
            }),
        );
        client.notify("initialized", json!({}));
        let settings = json!({ "settings": { "yaml": settings() } });
        client.notify("workspace/didChangeConfiguration", settings);
        client
    }

    /// Opens a document, and what the server finds wrong with it.
    pub fn open(&mut self, path: &str, text: &str) -> Vec<Problem> {
        let uri = uri(path);
        let document = json!({ "uri": uri, "languageId": "yaml", "version": 1, "text": text });
        self.notify("textDocument/didOpen", json!({ "textDocument": document }));
        let is_report = |message: &Value| {
            message["method"] == "textDocument/publishDiagnostics"
                && message["params"]["uri"] == json!(uri)
        };
        let report = self.receive_until(is_report);
        let problems = report["params"]["diagnostics"].as_array().unwrap();
        problems.iter().map(problem).collect()
    }

    /// What the server offers at a place, each with its explanation.
    pub fn complete(&mut self, path: &str, line: u64, character: u64) -> BTreeMap<String, String> {
        let place = json!({
            "textDocument": { "uri": uri(path) },
            "position": { "line": line, "character": character },
        });
        let offered = self.request("textDocument/completion", place);
        let items = offered["items"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        items
            .map(|item| (text(&item["label"]), text(&item["documentation"])))
            .collect()
    }

    fn request(&mut self, method: &str, params: Value) -> Value {
        self.requests += 1;
        let id = json!(self.requests);
        self.send(json!({ "id": id, "method": method, "params": params }));
        let answer = self.receive_until(|m| m["id"] == id && m.get("method").is_none());
        assert!(answer.get("error").is_none(), "{answer:#}");
        answer["result"].clone()
    }

    fn notify(&mut self, method: &str, params: Value) {
        self.send(json!({ "method": method, "params": params }));
    }

    fn send(&mut self, mut message: Value) {
        message["jsonrpc"] = json!("2.0");
        let body = message.to_string();
        let head = format!("Content-Length: {}\r\n\r\n", body.len());
        self.input.write_all((head + &body).as_bytes()).unwrap();
        self.input.flush().unwrap();
    }

    /// Answers the server's own questions until the message has come.
    fn receive_until(&mut self, is_awaited: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.receive();
            if is_awaited(&message) {
                return message;
            }
            if let (Some(method), Some(id)) = (message["method"].as_str(), message.get("id")) {
                let result = match method {
                    "workspace/configuration" => configuration(&message["params"]),
                    _ => Value::Null,
                };
                self.send(json!({ "id": id, "result": result }));
            }
        }
    }

    fn receive(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).unwrap();
            assert!(read > 0, "the language server has ended");
            match line.trim_end().split_once(": ") {
                Some(("Content-Length", count)) => length = count.parse().unwrap(),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.output.read_exact(&mut body).unwrap();
        serde_json::from_slice(&body).unwrap()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// What a user has among the editor's settings.
fn settings() -> Value {
    json!({
        "schemas": {
            "schemas/segno.schema.json": ["workflows/*.yaml", "!workflows/*.test.yaml"],
            "schemas/segno.test.schema.json": "workflows/*.test.yaml",
        },
        "schemaStore": { "enable": false },
        "validate": true,
        "completion": true,
    })
}

fn configuration(params: &Value) -> Value {
    let items = params["items"].as_array().unwrap().iter();
    items
        .map(|item| match item["section"] == "yaml" {
            true => settings(),
            false => Value::Null,
        })
        .collect()
}

fn problem(problem: &Value) -> Problem {
    let range = &problem["range"];
    let number = |value: &Value| value.as_u64().unwrap();
    let place = (
        number(&range["start"]["line"]),
        number(&range["start"]["character"]),
        number(&range["end"]["character"]),
    );
    (place, problem["message"].as_str().unwrap().to_owned())
}

fn uri(path: &str) -> String {
    format!("file://{ROOT}/{path}")
}

fn install() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let status = Command::new("sh")
            .args(["-c", ". ./tools.sh && tools_editor"])
            .current_dir(ROOT)
            .status();
        let is_installed = status.is_ok_and(|status| status.success());
        assert!(
            is_installed,
            "the language server cannot be installed: run ./test"
        );
    });
}
