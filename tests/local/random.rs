//! Random definitions, of every kind of step, with random deliveries: nothing panics, no workflow task fails, every history
//! replays, and a run whose worker dies after every step, or goes on from its serialised state, does the same.
//! `SEGNO_RANDOM_PROGRAMS` says how many, `SEGNO_RANDOM_FIRST` from which number on.

mod deliver;
mod generate;

use deliver::{Worker, deliver};
use segno::definition::tables::{ACTIONS, STARTED};

/// In debug builds, within seconds.
const PROGRAMS: u64 = 100;
const VARIABLE: &str = "SEGNO_RANDOM_PROGRAMS";
const FIRST_VARIABLE: &str = "SEGNO_RANDOM_FIRST";

fn number(variable: &str, otherwise: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn random_programs_replay_and_go_on_as_they_did() {
    let first = number(FIRST_VARIABLE, 1);
    let seeds: Vec<u64> = (first..first + number(VARIABLE, PROGRAMS)).collect();
    let found = segno::load::in_parallel(&seeds, |seed| one(*seed));
    let mut wrong = Vec::new();
    let (mut events, mut ended) = (0, 0);
    for result in found {
        match result {
            Ok((count, is_over)) => {
                events += count;
                ended += u64::from(is_over);
            }
            Err(error) => wrong.push(error),
        }
    }
    println!(
        "{} programs, {ended} of them ended, {events} events",
        seeds.len()
    );
    assert!(
        wrong.is_empty(),
        "{}",
        wrong[..wrong.len().min(5)].join("\n\n")
    );
    assert!(ended * 2 > seeds.len() as u64, "most programs never end");
}

#[test]
fn every_step_of_the_language_is_generated() {
    let text = |seed| generate::definition("random", None, seed);
    let texts: String = (1..=PROGRAMS).map(text).collect();
    let started = STARTED
        .iter()
        .map(|kind| format!("start: {{ {}:", kind.key()));
    let steps = ACTIONS.iter().map(|action| format!("{}:", action.key.name));
    let begins = |step: &String| {
        let before = ["- ", "- { ", "[{ ", ", "];
        step.starts_with("start: ") && texts.contains(step)
            || before.iter().any(|b| texts.contains(&format!("{b}{step}")))
    };
    let missing: Vec<String> = steps.chain(started).filter(|s| !begins(s)).collect();
    assert!(missing.is_empty(), "{missing:?} are never generated");
}

/// How many events its histories have, and whether it ended.
fn one(seed: u64) -> Result<(usize, bool), String> {
    let text = generate::definition("random", None, seed);
    let fail = |what: String| format!("program {seed}: {what}\n{text}");
    let first = deliver(&text, seed, Worker::Lives).map_err(fail)?;
    for worker in [Worker::DiesAndReplays, Worker::DiesAndRestores] {
        let other = deliver(&text, seed, worker).map_err(|e| fail(format!("{worker:?}: {e}")))?;
        if other.story != first.story {
            let place = first
                .story
                .iter()
                .zip(&other.story)
                .position(|(a, b)| a != b);
            return Err(fail(format!(
                "{worker:?}: another history, from line {place:?} on:\n{:#?}\n{:#?}",
                first.story, other.story
            )));
        }
    }
    Ok((first.story.len(), first.is_over))
}
