//! Tests of what changes do to a catalog.

use super::*;

fn put(workflow: &str, content: u8) -> Put {
    Put {
        workflow: workflow.to_owned(),
        digest: vec![content; 32],
        language_version: 1,
        ..Put::default()
    }
}

fn change(base: u64, puts: Vec<Put>) -> Change {
    Change {
        id: format!("change on {base}"),
        base,
        puts,
        ..Change::default()
    }
}

fn route(current: u32, ramp: u32, ramp_percent: u32, pinned: bool) -> Route {
    Route {
        workflow: "order".to_owned(),
        current,
        pinned,
        ramp,
        ramp_percent,
    }
}

fn with_versions(count: u8) -> Catalog {
    let mut catalog = Catalog::default();
    for base in 0..count {
        let change = change(u64::from(base), vec![put("order", base)]);
        assert_eq!(catalog.apply(&change, 0), Applied::Yes(u64::from(base) + 1));
    }
    catalog
}

fn current(catalog: &Catalog) -> u32 {
    let version = catalog.definition("order").unwrap().version_for("some id");
    version.unwrap().number
}

#[test]
fn a_version_is_numbered_once_and_comes_back_under_its_number() {
    let mut catalog = with_versions(2);
    assert_eq!(current(&catalog), 2);
    assert_eq!(
        catalog.apply(&change(2, vec![put("order", 0)]), 0),
        Applied::Yes(3)
    );
    assert_eq!(current(&catalog), 1);
    assert_eq!(catalog.definition("order").unwrap().versions.len(), 2);
}

#[test]
fn of_two_changes_on_one_revision_one_counts() {
    let mut catalog = with_versions(1);
    let mine = change(1, vec![put("order", 8)]);
    let theirs = Change {
        id: "theirs".to_owned(),
        ..change(1, vec![put("order", 9)])
    };
    assert_eq!(catalog.apply(&mine, 0), Applied::Yes(2));
    let before = catalog.clone();
    assert_eq!(catalog.apply(&theirs, 0), Applied::Stale);
    assert_eq!(catalog.apply(&mine, 0), Applied::Twice);
    assert_eq!(catalog, before);
}

#[test]
fn a_change_with_a_wrong_part_changes_nothing() {
    let mut catalog = with_versions(1);
    let before = catalog.clone();
    let wrong = Change {
        retired: vec!["unknown".to_owned()],
        ..change(1, vec![put("order", 7)])
    };
    let said = "the registry has no definition of unknown".to_owned();
    assert_eq!(catalog.apply(&wrong, 0), Applied::Invalid(said));
    assert_eq!(catalog, before);
    let anothers = Change {
        project: "billing".to_owned(),
        ..change(1, vec![put("order", 7)])
    };
    let said = "the workflow type order is already deployed by the project \"\"".to_owned();
    assert_eq!(catalog.apply(&anothers, 0), Applied::Invalid(said));
}

#[test]
fn a_pinned_type_gets_versions_that_new_runs_do_not() {
    let mut catalog = with_versions(2);
    let pin = Change {
        routes: vec![route(1, 0, 0, true)],
        ..change(2, vec![])
    };
    catalog.apply(&pin, 0);
    catalog.apply(&change(3, vec![put("order", 7)]), 0);
    assert_eq!(current(&catalog), 1);
    assert!(catalog.definition("order").unwrap().version(3).is_some());
}

#[test]
fn a_ramp_sends_its_share_and_always_the_same_ids() {
    let mut catalog = with_versions(2);
    let ramp = Change {
        routes: vec![route(1, 2, 10, false)],
        ..change(2, vec![])
    };
    catalog.apply(&ramp, 0);
    let order = catalog.definition("order").unwrap();
    let number = |i: u32| order.version_for(&format!("order-{i}")).unwrap().number;
    let ramped: Vec<u32> = (0..10_000).filter(|i| number(*i) == 2).collect();
    assert!((900..1100).contains(&ramped.len()), "{}", ramped.len());
    assert_eq!(ramped[..5], [13, 14, 19, 42, 58]);
}

