//! How long expressions made to hurt run before they stop at a bound.
//! `cargo run --release -p segno-bench-expression --example hostile`

#[path = "../../../tests/support/hostile.rs"]
mod hostile;

use std::time::{Duration, Instant};

use hostile::{code, hostile, variables};
use segno::expression::{Context, NoHost, evaluate};

const RUNS: usize = 5;

fn main() {
    let (_, values) = variables();
    let mut worst = Duration::ZERO;
    for (text, _) in hostile() {
        let code = code(&text);
        let run = || {
            let mut host = NoHost;
            let mut context = Context::new(&mut host);
            let begun = Instant::now();
            evaluate(&code, &values, &mut context).expect_err("a bound");
            begun.elapsed()
        };
        // The least of a few: what the expression takes, without what else the machine does.
        let took = (0..RUNS).map(|_| run()).min().unwrap_or_default();
        println!("{:>8.1} ms  {text:.90}", took.as_secs_f64() * 1e3);
        worst = worst.max(took);
    }
    println!("{:>8.1} ms  the worst", worst.as_secs_f64() * 1e3);
}
