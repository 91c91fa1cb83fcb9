//! Local activities: an end is a marker, which a worker records when it ran the activity, and looks ahead for when it
//! replays (sdk-core 0.10.1, machines/local_activity_state_machine.rs and machines/workflow_machines/local_acts.rs).

use temporalio_protos::constants::LOCAL_ACTIVITY_MARKER_NAME;
use temporalio_protos::coresdk::activity_result::{
    Cancellation, DoBackoff, Failure as Failed, Success, activity_resolution::Status,
};
use temporalio_protos::coresdk::common::{
    build_local_activity_marker_details, extract_local_activity_marker_details,
};
use temporalio_protos::coresdk::external_data::LocalActivityMarkerData;
use temporalio_protos::coresdk::workflow_activation::{
    NotifyHasPatch, workflow_activation_job::Variant,
};
use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1::RetryState;
use temporalio_protos::temporal::api::failure::v1::Failure as ProtoFailure;
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_protos::temporal::api::history::v1::MarkerRecordedEventAttributes;

use super::super::replay::Divergence;
use super::activity::About;
use super::table::{Row, Table};
use super::{Kind, Machines, Request, cancelled_failure};
use crate::engine::command::{Command, ScheduleLocalActivity};
use crate::history::Marker;
use crate::payload::{
    duration_from_proto, duration_to_proto, timestamp_from_proto, timestamp_to_proto,
};
use crate::value::{Duration, Timestamp};
use crate::words::ActivityCancellationType;

#[derive(Debug, Clone)]
pub(crate) struct Local {
    pub(crate) schedule: ScheduleLocalActivity,
    pub(crate) scheduled_at: Timestamp,
    pub(crate) state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// A replay looks for its marker.
    Awaited,
    Requested,
    /// Its marker is a command whose event will follow.
    Marked,
    /// Resolved by a marker that is still ahead as an event.
    Foreseen,
    Recorded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// History ended without a marker.
    HistoryEnded,
    /// Its marker was found ahead.
    MarkerAhead,
    /// It has run.
    Resolved,
    Cancel,
    Recorded,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Effect {
    Nothing,
    Run,
    Resolve,
    ResolveAndMark,
    Stop,
    LookAhead,
}

impl Table for State {
    const NAME: &'static str = "local activity";
    type Input = Input;
    type Effect = Effect;

    fn rows() -> &'static [Row<Self>] {
        use Input::{Cancel, HistoryEnded, MarkerAhead, Resolved};
        use State::*;
        const ROWS: &[Row<State>] = &[
            row(Awaited, &[HistoryEnded], Requested, Effect::Run),
            row(Awaited, &[MarkerAhead], Foreseen, Effect::Resolve),
            row(Awaited, &[Cancel], Awaited, Effect::LookAhead),
            row(Requested, &[Resolved], Marked, Effect::ResolveAndMark),
            row(Requested, &[Cancel], Requested, Effect::Stop),
            // An abandoned attempt has no waiter.
            row(Marked, &[Resolved], Marked, Effect::Nothing),
            row(Marked, &[Input::Recorded], Recorded, Effect::Nothing),
            row(Foreseen, &[Input::Recorded], Recorded, Effect::Nothing),
            row(Recorded, &[Resolved], Recorded, Effect::Nothing),
        ];
        ROWS
    }
}

const fn row(from: State, on: &'static [Input], to: State, effect: Effect) -> Row<State> {
    Row {
        from,
        on,
        to,
        effect,
    }
}

/// The end of a local activity.
#[derive(Debug, Clone)]
pub(crate) struct LocalEnd {
    pub(crate) result: Result<Option<common::Payload>, Box<ProtoFailure>>,
    pub(crate) complete_time: Option<Timestamp>,
    pub(crate) attempt: u32,
    pub(crate) backoff: Option<Duration>,
    pub(crate) activation_index: Option<u64>,
}

