//! What outlives the worker and the server both.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::support::cluster::temporal;
use super::support::run::Run;
use super::support::{root, segno, until};

/// A `segno dev` that keeps its workflows in a file.
struct Dev {
    process: Child,
    address: String,
}

impl Dev {
    fn start(folder: &Path) -> Dev {
        let mut process = Command::new(segno())
            .args(["dev", "--temporal-binary", temporal().to_str().unwrap()])
            .args(["--port", "0", "--headless", "--output", "json"])
            .args(["--log-level", "error", "--db-filename"])
            .arg(folder.join("workflows.db"))
            .arg("--definitions")
            .arg(folder)
            .current_dir(root())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = process.stdout.take().unwrap();
        let mut said = serde_json::Deserializer::from_reader(stdout).into_iter::<Value>();
        let said = said.next().unwrap().unwrap();
        Dev {
            process,
            address: said["address"].as_str().unwrap().to_owned(),
        }
    }

    fn segno(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(segno());
        let command = command.args(arguments).args(["--address", &self.address]);
        Run::of(command.args(["--output", "json"]))
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let id = self.process.id().to_string();
        let _ = Command::new("kill").args(["-INT", &id]).status();
        let _ = self.process.wait();
    }
}

#[test]
fn timers_outlive_the_worker_and_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let definition = "segno: 1\nworkflow: waits\nsteps:\n  - parallel:\n      long: [{ timer: 90d }]\n      short: [{ timer: 8s }, { details: the short one is over }]\n";
    std::fs::write(folder.path().join("waits.yaml"), definition).unwrap();
    let events = |dev: &Dev| {
        let history = dev.segno(&["history", "waits"]).ok().json();
        history["events"].as_array().unwrap().clone()
    };
    let count = |dev: &Dev, kind: &str| {
        let events = events(dev);
        events.iter().filter(|e| e["eventType"] == kind).count()
    };
    {
        let dev = Dev::start(folder.path());
        dev.segno(&["start", "waits", "--workflow-id", "waits"])
            .ok();
        until("the timers", || {
            (count(&dev, "EVENT_TYPE_TIMER_STARTED") == 2).then_some(())
        });
        let events = events(&dev);
        let lengths = events
            .iter()
            .filter_map(|e| e["timerStartedEventAttributes"]["startToFireTimeout"].as_str());
        assert_eq!(lengths.collect::<Vec<_>>(), ["7776000s", "8s"]);
    }
    let dev = Dev::start(folder.path());
    until("the short timer", || {
        (count(&dev, "EVENT_TYPE_TIMER_FIRED") == 1).then_some(())
    });
    let described = dev.segno(&["describe", "waits"]).ok().json();
    assert_eq!(described["status"], "RUNNING");
    dev.segno(&["replay", "waits"]).ok();
    dev.segno(&["cancel", "waits"]).ok();
    until("the end", || {
        let described = dev.segno(&["describe", "waits"]).ok().json();
        (described["status"] == "CANCELED").then_some(())
    });
}
