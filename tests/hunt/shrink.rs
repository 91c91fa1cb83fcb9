//! Makes a failing experiment smaller while it still fails in the same way, and writes what is left as a step case.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::check::Violation;
use super::history::Run;
use super::plan::{Experiment, Round, StartWith, What};
use super::program::{Ending, Program, Step};
use super::round::{self, is_sound};
use super::text::{self, Followed};
use super::world::World;
use super::write::definition;

/// Candidates that are tried in one round.
const AT_ONCE: usize = 8;
/// How often each of them is.
const TRIES: usize = 2;
/// What shows by chance is sought with so many copies at first.
const COPIES: usize = 6;
/// The name in what is printed.
pub const CASE: &str = "hunted";

/// What still fails.
pub struct Smallest {
    pub round: Round,
    pub violation: Violation,
    pub families: Vec<Vec<Run>>,
}

/// Takes as long as this at most, and gives what it has come to.
pub async fn shrink(
    world: &World,
    round: &Round,
    experiment: &Experiment,
    kind: &str,
    patience: Duration,
) -> Option<Smallest> {
    let end = Instant::now() + patience;
    let alone = |round: &Round, experiment: &Experiment| Round {
        experiments: vec![experiment.clone()],
        ..round.clone()
    };
    let first = alone(round, experiment);
    let mut smallest = again(world, &vec![first; COPIES], kind).await?;
    // What concerns the whole round is tried by itself.
    for change in around(&smallest.round) {
        if Instant::now() > end {
            return Some(smallest);
        }
        if let Some(smaller) = again(world, &vec![change; COPIES], kind).await {
            smallest = smaller;
        }
    }
    loop {
        let one = &smallest.round.experiments[0];
        let candidates = smaller(one);
        let candidates = candidates.iter().filter(|one| is_sound(&one.program));
        let candidates: Vec<Round> = candidates.map(|one| alone(&smallest.round, one)).collect();
        let mut better = None;
        for some in candidates.chunks(AT_ONCE) {
            if Instant::now() > end {
                return Some(smallest);
            }
            let twice = some.iter().flat_map(|one| vec![one.clone(); TRIES]);
            better = again(world, &twice.collect::<Vec<_>>(), kind).await;
            if better.is_some() {
                break;
            }
        }
        match better {
            Some(better) => smallest = better,
            None => return Some(smallest),
        }
    }
}

/// Rounds of one experiment each, which are alike but for that, made one: the first that fails in this way.
async fn again(world: &World, rounds: &[Round], kind: &str) -> Option<Smallest> {
    let all = Round {
        experiments: rounds.iter().flat_map(|r| r.experiments.clone()).collect(),
        ..rounds.first()?.clone()
    };
    let (outcomes, _) = round::run(world, &all).await;
    for (round, outcome) in rounds.iter().zip(outcomes) {
        let violation = outcome.violations.into_iter().find(|v| v.kind == kind);
        if let Some(violation) = violation {
            return Some(Smallest {
                round: round.clone(),
                violation,
                families: outcome.families,
            });
        }
    }
    None
}

fn around(round: &Round) -> Vec<Round> {
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut Round)| {
        let mut changed = round.clone();
        change(&mut changed);
        if changed != *round {
            all.push(changed);
        }
    };
    add(&|round| {
        round.chaos.clear();
        round.proxied = false;
        round.is_deployed = false;
        round.is_versioned = false;
        round.cache = None;
    });
    add(&|round| round.proxied = false);
    add(&|round| round.is_deployed = false);
    add(&|round| round.is_versioned = false);
    add(&|round| round.cache = None);
    add(&|round| round.chaos.truncate(1));
    all
}

/// The largest cuts first.
fn smaller(one: &Experiment) -> Vec<Experiment> {
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut Experiment)| {
        let mut changed = one.clone();
        change(&mut changed);
        if changed != *one {
            all.push(changed);
        }
    };
    let half = one.actions.len() / 2;
    add(&|one| {
        for part in one.program.parts_mut().into_iter().skip(1) {
            part.clear();
        }
        one.program.automatic = false;
        one.program.drains = false;
        one.program.turns = one.program.turns.min(1);
        one.actions
            .retain(|action| !matches!(action.what, What::Query(_)));
    });
    add(&|one| one.actions.clear());
    if half > 0 {
        add(&|one| one.actions.truncate(half));
        add(&|one| drop(one.actions.drain(..half)));
    }
    add(&|one| one.program.body.clear());
    let middle = one.program.body.len() / 2;
    if middle > 0 {
        add(&|one| one.program.body.truncate(middle));
        add(&|one| drop(one.program.body.drain(..middle)));
    }
    add(&|one| one.program.note.clear());
    add(&|one| one.program.add.clear());
    add(&|one| one.program.child.clear());
    add(&|one| one.program.block.clear());
    add(&|one| one.program.turns = 0);
    add(&|one| one.program.turns = one.program.turns.min(1));
    add(&|one| one.program.automatic = false);
    add(&|one| one.program.drains = false);
    add(&|one| one.program.ending = Ending::Free);
    add(&|one| one.with = StartWith::Nothing);
    for part in 0..one.program.parts().len() {
        for path in 0..count(one.program.parts()[part]) {
            add(&|one| cut(&mut one.program, part, path, false));
            add(&|one| cut(&mut one.program, part, path, true));
        }
    }
    for place in 0..one.actions.len() {
        add(&|one| drop(one.actions.remove(place)));
    }
    all
}

