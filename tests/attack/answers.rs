//! gRPC servers that answer to hurt, several at once, beside a run that has to go on.

use std::sync::Arc;

use serde_json::json;

use super::grpc_server::{Said, Says, descriptors, files, is_reflection, serve};
use super::victim::{Victim, wait};

const DEFINITION: &str = "\
segno: 1
workflow: asks
input: true
defaults: { activity: { retry_policy: { maximum_attempts: 1 } } }
steps:
  - for_each: ${ lists.range(8) }
    concurrency: 8
    do:
      - try:
          - grpc: { url: \"${ input }\", service: a.B, method: C }
        catch:
          - error: [GrpcAnswer, GrpcRequest]
            do: [{ log: \"${ error.message }\" }]
  - return: done
";

#[test]
fn answers_that_grow_when_they_are_decoded_stay_within_a_workers_memory() {
    let half = 2 * 1024 * 1024 - 64;
    let answer: Says = Arc::new(move |path, _| match is_reflection(path) {
        true => files(&[descriptors()]),
        false => Said::Message([0x0a, 0].repeat(half / 2)),
    });
    let types: Says = Arc::new(move |_, _| files(&[[0x22, 0].repeat(half / 2)]));
    let victim = Victim::new();
    std::fs::write(victim.folder.path().join("asks.yaml"), DEFINITION).unwrap();
    let beside = victim.beside();
    for says in [answer, types] {
        let url = wait(serve(says));
        assert_eq!(victim.worker.launch("asks", &json!(url)).result(), "done");
        beside.signal("add", &json!(null));
    }
    beside.signal("end", &json!(null));
    assert_eq!(beside.result(), 2);
    victim.assert_unharmed();
}
