//! Hostile expressions: each ends in an error that names a bound, with a cost that does not depend on the machine.

use crate::hostile_expressions::{code, hostile, variables};
use segno::bundle::{Bundle, BundleFile, Versions};
use segno::engine::command::CommandKind;
use segno::engine::job::{Activation, Initialize, Job, Resolution};
use segno::engine::{Instance, Loaded, Programs};
use segno::expression::{
    Context, Environment, ErrorKind, ListCosts, NoHost, Type, compile, evaluate, parse,
};
use segno::limits::{
    EXPRESSION_COST_MAX, EXPRESSION_COST_RAISED_MAX, EXPRESSION_SIZE_BYTES_MAX,
    WORKER_EXPRESSION_COST_MAX,
};
use segno::source::{FileId, Range, TextMap};
use segno::value::{Timestamp, Value};
use std::sync::Arc;

fn map(text: &str) -> TextMap {
    TextMap::verbatim(Range::new(FileId(0), 0, text.len() as u32))
}

#[test]
fn hostile_expressions_stop_at_a_bound() {
    let (_, values) = variables();
    for (text, bound) in hostile() {
        let code = code(&text);
        let mut host = NoHost;
        let mut context = Context::new(&mut host);
        let before = context.cost_left();
        let begun = std::time::Instant::now();
        let result = evaluate(&code, &values, &mut context);
        println!("{:>9.2?} {text:.100}", begun.elapsed());
        let Err(error) = result else {
            panic!("{text} gives a value");
        };
        let is_bound = matches!(error.kind, ErrorKind::Bound | ErrorKind::ResultSize);
        assert!(is_bound, "{text}: {error}");
        assert!(
            error.message.contains(bound)
                || bound == "PAYLOAD_SIZE_BYTES_MAX"
                    && error.message.contains("EXPRESSION_COST_MAX"),
            "{text}: {error}"
        );
        assert!(
            before - context.cost_left() <= EXPRESSION_COST_MAX,
            "{text}"
        );
    }
}

#[test]
fn the_cost_is_the_same_however_the_expression_is_compiled() {
    let cost = |text: &str| {
        let (_, values) = variables();
        let mut host = NoHost;
        let mut context = Context::new(&mut host);
        let before = context.cost_left();
        evaluate(&code(text), &values, &mut context).expect("a value");
        before - context.cost_left()
    };
    assert_eq!(cost("1 + 2 * 3"), 5);
    assert_eq!(cost("text.size() > 0"), 4 + 8 * 32 * 1024 / 32);
    assert_eq!(
        cost("[1, 2, 3].map(i, i + 1)"),
        cost("dyn([1, 2, 3]).map(i, i + 1)") - 1
    );
}

#[test]
fn a_workflow_task_has_a_bound_of_its_own() {
    let (_, values) = variables();
    let code = code("lists.range(1000).map(i, i)");
    let mut host = NoHost;
    let mut context = Context::with_cost_left(&mut host, 10_000);
    let mut evaluations = 0;
    let error = loop {
        match evaluate(&code, &values, &mut context) {
            Ok(_) => evaluations += 1,
            Err(error) => break error,
        }
    };
    assert!(error.message.contains("WORKFLOW_TASK_COST_MAX"), "{error}");
    assert!(evaluations > 0 && evaluations < 10);
}

#[test]
fn hostile_texts_are_refused_without_overflowing_the_stack() {
    let half = EXPRESSION_SIZE_BYTES_MAX / 2;
    let texts = [
        "!".repeat(16_000) + "true",
        "-".repeat(16_000) + "1",
        "(".repeat(16_000),
        "[".repeat(64) + &"]".repeat(64),
        "{1:".repeat(64) + "1" + &"}".repeat(64),
        "a".to_owned() + &".a".repeat(half - 1),
        "1".to_owned() + &"*1".repeat(half - 1),
        "1".to_owned() + &"+1".repeat(half - 1),
        "a".to_owned() + &"&&a".repeat(half / 2),
        "a?a:".repeat(4_000) + "a",
        format!("a{}", "[0]".repeat(5_000)),
        "a".to_owned() + &".f()".repeat(4_000),
        "'".repeat(16_000),
        "\"\"\"".repeat(5_000),
        "`".repeat(16_000),
        "//".repeat(8_000),
        "x".repeat(EXPRESSION_SIZE_BYTES_MAX + 1),
        "\u{0}".repeat(100),
        "é".repeat(8_000),
    ];
    for text in texts {
        let (expression, diagnostics) = parse(&text, &map(&text));
        if let (Some(expression), true) = (expression, diagnostics.is_empty()) {
            let environment = Environment::new().with("a", 0, Type::Dynamic);
            segno::expression::check(&expression, &environment);
            let code = compile(&expression, &environment);
            let mut host = NoHost;
            let values = vec![Value::Bool(true)];
            // Its value does not matter here, only that it ends.
            let _ = evaluate(&code, &values, &mut Context::new(&mut host));
        }
    }
}