fn count(steps: &[Step]) -> usize {
    let inner = |step: &Step| step.blocks.iter().map(|b| count(b)).sum::<usize>();
    steps.iter().map(|step| 1 + inner(step)).sum()
}

/// Takes a step away, or puts what is in it in its place.
fn cut(program: &mut Program, part: usize, mut place: usize, keeps_inner: bool) {
    let steps = std::mem::take(program.parts_mut()[part]);
    *program.parts_mut()[part] = cut_in(steps, &mut place, keeps_inner);
}

fn cut_in(steps: Vec<Step>, place: &mut usize, keeps_inner: bool) -> Vec<Step> {
    let mut left = Vec::new();
    for mut step in steps {
        if *place == 0 {
            *place = usize::MAX;
            if keeps_inner {
                left.extend(step.blocks.into_iter().flatten());
            }
            continue;
        }
        *place -= 1;
        let blocks = std::mem::take(&mut step.blocks);
        let blocks = blocks.into_iter();
        step.blocks = blocks
            .map(|block| cut_in(block, place, keeps_inner))
            .collect();
        left.push(step);
    }
    left
}

/// The definition and the script of a folder of `tests/steps/cases`.
pub fn case(smallest: &Smallest) -> String {
    let round = &smallest.round;
    let one = &round.experiments[0];
    let mut text = String::new();
    let Violation { kind, text: why } = &smallest.violation;
    let _ = writeln!(text, "{kind}: {why}\n");
    let _ = writeln!(
        text,
        "--- tests/steps/cases/{CASE}/{CASE}.yaml\n{}",
        definition(&one.program, CASE, "one")
    );
    let _ = writeln!(text, "--- tests/steps/cases/{CASE}/script.yaml");
    let _ = writeln!(
        text,
        "# Found with cache {:?}, deployed {}, versioned {}, through a proxy {}; the worker, by milliseconds: {:?}",
        round.cache, round.is_deployed, round.is_versioned, round.proxied, round.chaos
    );
    text += "start:\n  input: { http: HTTP }\n";
    if one.with == StartWith::Signal {
        text += "  signal: note\n  signal_input: { id: first }\n";
    }
    text += "actions:\n";
    let mut runs = Vec::new();
    for run in smallest.families.first().into_iter().flatten() {
        runs.push(Followed {
            workflow_id: run.workflow_id.clone(),
            run_id: run.run_id.clone(),
            parent: None,
            events: run.events.clone(),
        });
    }
    for (number, action) in one.actions.iter().enumerate() {
        let after = line_before(&runs, &action.what);
        let after = after.map_or(String::new(), |line| format!("after: {line:?}, "));
        let what = match &action.what {
            What::Signal { name, id, .. } => format!("signal: {name}, input: {{ id: {id} }}"),
            What::Update { id, .. } => format!("update: add, input: {{ id: {id} }}, id: {id}"),
            What::Query(name) => format!("query: {name}"),
            What::Cancel => "cancel: enough".to_owned(),
        };
        let _ = writeln!(
            text,
            "  # {number}: {:?}\n  - {{ {after}{what} }}",
            action.when
        );
    }
    text
}

/// The last line of the history before it came, where it came by itself.
fn line_before(runs: &[Followed], what: &What) -> Option<String> {
    let What::Signal { name, id, .. } = what else {
        return None;
    };
    let wanted = format!("signal {name}");
    for run in runs {
        let lines = text::lines(&run.events);
        let place = lines
            .iter()
            .position(|line| line.contains(&wanted) && line.contains(id.as_str()));
        if let Some(place) = place {
            let before = lines[..place].iter().rev();
            let mut before = before.filter(|line| !line.contains("signal "));
            return before.next().map(|line| line.trim().to_owned());
        }
    }
    None
}
