//! Each example from its start to its end, as its users drive it. A scenario holds whatever happens to the worker
//! meanwhile, and gives the workflows that it ran.

use serde_json::{Value, json};

use super::support::endpoint::{Endpoint, POLLS_PENDING};
use super::support::until;
use super::support::worker::{Worker, Workflow, count};

pub type Scenario = for<'a> fn(&'a Worker) -> Vec<Workflow<'a>>;

pub const ALL: [(&str, Scenario); 10] = [
    ("hello", hello),
    ("order-fulfilment", order_fulfilment),
    ("approval", approval),
    ("money-transfer", money_transfer),
    ("fan-out", fan_out),
    ("poll-endpoint", poll_endpoint),
    ("subscription", subscription),
    ("parent-and-children", parent_and_children),
    ("signal-or-timer", signal_or_timer),
    ("account", account),
];

fn hello(worker: &Worker) -> Vec<Workflow<'_>> {
    let hello = worker.launch("hello", &json!({ "name": "Ada" }));
    assert_eq!(hello.result(), "Hello, Ada!");
    vec![hello]
}

fn order_fulfilment(worker: &Worker) -> Vec<Workflow<'_>> {
    let item = |n: usize| json!({ "sku": format!("article-{n}"), "price": 2.5, "quantity": n % 3 });
    let few: Vec<Value> = (1..=3).map(item).collect();
    let small = worker.launch(
        "order-fulfilment",
        &json!({ "order_id": worker.cluster.unique("order"), "items": few }),
    );

    let many: Vec<Value> = (1..=101).map(item).collect();
    let id = worker.cluster.unique("order");
    let large = worker.launch(
        "order-fulfilment",
        &json!({ "order_id": id, "items": many }),
    );
    large.query_until("status", |status| status == "awaiting approval");
    assert_eq!(
        large.query("line_total", Some(&json!({ "sku": "article-2" }))),
        5.0
    );
    assert_eq!(
        large.update("change_address", &json!({ "address": "Elm Street 1" })),
        Ok(json!("Elm Street 1"))
    );
    large.signal("approve", &json!({ "by": "Grace" }));
    for order in [&small, &large] {
        let tracking = order.result()["tracking"].clone();
        assert!(tracking.as_str().unwrap().starts_with("T-"), "{tracking}");
    }
    assert_eq!(large.query("status", None), "shipped");
    vec![small, large]
}

fn approval(worker: &Worker) -> Vec<Workflow<'_>> {
    let input = json!({ "request": "A new desk", "approver": "Grace", "remind_every": "200ms", "expires_after": "1h" });
    let asked = worker.launch("approval", &input);
    asked.query_until("status", |status| status["reminders"].as_i64() >= Some(2));
    asked.signal("decide", &json!({ "approved": true, "by": "Grace" }));
    let result = asked.result();
    assert_eq!(
        (&result["decision"], &result["by"]),
        (&json!("approved"), &json!("Grace"))
    );
    assert!(result["reminders"].as_i64() >= Some(2), "{result}");

    let input = json!({ "request": "A desk of gold", "approver": "Grace", "remind_every": "1h", "expires_after": "300ms" });
    let expired = worker.launch("approval", &input);
    assert_eq!(
        expired.result(),
        json!({ "decision": "expired", "by": null, "reminders": 0 })
    );
    vec![asked, expired]
}

fn money_transfer(worker: &Worker) -> Vec<Workflow<'_>> {
    let moved = worker.launch(
        "money-transfer",
        &json!({ "from": "a", "to": "b", "amount": 500, "reference": "r1" }),
    );
    let returned = worker.launch(
        "money-transfer",
        &json!({ "from": "a", "to": "b-closed", "amount": 500, "reference": "r2" }),
    );
    assert_eq!(
        moved.result(),
        json!({ "withdrawal": "W-94dd5a4c", "deposit": "D-8969091b" })
    );
    let end = returned.end();
    assert_eq!(end["status"], "FAILED", "{end:#}");
    assert_eq!(end["failure"]["type"], "TransferFailed");
    assert_eq!(
        end["failure"]["message"],
        "b-closed cannot take the money: b-closed is closed"
    );
    assert_eq!(
        end["failure"]["details"],
        json!({ "reason": "NoSuchAccount", "returned_to": "a" })
    );
    let bookings = count(
        &returned.history(None),
        "EVENT_TYPE_ACTIVITY_TASK_COMPLETED",
    );
    assert_eq!(bookings, 2, "taken, and put back");
    vec![moved, returned]
}