/// What the worker should do with a local activity.
#[derive(Debug, Clone)]
pub(crate) enum LocalRequest {
    Start(u32),
    Cancel(u32),
}

impl Machines {
    /// The engine's commands of an activation.
    pub(crate) fn driven(&mut self, commands: Vec<Command>) -> Result<(), Divergence> {
        for command in commands {
            self.take(command)?;
        }
        self.apply_foreseen(false)?;
        self.release_if_idle()
    }

    pub(super) fn schedule_local(
        &mut self,
        mut schedule: ScheduleLocalActivity,
        summary: Option<String>,
    ) {
        let seq = schedule.seq;
        schedule.original_schedule_time.get_or_insert(self.now);
        let local = Local {
            schedule,
            scheduled_at: self.now,
            state: match self.is_replaying {
                true => State::Awaited,
                false => State::Requested,
            },
        };
        let place = self.add_numbered(seq, Kind::Local(Box::new(local)));
        self.machines[place].summary = summary;
        if !self.is_replaying {
            self.local_requests.push(LocalRequest::Start(seq));
        }
    }

    /// At the end of history, what has no marker runs after all.
    pub(super) fn request_awaited(&mut self) -> Result<(), Divergence> {
        for machine in &mut self.machines {
            if let Kind::Local(local) = &mut machine.kind
                && local.state == State::Awaited
            {
                local.state.take(Input::HistoryEnded)?;
                let start = LocalRequest::Start(local.schedule.seq);
                self.local_requests.push(start);
            }
        }
        Ok(())
    }

    /// `None` if no local activity of this run has the number.
    pub(crate) fn local(&self, seq: u32) -> Option<&Local> {
        let place = self.by_seq.get(&seq)?;
        match &self.machines[*place].kind {
            Kind::Local(local) => Some(local),
            Kind::Timer { .. }
            | Kind::Activity(_)
            | Kind::Child(_)
            | Kind::SignalExternal { .. }
            | Kind::CancelExternal { .. }
            | Kind::Nexus(_)
            | Kind::Plain(_) => None,
        }
    }

    /// The local activity with this number, and its place.
    pub(super) fn local_mut(&mut self, seq: u32) -> Result<(usize, &mut Local), Divergence> {
        let place = self.machine_of(seq)?;
        let machine = &mut self.machines[place];
        match &mut machine.kind {
            Kind::Local(local) => Ok((place, local)),
            Kind::Timer { .. }
            | Kind::Activity(_)
            | Kind::Child(_)
            | Kind::SignalExternal { .. }
            | Kind::CancelExternal { .. }
            | Kind::Nexus(_)
            | Kind::Plain(_) => Err(Divergence::broken(format!("{seq} is no local activity"))),
        }
    }

    pub(super) fn foresee_marker(
        &mut self,
        marker: &MarkerRecordedEventAttributes,
    ) -> Result<(), Divergence> {
        match Marker::of(marker) {
            Marker::Version(Some(patch_id)) => {
                let job = NotifyHasPatch { patch_id };
                self.jobs.push(Variant::NotifyHasPatch(job));
                return Ok(());
            }
            Marker::Version(None) => {
                return Err(Divergence::broken("the mark of a version cannot be read"));
            }
            Marker::Other => return Ok(()),
            Marker::LocalActivity(_) => {}
        }
        let mut details = marker.details.clone();
        let (Some(data), result) = extract_local_activity_marker_details(&mut details) else {
            return Err(unreadable());
        };
        let is_open = self.local(data.seq);
        // The worker ran it itself, and recorded this marker.
        if is_open.is_some_and(|local| local.state != State::Awaited) {
            return Ok(());
        }
        let end = LocalEnd {
            result: match &marker.failure {
                Some(failure) => Err(Box::new(failure.clone())),
                None => Ok(result),
            },
            complete_time: data.complete_time.map(timestamp_from_proto),
            attempt: data.attempt,
            backoff: data.backoff.map(duration_from_proto),
            activation_index: data.activation_index,
        };
        self.foreseen.push_back((data, end));
        self.apply_foreseen(false)
    }

