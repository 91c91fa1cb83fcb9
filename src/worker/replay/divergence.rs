//! Where a replay diverges from its history, and what each does there, in steps and lines.

use temporalio_protos::temporal::api::history::v1::{History, HistoryEvent};

use super::deed::{Deed, Known};
use super::record::Recorded;
use crate::engine::Loaded;
use crate::history::{Commanded, Marker, Meaning, TaskStage};
use crate::words::StepId;

/// Core's name for its own half of a mark, for which the engine has no command (sdk-core 0.10.1,
/// machines/upsert_search_attributes_state_machine.rs).
const MARK_MACHINE: &str = "UpsertWorkflowSearchAttributesMachine";
/// How many of the steps that a run waits at are named.
const PLACES_MAX: usize = 3;

#[derive(Debug, Clone, Default)]
pub struct Divergence {
    /// The message of Temporal's core or of the engine.
    pub(crate) reason: String,
    /// The first event that does not match.
    pub event_id: Option<i64>,
    pub history: Side,
    pub(crate) definition: Side,
    /// Whether the definition differs from the one that the run is bound to.
    pub(crate) is_changed: bool,
}

/// What the history or the replay did there.
#[derive(Debug, Clone, Default)]
pub struct Side {
    pub deed: Option<String>,
    /// The step that did it; if nothing was done, the steps that it waits at.
    pub(crate) places: Vec<Place>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its id, or the key of its action.
    pub(crate) step: String,
    /// `file:line`.
    pub(crate) place: String,
}

/// Something done or requested in a workflow task, which is identified by the event that started it.
struct Act {
    task: i64,
    deed: Deed,
    event_id: Option<i64>,
    place: Option<Place>,
    /// Its event follows the mark of a version, where core's own event is expected.
    is_behind_mark: bool,
}

impl Divergence {
    /// `bound` is the replay with the definition that the history is bound to, if another one replaced it.
    pub(crate) fn new(
        reason: String,
        history: &History,
        recorded: &Recorded,
        bound: Option<&Recorded>,
    ) -> Self {
        let told = told(history);
        let own = bound.map(asked);
        let asked = asked(recorded);
        let known = Divergence {
            reason,
            is_changed: bound.is_some(),
            ..Divergence::default()
        };
        let found = match &own {
            // The engine itself could not continue.
            _ if recorded.failure.is_some() => None,
            Some(own) => first_that_differs(own.iter(), asked.iter()),
            None => in_place_of_a_mark(&known.reason, &told, &asked)
                .or_else(|| first_that_differs(in_order(&told), in_order(&asked)))
                .or_else(|| first_of_its_own(&told, &asked)),
        };
        let Some((did, asks)) = found else {
            return Divergence {
                definition: Side::waits(recorded),
                ..known
            };
        };
        Divergence {
            event_id: did.and_then(|act| match &own {
                Some(own) => event_of(act, own, &told),
                None => act.event_id,
            }),
            history: match (did, bound) {
                (Some(act), _) => Side::of(act, act.words(asks, Deed::past)),
                (None, Some(bound)) => Side::waits(bound),
                (None, None) => Side::default(),
            },
            definition: match asks {
                Some(act) => Side::of(act, act.words(did, Deed::present)),
                None => Side::waits(recorded),
            },
            ..known
        }
    }

    pub fn text(&self) -> String {
        let definition = match self.is_changed {
            true => "the changed definition",
            false => "the definition",
        };
        let (history, other) = (&self.history, &self.definition);
        let event = self.event_id.map(|id| id.to_string()).unwrap_or_default();
        match (&history.deed, &other.deed) {
            (None, None) if other.places.is_empty() => self.reason.clone(),
            (None, None) => format!("{}; {definition} waits{}", self.reason, other.at()),
            (Some(did), asks) => {
                let asks = match asks {
                    Some(asks) => format!("{asks}{}", other.at()),
                    None if other.places.is_empty() => "asks for nothing".to_owned(),
                    None => format!("waits{}", other.at()),
                };
                format!(
                    "event {event}: the history {did}{}, where {definition} {asks}",
                    history.at()
                )
            }
            (None, Some(asks)) => {
                let waits = match history.places.is_empty() {
                    true => "asks for nothing more".to_owned(),
                    false => format!("waits{}", history.at()),
                };
                format!(
                    "the history {waits}, where {definition} {asks}{}",
                    other.at()
                )
            }
        }
    }
}

impl Side {
    fn of(act: &Act, deed: String) -> Side {
        Side {
            deed: Some(deed),
            places: act.place.iter().cloned().collect(),
        }
    }

    /// Where it waits after the last activation.
    fn waits(recorded: &Recorded) -> Side {
        let at = recorded.driven.last();
        let steps = at.map(|d| d.waits_at.as_slice()).unwrap_or_default();
        let places = steps
            .iter()
            .filter_map(|s| place(recorded.by.as_deref(), *s));
        Side {
            deed: None,
            places: places.take(PLACES_MAX).collect(),
        }
    }