fn run(text: &str, context: &mut Context) -> Result<Value, String> {
    let (expression, diagnostics) = parse(text, &map(text));
    assert!(diagnostics.is_empty(), "{text}: {diagnostics:?}");
    let code = compile(&expression.expect("a tree"), &Environment::new());
    evaluate(&code, &Vec::new(), context).map_err(|error| error.message)
}

fn cost_of(text: &str, list_costs: ListCosts) -> u64 {
    let mut host = NoHost;
    let mut context = Context::new(&mut host)
        .expression_cost_max(EXPRESSION_COST_RAISED_MAX)
        .list_costs(list_costs);
    let before = context.cost_left();
    run(text, &mut context).expect("a value");
    before - context.cost_left()
}

/// The ids of 10,000 orders, each once.
const IDS: &str = "lists.range(10000).map(i, 'order-' + string(i))";

#[test]
fn finding_equal_items_costs_in_proportion() {
    for text in [
        "lists.range(N).distinct().size()",
        "lists.range(N).map(i, {'id': i, 'of': [string(i)]}).distinct().size()",
        "lists.range(N).map(i, i % 2 == 0 ? i : double(i)).distinct().size()",
        "sets.contains(lists.range(N), lists.range(N).reverse())",
        "sets.equivalent(lists.range(N), lists.range(N).reverse())",
        "sets.intersects(lists.range(N), lists.range(N).map(i, i - N))",
    ] {
        let cost = |n: u32| cost_of(&text.replace('N', &n.to_string()), ListCosts::Linear);
        let (one, two, four) = (cost(500), cost(1_000), cost(2_000));
        assert!(
            two < one * 9 / 4 && four < two * 9 / 4,
            "{text}: {one}, {two}, {four}"
        );
    }
    let ids = format!("{IDS}.distinct().size()");
    assert!(cost_of(&ids, ListCosts::Linear) < EXPRESSION_COST_RAISED_MAX / 10);
}

#[test]
fn runs_that_began_with_the_older_costs_keep_them() {
    let text = "lists.range(450).distinct().size()";
    let mut host = NoHost;
    let mut context = Context::new(&mut host).list_costs(ListCosts::Pairwise);
    let error = run(text, &mut context).expect_err("a bound");
    assert!(error.contains("EXPRESSION_COST_MAX"), "{error}");
    let mut context = Context::new(&mut host);
    assert_eq!(run(text, &mut context), Ok(Value::Int(450)));
    // Each item, each pair, the list itself, and the parts of the expression.
    let cost = cost_of("lists.range(100).distinct()", ListCosts::Pairwise);
    assert_eq!(cost, 100 + 99 * 100 / 2 + 100 + 3);
}

#[test]
fn both_ways_of_finding_equal_items_agree() {
    let items = [
        "1",
        "1u",
        "1.0",
        "0.0",
        "-0.0",
        "0.0 / 0.0",
        "9007199254740993",
        "9007199254740992.0",
        "9007199254740992",
        "'a'",
        "b'a'",
        "[1, [2.0]]",
        "[1u, [2]]",
        "[0.0 / 0.0]",
        "{'a': 1, 'b': 2}",
        "{'b': 2.0, 'a': 1u}",
        "{1: 'x'}",
        "{1u: 'x'}",
        "true",
        "null",
        "optional.of(1)",
        "optional.of(1.0)",
        "optional.none()",
        "duration('1s')",
        "duration('1000ms')",
        "timestamp('2020-01-01T00:00:00Z')",
        "timestamp('2020-01-01T01:00:00+01:00')",
        "type(1)",
        "int",
        "[]",
        "{}",
        "''",
        "[[]]",
        "ip('1.2.3.4')",
        "ip('1.2.3.4')",
        "cidr('10.0.0.0/8')",
    ];
    let all = items.map(|item| format!("dyn({item})")).join(", ");
    let turned = items.iter().rev().map(|item| format!("dyn({item})"));
    let turned = turned.collect::<Vec<_>>().join(", ");
    for text in [
        format!("[{all}].distinct().size()"),
        format!("[{turned}].distinct().size()"),
        format!("[{all}].distinct().map(x, string(type(x)))"),
        format!("sets.contains([{all}], [{turned}])"),
        format!("sets.equivalent([{all}, 7], [{turned}, 8])"),
        format!("sets.intersects([{all}], [2, 3, 4, 5, 6, 7, 8, 9, 10, 'b', {{'a': 1}}])"),
    ] {
        let mut host = NoHost;
        let mut value =
            |list_costs| run(&text, &mut Context::new(&mut host).list_costs(list_costs));
        let (pairwise, linear) = (value(ListCosts::Pairwise), value(ListCosts::Linear));
        assert_eq!(pairwise, linear, "{text}");
        assert!(pairwise.is_ok(), "{text}: {pairwise:?}");
    }
}

