//! One case of a suite: its expression parsed, checked and evaluated, the answer in the suite's typed form.

use serde_json::{Value as Json, json};

use super::typed;
use crate::diagnostic::Diagnostic;
use crate::expression::{Context, Environment, NoHost, Type, check, compile, evaluate, parse};
use crate::source::{Range, Sources, TextMap};
use crate::value::Value;

/// Answers one line of a batch; an error is a mistake in the line itself.
pub fn evaluate_line(line: &str) -> Result<Json, String> {
    let case: Json = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let text = case["expr"].as_str().ok_or("`expr` is missing")?;
    let (environment, values) = environment(&case)?;
    let mut sources = Sources::default();
    let file = sources.add("expression", text);
    let map = TextMap::verbatim(Range::new(file, 0, text.len() as u32));
    let failed = |stage: &str, message: &str, range: Range| {
        let column = sources.file(file).position(range.start).column;
        Ok(json!({"error": {"stage": stage, "message": message, "column": column}}))
    };
    let (expression, diagnostics) = parse(text, &map);
    let expression = match (expression, diagnostics.first()) {
        (Some(expression), None) => expression,
        (_, Some(first)) => return failed("parse", &first.message, first.range),
        (None, None) => return Err("the parser gave neither a tree nor a diagnostic".to_owned()),
    };
    let flag = |name: &str| case[name].as_bool().unwrap_or(false);
    let mut found = Type::Dynamic;
    if !flag("disable_check") {
        let (checked, diagnostics) = check(&expression, &environment);
        if let Some(first) = diagnostics.iter().find(|d: &&Diagnostic| d.is_error()) {
            return failed("check", &first.message, first.range);
        }
        found = checked;
    }
    let mut answer = json!({});
    if case.get("type_env").is_some() || case.get("deduced_type").is_some() {
        answer["type"] = typed::type_to_json(&found);
    }
    if flag("check_only") {
        return Ok(answer);
    }
    let code = compile(&expression, &environment);
    let mut host = NoHost;
    match evaluate(&code, &values, &mut Context::new(&mut host)) {
        Ok(value) => {
            answer["value"] = typed::to_json(&value)?;
            Ok(answer)
        }
        Err(error) => failed("evaluate", &error.message, error.range),
    }
}

/// The variables: those with declared types first, then those with only values.
fn environment(case: &Json) -> Result<(Environment, Vec<Value>), String> {
    let container = case["container"].as_str().unwrap_or("");
    let mut environment = Environment::new().container(container);
    let mut values = Vec::new();
    let empty = serde_json::Map::new();
    let bindings = case["bindings"].as_object().unwrap_or(&empty);
    let declared = case["type_env"].as_object().unwrap_or(&empty);
    for (name, entry) in declared {
        if let Some(overloads) = entry["overloads"].as_array() {
            for overload in overloads {
                environment = environment.declare(name.as_str(), typed::signature(name, overload)?);
            }
        }
    }
    for (name, value) in bindings {
        let declared = declared.get(name).and_then(|entry| entry.get("var"));
        let variable_type = declared.map_or(Ok(Type::Dynamic), typed::type_from_json)?;
        environment = environment.with(name.as_str(), values.len() as u32, variable_type);
        values.push(typed::from_json(value)?);
    }
    for (name, entry) in declared {
        if let (Some(variable), None) = (entry.get("var"), bindings.get(name)) {
            let variable_type = typed::type_from_json(variable)?;
            environment = environment.with(name.as_str(), u32::MAX, variable_type);
        }
    }
    Ok((environment, values))
}