    fn at(&self) -> String {
        let place = |p: &Place| format!("step `{}` ({})", p.step, p.place);
        let places: Vec<_> = self.places.iter().map(place).collect();
        match places.is_empty() {
            true => String::new(),
            false => format!(" at {}", places.join(" and ")),
        }
    }
}

impl Act {
    /// Two effects with equal words differ in their names.
    fn words(&self, other: Option<&Act>, words: fn(&Deed) -> String) -> String {
        let text = words(&self.deed);
        match other {
            Some(other) if words(&other.deed) == text => {
                format!("{text} with the id `{}`", self.deed.id())
            }
            _ => text,
        }
    }
}

fn place(by: Option<&Loaded>, step: StepId) -> Option<Place> {
    let program = &by?.program;
    let range = program.ranges[step.0 as usize];
    let file = program.sources.file(range.file);
    let key = || file.text.get(range.start as usize..range.end as usize);
    Some(Place {
        step: match &program.step(step).id {
            Some(id) => id.to_string(),
            None => key().unwrap_or_default().to_owned(),
        },
        place: format!("{}:{}", file.path, file.position(range.start).line),
    })
}

fn asked(recorded: &Recorded) -> Vec<Act> {
    let mut known = Known::default();
    let mut acts = Vec::new();
    for driven in &recorded.driven {
        for command in &driven.commands {
            if let Some(deed) = known.asked(&command.kind) {
                acts.push(Act {
                    task: driven.started_event_id,
                    deed,
                    event_id: None,
                    is_behind_mark: false,
                    place: command
                        .step
                        .and_then(|step| place(recorded.by.as_deref(), step)),
                });
            }
        }
    }
    acts
}

fn told(history: &History) -> Vec<Act> {
    let mut known = Known::default();
    let mut task = 0;
    let mut acts = Vec::new();
    let mut is_marked = false;
    for event in &history.events {
        if let Meaning::Task(TaskStage::Completed(a)) = Meaning::of(event) {
            task = a.started_event_id;
        }
        // Core sets the search attribute for the mark of a version.
        let was_marked = std::mem::replace(&mut is_marked, is_mark(event));
        let is_search_attribute = matches!(
            Meaning::of(event),
            Meaning::Commanded(Commanded::SearchAttributes)
        );
        if was_marked && is_search_attribute {
            continue;
        }
        if let Some(deed) = known.told(event) {
            acts.push(Act {
                task,
                deed,
                event_id: Some(event.event_id),
                is_behind_mark: was_marked,
                place: None,
            });
        }
    }
    acts
}

fn is_mark(event: &HistoryEvent) -> bool {
    match Meaning::of(event) {
        Meaning::Commanded(Commanded::Marker(a)) => matches!(Marker::of(a), Marker::Version(_)),
        _ => false,
    }
}

/// The event of a requested act: among equal ones, the one at the same position.
fn event_of(act: &Act, asked: &[Act], told: &[Act]) -> Option<i64> {
    let alike = asked.iter().take_while(|a| !std::ptr::eq(*a, act));
    let before = alike.filter(|a| a.deed == act.deed).count();
    let mut same = told.iter().filter(|t| t.deed == act.deed);
    same.nth(before)?.event_id
}

/// The acts that are in the same order on both sides.
fn in_order(acts: &[Act]) -> impl Iterator<Item = &Act> {
    acts.chunk_by(|a, b| a.task == b.task).flat_map(|task| {
        task.iter().filter(|act| {
            let takes_back = |a: &Act, b: &Act| a.deed.cancels(&b.deed) || b.deed.cancels(&a.deed);
            !act.deed.is_recorded_later() && !task.iter().any(|other| takes_back(act, other))
        })
    })
}

type Found<'a> = Option<(Option<&'a Act>, Option<&'a Act>)>;

/// What the history has where core sets the search attribute of a version. It may resemble the command after it: all
/// timers look alike.
fn in_place_of_a_mark<'a>(reason: &str, told: &'a [Act], asked: &'a [Act]) -> Found<'a> {
    if !reason.contains(MARK_MACHINE) {
        return None;
    }
    let did = told.iter().find(|act| act.is_behind_mark)?;
    Some((Some(did), asked.iter().find(|act| act.deed.is_mark())))
}

/// Core compares the next command with the next event, whatever the workflow task.
fn first_that_differs<'a>(
    mut told: impl Iterator<Item = &'a Act>,
    mut asked: impl Iterator<Item = &'a Act>,
) -> Found<'a> {
    loop {
        match (told.next(), asked.next()) {
            (None, None) => return None,
            (Some(did), Some(asks)) if did.deed == asks.deed => {}
            differ => return Some(differ),
        }
    }
}

/// The first difference among acts that are recorded when they are done.
fn first_of_its_own<'a>(told: &'a [Act], asked: &'a [Act]) -> Found<'a> {
    let only = |acts: &'a [Act], others: &[Act]| {
        let mut later = acts.iter().filter(|act| act.deed.is_recorded_later());
        later.find(|act| !others.iter().any(|other| other.deed == act.deed))
    };
    let (did, asks) = (only(told, asked), only(asked, told));
    (did.is_some() || asks.is_some()).then_some((did, asks))
}