fn fan_out(worker: &Worker) -> Vec<Workflow<'_>> {
    let images: Vec<String> = (10..30).map(|n| format!("image-{n}")).collect();
    let fan = worker.launch("fan-out", &json!({ "images": images, "concurrency": 3 }));
    assert_eq!(fan.result(), json!({ "count": 20, "bytes": 20 * 1008 }));
    assert_eq!(fan.query("progress", None), json!({ "done": 20, "of": 20 }));
    vec![fan]
}

fn poll_endpoint(worker: &Worker) -> Vec<Workflow<'_>> {
    let endpoint = Endpoint::start();
    let job = endpoint.url(&worker.cluster.unique("job"));
    let poll = worker.launch(
        "poll-endpoint",
        &json!({ "url": job, "poll_every": "200ms" }),
    );
    let result = poll.result();
    assert_eq!(result["result"], json!({ "rows": 42 }));
    // A poll whose worker was killed is not counted.
    let polls = result["polls"].as_u64().unwrap();
    assert!((1..=u64::from(POLLS_PENDING)).contains(&polls), "{result}");
    vec![poll]
}

fn subscription(worker: &Worker) -> Vec<Workflow<'_>> {
    let year = worker.launch(
        "subscription",
        &json!({ "customer": "ada", "amount": 900, "period": "50ms" }),
    );
    let cancelled = worker.launch(
        "subscription",
        &json!({ "customer": "bob", "amount": 900, "period": "2s" }),
    );
    let refused = cancelled.update("change_amount", &json!({ "amount": 0 }));
    assert!(
        refused.clone().unwrap_err().contains("more than nothing"),
        "{refused:?}"
    );
    cancelled.signal("cancel", &Value::Null);
    assert_eq!(year.result(), json!({ "months": 12, "charged": 12 * 900 }));
    assert_eq!(year.histories().len(), 12);
    // Where its worker is killed meanwhile, it may have gone on for some months.
    let ended = cancelled.result();
    let months = ended["months"].as_i64().unwrap();
    assert!((1..12).contains(&months), "{ended}");
    assert_eq!(ended["charged"], months * 900);
    vec![year, cancelled]
}

fn parent_and_children(worker: &Worker) -> Vec<Workflow<'_>> {
    let parent = worker.launch(
        "parent-and-children",
        &json!({ "quarter": "2026-Q1", "regions": ["north", "south", "overseas"] }),
    );
    assert_eq!(
        parent.result(),
        json!({ "quarter": "2026-Q1", "total": 1800, "best": "overseas" })
    );
    let started = count(
        &parent.history(None),
        "EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED",
    );
    assert_eq!(started, 3);
    vec![parent]
}

fn signal_or_timer(worker: &Worker) -> Vec<Workflow<'_>> {
    let paid = worker.launch("signal-or-timer", &json!({ "seat": "12A" }));
    let free = worker.launch(
        "signal-or-timer",
        &json!({ "seat": "12B", "hold_for": "200ms" }),
    );
    paid.signal("payment", &json!({ "by": "Ada" }));
    assert_eq!(
        paid.result(),
        json!({ "seat": "12A", "sold": true, "ticket": "N-ae32dcfc" })
    );
    assert_eq!(
        free.result(),
        json!({ "seat": "12B", "sold": false, "ticket": null })
    );
    vec![paid, free]
}

fn account(worker: &Worker) -> Vec<Workflow<'_>> {
    let account = worker.launch("account", &json!({ "owner": "Ada", "bookings_per_run": 3 }));
    for (name, amount, answer) in [
        ("deposit", 1000, Ok(1000)),
        ("withdraw", 5000, Err("the account holds only 1000")),
        ("withdraw", 300, Ok(700)),
        ("deposit", -1, Err("more than nothing")),
        ("deposit", 50, Ok(750)),
        ("deposit", 50, Ok(800)),
    ] {
        match (account.update(name, &json!({ "amount": amount })), answer) {
            (Ok(balance), Ok(expected)) => assert_eq!(balance, expected),
            (Err(message), Err(expected)) => assert!(message.contains(expected), "{message}"),
            (found, expected) => panic!("{name} {amount}: {found:?} instead of {expected:?}"),
        }
    }
    assert_eq!(
        account.query("statement", None),
        json!({ "owner": "Ada", "balance": 800, "bookings": 4 })
    );
    account.signal("close", &Value::Null);
    assert_eq!(account.result(), json!({ "owner": "Ada", "balance": 800 }));
    let runs = until("the second run", || {
        Some(account.histories()).filter(|h| h.len() == 2)
    });
    assert_eq!(runs.len(), 2);
    vec![account]
}
