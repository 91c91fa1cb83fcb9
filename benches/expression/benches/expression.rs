//! Four expressions, each compiled once and evaluated many times, here and in the crates `cel`, `cel-core` and `jaq`,
//! over the same data. Run by `cargo bench -p segno-bench-expression`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value as Json, json};

struct Case {
    name: &'static str,
    cel: String,
    jq: String,
    data: Json,
}

fn cases() -> Vec<Case> {
    let items: Vec<Json> = (0..20)
        .map(|i| json!({"sku": format!("sku-{i}"), "price": i, "quantity": i % 5 + 1}))
        .collect();
    let entries: Vec<String> = (0..200)
        .map(|i| match i % 4 {
            0 => format!("\"field_{i}\": a.b.c"),
            1 => format!("\"field_{i}\": \"text {i}\""),
            2 => format!("\"field_{i}\": {i}"),
            _ => format!("\"field_{i}\": name"),
        })
        .collect();
    let object = format!("{{{}}}", entries.join(", "));
    let case = |name, cel: &str, jq: &str, data| Case {
        name,
        cel: cel.to_owned(),
        jq: jq.to_owned(),
        data,
    };
    vec![
        case(
            "condition",
            "a.b.c == 3 && d in [1, 2, 3]",
            "(.a.b.c == 3) and (.d as $d | any((1, 2, 3); . == $d))",
            json!({"a": {"b": {"c": 3}}, "d": 2}),
        ),
        case(
            "items",
            "items.filter(i, i.price > 10).map(i, i.price * i.quantity)",
            "[.items[] | select(.price > 10) | .price * .quantity]",
            json!({ "items": items }),
        ),
        case(
            "text",
            "name + \"-\" + string(x)",
            ".name + \"-\" + (.x | tostring)",
            json!({"name": "order", "x": 42}),
        ),
        case(
            "object",
            &object,
            &object
                .replace("a.b.c", ".a.b.c")
                .replace(": name", ": .name"),
            json!({"a": {"b": {"c": 3}}, "name": "order"}),
        ),
    ]
}

fn segno(c: &mut Criterion, case: &Case) {
    use segno::expression::{Context, Environment, NoHost, Type, compile, evaluate, parse};
    use segno::source::{FileId, Range, TextMap};
    let map = TextMap::verbatim(Range::new(FileId(0), 0, case.cel.len() as u32));
    let (expression, diagnostics) = parse(&case.cel, &map);
    let expression = expression.unwrap_or_else(|| panic!("{diagnostics:?}"));
    let mut environment = Environment::new();
    let mut values = Vec::new();
    for (name, value) in case.data.as_object().expect("an object") {
        environment = environment.with(name.as_str(), values.len() as u32, Type::Dynamic);
        values.push(segno::value::from_json(value).expect("a value"));
    }
    let code = compile(&expression, &environment);
    let mut host = NoHost;
    c.bench_function(&format!("{}/segno", case.name), |b| {
        b.iter(|| {
            let mut context = Context::new(&mut host);
            black_box(evaluate(&code, black_box(&values), &mut context).expect("a value"))
        });
    });
}

fn cel(c: &mut Criterion, case: &Case) {
    let program = cel::Program::compile(&case.cel).expect("a program");
    let mut context = cel::Context::default();
    for (name, value) in case.data.as_object().expect("an object") {
        context
            .add_variable(name.clone(), value)
            .expect("a variable");
    }
    program.execute(&context).expect("a value");
    c.bench_function(&format!("{}/cel", case.name), |b| {
        b.iter(|| black_box(program.execute(black_box(&context)).expect("a value")));
    });
}

fn cel_core(c: &mut Criterion, case: &Case) {
    use cel_core::{CelType, Env, MapActivation, MapKey, Value, ValueMap};
    fn value(json: &Json) -> Value {
        match json {
            Json::Number(number) => number.as_i64().expect("an integer").into(),
            Json::String(text) => text.as_str().into(),
            Json::Array(items) => items.iter().map(value).collect::<Vec<Value>>().into(),
            Json::Object(fields) => Value::Map(std::sync::Arc::new(ValueMap::from_entries(
                fields
                    .iter()
                    .map(|(name, field)| (MapKey::from(name.as_str()), value(field))),
            ))),
            other => panic!("no case has {other}"),
        }
    }
    let mut env = Env::with_standard_library();
    let mut activation = MapActivation::new();
    for (name, data) in case.data.as_object().expect("an object") {
        env = env.with_variable(name.as_str(), CelType::Dyn);
        activation.insert(name.as_str(), value(data));
    }
    let ast = env.compile(&case.cel).expect("a checked expression");
    let program = env.program(&ast).expect("a program");
    c.bench_function(&format!("{}/cel-core", case.name), |b| {
        b.iter(|| black_box(program.eval(black_box(&activation))));
    });
}

fn jaq(c: &mut Criterion, case: &Case) {
    use jaq_core::load::{Arena, File, Loader};
    use jaq_core::{Compiler, Ctx, Vars, data, unwrap_valr};
    use jaq_json::{Val, read};
    let input = read::parse_single(case.data.to_string().as_bytes()).expect("a value");
    let program = File {
        code: case.jq.as_str(),
        path: (),
    };
    let defs = jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs());
    let funs = jaq_core::funs()
        .chain(jaq_std::funs())
        .chain(jaq_json::funs());
    let loader = Loader::new(defs);
    let arena = Arena::default();
    let modules = loader.load(&arena, program).expect("a filter");
    let filter = Compiler::default()
        .with_funs(funs)
        .compile(modules)
        .expect("a filter");
    c.bench_function(&format!("{}/jaq", case.name), |b| {
        b.iter(|| {
            let ctx = Ctx::<data::JustLut<Val>>::new(&filter.lut, Vars::new([]));
            let mut out = filter.id.run((ctx, input.clone())).map(unwrap_valr);
            black_box(out.next().expect("an output").expect("a value"))
        });
    });
}

fn all(c: &mut Criterion) {
    for case in cases() {
        segno(c, &case);
        cel(c, &case);
        cel_core(c, &case);
        jaq(c, &case);
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
