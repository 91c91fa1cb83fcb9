//! What is known of a run after its engine panicked.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use segno::engine::job::{Initialize, Job};
use segno::engine::observe::{Event, Moment, Observer};

use super::{Host, loaded};

/// A broken invariant panics; whoever catches that can say at which step.
#[test]
fn the_step_of_a_panic_is_known_afterwards() {
    #[derive(Debug)]
    struct Broken;
    impl Observer for Broken {
        fn saw(&self, _: &Moment<'_>, event: Event<'_>) {
            assert!(!matches!(event, Event::Evaluated { .. }), "broken");
        }
    }
    let text = "segno: 1\nworkflow: x\nstate: { a: x }\nsteps:\n  - log: a\n  - { id: second, log: '${ state.a }' }\n";
    let mut host = Host::of(loaded(text), "{}").observed_by(Arc::new(Broken));
    let newest = Some(Arc::new(host.programs.0.bundle.clone()));
    let start = Initialize {
        newest,
        ..host.initialize()
    };
    host.activate(vec![Job::Initialize(Box::new(start))]);
    let (_, job) = host.queue.pop_first().expect("the definition");
    let run = AssertUnwindSafe(|| host.activate(vec![job]));
    assert!(catch_unwind(run).is_err(), "nothing broke");
    let step = host.instance.last_step().expect("a step");
    assert_eq!(host.instance.step_name(step).as_deref(), Some("second"));
}
