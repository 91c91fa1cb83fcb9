//! Local activities, whose ends are markers: written when they run, and looked for ahead when they are replayed.

use temporalio_protos::constants::{LOCAL_ACTIVITY_MARKER_NAME, PATCH_MARKER_NAME};
use temporalio_protos::coresdk::activity_result::{
    Cancellation, DoBackoff, Failure as Failed, Success, activity_resolution::Status,
};
use temporalio_protos::coresdk::common::{
    build_local_activity_marker_details, decode_change_marker_details,
    extract_local_activity_marker_data, extract_local_activity_marker_details,
};
use temporalio_protos::coresdk::external_data::LocalActivityMarkerData;
use temporalio_protos::coresdk::workflow_activation::{
    NotifyHasPatch, workflow_activation_job::Variant,
};
use temporalio_protos::temporal::api::enums::v1::RetryState;
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_protos::temporal::api::history::v1::MarkerRecordedEventAttributes;

use super::resolve::{About, cancelled_failure};
use super::{Kind, Local, LocalEnd, LocalRequest, LocalState, Machines, Request};
use crate::engine::command::{Command, ScheduleLocalActivity};
use crate::payload::{
    duration_from_proto, duration_to_proto, timestamp_from_proto, timestamp_to_proto,
};
use crate::simulator::replay::Divergence;
use crate::words::ActivityCancellationType;

