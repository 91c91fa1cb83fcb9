//! Does to a run what its script says, as a client of the server.

use std::sync::Arc;
use std::time::Duration;

use segno::client::{
    Client, ClientError, QueryAnswer, QueryReject, StartOptions, UpdateOptions, UpdateStage,
    WorkflowRef,
};
use segno::value::{Duration as Length, Payload, from_json};
use segno::words::RetryPolicy;
use serde_json::Value as Json;

use super::case::{Action, Case, HTTP, SERVER, WORKFLOW_ID};
use super::follow::Follower;
use super::text;

/// A call whose worker was killed is made again.
const CALL_TIMEOUT: Duration = Duration::from_secs(4);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// What hangs ends as timed out.
const EXECUTION_TIMEOUT: &str = "60s";

pub struct Driver<'a> {
    pub client: Client,
    pub case: &'a Case,
    pub workflow_id: String,
    pub task_queue: String,
    /// The address of the cases' HTTP server.
    pub http: String,
    /// The address of the cluster.
    pub server: String,
    pub follower: Arc<Follower>,
}

impl Driver<'_> {
    /// Starts the workflow, does what the script says and waits for the end of everything; gives the answers to queries and
    /// updates.
    pub async fn run(&self) -> Result<Vec<String>, String> {
        let started = self.client.start(self.start_options()?).await;
        let started = started.map_err(|e| e.to_string())?;
        self.follower.follow(
            WorkflowRef::new(&self.workflow_id, Some(started.run_id)),
            None,
        );
        let mut answers = Vec::new();
        for action in &self.case.script.actions {
            for line in action.after.lines() {
                self.follower
                    .until(|follower| text::has_line(&follower.runs(), line).then_some(()))
                    .await?;
            }
            answers.extend(self.act(action).await?);
        }
        self.follower
            .until(|follower| follower.is_over().then_some(()))
            .await?;
        Ok(answers)
    }

    fn start_options(&self) -> Result<StartOptions, String> {
        let start = &self.case.script.start;
        let fields = |fields: &serde_json::Map<String, Json>| {
            let field = |(name, value): (&String, &Json)| Ok((name.clone(), self.payload(value)?));
            fields.iter().map(field).collect::<Result<Vec<_>, String>>()
        };
        let mut input = self.payloads(start.input.as_ref())?;
        for argument in &start.args {
            input.push(self.payload(argument)?);
        }
        let signal = match &start.signal {
            Some(name) => Some((name.clone(), self.payloads(start.signal_input.as_ref())?)),
            None => None,
        };
        Ok(StartOptions {
            workflow_type: start
                .workflow
                .clone()
                .unwrap_or_else(|| self.case.name.clone()),
            workflow_id: Some(self.workflow_id.clone()),
            task_queue: self.task_queue.clone(),
            input,
            execution_timeout: length(Some(
                start
                    .execution_timeout
                    .as_deref()
                    .unwrap_or(EXECUTION_TIMEOUT),
            ))?,
            run_timeout: length(start.run_timeout.as_deref())?,
            task_timeout: length(Some(start.task_timeout.as_deref().unwrap_or("1s")))?,
            retry_policy: start.maximum_attempts.map(|attempts| RetryPolicy {
                initial_interval: Length::parse("100ms").ok(),
                maximum_attempts: Some(attempts),
                ..RetryPolicy::default()
            }),
            memo: fields(&start.memo)?,
            search_attributes: fields(&start.search_attributes)?,
            signal,
            ..StartOptions::default()
        })
    }

    async fn act(&self, action: &Action) -> Result<Option<String>, String> {
        let own = WORKFLOW_ID.to_owned();
        let workflow = action.workflow.as_ref().unwrap_or(&own);
        let workflow = WorkflowRef::new(self.text(workflow), None);
        let input = self.payloads(action.input.as_ref())?;
        let shown = match action.input.is_some() {
            true => format!(" {}", text::payloads(input.iter().cloned())),
            false => String::new(),
        };
        if let Some(name) = &action.query {
            let answer = self.query(&workflow, name, &input, action).await?;
            return Ok(Some(format!("query {name}{shown}: {answer}")));
        }
        if let Some(name) = &action.update {
            let answer = self.update(&workflow, name, &input, action).await?;
            return Ok(Some(format!("update {name}{shown}: {answer}")));
        }
        let (what, done) = if let Some(name) = &action.signal {
            (
                format!("signal {name}"),
                self.client.signal(&workflow, name, input).await,
            )
        } else if let Some(reason) = &action.cancel {
            (
                "cancel".to_owned(),
                self.client.cancel(&workflow, reason).await,
            )
        } else if let Some(reason) = &action.terminate {
            let terminated = self.client.terminate(&workflow, reason, Vec::new()).await;
            ("terminate".to_owned(), terminated)
        } else {
            return Ok(None);
        };
        Ok(done.err().map(|error| format!("{what}: {error}")))
    }

    /// It is asked again while there is no worker to answer it.
    async fn query(
        &self,
        workflow: &WorkflowRef,
        name: &str,
        input: &[Payload],
        action: &Action,
    ) -> Result<String, String> {
        let until = match &action.until {
            Some(answer) => Some(text::payloads([self.payload(answer)?])),
            None => None,
        };
        loop {
            let asked = self
                .client
                .query(workflow, name, input.to_vec(), QueryReject::Never);
            let answer = match tokio::time::timeout(CALL_TIMEOUT, asked).await {
                Ok(Ok(QueryAnswer::Result(payloads))) => text::payloads(payloads),
                Ok(Ok(QueryAnswer::Failed(failure))) => {
                    format!("failed {}", text::failure(&failure))
                }
                Ok(Ok(QueryAnswer::Rejected { status })) => format!("rejected {status}"),
                Ok(Err(error)) if !is_transient(&error) => return Err(error.to_string()),
                _ => String::new(),
            };
            if !answer.is_empty() && until.as_ref().is_none_or(|until| *until == answer) {
                return Ok(answer);
            }
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
    }

    /// It is sent again, as the same update, where its worker was killed before it could answer.
    async fn update(
        &self,
        workflow: &WorkflowRef,
        name: &str,
        input: &[Payload],
        action: &Action,
    ) -> Result<String, String> {
        let mut options = UpdateOptions {
            name: name.to_owned(),
            input: input.to_vec(),
            update_id: Some(action.id.clone().unwrap_or_else(segno::client::unique_id)),
            ..UpdateOptions::default()
        };
        if action.accepted {
            options.wait_for = UpdateStage::Accepted;
        }
        loop {
            let sent = self.client.update(workflow, options.clone());
            match tokio::time::timeout(CALL_TIMEOUT, sent).await {
                Ok(Ok(started)) => {
                    return Ok(match started.outcome {
                        None => "accepted".to_owned(),
                        Some(Ok(result)) => text::payloads(result),
                        Some(Err(failure)) => format!("failed {}", text::failure(&failure)),
                    });
                }
                Ok(Err(error)) if !is_transient(&error) => return Ok(format!("refused: {error}")),
                _ => {}
            }
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
    }

    fn text(&self, text: &str) -> String {
        text.replace(WORKFLOW_ID, &self.workflow_id)
            .replace(HTTP, &self.http)
            .replace(SERVER, &self.server)
    }

    fn payloads(&self, input: Option<&Json>) -> Result<Vec<Payload>, String> {
        input.into_iter().map(|input| self.payload(input)).collect()
    }

    fn payload(&self, json: &Json) -> Result<Payload, String> {
        let text = self.text(&json.to_string());
        let json: Json = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        let value = from_json(&json).map_err(|e| e.to_string())?;
        Payload::from_value(&value).map_err(|e| e.to_string())
    }
}

/// What a killed worker or a loaded server causes.
fn is_transient(error: &ClientError) -> bool {
    let ClientError::Refused { status, .. } = error else {
        return false;
    };
    use tonic::Code::*;
    matches!(
        status.code(),
        Cancelled | DeadlineExceeded | Unavailable | ResourceExhausted | Aborted
    )
}

fn length(text: Option<&str>) -> Result<Option<Length>, String> {
    text.map(|text| Length::parse(text).map_err(|e| e.to_string()))
        .transpose()
}
