//! `--crash`: the same case with workers that die, and in other orders of delivery.

use super::find::Suite;
use crate::testing::{BROKEN, Case, Crash, Report, Snapshots, Subject, run_case};

/// Other orders of delivery that each case is run in.
const ORDERS: u64 = 20;

/// What is not as it was when nothing died.
pub fn find(suite: &Suite, case: &Case, subject: &Subject, first: &Report) -> Vec<String> {
    let mut found = Vec::new();
    let run = |crash| {
        run_case(
            &suite.file,
            case,
            subject,
            crash,
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
            found.push(format!("{how}, the steps are others:\n{}", report.timeline));
        }
    }
    found.extend(shortest(run, first));
    found
}

/// The other order with the fewest changes in which the case does not end as it should: an order may give another
/// result, but no order may leave the run waiting, or diverge.
fn shortest(run: impl Fn(Crash) -> Report, first: &Report) -> Option<String> {
    let mut wrong: Vec<(Vec<String>, String)> = Vec::new();
    for seed in 1..=ORDERS {
        let report = run(Crash::Reordered(seed));
        let broken = report
            .problems
            .iter()
            .find(|problem| problem.code == BROKEN);
        let problem = match broken {
            Some(problem) => problem.message.clone(),
            None if report.status == "running" && first.status != "running" => {
                "the workflow waits for ever".to_owned()
            }
            None => continue,
        };
        wrong.push((report.order, problem));
    }
    wrong.sort_by_key(|(order, _)| order.len());
    let (order, problem) = wrong.into_iter().next()?;
    let order: String = order.iter().map(|line| format!("\n    {line}")).collect();
    Some(format!(
        "in another order of delivery, {problem}; the order:{order}"
    ))
}
