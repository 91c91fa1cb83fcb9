//! The engine by itself: each folder of `tests/engine/` is a definition, a script of what happens to a run of it at which
//! virtual time, and the expected timeline. Every activation is also made on an instance restored from bytes, and the
//! whole run once more as a replay: all must give the same commands.

mod coverage;
mod invariants;
mod panics;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use segno::engine::command::{Command, CommandKind};
use segno::engine::failure::Failure;
use segno::engine::job::{Activation, EncodedBundle, Initialize, Job, Resolution, Update};
use segno::engine::observe::Observer;
use segno::engine::{Instance, Loaded, Programs, RESOLVE_DEFINITION, STATE_HEADER};
use segno::load;
use segno::value::{Duration, Payload, Timestamp, Value, from_json, to_json_string};
use serde_json::Value as Json;

/// Activations of one run, after which a script has gone wrong.
const ACTIVATIONS_MAX: usize = 10_000;

struct OneProgram(Arc<Loaded>);

impl Programs for OneProgram {
    fn load(&self, _bundle: &[u8]) -> Result<Arc<Loaded>, String> {
        Ok(self.0.clone())
    }

    fn workflow_types(&self) -> Vec<String> {
        vec![self.0.program.workflow.to_string()]
    }
}

/// What an activity or a child comes to, one after the other; the last again and again.
struct Script {
    outcomes: BTreeMap<String, Vec<Json>>,
    input: Json,
    events: Vec<Json>,
    /// Activations of a run, after which the server would suggest to continue as new.
    suggest_after: usize,
    /// The run began on an engine without any flag of `engine::flag`.
    began_without_flags: bool,
}

struct Host {
    script: Script,
    programs: OneProgram,
    instance: Instance,
    now: i128,
    queue: BTreeMap<(i128, u64), Job>,
    order: u64,
    /// What is in flight by number, to know what a cancellation is of.
    pending: BTreeMap<u32, (String, i128, u64)>,
    /// The numbers of children, by workflow id.
    children: BTreeMap<String, u32>,
    activations: Vec<(Activation, Vec<Command>)>,
    timeline: String,
    over: bool,
    flags: Vec<u32>,
}

impl Host {
    fn new(folder: &Path) -> Self {
        let read =
            |name: &str| std::fs::read_to_string(folder.join(name)).expect("the fixture is there");
        Host::of(loaded(&read("definition.yaml")), &read("script.yaml"))
    }

    fn of(loaded: Arc<Loaded>, script: &str) -> Self {
        let script: Json = serde_yaml::from_str(script).expect("a script is YAML");
        let outcomes = script["outcomes"].as_object().cloned().unwrap_or_default();
        let list = |json: &Json| json.as_array().cloned().unwrap_or_default();
        let script = Script {
            outcomes: outcomes
                .iter()
                .map(|(name, o)| (name.clone(), list(o)))
                .collect(),
            suggest_after: script["suggest_continue_as_new_after"]
                .as_u64()
                .map_or(usize::MAX, |n| n as usize),
            began_without_flags: script["began_without_flags"].as_bool().unwrap_or(false),
            input: script["input"].clone(),
            events: list(&script["events"]),
        };
        Host {
            script,
            programs: OneProgram(loaded),
            instance: Instance::new(),
            now: 0,
            queue: BTreeMap::new(),
            order: 0,
            pending: BTreeMap::new(),
            children: BTreeMap::new(),
            activations: Vec::new(),
            timeline: String::new(),
            over: false,
            flags: Vec::new(),
        }
    }

    fn observed_by(mut self, observer: Arc<dyn Observer>) -> Self {
        self.instance.observed_by(observer);
        self
    }