impl Machines {
    /// What the engine asked for in an activation.
    pub fn driven(&mut self, commands: Vec<Command>) -> Result<(), Divergence> {
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
            is_replayed: self.is_replaying,
            state: match self.is_replaying {
                true => LocalState::Awaited,
                false => LocalState::Requested,
            },
        };
        let place = self.add_numbered(seq, Kind::Local(Box::new(local)));
        self.machines[place].summary = summary;
        if !self.is_replaying {
            self.local_requests.push(LocalRequest::Start(seq));
        }
    }

    /// Where history ends, what has no marker runs after all.
    pub(super) fn request_awaited(&mut self) {
        for machine in &mut self.machines {
            if let Kind::Local(local) = &mut machine.kind
                && local.state == LocalState::Awaited
            {
                local.state = LocalState::Requested;
                local.is_replayed = false;
                self.local_requests
                    .push(LocalRequest::Start(local.schedule.seq));
            }
        }
    }

    pub fn local(&self, seq: u32) -> Option<&Local> {
        let place = self.by_seq.get(&seq)?;
        match &self.machines[*place].kind {
            Kind::Local(local) => Some(local),
            _ => None,
        }
    }

    fn set_local_state(&mut self, seq: u32, state: LocalState) {
        if let Some(&place) = self.by_seq.get(&seq)
            && let Kind::Local(local) = &mut self.machines[place].kind
        {
            local.state = state;
        }
    }

    pub(super) fn foresee_marker(
        &mut self,
        marker: &MarkerRecordedEventAttributes,
    ) -> Result<(), Divergence> {
        if marker.marker_name == PATCH_MARKER_NAME {
            if let Some((patch_id, _)) = decode_change_marker_details(&marker.details) {
                let job = NotifyHasPatch { patch_id };
                self.jobs.push(Variant::NotifyHasPatch(job));
            }
            return Ok(());
        }
        if marker.marker_name != LOCAL_ACTIVITY_MARKER_NAME {
            return Ok(());
        }
        let mut details = marker.details.clone();
        let (Some(data), result) = extract_local_activity_marker_details(&mut details) else {
            return Err(Divergence::broken(
                "the marker of a local activity cannot be read",
            ));
        };
        let is_open = self.local(data.seq);
        if is_open.is_some_and(|local| local.state != LocalState::Awaited) {
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

    /// Whether a marker's event was resolved when it was still ahead.
    pub(super) fn is_foreseen(
        &mut self,
        marker: &MarkerRecordedEventAttributes,
    ) -> Result<bool, Divergence> {
        if marker.marker_name != LOCAL_ACTIVITY_MARKER_NAME {
            return Ok(false);
        }
        let data = extract_local_activity_marker_data(&marker.details)
            .ok_or_else(|| Divergence::broken("the marker of a local activity cannot be read"))?;
        match self
            .local(data.seq)
            .map(|local| (local.state, &local.schedule))
        {
            Some((LocalState::Marked, _)) => Ok(false),
            Some((LocalState::Foreseen, schedule))
                if schedule.activity_type == data.activity_type =>
            {
                self.set_local_state(data.seq, LocalState::Done);
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

    /// Markers end the local activities that are scheduled, in the activations in which they did so at first.
    fn apply_foreseen(&mut self, held_too: bool) -> Result<(), Divergence> {
        while let Some((data, end)) = self.foreseen.front() {
            let is_held = end
                .activation_index
                .is_some_and(|index| index > self.activation_index);
            if (is_held && !held_too) || !self.by_seq.contains_key(&data.seq) {
                return Ok(());
            }
            if let Some((data, end)) = self.foreseen.pop_front() {
                self.resolve_local(data.seq, end)?;
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

    pub fn resolve_local(&mut self, seq: u32, end: LocalEnd) -> Result<(), Divergence> {
        let place = self.machine_of(seq)?;
        let Kind::Local(local) = &mut self.machines[place].kind else {
            return Err(Divergence::broken(format!("{seq} is no local activity")));
        };
        let is_replayed = local.is_replayed;
        match local.state {
            LocalState::Awaited => local.state = LocalState::Foreseen,
            LocalState::Requested => local.state = LocalState::Marked,
            // It reported what nobody waits for any more.
            _ => return Ok(()),
        }
        let status = self.local_status(place, &end);
        self.resolve_activity(place, status, true);
        if let Some(at) = end.complete_time
            && at > self.now
        {
            self.now = at;
        }
        if !is_replayed {
            let marker = self.marker(place, end);
            let summary = self.machines[place].summary.clone();
            self.ask(place, Request::Marker(Box::new(marker)), summary);
        }
        Ok(())
    }

    fn local_status(&self, place: usize, end: &LocalEnd) -> Status {
        if let (Some(backoff), Kind::Local(local)) = (end.backoff, &self.machines[place].kind) {
            return Status::Backoff(DoBackoff {
                attempt: end.attempt + 1,
                backoff_duration: Some(duration_to_proto(backoff)),
                original_schedule_time: local
                    .schedule
                    .original_schedule_time
                    .map(timestamp_to_proto),
            });
        }
        let failure = match &end.result {
            Ok(result) => {
                return Status::Completed(Success {
                    result: result.clone(),
                });
            }
            Err(failure) => (**failure).clone(),
        };
        let wrapped = |message: &str, failure| {
            let state = RetryState::CancelRequested;
            self.activity_failure(place, message, Some(failure), state, About::default())
        };
        match &failure.failure_info {
            Some(FailureInfo::CanceledFailureInfo(_)) => {
                let failure = Some(wrapped("Local Activity cancelled", failure));
                Status::Cancelled(Cancellation { failure })
            }
            Some(FailureInfo::TimeoutFailureInfo(_)) => Status::Failed(Failed {
                failure: Some(wrapped("Local Activity timed out", failure)),
                ..Default::default()
            }),
            _ => Status::Failed(Failed {
                failure: Some(failure),
                ..Default::default()
            }),
        }
    }

    fn marker(&self, place: usize, end: LocalEnd) -> MarkerRecordedEventAttributes {
        let Kind::Local(local) = &self.machines[place].kind else {
            return MarkerRecordedEventAttributes::default();
        };
        let data = LocalActivityMarkerData {
            seq: local.schedule.seq,
            attempt: end.attempt,
            activity_id: local.schedule.activity_id.clone(),
            activity_type: local.schedule.activity_type.clone(),
            complete_time: end.complete_time.map(timestamp_to_proto),
            backoff: end.backoff.map(duration_to_proto),
            original_schedule_time: local
                .schedule
                .original_schedule_time
                .map(timestamp_to_proto),
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

    pub(super) fn cancel_local(&mut self, seq: u32) -> Result<(), Divergence> {
        let Some(local) = self.local(seq) else {
            return Err(Divergence::broken(format!("{seq} is no local activity")));
        };
        let waits =
            local.schedule.cancellation_type == ActivityCancellationType::WaitCancellationCompleted;
        let end = LocalEnd {
            result: Err(Box::new(cancelled_failure())),
            complete_time: waits.then_some(self.now),
            attempt: local.schedule.attempt,
            backoff: None,
            activation_index: Some(self.activation_index),
        };
        match local.state {
            LocalState::Requested => {
                let start = self.local_requests.iter().position(
                    |request| matches!(request, LocalRequest::Start(other) if *other == seq),
                );
                if let Some(start) = start {
                    self.local_requests.remove(start);
                    return self.resolve_local(seq, end);
                }
                let abandons =
                    local.schedule.cancellation_type == ActivityCancellationType::Abandon;
                if !abandons {
                    self.local_requests.push(LocalRequest::Cancel(seq));
                }
                match waits {
                    true => Ok(()),
                    false => self.resolve_local(seq, end),
                }
            }
            LocalState::Awaited => {
                let place = self.foreseen.iter().position(|(data, end)| {
                    let is_held = end
                        .activation_index
                        .is_some_and(|index| index > self.activation_index);
                    data.seq == seq && !is_held
                });
                match place.and_then(|place| self.foreseen.remove(place)) {
                    Some((_, end)) => self.resolve_local(seq, end),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
