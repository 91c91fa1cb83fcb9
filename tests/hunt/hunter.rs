//! Hunts, round after round, until its time is over, and makes small what it finds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use segno::client::history_to_json;
use temporalio_protos::temporal::api::history::v1::History;

use super::agree::Agreement;
use super::check::Violation;
use super::plan::{Experiment, Round};
use super::round::{self, Counts, Outcome, is_sound};
use super::shrink::{case, shrink};
use super::world::World;
use super::write::definition;
use super::{alone, strangers};

/// How long `./test` hunts.
const MINUTES: f64 = 3.0;
/// The first round that `./test` hunts: the same each time, so that a change fails it and not chance.
const SEED: u64 = 1;
/// Other hunts begin with a seed below this one.
const SEEDS: u64 = 1_000_000_000;
const EXPERIMENTS_PER_ROUND: u64 = 10;
/// A hunt of `./test` that found so much ends; one that was asked for goes on for much longer.
const FOUND_MAX: usize = 5;
const FOUND_IF_ASKED_MAX: usize = 100;
/// How long what was found is made smaller.
const SHRINK_PATIENCE: Duration = Duration::from_secs(240);

/// A round takes a minute or two, and what it finds is made smaller.
const ROUND_TIMEOUT: Duration = Duration::from_secs(15 * 60);

#[derive(Default)]
struct Report {
    rounds: u64,
    runs: u64,
    events: u64,
    messages: u64,
    alone: u64,
    strangers: u64,
    counts: Counts,
    /// Workflows, with their continuations and children, that the simulator followed.
    compared: u64,
    /// And those that it did not, by the reason.
    not_compared: BTreeMap<&'static str, u64>,
    found: usize,
    /// The kinds found so far: the first of each is made smaller.
    kinds: BTreeSet<&'static str>,
}

/// What the environment says.
struct Settings {
    length: Duration,
    seed: u64,
    /// It ends when it has found so much; the first alone is told as it is.
    found_max: usize,
    /// Kinds of violations that are known and not reported.
    known: Vec<String>,
}

impl Settings {
    fn of_environment() -> Settings {
        let number = |variable: &str, otherwise: f64| {
            let text = std::env::var(variable).ok();
            text.map_or(otherwise, |text| text.parse().unwrap())
        };
        let is_set = |variable: &str| std::env::var_os(variable).is_some();
        let otherwise = match is_set("SEGNO_HUNT_MINUTES") {
            true => fresh_seed(),
            false => SEED,
        };
        Settings {
            length: Duration::from_secs_f64(60.0 * number("SEGNO_HUNT_MINUTES", MINUTES)),
            seed: number("SEGNO_HUNT_SEED", otherwise as f64) as u64,
            found_max: match is_set("SEGNO_HUNT_FIRST_ONLY") {
                true => 1,
                false if is_set("SEGNO_HUNT_MINUTES") => FOUND_IF_ASKED_MAX,
                false => FOUND_MAX,
            },
            known: std::env::var("SEGNO_HUNT_KNOWN")
                .map(|kinds| kinds.split(", ").map(str::to_owned).collect())
                .unwrap_or_default(),
        }
    }
}

/// Another one each time: a hunt that was hunted before finds nothing new.
fn fresh_seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as u64 % SEEDS
}

/// How much it found.
pub async fn hunt() -> usize {
    let settings = Settings::of_environment();
    let begin = Instant::now();
    let world = World::start().await;
    let mut report = Report::default();
    let mut seed = settings.seed;
    println!(
        "hunting from seed {seed} on; SEGNO_HUNT_SEED=SEED SEGNO_HUNT_MINUTES=0 repeats one round"
    );
    loop {
        let round = one(&world, seed, &settings, &mut report);
        if tokio::time::timeout(ROUND_TIMEOUT, round).await.is_err() {
            report.tell(&format!("seed {seed}: the round does not end"));
        }
        seed += 1;
        if begin.elapsed() > settings.length || report.found >= settings.found_max {
            break;
        }
    }
    report.print(begin.elapsed());
    report.found
}

