//! Coverage and timelines: each folder of `tests/coverage/` is a definition, scripts of runs of it, and what is expected
//! to be reported of all of them together.

use std::path::Path;
use std::sync::Arc;

use segno::coverage::{Coverage, Recorder};
use segno::timeline::Timeline;
use segno::value::Timestamp;

use super::{Host, loaded};

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("the fixture is there")
}

fn sorted(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<_> = entries.map(|e| e.expect("an entry").path()).collect();
    paths.sort();
    paths
}

#[test]
fn reports() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/coverage");
    let cases = sorted(&folder);
    assert!(!cases.is_empty(), "no fixture was found");
    for case in cases {
        let program = loaded(&read(&case.join("definition.yaml")));
        let recorder = Arc::new(Recorder::new());
        let mut timelines = String::new();
        for script in sorted(&case.join("scripts")) {
            let script = read(&script);
            let plain = Host::of(program.clone(), &script).run();
            let host = Host::of(program.clone(), &script);
            let counted = host.observed_by(recorder.clone()).run();
            let timeline = Arc::new(Timeline::new());
            let host = Host::of(program.clone(), &script);
            let timed = host.observed_by(timeline.clone()).run();
            assert_eq!(counted, plain, "who watches changes nothing");
            assert_eq!(timed, plain, "who watches changes nothing");
            timelines += &timeline.text(Timestamp::from_nanos(0).expect("a time"));
            timelines += "\n";
        }
        let mut coverage = Coverage::new();
        coverage.define(&program.program);
        let nothing = coverage.totals();
        assert_eq!(nothing.together().covered, 0, "nothing has run so far");
        coverage.count(&recorder);
        assert_eq!(coverage.totals().together().all, nothing.together().all);
        let annotated = coverage.annotated();
        let annotated: String = annotated.into_iter().map(|(_, text)| text).collect();
        for (name, came) in [
            ("table.txt", coverage.table()),
            ("annotated.txt", annotated),
            ("lcov.info", coverage.lcov()),
            ("timeline.txt", timelines),
        ] {
            let path = case.join(name);
            if std::env::var_os("SEGNO_UPDATE").is_some() {
                std::fs::write(&path, &came).expect("writable");
            }
            assert_eq!(came, read(&path), "{}", path.display());
        }
    }
}