    fn run(mut self) -> String {
        let newest = self.programs.0.bundle.clone();
        let start = Initialize {
            newest: Some(Arc::new(newest)),
            ..self.initialize()
        };
        self.enqueue(0, Job::Initialize(Box::new(start)));
        for event in self.script.events.clone() {
            self.enqueue_event(&event);
        }
        while let Some(((at, _), _)) = self.queue.first_key_value().map(|(k, v)| (*k, v)) {
            assert!(
                self.activations.len() < ACTIVATIONS_MAX,
                "the run does not end:\n{}",
                self.timeline
            );
            self.now = at;
            let mut jobs = Vec::new();
            while let Some(entry) = self.queue.first_entry().filter(|e| e.key().0 == at) {
                jobs.push(entry.remove());
            }
            self.activate(jobs);
            if self.over {
                break;
            }
        }
        self.replay();
        self.timeline
    }

    fn initialize(&self) -> Initialize {
        Initialize {
            workflow_type: self.programs.0.program.workflow.to_string(),
            workflow_id: "workflow-id".into(),
            run_id: "run-id".into(),
            task_queue: "queue".into(),
            namespace: "default".into(),
            attempt: 1,
            random_seed: 42,
            arguments: match &self.script.input {
                Json::Null => vec![],
                input => vec![value(input)],
            },
            ..Initialize::default()
        }
    }

    fn activate(&mut self, jobs: Vec<Job>) {
        let activation = Activation {
            now: Timestamp::from_nanos(self.now).expect("a time"),
            is_replaying: self.script.began_without_flags && self.activations.is_empty(),
            history_length: 3 + 3 * self.activations.len() as u32,
            history_size_bytes: 1000,
            flags: self.flags.clone(),
            continue_as_new_suggested: self.activations.len() >= self.script.suggest_after,
            jobs,
        };
        let restored = self.instance.snapshot().map(|bytes| {
            let mut restored =
                Instance::restore(&bytes, &self.programs).expect("bytes of this engine");
            restored
                .activate(activation.clone(), &self.programs)
                .expect("an activation")
        });
        let commands = match self.instance.activate(activation.clone(), &self.programs) {
            Ok(commands) => commands,
            Err(failure) => panic!("the workflow task failed: {failure}"),
        };
        if let Some(restored) = restored {
            assert_eq!(
                restored,
                commands,
                "continued from bytes, at {}",
                self.time()
            );
        }
        self.activations.push((activation, commands.clone()));
        for command in commands {
            self.carry_out(command);
        }
    }

    fn replay(&self) {
        let mut instance = Instance::new();
        let all = || self.activations.iter().flat_map(|(_, commands)| commands);
        let patches: Vec<Job> = all()
            .filter_map(|command| match &command.kind {
                CommandKind::MarkVersion(version) => Some(Job::HasPatch(version.clone())),
                _ => None,
            })
            .collect();
        let flags = all().filter_map(|command| match command.kind {
            CommandKind::UseFlag(flag) => Some(flag),
            _ => None,
        });
        let flags: Vec<u32> = flags.collect();
        for (index, (activation, commands)) in self.activations.iter().enumerate() {
            let mut again = activation.clone();
            again.is_replaying = true;
            again.flags.clone_from(&flags);
            if index == 0 {
                again.jobs.extend(patches.clone());
            }
            for job in &mut again.jobs {
                match job {
                    Job::Initialize(info) => info.newest = None,
                    Job::Update(update) => update.run_validator = false,
                    _ => {}
                }
            }
            let rejected = |c: &Command| matches!(c.kind, CommandKind::RejectUpdate { .. });
            if commands.iter().any(rejected) {
                again.jobs.retain(|job| !matches!(job, Job::Update(_)));
            }
            let replayed = instance.activate(again, &self.programs).expect("a replay");
            assert_eq!(kinds(&replayed), kinds(commands), "replayed");
        }
    }

    fn enqueue(&mut self, after: i128, job: Job) -> (i128, u64) {
        self.order += 1;
        let key = (self.now + after, self.order);
        self.queue.insert(key, job);
        key
    }

