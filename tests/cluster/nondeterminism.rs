//! What a worker logs of a run whose history is not what its definition does.

use serde_json::{Value, json};

use super::support::until;
use super::support::worker::{Worker, count};

/// In one workflow task both the handler of the signal and, once `paid` has completed, the main steps schedule an activity.
const UNFIT: &str = "\
segno: 1
workflow: unfit
defaults:
  activity: { task_queue: nobody, start_to_close_timeout: 1h }
signals:
  placed: { do: [{ activity: of-handler }] }
steps:
  - { id: paid, activity: pay, activity_id: pay }
  - { id: charge, activity: of-steps }
";

#[test]
fn the_log_names_the_run_whose_history_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("unfit.yaml"), UNFIT).unwrap();
    let fault = [("SEGNO_FAULT", "steps-before-handlers")];
    let faulty = Worker::with(folder.path(), &[], &fault);
    let run = faulty.launch("unfit", &Value::Null);
    let scheduled = |wanted: usize| {
        until("the activities", || {
            let found = count(&run.history(None), "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED");
            (found == wanted).then_some(())
        });
    };
    scheduled(1);
    faulty.kill();
    run.signal("placed", &Value::Null);
    let complete = ["activity", "complete", "-w", &run.id, "-a", "pay"];
    faulty.cluster.segno(&complete).ok();
    faulty.begin();
    scheduled(3);
    faulty.kill();
    let sound = faulty.beside(&["--log-format=json"]);
    run.signal("placed", &Value::Null);
    let line = until("the log's line", || {
        let logs = sound.logs();
        let mut lines = logs
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| {
            let message = line["message"].as_str().unwrap_or_default();
            message.starts_with("the run's history does not fit its definition: ")
        })
    });
    assert_eq!(
        (&line["workflow_id"], &line["workflow_type"], &line["level"]),
        (&json!(run.id), &json!("unfit"), &json!("ERROR")),
        "{line:#}"
    );
    let starts = |field: &str, with: &str| line[field].as_str().unwrap().starts_with(with);
    assert!(
        starts("step", "charge, ") && starts("definition", "sha256:"),
        "{line:#}"
    );
    assert_eq!(line["run_id"], json!(run.run_id), "{line:#}");
    sound.cluster.segno(&["terminate", &run.id]).ok();
}