#[test]
fn what_new_runs_get_is_not_deleted_and_no_number_is_given_twice() {
    let mut catalog = with_versions(2);
    let delete = |base, number| Change {
        deleted: vec![VersionName {
            workflow: "order".to_owned(),
            number,
        }],
        ..change(base, vec![])
    };
    let said = "new runs get order@2".to_owned();
    assert_eq!(catalog.apply(&delete(2, 2), 0), Applied::Invalid(said));
    assert_eq!(catalog.apply(&delete(2, 1), 0), Applied::Yes(3));
    catalog.apply(&change(3, vec![put("order", 0)]), 0);
    assert_eq!(current(&catalog), 3);
}

/// Not even if all versions of a type were deleted.
#[test]
fn numbers_never_begin_anew() {
    let mut catalog = with_versions(2);
    let delete_all = Change {
        retired: vec!["order".to_owned()],
        deleted: [1, 2]
            .map(|number| VersionName {
                workflow: "order".to_owned(),
                number,
            })
            .to_vec(),
        ..change(2, vec![])
    };
    assert_eq!(catalog.apply(&delete_all, 0), Applied::Yes(3));
    catalog.apply(&change(3, vec![put("order", 7)]), 0);
    assert_eq!(current(&catalog), 3);
}

/// A log of a Segno that forgot a type with its last version: what it routed to afterwards exists.
#[test]
fn a_log_without_numbers_is_folded_as_it_was_made() {
    let mut catalog = with_versions(1);
    let delete = Change {
        retired: vec!["order".to_owned()],
        deleted: vec![VersionName {
            workflow: "order".to_owned(),
            number: 1,
        }],
        ..change(1, vec![])
    };
    let pin = Change {
        routes: vec![route(1, 0, 0, true)],
        ..change(3, vec![])
    };
    let again = change(2, vec![put("order", 7)]);
    let log = [delete, again, pin];
    let applied = log.map(|change| catalog.apply_logged(&change, 0));
    assert_eq!(applied, [2, 3, 4].map(Applied::Yes));
    assert_eq!(current(&catalog), 1);
    // A deployment now sends numbers.
    let next = catalog.numbered(change(4, vec![put("order", 8)]));
    assert_eq!(next.puts[0].number, 2);
}

/// A change that was lost before it leaves a gap.
#[test]
fn a_numbered_change_keeps_its_numbers() {
    let whole = with_versions(2);
    let third = whole.numbered(change(
        2,
        vec![put("order", 7), put("bill", 1), put("order", 0)],
    ));
    assert_eq!(
        third.puts.iter().map(|p| p.number).collect::<Vec<_>>(),
        [3, 1, 1]
    );
    let mut damaged = with_versions(1);
    damaged.state.revision = 2;
    assert_eq!(damaged.apply(&third, 0), Applied::Yes(3));
    let order = damaged.definition("order").unwrap();
    assert_eq!(
        order.versions.iter().map(|v| v.number).collect::<Vec<_>>(),
        [1, 3]
    );
    let last = Put {
        number: u32::MAX,
        ..put("order", 8)
    };
    assert_eq!(damaged.apply(&change(3, vec![last]), 0), Applied::Yes(4));
    let said = "order has no version numbers left".to_owned();
    assert_eq!(
        damaged.apply(&change(4, vec![put("order", 9)]), 0),
        Applied::Invalid(said)
    );
}

#[test]
fn a_bundle_that_is_stored_again_changes_nothing_else() {
    let mut catalog = with_versions(2);
    let data = Data {
        pieces: vec![vec![1; 32]],
    };
    let mended = [("order", 0), ("order", 9), ("bill", 1)].map(|(workflow, content)| Put {
        segment: Some(data.clone()),
        index: 3,
        ..put(workflow, content)
    });
    let mend = Change {
        mended: mended.to_vec(),
        ..change(2, vec![])
    };
    assert_eq!(catalog.apply(&mend, 0), Applied::Yes(3));
    let first = catalog.definition("order").unwrap().version(1).unwrap();
    assert_eq!(
        (&first.segment, first.index, first.mended),
        (&Some(data), 3, 3)
    );
    assert_eq!(
        (current(&catalog), catalog.state.log[2].mended.len()),
        (2, 1)
    );
}