    fn enqueue_event(&mut self, event: &Json) {
        let at = nanos(&event["at"]);
        let name = |key: &str| event[key].as_str().map(str::to_owned);
        let input = || {
            if event["input"].is_null() {
                vec![]
            } else {
                vec![value(&event["input"])]
            }
        };
        let job = if let Some(name) = name("signal") {
            Job::Signal {
                name,
                input: input(),
            }
        } else if let Some(name) = name("update") {
            let id = format!("update-{}", self.order);
            let protocol_instance_id = id.clone();
            Job::Update(Update {
                id,
                protocol_instance_id,
                name,
                input: input(),
                run_validator: true,
            })
        } else if let Some(name) = name("query") {
            Job::Query {
                id: name.clone(),
                name,
                args: input(),
            }
        } else {
            Job::Cancel {
                reason: "asked to".into(),
            }
        };
        self.enqueue(at, job);
    }

    fn say(&mut self, text: impl AsRef<str>) {
        let _ = writeln!(self.timeline, "{} {}", self.time(), text.as_ref());
    }

    fn time(&self) -> String {
        format!(
            "{:>7}",
            Duration::from_nanos(self.now)
                .expect("a length")
                .to_string()
        )
    }

    fn carry_out(&mut self, command: Command) {
        match command.kind {
            CommandKind::StartTimer { seq, duration } => {
                self.say(format!("timer {duration}"));
                let (at, order) = self.enqueue(duration.as_nanos(), Job::FireTimer { seq });
                self.pending.insert(seq, ("timer".into(), at, order));
            }
            CommandKind::CancelTimer { seq } => {
                self.say("cancel timer");
                self.forget(seq);
            }
            CommandKind::ScheduleLocalActivity(local)
                if local.activity_type == RESOLVE_DEFINITION =>
            {
                let resolution = Resolution::Completed(Value::Bytes(b"bundle".as_slice().into()));
                self.enqueue(
                    0,
                    Job::ResolveActivity {
                        seq: local.seq,
                        resolution,
                    },
                );
            }
            CommandKind::ScheduleLocalActivity(local) => {
                self.call(
                    "local activity",
                    &local.activity_type,
                    local.seq,
                    &local.arguments,
                    false,
                );
            }
            CommandKind::ScheduleActivity(activity) => {
                self.call(
                    "activity",
                    &activity.activity_type,
                    activity.seq,
                    &activity.arguments,
                    false,
                );
            }
            CommandKind::CancelExternal {
                seq, workflow_id, ..
            } => {
                if let Some(child) = self.children.get(&workflow_id) {
                    self.cancel(*child);
                }
                self.enqueue(0, Job::ResolveCancelExternal { seq, failure: None });
            }
            CommandKind::StartChild(child) => {
                self.children.insert(child.workflow_id.clone(), child.seq);
                self.call("child", &child.workflow_type, child.seq, &child.input, true);
            }
            CommandKind::RequestCancelActivity { seq }
            | CommandKind::RequestCancelLocalActivity { seq }
            | CommandKind::CancelChild { seq, .. } => self.cancel(seq),
            CommandKind::SignalExternal {
                seq, name, args, ..
            } => {
                self.say(format!("signal {name} {}", texts(&args)));
                self.enqueue(0, Job::ResolveSignalExternal { seq, failure: None });
            }
            kind => self.carry_out_at_once(kind),
        }
    }

