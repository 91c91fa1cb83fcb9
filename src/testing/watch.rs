//! Several that watch a run at once.

use std::sync::Arc;

use crate::coverage::Recorder;
use crate::engine::observe::{Event, Moment, Observer};
use crate::timeline::Timeline;

#[derive(Debug)]
pub struct Watchers {
    timeline: Arc<Timeline>,
    recorder: Option<Arc<Recorder>>,
}

impl Watchers {
    pub fn new(timeline: Arc<Timeline>, recorder: Option<Arc<Recorder>>) -> Self {
        Watchers { timeline, recorder }
    }
}

impl Observer for Watchers {
    fn saw(&self, moment: &Moment<'_>, event: Event<'_>) {
        self.timeline.saw(moment, event);
        if let Some(recorder) = &self.recorder {
            recorder.saw(moment, event);
        }
    }
}