#[test]
fn real_data_is_within_a_bound_that_a_definition_raises() {
    let rows =
        "lists.range(10000).map(i, {'id': 'order-' + string(i), 'amount': i, 'paid': i % 2 == 0})";
    let text = format!("{rows}.filter(o, o.paid).map(o, o.amount).sum()");
    let mut host = NoHost;
    let mut context = Context::new(&mut host);
    let error = run(&text, &mut context).expect_err("a bound");
    assert!(error.contains("`expression_cost_max` raises it"), "{error}");
    let mut context = Context::new(&mut host).expression_cost_max(WORKER_EXPRESSION_COST_MAX);
    assert_eq!(run(&text, &mut context), Ok(Value::Int(24_995_000)));
    let mut context = Context::new(&mut host).expression_cost_max(150_000);
    let error = run(&text, &mut context).expect_err("a bound");
    assert!(
        error.contains("the definition's `expression_cost_max` (150000)"),
        "{error}"
    );
}

/// The engine's flags, as histories have them.
const LINEAR_LISTS: u32 = 10;
const SCHEMA_CHECKS_BOUNDED: u32 = 11;

struct One(Arc<Loaded>);

impl Programs for One {
    fn load(&self, _: &[u8]) -> Result<Arc<Loaded>, String> {
        Ok(self.0.clone())
    }

    fn workflow_types(&self) -> Vec<String> {
        vec!["once".to_owned()]
    }
}

/// What a replay of a run with these flags comes to: its result, or why it fails.
fn replayed(definition: &str, flags: &[u32]) -> Result<Value, String> {
    let entry = BundleFile {
        path: "once.yaml".into(),
        text: definition.into(),
    };
    let bundle = Bundle::from_files("once", Versions::NEWEST, entry, 0, Vec::new()).unwrap();
    let bytes = bundle.encode().unwrap();
    let programs = One(segno::registry::load(&bytes).unwrap());
    let mut instance = Instance::new();
    let mut activate = |job| {
        let activation = Activation {
            now: Timestamp::default(),
            is_replaying: true,
            history_length: 3,
            history_size_bytes: 0,
            continue_as_new_suggested: false,
            flags: flags.to_vec(),
            jobs: vec![job],
        };
        instance.activate(activation, &programs).unwrap()
    };
    let initialize = Initialize {
        workflow_type: "once".to_owned(),
        ..Initialize::default()
    };
    let commands = activate(Job::Initialize(Box::new(initialize)));
    let seq = commands.iter().find_map(|command| match &command.kind {
        CommandKind::ScheduleLocalActivity(schedule) => Some(schedule.seq),
        _ => None,
    });
    let resolution = Resolution::Completed(Value::Bytes(bytes.into()));
    let seq = seq.expect("the definition is asked for");
    let commands = activate(Job::ResolveActivity { seq, resolution });
    let result = commands.iter().find_map(|command| match &command.kind {
        CommandKind::CompleteWorkflow(result) => Some(Ok(result.decode().unwrap())),
        CommandKind::FailWorkflow(failure) => Some(Err(failure.message.clone())),
        _ => None,
    });
    result.unwrap_or_else(|| panic!("the run has not ended: {commands:?}"))
}

#[test]
fn a_run_in_flight_is_replayed_at_the_costs_that_it_began_with() {
    let definition = "\
segno: 1
workflow: once
steps:
  - return: \"${ lists.range(1000).distinct().size() }\"
";
    let error = replayed(definition, &[]).expect_err("a bound");
    assert!(error.contains("EXPRESSION_COST_MAX"), "{error}");
    assert_eq!(replayed(definition, &[LINEAR_LISTS]), Ok(Value::Int(1_000)));
}

#[test]
fn a_run_in_flight_is_replayed_with_validations_as_they_were() {
    // A hundred branches look at each of the items.
    let branches: Vec<_> = (0..100)
        .map(|n| format!("{{ contains: {{ const: {n} }} }}"))
        .collect();
    let definition = format!(
        "segno: 1\nworkflow: once\noutput: {{ items: {{ anyOf: [{}] }} }}\nsteps:\n  - return: \"${{ cel.bind(row, lists.range(101).map(n, n < 100 ? 1000 + n : 99), lists.range(500).map(n, row)) }}\"\n",
        branches.join(", ")
    );
    let error = replayed(&definition, &[SCHEMA_CHECKS_BOUNDED]).expect_err("a bound");
    assert!(error.contains("SCHEMA_CHECKS_MAX"), "{error}");
    assert!(replayed(&definition, &[]).is_ok());
}
