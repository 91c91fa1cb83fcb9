//! A query may come with a run's first workflow task, before the run's bundle is known.

use std::sync::Arc;

use segno::bundle::{Bundle, BundleFile, Versions};
use segno::engine::command::CommandKind;
use segno::engine::job::{Activation, EncodedBundle, Initialize, Job, Resolution};
use segno::engine::{Instance, Loaded, Programs};
use segno::registry;
use segno::value::{Duration, Timestamp, Value};

const DEFINITION: &str = "\
segno: 1
workflow: counts
state: { count: 1 }
queries: { count: \"${ state.count }\" }
steps:
  - set: { count: \"${ state.count + 1 }\" }
  - timer: 1h
  - return: null
";

struct One(Arc<Loaded>);

impl Programs for One {
    fn load(&self, _: &[u8]) -> Result<Arc<Loaded>, String> {
        Ok(self.0.clone())
    }

    fn workflow_types(&self) -> Vec<String> {
        vec!["counts".to_owned()]
    }
}

fn activation(jobs: Vec<Job>, is_replaying: bool) -> Activation {
    Activation {
        now: Timestamp::default(),
        is_replaying,
        history_length: 3,
        history_size_bytes: 0,
        continue_as_new_suggested: false,
        flags: Vec::new(),
        jobs,
    }
}

#[test]
fn it_is_answered_from_the_state_that_the_first_task_leads_to() {
    let entry = BundleFile {
        path: "counts.yaml".into(),
        text: DEFINITION.into(),
    };
    let bundle = Bundle::from_files("counts", Versions::NEWEST, entry, 0, Vec::new()).unwrap();
    let bytes = bundle.encode().unwrap();
    let programs = One(registry::load(&bytes).unwrap());
    let newest = EncodedBundle {
        version: String::new(),
        digest: bundle.digest().to_string(),
        bytes,
    };
    let initialize = Initialize {
        workflow_type: "counts".to_owned(),
        newest: Some(Arc::new(newest)),
        ..Initialize::default()
    };
    let mut instance = Instance::new();
    let first = activation(vec![Job::Initialize(Box::new(initialize))], false);
    instance.activate(first, &programs).unwrap();
    let query = Job::Query {
        id: "q".to_owned(),
        name: "count".to_owned(),
        args: Vec::new(),
    };
    let commands = instance
        .activate(activation(vec![query], true), &programs)
        .unwrap();
    let [command] = commands.as_slice() else {
        panic!("one answer and nothing else: {commands:?}");
    };
    let CommandKind::RespondToQuery {
        id,
        result: Ok(payload),
    } = &command.kind
    else {
        panic!("no answer: {command:?}");
    };
    assert_eq!(id, "q");
    assert_eq!(payload.decode().unwrap(), Value::Int(2));
}

/// The commands of a replay: the binding and then a signal, each in a workflow task of its own.
fn replayed(is_bare: bool) -> Vec<Vec<CommandKind>> {
    let text = "\
segno: 1
workflow: waits
steps:
  - wait: { signal: go, timeout: 1h }
  - timer: 5s
";
    let entry = BundleFile {
        path: "waits.yaml".into(),
        text: text.into(),
    };
    let bundle = Bundle::from_files("waits", Versions::NEWEST, entry, 0, Vec::new()).unwrap();
    let bytes = bundle.encode().unwrap();
    let programs = One(registry::load(&bytes).unwrap());
    let start = Initialize {
        workflow_type: "waits".to_owned(),
        ..Initialize::default()
    };
    let mut instance = Instance::new();
    let mut activate = |jobs, is_bare: bool| {
        if is_bare {
            instance.first_task_is_bare();
        }
        let commands = instance.activate(activation(jobs, true), &programs);
        let kinds = commands.unwrap().into_iter().map(|command| command.kind);
        let kinds = kinds.filter(|kind| !matches!(kind, CommandKind::ScheduleLocalActivity(_)));
        kinds.collect::<Vec<_>>()
    };
    assert_eq!(activate(vec![Job::Initialize(Box::new(start))], false), []);
    let resolved = Job::ResolveActivity {
        seq: 1,
        resolution: Resolution::Completed(Value::Bytes(bytes.as_slice().into())),
    };
    let signal = Job::Signal {
        name: "go".to_owned(),
        input: vec![Value::Null],
    };
    vec![
        activate(vec![resolved], is_bare),
        activate(vec![signal], false),
    ]
}

/// Older workers that were asked a query with the first workflow task bound a run in the second one, with what had come by then. Of a run without a version
/// only what the tasks recorded tells so.
#[test]
fn a_run_that_an_older_worker_bound_in_its_second_task_is_replayed_so() {
    let timer = |seq, seconds| CommandKind::StartTimer {
        seq,
        duration: Duration { seconds, nanos: 0 },
    };
    let cancelled = CommandKind::CancelTimer { seq: 2 };
    assert_eq!(
        replayed(false),
        [vec![timer(2, 3600)], vec![cancelled, timer(3, 5)]]
    );
    assert_eq!(replayed(true), [vec![], vec![timer(2, 5)]]);
}