    /// Whether a marker was resolved before its event.
    pub(super) fn is_foreseen(
        &mut self,
        marker: &MarkerRecordedEventAttributes,
    ) -> Result<bool, Divergence> {
        let data = match Marker::of(marker) {
            Marker::LocalActivity(data) => data.ok_or_else(unreadable)?,
            Marker::Version(_) | Marker::Other => return Ok(false),
        };
        let seq = data.seq;
        let found = self.local(seq).map(|local| (local.state, &local.schedule));
        match found {
            Some((State::Marked, _)) => Ok(false),
            Some((State::Foreseen, schedule)) if schedule.activity_type == data.activity_type => {
                self.local_mut(seq)?.1.state.take(Input::Recorded)?;
                Ok(true)
            }
            Some((_, schedule)) => Err(Divergence::broken(format!(
                "the local activity {:?} where history has {:?}",
                schedule.activity_type, data.activity_type
            ))),
            None => Err(Divergence::broken(format!(
                "no local activity where history has {:?}",
                data.activity_type
            ))),
        }
    }

    /// Markers end the scheduled local activities, in the same activations as the first time.
    fn apply_foreseen(&mut self, held_too: bool) -> Result<(), Divergence> {
        while let Some((data, end)) = self.foreseen.front() {
            let is_held = end
                .activation_index
                .is_some_and(|index| index > self.activation_index);
            if (is_held && !held_too) || !self.by_seq.contains_key(&data.seq) {
                return Ok(());
            }
            if let Some((data, end)) = self.foreseen.pop_front() {
                self.local_input(data.seq, Input::MarkerAhead, end)?;
            }
        }
        Ok(())
    }

    pub(super) fn release_if_idle(&mut self) -> Result<(), Divergence> {
        match self.jobs.is_empty() {
            true => self.apply_foreseen(true),
            false => Ok(()),
        }
    }

    /// A local activity has run.
    pub(crate) fn resolve_local(&mut self, seq: u32, end: LocalEnd) -> Result<(), Divergence> {
        self.local_input(seq, Input::Resolved, end)
    }

    fn local_input(&mut self, seq: u32, input: Input, end: LocalEnd) -> Result<(), Divergence> {
        let (place, local) = self.local_mut(seq)?;
        let effect = local.state.take(input)?;
        let is_marked = match effect {
            Effect::Nothing => return Ok(()),
            Effect::Resolve => false,
            Effect::ResolveAndMark => true,
            Effect::Run | Effect::Stop | Effect::LookAhead => {
                return Err(Divergence::broken("a local activity ends, and goes on"));
            }
        };
        let status = self.local_status(place, seq, &end)?;
        self.resolve_activity(seq, status, true);
        if let Some(at) = end.complete_time
            && at > self.now
        {
            self.now = at;
        }
        if is_marked {
            let marker = marker(self.local_mut(seq)?.1, end);
            self.ask_for(place, Request::Marker(Box::new(marker)));
        }
        Ok(())
    }

    fn local_status(
        &mut self,
        place: usize,
        seq: u32,
        end: &LocalEnd,
    ) -> Result<Status, Divergence> {
        if let Some(backoff) = end.backoff {
            let (_, local) = self.local_mut(seq)?;
            let original = local.schedule.original_schedule_time;
            return Ok(Status::Backoff(DoBackoff {
                attempt: end.attempt + 1,
                backoff_duration: Some(duration_to_proto(backoff)),
                original_schedule_time: original.map(timestamp_to_proto),
            }));
        }
        let failure = match &end.result {
            Ok(result) => {
                let result = result.clone();
                return Ok(Status::Completed(Success { result }));
            }
            Err(failure) => (**failure).clone(),
        };
        let wrapped = |message: &str, failure| {
            let state = RetryState::CancelRequested;
            self.activity_failure(place, message, Some(failure), state, About::default())
        };
        let info = &failure.failure_info;
        if matches!(info, Some(FailureInfo::CanceledFailureInfo(_))) {
            let failure = Some(wrapped("Local Activity cancelled", failure)?);
            return Ok(Status::Cancelled(Cancellation { failure }));
        }
        let failure = match matches!(info, Some(FailureInfo::TimeoutFailureInfo(_))) {
            true => wrapped("Local Activity timed out", failure)?,
            false => failure,
        };
        Ok(Status::Failed(Failed {
            failure: Some(failure),
            ..Default::default()
        }))
    }

