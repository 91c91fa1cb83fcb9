//! The typed JSON form of values and types in suites of cases: exact and unambiguous.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use crate::expression::{Signature, Type};
use crate::value::{Cidr, Duration, Key, Map, Timestamp, Value};

pub(crate) fn to_json(value: &Value) -> Result<Json, String> {
    Ok(match value.force().map_err(|error| error.0)? {
        Value::Null => json!({"null": null}),
        Value::Bool(b) => json!({ "bool": b }),
        Value::Int(i) => json!({ "int": i }),
        Value::Uint(u) => json!({ "uint": u }),
        Value::Double(d) => json!({ "double": double_text(*d) }),
        Value::String(text) => json!({ "string": &**text }),
        Value::Bytes(bytes) => json!({ "bytes": STANDARD.encode(bytes) }),
        Value::List(items) => {
            let items: Result<Vec<Json>, String> = items.iter().map(to_json).collect();
            json!({ "list": items? })
        }
        Value::Map(map) => {
            let entry = |(key, value): (&Key, &Value)| {
                Ok(json!([to_json(&key.to_value())?, to_json(value)?]))
            };
            let entries: Result<Vec<Json>, String> = map.iter().map(entry).collect();
            json!({ "map": entries? })
        }
        Value::Type(name) => json!({ "type": &**name }),
        Value::Timestamp(t) => json!({ "timestamp": t.to_string() }),
        Value::Duration(d) => json!({ "duration": d.to_string() }),
        Value::Ip(ip) => json!({ "ip": ip.to_string() }),
        Value::Cidr(cidr) => json!({ "cidr": cidr.to_string() }),
        Value::Optional(None) => json!({ "optional": null }),
        Value::Optional(Some(inner)) => json!({ "optional": to_json(inner)? }),
        Value::Encoded(_) => return Err("a payload was not decoded".to_owned()),
    })
}

fn double_text(d: f64) -> String {
    match d {
        d if d.is_nan() => "NaN".to_owned(),
        d if d.is_infinite() => if d > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        d => format!("{d:?}"),
    }
}

pub(crate) fn from_json(json: &Json) -> Result<Value, String> {
    let wrong = || format!("not a typed value: {json}");
    let (kind, inner) = json
        .as_object()
        .and_then(|o| o.iter().next())
        .ok_or_else(wrong)?;
    let text = || inner.as_str().ok_or_else(wrong);
    Ok(match kind.as_str() {
        "null" => Value::Null,
        "bool" => Value::Bool(inner.as_bool().ok_or_else(wrong)?),
        "int" => Value::Int(inner.as_i64().ok_or_else(wrong)?),
        "uint" => Value::Uint(inner.as_u64().ok_or_else(wrong)?),
        "double" => Value::Double(match inner {
            Json::Number(number) => number.as_f64().ok_or_else(wrong)?,
            _ => text()?.parse().map_err(|_| wrong())?,
        }),
        "string" => Value::from(text()?),
        "bytes" => Value::Bytes(STANDARD.decode(text()?).map_err(|_| wrong())?.into()),
        "list" => {
            let items = inner.as_array().ok_or_else(wrong)?;
            let items: Result<Vec<Value>, String> = items.iter().map(from_json).collect();
            Value::list(items?)
        }
        "map" => {
            let mut map = Map::new();
            for entry in inner.as_array().ok_or_else(wrong)? {
                let key = Key::from_value(&from_json(&entry[0])?).ok_or_else(wrong)?;
                map.insert(key, from_json(&entry[1])?);
            }
            Value::map(map)
        }
        "type" => Value::Type(text()?.into()),
        "timestamp" => Value::Timestamp(Timestamp::parse(text()?).ok_or_else(wrong)?),
        "duration" => Value::Duration(Duration::parse(text()?)?),
        "ip" => Value::Ip(text()?.parse().map_err(|_| wrong())?),
        "cidr" => {
            let (address, length) = text()?.split_once('/').ok_or_else(wrong)?;
            let address = address.parse().map_err(|_| wrong())?;
            let length = length.parse().map_err(|_| wrong())?;
            Value::Cidr(Cidr::new(address, length).ok_or_else(wrong)?)
        }
        "optional" if inner.is_null() => Value::Optional(None),
        "optional" => Value::Optional(Some(from_json(inner)?.into())),
        _ => return Err(wrong()),
    })
}

