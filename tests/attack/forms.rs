//! Every stored form that is read from outside refuses hostile bytes within its bound, on a stack as small as a worker's
//! thread has.

use segno::bundle::Bundle;
use segno::client::history_from_json;
use segno::engine::{Instance, Loaded, Programs};
use segno::payload::failure_from_proto;
use segno::value::{Value, parse_json};
use temporalio_protos::temporal::api::failure::v1::Failure;

const STACK_SIZE_BYTES: usize = 2 * 1024 * 1024;

struct None;

impl Programs for None {
    fn load(&self, _: &[u8]) -> Result<std::sync::Arc<Loaded>, String> {
        Err("nothing is here".to_owned())
    }

    fn workflow_types(&self) -> Vec<String> {
        Vec::new()
    }
}

fn snapshot(bytes: &[u8]) -> Result<(), String> {
    // A bundle of no bytes, and then the run.
    let bytes = [&[0], bytes].concat();
    Instance::restore(&bytes, &None).map(drop)
}

fn state(bytes: &[u8]) -> Result<(), String> {
    let read = segno::engine::from_stored::<Value>(bytes);
    read.map(drop).map_err(|error| error.to_string())
}

fn json(bytes: &[u8]) -> Result<(), String> {
    parse_json(bytes)
        .map(drop)
        .map_err(|error| error.to_string())
}

fn packed(bytes: &[u8]) -> Result<(), String> {
    let read = Bundle::decode(bytes);
    read.map(drop).map_err(|error| error.to_string())
}

fn history(bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    history_from_json(text)
        .map(drop)
        .map_err(|error| error.to_string())
}

fn failure(bytes: &[u8]) -> Result<(), String> {
    let read = <Failure as prost::Message>::decode(bytes).map_err(|error| error.to_string())?;
    drop(failure_from_proto(read));
    Ok(())
}

/// A history with a failure that has so many causes.
fn causes_in_json(times: usize) -> Vec<u8> {
    let event = "{\"events\":[{\"activityTaskFailedEventAttributes\":{\"failure\":";
    (event.to_owned() + &"{\"cause\":".repeat(times)).into_bytes()
}

/// A protobuf message whose field of this number is such a message, so often.
fn nested_message(field: u8, times: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..times {
        let mut outer = Vec::new();
        let mut length = bytes.len();
        outer.push(field << 3 | 2);
        while length >= 0x80 {
            outer.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.extend(bytes);
        bytes = outer;
    }
    bytes
}

#[test]
fn each_form_is_bounded() {
    type Read = fn(&[u8]) -> Result<(), String>;
    let zeros = |size: usize| zstd::bulk::compress(&vec![0; size], 19).unwrap();
    let files = zstd::bulk::compress(&[0x1a, 0].repeat(1 << 20), 19).unwrap();
    let table: Vec<(&str, Read, Vec<u8>, &str)> = vec![
        (
            "postcard: lists",
            state,
            [7, 1].repeat(1 << 19),
            "STATE_DEPTH_MAX",
        ),
        (
            "postcard: optionals",
            state,
            [14, 1].repeat(1 << 19),
            "STATE_DEPTH_MAX",
        ),
        (
            "postcard: a length without items",
            state,
            vec![7, 0xff, 0xff, 0xff, 0xff, 0x0f],
            "end",
        ),
        ("postcard: a run", snapshot, vec![7; 1 << 20], ""),
        ("JSON: lists", json, vec![b'['; 1 << 20], "VALUE_DEPTH_MAX"),
        (
            "JSON: objects",
            json,
            b"{\"a\":".repeat(1 << 18),
            "VALUE_DEPTH_MAX",
        ),
        (
            "JSON: a history",
            history,
            causes_in_json(1 << 18),
            "recursion limit",
        ),
        (
            "zstd: zeros",
            packed,
            zeros(64 << 20),
            "BUNDLE_SIZE_BYTES_MAX",
        ),
        ("zstd: cut off", packed, zeros(64 << 20)[..64].to_vec(), ""),
        ("protobuf: files", packed, files, "BUNDLE_FILES_MAX"),
        (
            "protobuf: causes",
            failure,
            nested_message(4, 10_000),
            "recursion limit",
        ),
    ];
    let thread = std::thread::Builder::new().stack_size(STACK_SIZE_BYTES);
    let test = thread.spawn(move || {
        for (what, read, bytes, bound) in table {
            let error = read(&bytes).expect_err(what);
            assert!(error.contains(bound), "{what}: {error}");
            assert!(error.len() < 4096, "{what}: {} bytes of error", error.len());
        }
    });
    test.unwrap().join().expect("no bytes overflow a stack");
}
