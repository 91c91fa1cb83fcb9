//! Records histories for the corpus that `tests/local/golden.rs` replays. What is recorded stays as it is.

use serde_json::Value as Json;

use super::root;

/// With it, histories that the corpus lacks are recorded.
const VARIABLE: &str = "SEGNO_RECORD";
/// It is done once for each.
const ZSTD_LEVEL: i32 = 19;
/// Longer ones say no more than short ones.
const FILE_SIZE_BYTES_MAX: usize = 32 * 1024;
const UNPACKED_SIZE_BYTES_MAX: usize = 64 << 20;

pub fn is_wanted() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// One history a line, in the JSON of Temporal's own tools.
pub fn record(name: &str, histories: impl IntoIterator<Item = Json>) {
    let path = root().join(format!("tests/golden/{name}.json.zst"));
    if path.exists() {
        return;
    }
    let line = |mut history: Json| {
        forget_where(&mut history);
        format!("{history}\n")
    };
    let text: String = histories.into_iter().map(line).collect();
    let packed = zstd::bulk::compress(text.as_bytes(), ZSTD_LEVEL).unwrap();
    if packed.len() <= FILE_SIZE_BYTES_MAX {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, packed).unwrap();
    }
}

/// What is recorded there, a history a line; what is missing is told by `tests/local/golden.rs`.
pub fn recorded(name: &str) -> String {
    let Ok(packed) = std::fs::read(root().join(format!("tests/golden/{name}.json.zst"))) else {
        return String::new();
    };
    let text = zstd::bulk::decompress(&packed, UNPACKED_SIZE_BYTES_MAX).unwrap();
    String::from_utf8(text).unwrap()
}

/// Names of machines and places of files say nothing.
fn forget_where(json: &mut Json) {
    match json {
        Json::Array(items) => items.iter_mut().for_each(forget_where),
        Json::Object(fields) => {
            if fields.get("kind") == Some(&Json::from("TASK_QUEUE_KIND_STICKY")) {
                fields.insert("name".to_owned(), Json::from("sticky"));
            }
            for (name, value) in fields {
                match name.as_str() {
                    "identity" | "stackTrace" => *value = Json::from(""),
                    _ => forget_where(value),
                }
            }
        }
        _ => {}
    }
}