    fn carry_out_at_once(&mut self, kind: CommandKind) {
        match kind {
            CommandKind::Log { level, message, .. } => self.say(format!("log {level:?} {message}")),
            CommandKind::RespondToQuery { id, result } => {
                let text = result.map_or_else(|f| describe(&f), |payload| texts(&[payload]));
                self.say(format!("query {id}: {text}"));
            }
            CommandKind::AcceptUpdate { .. } => self.say("update accepted"),
            CommandKind::RejectUpdate { failure, .. } => {
                self.say(format!("update rejected: {}", describe(&failure)));
            }
            CommandKind::CompleteUpdate { result, .. } => {
                let text = result.map_or_else(|f| describe(&f), |payload| texts(&[payload]));
                self.say(format!("update completed: {text}"));
            }
            CommandKind::CompleteWorkflow(payload) => {
                self.end(format!("completed {}", texts(&[payload])))
            }
            CommandKind::FailWorkflow(failure) => {
                self.end(format!("failed {}", describe(&failure)))
            }
            CommandKind::CancelWorkflow => self.end("cancelled".into()),
            CommandKind::ContinueAsNew(next) if next.headers.contains_key(STATE_HEADER) => {
                self.say("continued as new with its state");
                self.replay();
                self.go_on(next.headers);
            }
            CommandKind::ContinueAsNew(next) => {
                self.end(format!(
                    "continued as new {} {}",
                    next.workflow_type,
                    texts(&next.arguments)
                ));
            }
            CommandKind::UpsertMemo(memo) => self.say(format!("memo {:?}", memo.keys())),
            CommandKind::UseFlag(flag) => self.flags.push(flag),
            CommandKind::MarkVersion(version) => self.say(format!("mark version {version}")),
            CommandKind::UpsertSearchAttributes(names) => {
                self.say(format!("search attributes {:?}", names.keys()));
            }
            other => panic!("no script for {other:?}"),
        }
    }

    fn end(&mut self, text: String) {
        self.say(text);
        self.over = true;
    }

    /// The continuation of a run that moved by itself: its timers are its own, what is to come is still to come.
    fn go_on(&mut self, headers: BTreeMap<String, Payload>) {
        self.instance = Instance::new();
        self.activations.clear();
        self.pending.clear();
        self.queue
            .retain(|_, job| !matches!(job, Job::FireTimer { .. }));
        let start = Initialize {
            headers,
            continued_from_run_id: Some("run-id".into()),
            first_run_id: "run-id".into(),
            is_continuation: true,
            ..self.initialize()
        };
        self.enqueue(0, Job::Initialize(Box::new(start)));
    }

    /// An activity or a child, and what the script says it comes to.
    fn call(&mut self, what: &str, name: &str, seq: u32, arguments: &[Payload], is_child: bool) {
        self.say(format!("{what} {name} {}", texts(arguments)));
        let outcomes = self.script.outcomes.get_mut(name);
        let outcome = match outcomes {
            Some(outcomes) if outcomes.len() > 1 => outcomes.remove(0),
            Some(outcomes) => outcomes[0].clone(),
            None => panic!("the script has no outcome for `{name}`"),
        };
        if is_child {
            self.enqueue(
                0,
                Job::ChildStarted {
                    seq,
                    run_id: "child-run-id".into(),
                },
            );
        }
        if let Some(backoff) = outcome.get("backoff") {
            let backoff = Duration::from_nanos(nanos(backoff)).expect("a length");
            let job = Job::BackOffActivity {
                seq,
                attempt: 2,
                backoff,
                original_schedule_time: None,
            };
            self.enqueue(0, job);
            return;
        }
        let resolution = match outcome.get("fail") {
            Some(failure) => Resolution::Failed(wrapped(name, application(failure))),
            None => Resolution::Completed(value(&outcome["result"])),
        };
        let job = match is_child {
            true => Job::ResolveChild { seq, resolution },
            false => Job::ResolveActivity { seq, resolution },
        };
        let (at, order) = self.enqueue(nanos(&outcome["after"]), job);
        self.pending
            .insert(seq, (format!("{what} {name}"), at, order));
    }

    fn forget(&mut self, seq: u32) -> Option<(String, Job)> {
        let (name, at, order) = self.pending.remove(&seq)?;
        Some((name, self.queue.remove(&(at, order))?))
    }

    fn cancel(&mut self, seq: u32) {
        let Some((name, job)) = self.forget(seq) else {
            return;
        };
        self.say(format!("cancel {name}"));
        let failure = wrapped(&name, Failure::cancelled("cancelled"));
        let resolution = Resolution::Cancelled(failure);
        let job = match job {
            Job::ResolveChild { .. } => Job::ResolveChild { seq, resolution },
            _ => Job::ResolveActivity { seq, resolution },
        };
        self.enqueue(0, job);
    }
}

