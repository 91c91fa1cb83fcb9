//! A query may come with a run's first workflow task, before the run's bundle is known.

use std::sync::Arc;

use segno::bundle::{Bundle, BundleFile, Versions};
use segno::engine::command::CommandKind;
use segno::engine::job::{Activation, EncodedBundle, Initialize, Job};
use segno::engine::{Instance, Loaded, Programs};
use segno::registry;
use segno::value::{Timestamp, Value};

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
