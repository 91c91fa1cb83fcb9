//! Several observers of one run, and the number of settled signals of each workflow.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::coverage::Recorder;
use crate::engine::observe::{Event, Moment, Observer};
use crate::timeline::Timeline;

#[derive(Debug)]
pub(crate) struct Watchers {
    timeline: Arc<Timeline>,
    recorder: Option<Arc<Recorder>>,
    settled: Mutex<BTreeMap<String, usize>>,
}

impl Watchers {
    pub(crate) fn new(timeline: Arc<Timeline>, recorder: Option<Arc<Recorder>>) -> Self {
        Watchers {
            timeline,
            recorder,
            settled: Mutex::default(),
        }
    }

    /// The number of settled signals of a workflow, over all its runs.
    pub(crate) fn settled(&self, workflow_id: &str) -> usize {
        let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.get(workflow_id).copied().unwrap_or_default()
    }
}

impl Observer for Watchers {
    fn saw(&self, moment: &Moment<'_>, event: Event<'_>) {
        self.timeline.saw(moment, event);
        if let Some(recorder) = &self.recorder {
            recorder.saw(moment, event);
        }
        if let Event::SignalsSettled { count } = event
            && !moment.is_replaying
        {
            let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
            *settled.entry(moment.workflow_id.to_owned()).or_default() += count;
        }
    }
}