async fn one(world: &World, seed: u64, settings: &Settings, report: &mut Report) {
    let mut round = Round::of(seed, EXPERIMENTS_PER_ROUND);
    let experiments = &mut round.experiments;
    experiments.retain(|experiment| is_sound(&experiment.program));
    let aside = async {
        let runs = (0..alone::PER_ROUND).map(|number| alone::hunt(seed * 100 + number));
        let found = futures_util::future::join_all(runs).await;
        let mut found: Vec<Violation> = found.into_iter().flatten().collect();
        // The server is there for what asks it once.
        if !round.restarts_server() {
            found.extend(strangers::hunt(world, seed).await);
        }
        found
    };
    let hunted = futures_util::future::join(round::run(world, &round), aside).await;
    let ((mut outcomes, counts), mut aside) = hunted;
    let is_new = |violation: &Violation| !settings.known.iter().any(|k| k == violation.kind);
    aside.retain(is_new);
    for outcome in &mut outcomes {
        outcome.violations.retain(is_new);
    }
    report.add(counts, &outcomes);
    for Violation { kind, text } in aside {
        report.tell(&format!("seed {seed}: {kind}: {text}"));
    }
    for (experiment, outcome) in round.experiments.iter().zip(&outcomes) {
        if let Some(violation) = outcome.violations.first() {
            keep(seed, outcome);
            let is_new = report.kinds.insert(violation.kind);
            let small = match is_new && settings.found_max > 1 {
                false => None,
                true => {
                    println!("seed {seed}: {}; making it smaller", violation.kind);
                    shrink(world, &round, experiment, violation.kind, SHRINK_PATIENCE).await
                }
            };
            let told = match small {
                Some(small) => case(&small),
                None => whole(&round, experiment, outcome),
            };
            report.tell(&format!("seed {seed}: {told}"));
        }
    }
}

/// Writes the histories of what was found into the folder that `SEGNO_HUNT_KEEP` names, for `segno replay -f`.
fn keep(seed: u64, outcome: &Outcome) {
    let Some(folder) = std::env::var_os("SEGNO_HUNT_KEEP") else {
        return;
    };
    std::fs::create_dir_all(&folder).unwrap();
    for run in outcome.families.iter().flatten() {
        let history = History {
            events: run.events.clone(),
        };
        let json = history_to_json(&history).unwrap().to_string();
        let name = format!("{seed}-{}.json", run.run_id);
        std::fs::write(Path::new(&folder).join(name), json).unwrap();
    }
}

/// As it was found.
fn whole(round: &Round, experiment: &Experiment, outcome: &Outcome) -> String {
    let Violation { kind, text } = &outcome.violations[0];
    let others = outcome.violations[1..].iter();
    let others = others.map(|Violation { kind, text }| {
        let first = text.lines().next().unwrap_or_default();
        format!("\nand {kind}: {first}")
    });
    let others: String = others.collect();
    let definition = definition(&experiment.program, "hunted", "one");
    let Round {
        cache,
        is_deployed,
        is_versioned,
        proxied,
        chaos,
        ..
    } = round;
    let Experiment { with, actions, .. } = experiment;
    format!(
        "{kind}: {text}{others}\n{definition}\ncache {cache:?}, deployed {is_deployed}, versioned {is_versioned}, through a proxy {proxied}, {chaos:?}\nstarted with {with:?}, {actions:#?}"
    )
}

impl Report {
    fn add(&mut self, counts: Counts, outcomes: &[Outcome]) {
        self.rounds += 1;
        self.alone += alone::PER_ROUND;
        self.strangers += 1;
        self.counts.kills += counts.kills;
        self.counts.pauses += counts.pauses;
        self.counts.restarts += counts.restarts;
        self.counts.replacements += counts.replacements;
        self.counts.of_core += counts.of_core;
        for outcome in outcomes {
            let runs = outcome.families.iter().flatten();
            self.runs += runs.clone().count() as u64;
            self.events += runs.map(|run| run.events.len() as u64).sum::<u64>();
            self.messages += outcome.messages;
            match &outcome.agreement {
                Agreement::Agrees | Agreement::Differs(_) => self.compared += 1,
                Agreement::NotCompared(why) => *self.not_compared.entry(why).or_default() += 1,
            }
        }
    }

    fn tell(&mut self, text: &str) {
        println!("found: {text}\n");
        self.found += 1;
    }

    fn print(&self, took: Duration) {
        let Counts {
            kills,
            pauses,
            restarts,
            replacements,
            of_core,
        } = self.counts;
        let Report {
            rounds,
            runs,
            events,
            messages,
            alone,
            compared,
            ..
        } = self;
        let not_compared = self.not_compared.iter();
        let not_compared: String = not_compared
            .map(|(why, count)| format!(", {count} not: {why}"))
            .collect();
        println!(
            "{rounds} rounds in {} s: {runs} runs, {events} events, {messages} messages, {kills} kills, {pauses} pauses and {replacements} \
             replacements of the worker, {restarts} restarts of the server, {of_core} of core's debug assertions, {alone} runs without a server; \
             {compared} workflows compared with the simulator{not_compared}; {} found",
            took.as_secs(),
            self.found
        );
    }
}
