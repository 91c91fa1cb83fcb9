//! Namespaces and search attributes: made, shown, changed and taken away.

use serde_json::{Value, json};

use super::support::cluster::Cluster;
use super::support::run::Run;
use super::support::until;

fn segno(arguments: &[&str]) -> Run {
    Cluster::get().segno(arguments)
}

fn describe(name: &str) -> Value {
    let describe = ["namespace", "describe", name, "--output", "json"];
    segno(&describe).ok().json()
}

#[test]
fn a_namespace_is_registered_changed_and_deleted() {
    let words = [
        "--retention",
        "5d",
        "--description",
        "The night shift",
        "--email",
        "night@example.org",
    ];
    let data = ["--data", "team=night", "--data", "floor=3"];
    let register = ["namespace", "register", "night"];
    let registered = segno(&[&register[..], &words, &data].concat()).ok();
    assert_eq!(registered.stdout, "night was registered\n");
    let night = describe("night");
    assert_eq!(night["state"], "REGISTERED");
    assert_eq!(night["retention"], "432000s");
    assert_eq!(night["description"], "The night shift");
    assert_eq!(night["ownerEmail"], "night@example.org");
    assert_eq!(night["data"], json!({ "floor": "3", "team": "night" }));
    assert_eq!(night["historyArchival"]["enabled"], false);

    let again = segno(&register);
    assert!(
        again.code == 1 && again.stderr.contains("\"night\" already exists"),
        "{again:#?}"
    );

    let change = [
        "namespace",
        "update",
        "night",
        "--retention",
        "30d",
        "--data",
        "floor=4",
    ];
    segno(&change).ok();
    let changed = until("the change", || {
        Some(describe("night")).filter(|n| n["retention"] == "2592000s")
    });
    assert_eq!(changed["description"], "The night shift");
    assert_eq!(changed["ownerEmail"], "night@example.org");
    assert_eq!(changed["data"], json!({ "floor": "4", "team": "night" }));

    let list = segno(&["namespace", "list", "--output", "json"])
        .ok()
        .json();
    let names: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n["name"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"default") && names.contains(&"night"),
        "{names:?}"
    );

    let careless = segno(&["namespace", "delete", "night"]);
    assert!(
        careless.code == 2 && careless.stderr.contains("--yes"),
        "{careless:#?}"
    );
    segno(&["namespace", "delete", "night", "--yes"]).ok();
    until("the end of the namespace", || {
        let gone = segno(&["namespace", "describe", "night"]);
        (gone.code == 1 && gone.stderr.contains("there is no namespace \"night\"")).then_some(())
    });
}

#[test]
fn search_attributes_are_created_listed_and_removed() {
    let list = || {
        segno(&["search-attribute", "list", "--output", "json"])
            .ok()
            .json()
    };
    let create = [
        "search-attribute",
        "create",
        "--name",
        "Customer",
        "--name",
        "Region",
        "--type",
        "Keyword",
    ];
    segno(&create).ok();
    let listed = until("the attributes", || {
        Some(list()).filter(|l| l["custom"]["Region"] == "Keyword")
    });
    assert_eq!(listed["custom"]["Customer"], "Keyword");
    assert_eq!(listed["system"]["WorkflowId"], "Keyword");
    let other = segno(&[
        "search-attribute",
        "create",
        "--name",
        "Customer",
        "--type",
        "Int",
    ]);
    assert!(
        other.code == 1 && other.stderr.contains("already exists, as Keyword"),
        "{other:#?}"
    );
    segno(&["search-attribute", "remove", "--name", "Customer"]).ok();
    until("the removal", || {
        Some(list()).filter(|l| l["custom"]["Customer"].is_null())
    });
}