pub(crate) fn type_to_json(found: &Type) -> Json {
    match found {
        Type::Dynamic | Type::Never | Type::Union(_) => json!("dyn"),
        Type::Null => json!("null_type"),
        Type::Timestamp => json!("google.protobuf.Timestamp"),
        Type::Duration => json!("google.protobuf.Duration"),
        Type::List(item) => json!({ "list": type_to_json(item) }),
        Type::Map(key, value) => json!({ "map": [type_to_json(key), type_to_json(value)] }),
        Type::Object(object) => json!({ "map": ["string", type_to_json(&object.values())] }),
        Type::Optional(inner) => {
            json!({ "abstract": "optional_type", "params": [type_to_json(inner)] })
        }
        Type::Abstract(name, parameters) => {
            let parameters: Vec<Json> = parameters.iter().map(type_to_json).collect();
            json!({ "abstract": &**name, "params": parameters })
        }
        Type::Parameter(name) => json!({ "type_param": &**name }),
        Type::Type => json!({ "type": "dyn" }),
        simple => json!(simple.to_string()),
    }
}

pub(crate) fn type_from_json(json: &Json) -> Result<Type, String> {
    if let Some(name) = json.as_str() {
        return Ok(match name {
            "null_type" => Type::Null,
            "bool" => Type::Bool,
            "int" => Type::Int,
            "uint" => Type::Uint,
            "double" => Type::Double,
            "string" => Type::String,
            "bytes" => Type::Bytes,
            "google.protobuf.Timestamp" | "timestamp" => Type::Timestamp,
            "google.protobuf.Duration" | "duration" => Type::Duration,
            "type" => Type::Type,
            _ => Type::Dynamic,
        });
    }
    let list = |name: &str| json[name].as_array();
    if json.get("list").is_some() {
        return Ok(Type::list(type_from_json(&json["list"])?));
    }
    if let Some([key, value]) = list("map").map(Vec::as_slice) {
        return Ok(Type::map(type_from_json(key)?, type_from_json(value)?));
    }
    if let Some(name) = json["type_param"].as_str() {
        return Ok(Type::Parameter(name.into()));
    }
    if json.get("type").is_some() {
        return Ok(Type::Type);
    }
    if let Some(name) = json["abstract"].as_str() {
        let parameters: Result<Vec<Type>, String> = list("params")
            .into_iter()
            .flatten()
            .map(type_from_json)
            .collect();
        return Ok(match (name, &parameters?[..]) {
            ("optional_type", [inner]) => Type::optional(inner.clone()),
            (name, parameters) => Type::Abstract(name.into(), parameters.into()),
        });
    }
    // The wrappers of protobuf's JSON values may be null.
    Ok(match json["json"].as_str() {
        Some("google.protobuf.BoolValue") => Type::Bool.nullable(),
        Some("google.protobuf.StringValue") => Type::String.nullable(),
        Some("google.protobuf.BytesValue") => Type::Bytes.nullable(),
        Some("google.protobuf.Int32Value" | "google.protobuf.Int64Value") => Type::Int.nullable(),
        Some("google.protobuf.UInt32Value" | "google.protobuf.UInt64Value") => {
            Type::Uint.nullable()
        }
        Some("google.protobuf.FloatValue" | "google.protobuf.DoubleValue") => {
            Type::Double.nullable()
        }
        Some("google.protobuf.ListValue") => Type::list(Type::Dynamic),
        Some("google.protobuf.Struct") => Type::map(Type::String, Type::Dynamic),
        _ => Type::Dynamic,
    })
}

pub(crate) fn signature(name: &str, overload: &Json) -> Result<Signature, String> {
    let parameters = overload["params"].as_array().ok_or("`params` is missing")?;
    let parameters: Result<Vec<Type>, String> = parameters.iter().map(type_from_json).collect();
    Ok(Signature {
        name: name.into(),
        member: overload["member"].as_bool().unwrap_or(false),
        parameters: parameters?,
        variadic: false,
        result: type_from_json(&overload["result"])?,
    })
}
