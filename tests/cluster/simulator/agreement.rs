//! Does to a simulated run what a case's script says, and compares its history with the server's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use segno::engine::failure::Failure;
use segno::simulator::{Simulator, Start, UpdateStage};
use segno::value::{Duration, Payload, from_json};
use segno::words::RetryPolicy;
use serde_json::Value as Json;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;

use super::activities::{Activities, Sent};
use super::case::{Action, Case, HTTP, SERVER, WORKFLOW_ID};
use super::compare::{difference, sorted};
use super::recorded::Recorded;
use super::simulated::{definitions, simulator, some_time};
use super::text::{self, Followed};

const ID: &str = "simulated-case";
const HTTP_ADDRESS: &str = "http://simulated.example";
const SERVER_ADDRESS: &str = "http://server.example";
/// Nothing needs more.
const STEPS_MAX: usize = 20_000;

/// What differs, or what is wrong.
pub fn compare(case: &Case) -> Option<String> {
    let (mut driver, _folder) = Driver::of(case);
    let answers = match driver.run() {
        Ok(answers) => answers,
        Err(error) => {
            let came = driver.text(Vec::new());
            return Some(format!("{}: {error}\n{came}", case.name));
        }
    };
    let diverged = driver.replayed();
    if !diverged.is_empty() {
        return Some(format!("{}: {}", case.name, diverged.join("\n")));
    }
    let came = driver.text(answers);
    let expected = std::fs::read_to_string(case.expected(false)).unwrap();
    let (expected, came) = match case.script.unordered {
        Some(_) => (sorted(&expected), sorted(&came)),
        None => (expected, came),
    };
    (expected != came).then(|| format!("{}\n{}", case.name, difference(&expected, &came)))
}

/// Each run's history.
pub fn histories(case: &Case) -> Vec<(String, Vec<HistoryEvent>)> {
    let (mut driver, _folder) = Driver::of(case);
    // What differs from the server is told by the other test.
    let _ = driver.run();
    let runs = driver.followed().into_iter();
    runs.map(|run| (run.workflow_id, run.events)).collect()
}

struct Driver<'a> {
    case: &'a Case,
    simulator: Simulator,
    sent: Arc<Mutex<Vec<Sent>>>,
    folder: String,
}

impl<'a> Driver<'a> {
    fn of(case: &'a Case) -> (Self, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        case.copy_definitions(folder.path());
        let registry = Arc::new(definitions(folder.path()));
        let sent = Arc::new(Mutex::new(Vec::new()));
        let address = match case.script.start.input.as_ref().and_then(Json::as_str) {
            Some(SERVER) => SERVER_ADDRESS,
            _ => HTTP_ADDRESS,
        };
        let recorded = Recorded::of(case, address);
        let outside = Activities::new(HTTP_ADDRESS, recorded, sent.clone());
        let driver = Driver {
            case,
            simulator: simulator(some_time(), "QUEUE", registry, outside),
            sent,
            folder: format!("{}/", folder.path().join(&case.name).display()),
        };
        (driver, folder)
    }

    fn run(&mut self) -> Result<Vec<String>, String> {
        let start = self.start()?;
        self.simulator.start(start).map_err(|e| e.to_string())?;
        let mut answers = Vec::new();
        for action in &self.case.script.actions {
            for line in action.after.lines() {
                self.until(line)?;
            }
            answers.extend(self.act(action)?);
        }
        let mut steps = 0;
        while self.is_open() && self.go() {
            steps += 1;
            if steps > STEPS_MAX {
                return Err("it does not end".to_owned());
            }
        }
        match self.is_open() {
            true => Err("it waits for ever".to_owned()),
            false => {
                // What its end means for others is still to be done.
                let now = self.simulator.now();
                self.simulator.run_until(now);
                Ok(answers)
            }
        }
    }

