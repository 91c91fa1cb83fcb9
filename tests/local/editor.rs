//! The JSON Schema of the language in an editor: the YAML language server completes and checks definitions by it.

mod client;

use client::Client;

/// The schema of a file is named in its first line, or by the editor's setting for the folder `workflows`.
const FIRST_LINE: &str = "# yaml-language-server: $schema=../schemas/segno.schema.json\n";

const WRONG: &str = "\
segno: 1
workflow: wrong
steps:
  - child: other
    parent_close_policy: abandonned
    tsk_queue: elsewhere
";

const UNFINISHED: &str = "\
segno: 1
workflow: unfinished
steps:
  - child: other
    parent_close_policy: \n    \n";

#[test]
fn the_examples_have_no_problems() {
    let mut client = Client::start();
    for entry in std::fs::read_dir("workflows").unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            let text = std::fs::read_to_string(&path).unwrap();
            let problems = client.open(path.to_str().unwrap(), &text);
            assert!(problems.is_empty(), "{}: {problems:#?}", path.display());
        }
    }
}

#[test]
fn mistakes_in_a_test_are_underlined() {
    let mut client = Client::start();
    let text = "segno: 1\ntest: hello\nexpct: { result: hi }\n";
    let expected = ((2, 0, 5), "Property expct is not allowed.".to_owned());
    assert_eq!(client.open("workflows/wrong.test.yaml", text), [expected]);
}

#[test]
fn mistakes_are_underlined() {
    let mut client = Client::start();
    let expected = |first: u64| {
        let policies = "\"terminate\", \"abandon\", \"request_cancel\"";
        vec![
            (
                (first + 4, 25, 35),
                format!("Value is not accepted. Valid values: {policies}."),
            ),
            (
                (first + 5, 4, 13),
                "Property tsk_queue is not allowed.".to_owned(),
            ),
        ]
    };
    assert_eq!(client.open("workflows/wrong.yaml", WRONG), expected(0));
    let named = format!("{FIRST_LINE}{WRONG}");
    assert_eq!(client.open("docs/wrong.yaml", &named), expected(1));
    let neither = client.open("docs/unnamed.yaml", WRONG);
    assert!(neither.is_empty(), "{neither:#?}");
}

#[test]
fn keys_and_values_are_completed() {
    let mut client = Client::start();
    let file = "workflows/unfinished.yaml";
    client.open(file, UNFINISHED);
    let values: Vec<String> = client.complete(file, 4, 25).into_keys().collect();
    assert_eq!(values, ["abandon", "request_cancel", "terminate"]);

    let keys = client.complete(file, 5, 4);
    assert_eq!(
        keys["task_queue"],
        "The task queue of the child's workers. Default: the parent's."
    );
    assert!(keys.contains_key("compensate") && !keys.contains_key("parent_close_policy"));

    let file = "workflows/begun.yaml";
    client.open(file, "segno: 1\nworkflow: begun\nsteps:\n  - \n");
    let actions = client.complete(file, 3, 4);
    for action in ["activity", "child", "parallel", "wait", "return"] {
        assert!(actions.contains_key(action), "{action}: {actions:#?}");
    }
}
