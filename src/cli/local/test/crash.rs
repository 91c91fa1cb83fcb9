//! `--crash`: the same case with workers that die, and in other orders of delivery.

use std::cell::Cell;
use std::collections::VecDeque;

use super::find::Suite;
use crate::testing::order::{Chosen, Order, chosen};
use crate::testing::{BROKEN, Case, Crash, Point, Report, Snapshots, Subject, run_case};

/// Orders with few changes in which each case is run, those with fewer first.
const ORDERS_MAX: usize = 200;
/// Random orders with any changes, if there are more than these.
const RANDOM_ORDERS: u64 = 20;

/// The number of steps before and after a continuation at which signals are sent.
const POINTS_AROUND: usize = 2;
/// The maximum number of these in one case.
const POINTS_MAX: usize = 50;

/// The result.
#[derive(Default)]
pub(crate) struct Crashed {
    /// Differences from the run in which nothing died.
    pub(crate) problems: Vec<String>,
    /// The number of other orders of delivery.
    pub(crate) orders: usize,
}

pub(crate) fn find(suite: &Suite, case: &Case, subject: &Subject, first: &Report) -> Crashed {
    let mut found = Vec::new();
    let run = |crash: Crash| {
        run_case(
            &suite.file,
            case,
            subject,
            &crash,
            &Snapshots::Compare,
            &suite.path,
        )
    };
    for (crash, how) in [
        (
            Crash::Replayed,
            "with a worker that dies after every step and is replaced by one with the history only",
        ),
        (
            Crash::Restored,
            "with a worker that dies after every step and is replaced by one with the serialised state",
        ),
    ] {
        let report = run(crash);
        if !report.problems.is_empty() {
            let problems: Vec<_> = report.problems.iter().map(|p| p.message.clone()).collect();
            found.push(format!("{how}: {}", problems.join("; ")));
        } else if report.timeline != first.timeline || report.elapsed != first.elapsed {
            found.push(format!("{how}, the steps differ:\n{}", report.timeline));
        }
    }
    found.extend(signalled(&run, first));
    let orders = Cell::new(0);
    let in_order = |order| {
        let report = run(Crash::Reordered(order));
        let is_other = !chosen(&report.choices).is_empty();
        orders.set(orders.get() + usize::from(is_other));
        report
    };
    found.extend(shortest(in_order, first));
    Crashed {
        problems: found,
        orders: orders.get(),
    }
}

/// Sends signals at every point around a continuation, and reports lost ones.
fn signalled(run: &impl Fn(Crash) -> Report, first: &Report) -> Option<String> {
    let around = |step: &usize| step.saturating_sub(POINTS_AROUND)..=step + POINTS_AROUND;
    let mut steps: Vec<usize> = first.continued.iter().flat_map(around).collect();
    steps.dedup();
    let points = steps.into_iter().take(POINTS_MAX);
    let mut points = points.flat_map(|step| [false, true].map(|together| Point { step, together }));
    points.find_map(|point| {
        let report = run(Crash::Signalled(point));
        let mut problems = report.problems.iter();
        let problem = problems.find(|problem| problem.code == BROKEN)?;
        let when = if point.together { "with" } else { "before" };
        Some(format!(
            "with signals of every name {when} step {} of the simulation, near a continuation: {}",
            point.step, problem.message
        ))
    })
}

/// An order of delivery in which the case does not end as it should, and the reason.
struct Broken {
    chosen: Chosen,
    order: Vec<String>,
    problem: String,
}

/// The order with the fewest changes in which the case does not end as it should: an order may change the result, but
/// no order may leave the run waiting, or diverge.
fn shortest(run: impl Fn(Order) -> Report, first: &Report) -> Option<String> {
    let (broken, how) = match fewest(&run, first) {
        Searched::Found(broken) => (broken, "no other has fewer changes"),
        Searched::NoneIsLeft => return None,
        Searched::TooMany => {
            let mut orders = (1..=RANDOM_ORDERS).map(Order::Random);
            let broken = orders.find_map(|order| broken(&run(order), first))?;
            let broken = reduced(broken, &run, first);
            (broken, "none of its changes can be left out")
        }
    };
    let Broken { order, problem, .. } = broken;
    let order: String = order.iter().map(|line| format!("\n    {line}")).collect();
    Some(format!(
        "in another order of delivery, {problem}; the order ({how}):{order}"
    ))
}

enum Searched {
    Found(Broken),
    /// All orders were tried.
    NoneIsLeft,
    TooMany,
}

/// All orders with one change, then all with two, and so on.
fn fewest(run: &impl Fn(Order) -> Report, first: &Report) -> Searched {
    let mut open = VecDeque::from([Chosen::new()]);
    for _ in 0..ORDERS_MAX {
        let Some(chosen) = open.pop_front() else {
            return Searched::NoneIsLeft;
        };
        let report = run(Order::Chosen(chosen.clone()));
        if let Some(broken) = broken(&report, first) {
            return Searched::Found(broken);
        }
        // One more change, after the existing ones: each order occurs once.
        let after = chosen.last_key_value().map_or(0, |(at, _)| at + 1);
        let room = (2 * ORDERS_MAX).saturating_sub(open.len());
        let choices = report.choices.iter().enumerate().skip(after);
        let changes = choices.flat_map(|(at, choice)| (1..choice.options).map(move |o| (at, o)));
        open.extend(changes.take(room).map(|change| {
            let mut more = chosen.clone();
            more.extend([change]);
            more
        }));
    }
    Searched::TooMany
}

/// Without the unnecessary changes.
fn reduced(mut found: Broken, run: &impl Fn(Order) -> Report, first: &Report) -> Broken {
    loop {
        let without = |at: &usize| {
            let mut fewer = found.chosen.clone();
            fewer.remove(at);
            let fewer_changes = fewer.len();
            let broken = broken(&run(Order::Chosen(fewer)), first)?;
            (broken.chosen.len() <= fewer_changes).then_some(broken)
        };
        match found.chosen.keys().find_map(without) {
            Some(fewer) => found = fewer,
            None => return found,
        }
    }
}

fn broken(report: &Report, first: &Report) -> Option<Broken> {
    let mut problems = report.problems.iter();
    let problem = match problems.find(|problem| problem.code == BROKEN) {
        Some(problem) => problem.message.clone(),
        None if report.status == "running" && first.status != "running" => {
            let at = report.waits.as_ref();
            let at = at.map_or(String::new(), |places| format!(" at {places}"));
            format!("the workflow waits for ever{at}")
        }
        None => return None,
    };
    Some(Broken {
        chosen: chosen(&report.choices),
        order: report.order.clone(),
        problem,
    })
}