    /// Some workflow is still open.
    fn is_open(&self) -> bool {
        use segno::simulator::Status::Running;
        let simulator = &self.simulator;
        simulator.runs().any(|run| simulator.status(run) == Running)
    }

    fn until(&mut self, line: &str) -> Result<(), String> {
        for _ in 0..STEPS_MAX {
            if text::has_line(&self.followed(), line) {
                return Ok(());
            }
            if !self.go() {
                break;
            }
        }
        Err(format!("there is never a line {line:?}"))
    }

    /// A step, and what activities do to workflows besides.
    fn go(&mut self) -> bool {
        self.send() || self.simulator.step() || self.send()
    }

    fn send(&mut self) -> bool {
        let sent = std::mem::take(&mut *self.sent.lock().unwrap());
        let has_sent = !sent.is_empty();
        for sent in sent {
            let input = sent.input.into_iter().collect();
            let _ = self.simulator.signal(&sent.workflow_id, &sent.name, input);
        }
        has_sent
    }

    fn start(&self) -> Result<Start, String> {
        let start = &self.case.script.start;
        let fields = |fields: &serde_json::Map<String, Json>| {
            let field = |(name, value): (&String, &Json)| Ok((name.clone(), self.payload(value)?));
            fields
                .iter()
                .map(field)
                .collect::<Result<BTreeMap<_, _>, String>>()
        };
        let mut input = self.payloads(start.input.as_ref())?;
        for argument in &start.args {
            input.push(self.payload(argument)?);
        }
        let signal = match &start.signal {
            Some(name) => Some((name.clone(), self.payloads(start.signal_input.as_ref())?)),
            None => None,
        };
        let length = |text: &Option<String>| text.as_deref().map(Duration::parse).transpose();
        let execution_timeout = start.execution_timeout.clone();
        Ok(Start {
            workflow_type: start
                .workflow
                .clone()
                .unwrap_or_else(|| self.case.name.clone()),
            workflow_id: ID.to_owned(),
            input,
            memo: fields(&start.memo)?,
            search_attributes: fields(&start.search_attributes)?,
            execution_timeout: length(&execution_timeout.or(Some("60s".to_owned())))?,
            run_timeout: length(&start.run_timeout)?,
            task_timeout: length(&Some(start.task_timeout.clone().unwrap_or("1s".to_owned())))?,
            retry_policy: start.maximum_attempts.map(|attempts| RetryPolicy {
                initial_interval: Duration::parse("100ms").ok(),
                maximum_attempts: Some(attempts),
                ..RetryPolicy::default()
            }),
            signal,
            ..Start::default()
        })
    }

    fn act(&mut self, action: &Action) -> Result<Option<String>, String> {
        // What takes no time is done before anybody can ask for something.
        self.simulator.run_until(self.simulator.now());
        let own = WORKFLOW_ID.to_owned();
        let workflow = self.named(action.workflow.as_ref().unwrap_or(&own));
        let input = self.payloads(action.input.as_ref())?;
        let shown = match action.input.is_some() {
            true => format!(" {}", text::payloads(input.iter().cloned())),
            false => String::new(),
        };
        if let Some(name) = &action.query {
            return self
                .query(&workflow, name, input, action)
                .map(|answer| Some(format!("query {name}{shown}: {answer}")));
        }
        if let Some(name) = &action.update {
            let answer = self.update(&workflow, name, input, action)?;
            return Ok(Some(format!("update {name}{shown}: {answer}")));
        }
        let (what, done) = if let Some(name) = &action.signal {
            (
                format!("signal {name}"),
                self.simulator.signal(&workflow, name, input),
            )
        } else if let Some(reason) = &action.cancel {
            (
                "cancel".to_owned(),
                self.simulator.cancel(&workflow, reason),
            )
        } else if let Some(reason) = &action.terminate {
            (
                "terminate".to_owned(),
                self.simulator.terminate(&workflow, reason),
            )
        } else {
            return Ok(None);
        };
        Ok(done.err().map(|error| format!("{what}: {error}")))
    }

