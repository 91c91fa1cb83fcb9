//! Tests that sort core's jobs into the order of history.

use super::*;
use temporalio_protos::coresdk::activity_result::{
    ActivityResolution, Cancellation, Failure as Failed, Success, activity_resolution,
};
use temporalio_protos::coresdk::workflow_activation::{
    DoUpdate, FireTimer, ResolveActivity, ResolveChildWorkflowExecution, SignalWorkflow,
};
use temporalio_protos::temporal::api::failure::v1::{ActivityFailureInfo, Failure as ProtoFailure};

fn signal(event_id: i64) -> Variant {
    Variant::SignalWorkflow(SignalWorkflow {
        originating_event_id: event_id,
        ..SignalWorkflow::default()
    })
}

fn timer(seq: u32) -> Variant {
    Variant::FireTimer(FireTimer { seq })
}

fn activity(seq: u32, status: activity_resolution::Status, is_local: bool) -> Variant {
    let result = ActivityResolution {
        status: Some(status),
    };
    Variant::ResolveActivity(ResolveActivity {
        seq,
        result: Some(result),
        is_local,
    })
}

fn completed(seq: u32) -> Variant {
    activity(seq, Status::Completed(Success::default()), false)
}

fn in_activation(variant: Variant) -> WorkflowActivationJob {
    WorkflowActivationJob {
        variant: Some(variant),
    }
}

fn sorted(jobs: Vec<Variant>, news: &[(i64, Kind)]) -> Vec<Variant> {
    let mut jobs: Vec<_> = jobs.into_iter().map(in_activation).collect();
    let news = news.iter().map(|&(event_id, kind)| News {
        event_id,
        kind,
        of: Of::Unsaid,
    });
    sort(&mut jobs, &news.collect::<Vec<_>>(), &Names::default());
    jobs.into_iter().filter_map(|job| job.variant).collect()
}

/// Core's jobs, the events in between, and the order of history.
#[test]
fn each_job_is_put_at_the_place_of_its_event() {
    use Kind::{Activity, Timer};
    let update = || Variant::DoUpdate(DoUpdate::default());
    let local = || activity(9, Status::Completed(Success::default()), true);
    let cancelled = |seq| activity(seq, Status::Cancelled(Cancellation::default()), false);
    let rows = [
        (
            vec![signal(10), signal(14), timer(1), timer(2)],
            vec![(8, Timer(1)), (12, Timer(2))],
            vec![timer(1), signal(10), timer(2), signal(14)],
        ),
        (
            vec![update(), timer(1), local()],
            vec![],
            vec![timer(1), update(), local()],
        ),
        (
            vec![signal(9), update(), signal(12), timer(1)],
            vec![(10, Timer(1))],
            vec![signal(9), timer(1), update(), signal(12)],
        ),
        // The first is for an activity whose cancellation the run knew of: core makes no job for it.
        (
            vec![signal(21), completed(2)],
            vec![
                (20, Activity(End::Cancelled)),
                (22, Activity(End::Completed)),
            ],
            vec![signal(21), completed(2)],
        ),
        (
            vec![signal(21), completed(2), cancelled(1)],
            vec![
                (20, Activity(End::Completed)),
                (22, Activity(End::Cancelled)),
            ],
            vec![completed(2), signal(21), cancelled(1)],
        ),
    ];
    for (jobs, news, wanted) in rows {
        assert_eq!(sorted(jobs, &news), wanted, "{news:?}");
    }
}

fn names(ids: &[(u32, &str)], scheduled: &[(i64, &str)]) -> Names {
    Names {
        ids: ids.iter().map(|(n, id)| (*n, (*id).to_owned())).collect(),
        scheduled: scheduled
            .iter()
            .map(|(n, id)| (*n, (*id).to_owned()))
            .collect(),
    }
}

fn failed(seq: u32, scheduled_event_id: i64) -> Variant {
    let info = ActivityFailureInfo {
        scheduled_event_id,
        ..ActivityFailureInfo::default()
    };
    let failure = ProtoFailure {
        failure_info: Some(FailureInfo::ActivityFailureInfo(info)),
        ..ProtoFailure::default()
    };
    let failed = Failed {
        failure: Some(failure),
        ..Failed::default()
    };
    activity(seq, Status::Failed(failed), false)
}

fn child(seq: u32) -> Variant {
    Variant::ResolveChildWorkflowExecution(ResolveChildWorkflowExecution { seq, result: None })
}

/// The first event of each row is the end of something that the run no longer waits for: core makes no job for it, and
/// the job belongs to the other event, which followed the signal.
#[test]
fn an_end_without_a_job_is_not_taken_for_that_of_another() {
    let of_activity = |event_id, end, by| News {
        event_id,
        kind: Kind::Activity(end),
        of: Of::Scheduled(by),
    };
    let of_child = |event_id, id: &str| News {
        event_id,
        kind: Kind::ChildEnd,
        of: Of::Child(id.to_owned()),
    };
    let rows = [
        (
            completed(2),
            vec![
                of_activity(20, End::Completed, 5),
                of_activity(22, End::Completed, 6),
            ],
            names(&[], &[(5, "1"), (6, "2")]),
        ),
        (
            completed(2),
            vec![
                of_activity(20, End::Completed, 5),
                of_activity(22, End::Completed, 6),
            ],
            names(&[(2, "chosen")], &[(5, "2"), (6, "chosen")]),
        ),
        (
            failed(2, 6),
            vec![
                of_activity(20, End::Failed, 5),
                of_activity(22, End::Failed, 6),
            ],
            Names::default(),
        ),
        (
            child(2),
            vec![of_child(20, "one"), of_child(22, "two")],
            names(&[(2, "two")], &[]),
        ),
    ];
    for (job, news, names) in rows {
        let wanted = vec![signal(21), job.clone()];
        let mut jobs: Vec<_> = wanted.iter().cloned().map(in_activation).collect();
        if matches!(&job, Variant::ResolveActivity(r) if scheduled_by(r).is_none()) {
            assert_eq!(first_that_is_unclear(&jobs, &news), Some(5), "{news:?}");
        }
        sort(&mut jobs, &news, &names);
        let sorted: Vec<_> = jobs.into_iter().filter_map(|job| job.variant).collect();
        assert_eq!(sorted, wanted, "{news:?}");
    }
}