#[test]
fn a_retired_type_has_no_new_runs_until_it_is_deployed_again() {
    let mut catalog = with_versions(1);
    let retire = Change {
        retired: vec!["order".to_owned()],
        ..change(1, vec![])
    };
    catalog.apply(&retire, 0);
    assert_eq!(catalog.definition("order").unwrap().version_for("id"), None);
    catalog.apply(&change(2, vec![put("order", 0)]), 0);
    assert_eq!(current(&catalog), 1);
}

#[test]
fn names_lead_to_versions() {
    let mut catalog = with_versions(2);
    let tag = Change {
        tags: vec![TagChange {
            workflow: "order".to_owned(),
            name: "stable".to_owned(),
            number: 1,
        }],
        ..change(2, vec![])
    };
    catalog.apply(&tag, 0);
    let find = |text: &str| {
        let query = text.parse::<VersionQuery>().map_err(|e| e.to_string())?;
        let found = catalog.find(&query).map_err(|e| e.to_string())?;
        Ok::<u32, String>(found.1.number)
    };
    assert_eq!(find("order"), Ok(2));
    assert_eq!(find("order@1"), Ok(1));
    assert_eq!(find("order@stable"), Ok(1));
    let said = "order has no version \"9\"; it has 1, 2, stable";
    assert_eq!(find("order@9"), Err(said.to_owned()));
    let said = "the registry has no definition of ordr; did you mean order?";
    assert_eq!(find("ordr"), Err(said.to_owned()));
    assert!(find("@2").unwrap_err().contains("is not a version"));
}

#[test]
fn old_records_go_into_pages() {
    let mut catalog = Catalog::default();
    for base in 0..REGISTRY_RECORDS_MAX as u64 + 3 {
        catalog.apply(&change(base, vec![]), 0);
    }
    let page = catalog.take_old_records().unwrap();
    assert_eq!(page.log.len(), 3);
    assert_eq!(catalog.state.log[0].revision, 4);
    assert_eq!(catalog.take_old_records(), None);
}

fn due(workflows: &[&str], namespace: &str) -> DueSchedules {
    DueSchedules {
        workflows: workflows.iter().map(|w| (*w).to_owned()).collect(),
        namespace_id: namespace.to_owned(),
        ..DueSchedules::default()
    }
}

#[test]
fn schedules_are_due_until_somebody_says_that_they_are_there() {
    let mut catalog = Catalog::default();
    let mut say = |base: u64, said: Option<DueSchedules>, made: &[u64]| {
        let change = Change {
            due_schedules: said,
            made_schedules: made.to_vec(),
            ..change(base, vec![])
        };
        assert_eq!(catalog.apply(&change, 0), Applied::Yes(base + 1));
        let due = catalog.state.due_schedules.iter();
        due.map(|due| due.revision).collect::<Vec<_>>()
    };
    assert_eq!(say(0, Some(due(&["order"], "one")), &[]), [1]);
    assert_eq!(say(1, Some(due(&["order"], "two")), &[]), [1, 2]);
    assert_eq!(say(2, Some(due(&["bill"], "one")), &[]), [1, 2, 3]);
    // They belong to a later change in the same namespace.
    assert_eq!(say(3, Some(due(&["bill", "order"], "one")), &[]), [2, 4]);
    assert_eq!(say(4, None, &[1, 2]), [4]);
    assert_eq!(say(5, None, &[4]), [0; 0]);
    // That they exist is not reported to people.
    assert_eq!(catalog.state.log.len(), 4);
}
