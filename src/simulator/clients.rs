//! Requests of clients: starts, signals, updates, queries, schedules, and ends of attempts from outside.

use super::message::Query;
use super::outside::AttemptKey;
use super::worker::Unanswered;
use super::{Refused, RunNumber, ScheduleNumber, Simulator, Start, UpdateNumber, UpdateStage};
use crate::accepted::{ScheduleError, ScheduleSpec};
use crate::engine::failure::Failure;
use crate::payload::payload_to_proto;
use crate::value::{Payload, Timestamp, Value};

impl Simulator {
    pub fn start(&mut self, start: Start) -> Result<RunNumber, Refused> {
        let run = self.server.start(start)?;
        self.settle();
        Ok(run)
    }

    pub fn signal(
        &mut self,
        workflow_id: &str,
        name: &str,
        input: Vec<Payload>,
    ) -> Result<(), Refused> {
        self.server.signal(workflow_id, name, input)?;
        self.settle();
        Ok(())
    }

    pub fn cancel(&mut self, workflow_id: &str, reason: &str) -> Result<(), Refused> {
        self.server.cancel(workflow_id, reason)?;
        self.settle();
        Ok(())
    }

    pub fn terminate(&mut self, workflow_id: &str, reason: &str) -> Result<(), Refused> {
        self.server.terminate(workflow_id, reason)?;
        self.settle();
        Ok(())
    }

    /// Closed runs answer too.
    pub fn query(
        &mut self,
        workflow_id: &str,
        name: &str,
        args: Vec<Payload>,
    ) -> Result<Result<Payload, Failure>, Refused> {
        let run = self
            .current(workflow_id)
            .ok_or_else(|| Refused::NotFound(workflow_id.to_owned()))?
            .0;
        let execution = &self.server.executions[run];
        if let Some(failure) = execution.failure() {
            return Err(Refused::Invalid(failure.to_owned()));
        }
        let query = Query {
            run,
            names: execution.names(),
            name: name.to_owned(),
            args: args.into_iter().map(payload_to_proto).collect(),
        };
        match self.worker.answer(query) {
            Ok(answer) => Ok(Ok(answer)),
            Err(Unanswered::Failed(failure)) => Ok(Err(failure)),
            Err(Unanswered::Broken(problem)) => Err(Refused::Invalid(problem)),
        }
    }

    /// Updates with the same id are one: the second gets the first's number.
    pub fn update(
        &mut self,
        workflow_id: &str,
        name: &str,
        args: Vec<Payload>,
        update_id: Option<String>,
    ) -> Result<UpdateNumber, Refused> {
        let number = self.server.update(workflow_id, name, args, update_id)?;
        self.settle();
        Ok(number)
    }

    pub fn update_stage(&self, update: UpdateNumber) -> &UpdateStage {
        self.server.update_stage(update)
    }

    /// Its times begin now, without jitter. The server is never down, so no start is late.
    pub fn schedule(
        &mut self,
        id: &str,
        spec: &ScheduleSpec,
        start: Start,
    ) -> Result<ScheduleNumber, ScheduleError> {
        self.server.schedule(id, spec, start)
    }

    /// The runs that it has started: the first run of each workflow, with its scheduled time.
    pub fn scheduled(&self, schedule: ScheduleNumber) -> &[(Timestamp, RunNumber)] {
        self.server.scheduled(schedule)
    }

    /// The first time after this one, whatever the schedule's state.
    pub(crate) fn next_time(
        &self,
        schedule: ScheduleNumber,
        after: Timestamp,
    ) -> Option<Timestamp> {
        self.server.next_time(schedule, after)
    }

    /// Ends an activity's attempt by its id, as asynchronous completion does.
    pub(crate) fn complete_activity(
        &mut self,
        workflow_id: &str,
        activity_id: &str,
        result: Result<Value, Failure>,
    ) -> Result<(), Refused> {
        self.server
            .complete_activity(workflow_id, activity_id, result)?;
        self.settle();
        Ok(())
    }

    /// Ends an attempt from outside; false if it has already ended.
    pub fn end_attempt(&mut self, key: &AttemptKey, result: Result<Value, Failure>) -> bool {
        if !key.is_local {
            let has_ended = self.server.end_attempt(key, result);
            if has_ended {
                self.settle();
            }
            return has_ended;
        }
        let run = match self.server.open_run_of(&key.run_id) {
            Some(run) if self.is_under_way(key) => run,
            Some(_) | None => return false,
        };
        let world = &mut self.server.world;
        let completion = self.worker.end_local_attempt(run, key.seq(), result, world);
        self.respond(completion);
        self.settle();
        true
    }

    /// A heartbeat of an attempt from outside; false if the attempt has already ended. Local activities have none.
    pub(crate) fn heartbeat_attempt(&mut self, key: &AttemptKey, details: &[Value]) -> bool {
        !key.is_local && self.server.heartbeat_attempt(key, details)
    }
}