fn loaded(text: &str) -> Arc<Loaded> {
    let program = compile(text);
    let bundle = EncodedBundle {
        version: String::new(),
        digest: "digest".into(),
        bytes: b"bundle".to_vec(),
    };
    Arc::new(Loaded { program, bundle })
}

fn compile(text: &str) -> segno::program::Program {
    let mut loaded = load::Loaded::default();
    let unread = load::Unread {
        key: "definition.yaml".into(),
        path: "definition.yaml".into(),
        bytes: text.as_bytes().to_vec(),
    };
    loaded.add(vec![unread]);
    let file = loaded.by_key("definition.yaml").expect("it was added");
    let mut diagnostics = loaded.file(file).diagnostics.clone();
    let (_, definition) = loaded.definitions(file).next().expect("a definition");
    let compiled = segno::compile::compile(definition, &[], &loaded.sources);
    let program = compiled.program;
    diagnostics.extend(compiled.diagnostics);
    let errors: Vec<_> = diagnostics.iter().filter(|d| d.is_error()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    program
}

fn value(json: &Json) -> Value {
    from_json(json).expect("a value")
}

fn nanos(json: &Json) -> i128 {
    json.as_str().map_or(0, |text| {
        Duration::parse(text).expect("a duration").as_nanos()
    })
}

fn texts(payloads: &[Payload]) -> String {
    let text =
        |payload: &Payload| to_json_string(&payload.decode().expect("readable")).expect("JSON");
    payloads.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn application(json: &Json) -> Failure {
    let text = |key: &str| json[key].as_str().unwrap_or_default();
    Failure::application(text("type"), text("message"))
}

fn wrapped(name: &str, cause: Failure) -> Failure {
    use segno::engine::failure::FailureInfo;
    use segno::words::RetryState;
    let info = FailureInfo::Activity {
        activity_type: name.to_owned(),
        activity_id: "1".into(),
        identity: String::new(),
        retry_state: RetryState::Unspecified,
        scheduled_event_id: 0,
        started_event_id: 0,
    };
    Failure {
        cause: Some(Box::new(cause)),
        ..Failure::new("activity failed", info)
    }
}

fn describe(failure: &Failure) -> String {
    let each = failure
        .chain()
        .map(|f| format!("{}({})", f.kind().name(), f.message));
    let chain = each.collect::<Vec<_>>().join(" < ");
    match failure.error_type() {
        Some(error_type) => format!("{error_type}: {chain}"),
        None => chain,
    }
}

/// What must be the same in a replay: not log lines, which the host drops, nor the arguments of the look-up of the
/// definition, nor updates that history does not have.
fn kinds(commands: &[Command]) -> Vec<&CommandKind> {
    let is_compared = |kind: &&CommandKind| match kind {
        CommandKind::Log { .. } | CommandKind::RejectUpdate { .. } => false,
        CommandKind::ScheduleLocalActivity(local) => local.activity_type != RESOLVE_DEFINITION,
        _ => true,
    };
    commands
        .iter()
        .map(|c| &c.kind)
        .filter(is_compared)
        .collect()
}

#[test]
fn timelines() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine");
    let mut wrong = Vec::new();
    let mut cases = 0;
    let mut folders: Vec<_> = std::fs::read_dir(&folder)
        .expect("fixtures")
        .map(|e| e.expect("an entry").path())
        .collect();
    folders.sort();
    for case in folders.iter().filter(|path| path.is_dir()) {
        cases += 1;
        println!("{}", case.display());
        let timeline = Host::new(case).run();
        let expected = case.join("expected.txt");
        if std::env::var_os("SEGNO_UPDATE").is_some() {
            std::fs::write(&expected, &timeline).expect("writable");
        }
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        if timeline != expected {
            wrong.push(format!(
                "{}\nexpected:\n{expected}\ncame:\n{timeline}",
                case.display()
            ));
        }
    }
    assert!(cases >= 20, "only {cases} fixtures were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