    fn query(
        &mut self,
        workflow: &str,
        name: &str,
        input: Vec<Payload>,
        action: &Action,
    ) -> Result<String, String> {
        let until = match &action.until {
            Some(answer) => Some(text::payloads([self.payload(answer)?])),
            None => None,
        };
        loop {
            let asked = self.simulator.query(workflow, name, input.clone());
            let answer = match asked.map_err(|e| e.to_string())? {
                Ok(payload) => text::payloads([payload]),
                // The server passes on the message only.
                Err(failure) => {
                    let failure = Failure::application("QueryFailed", failure.message);
                    format!("failed {}", text::failure(&failure))
                }
            };
            if until.as_ref().is_none_or(|until| *until == answer) {
                return Ok(answer);
            }
            if !self.go() {
                return Err(format!("the query {name} is never answered by {until:?}"));
            }
        }
    }

    fn update(
        &mut self,
        workflow: &str,
        name: &str,
        input: Vec<Payload>,
        action: &Action,
    ) -> Result<String, String> {
        let sent = self
            .simulator
            .update(workflow, name, input, action.id.clone());
        let number = match sent {
            Ok(number) => number,
            Err(refused) => return Ok(format!("refused: {refused}")),
        };
        loop {
            match self.simulator.update_stage(number) {
                UpdateStage::Completed(Ok(payload)) => {
                    return Ok(text::payloads([payload.clone()]));
                }
                UpdateStage::Completed(Err(failure)) => {
                    return Ok(format!("failed {}", text::failure(failure)));
                }
                UpdateStage::Accepted if action.accepted => return Ok("accepted".to_owned()),
                _ => {}
            }
            if !self.go() {
                return Err(format!("the update {name} never ends"));
            }
        }
    }

    fn followed(&self) -> Vec<Followed> {
        let simulator = &self.simulator;
        let runs: Vec<_> = simulator.runs().collect();
        let of = |run: &segno::simulator::RunNumber| Followed {
            workflow_id: simulator.workflow_id(*run).to_owned(),
            run_id: simulator.run_id(*run).to_owned(),
            parent: simulator.parent(*run).map(|parent| parent.0),
            events: simulator.history(*run).to_vec(),
        };
        runs.iter().map(of).collect()
    }

    /// Every history again, told to a new worker.
    fn replayed(&self) -> Vec<String> {
        let diverged = self.simulator.replays();
        diverged
            .into_iter()
            .map(|(_, divergence)| divergence.to_string())
            .collect()
    }

    fn text(&self, answers: Vec<String>) -> String {
        let ids = [
            (ID, "ID"),
            (HTTP_ADDRESS, HTTP),
            (SERVER_ADDRESS, SERVER),
            (self.folder.as_str(), ""),
        ];
        let mut sections = Vec::new();
        let known = |answer: String| {
            ids.iter()
                .fold(answer, |text, (from, to)| text.replace(from, to))
        };
        if !answers.is_empty() {
            sections.push((
                "answers".to_owned(),
                answers.into_iter().map(known).collect(),
            ));
        }
        sections.extend(text::stories(&self.followed(), &ids));
        text::written(sections)
    }

    fn named(&self, text: &str) -> String {
        text.replace(WORKFLOW_ID, ID)
            .replace(HTTP, HTTP_ADDRESS)
            .replace(SERVER, SERVER_ADDRESS)
    }

    fn payloads(&self, input: Option<&Json>) -> Result<Vec<Payload>, String> {
        input.into_iter().map(|input| self.payload(input)).collect()
    }

    fn payload(&self, json: &Json) -> Result<Payload, String> {
        let json: Json =
            serde_json::from_str(&self.named(&json.to_string())).map_err(|e| e.to_string())?;
        let value = from_json(&json).map_err(|e| e.to_string())?;
        Payload::from_value(&value).map_err(|e| e.to_string())
    }
}