    pub(super) fn cancel_local(&mut self, seq: u32) -> Result<(), Divergence> {
        let (now, activation_index) = (self.now, self.activation_index);
        let (_, local) = self.local_mut(seq)?;
        let cancellation = local.schedule.cancellation_type;
        let waits = cancellation == ActivityCancellationType::WaitCancellationCompleted;
        let end = LocalEnd {
            result: Err(Box::new(cancelled_failure())),
            complete_time: waits.then_some(now),
            attempt: local.schedule.attempt,
            backoff: None,
            activation_index: Some(activation_index),
        };
        match local.state.take(Input::Cancel)? {
            Effect::Stop => self.stop_local(seq, cancellation, end),
            Effect::LookAhead => {
                let place = self.foreseen.iter().position(|(data, end)| {
                    let is_held = end
                        .activation_index
                        .is_some_and(|index| index > activation_index);
                    data.seq == seq && !is_held
                });
                match place.and_then(|place| self.foreseen.remove(place)) {
                    Some((_, end)) => self.local_input(seq, Input::MarkerAhead, end),
                    // Its marker, in a later activation, has how it was cancelled.
                    None => Ok(()),
                }
            }
            Effect::Nothing | Effect::Run | Effect::Resolve | Effect::ResolveAndMark => Err(
                Divergence::broken("a local activity is cancelled, and ends"),
            ),
        }
    }

    fn stop_local(
        &mut self,
        seq: u32,
        cancellation: ActivityCancellationType,
        end: LocalEnd,
    ) -> Result<(), Divergence> {
        let start = self
            .local_requests
            .iter()
            .position(|request| matches!(request, LocalRequest::Start(other) if *other == seq));
        if let Some(start) = start {
            self.local_requests.remove(start);
            return self.resolve_local(seq, end);
        }
        match cancellation {
            ActivityCancellationType::WaitCancellationCompleted => {
                self.local_requests.push(LocalRequest::Cancel(seq));
                Ok(())
            }
            ActivityCancellationType::TryCancel => {
                self.local_requests.push(LocalRequest::Cancel(seq));
                self.resolve_local(seq, end)
            }
            ActivityCancellationType::Abandon => self.resolve_local(seq, end),
        }
    }
}

fn unreadable() -> Divergence {
    Divergence::broken("the marker of a local activity cannot be read")
}

fn marker(local: &Local, end: LocalEnd) -> MarkerRecordedEventAttributes {
    let original = local.schedule.original_schedule_time;
    let data = LocalActivityMarkerData {
        seq: local.schedule.seq,
        attempt: end.attempt,
        activity_id: local.schedule.activity_id.clone(),
        activity_type: local.schedule.activity_type.clone(),
        complete_time: end.complete_time.map(timestamp_to_proto),
        backoff: end.backoff.map(duration_to_proto),
        original_schedule_time: original.map(timestamp_to_proto),
        activation_index: end.activation_index,
    };
    let (result, failure) = match end.result {
        Ok(result) => (result, None),
        Err(failure) => (None, Some(*failure)),
    };
    MarkerRecordedEventAttributes {
        marker_name: LOCAL_ACTIVITY_MARKER_NAME.to_owned(),
        details: build_local_activity_marker_details(data, result),
        failure,
        ..Default::default()
    }
}
