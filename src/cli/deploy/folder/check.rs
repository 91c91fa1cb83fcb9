//! `segno deploy --check-against`: the effects of a deployment on the runs in flight that match a query.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt, stream};
use serde_json::{Value as Json, json};

use super::Proposal;
use crate::bundle::Digest;
use crate::cli::args::own;
use crate::cli::error::CliError;
use crate::cli::print::{Output, Tone, styled};
use crate::client::{Beginning, Client, ClientError, WorkflowRef, WorkflowSummary};
use crate::engine::Loaded;
use crate::registry::check::{Concern, Effects, InFlight, InForce, on_new_runs};
use crate::registry::{Store, bundles, load};
use crate::value::{Payload, Value};

const PAGE_SIZE: i32 = 100;
/// Histories in memory at a time.
const AT_ONCE: usize = 8;
/// The statuses of open runs.
const OPEN: [&str; 2] = ["RUNNING", "PAUSED"];

/// The findings.
#[derive(Default)]
pub(crate) struct Checked {
    runs: Vec<Run>,
    /// Versions whose new runs would start something that fails, and what.
    definitions: Vec<(String, Concern)>,
}

struct Run {
    workflow: WorkflowRef,
    workflow_type: String,
    /// Its definition: order@12, or the digest if it was not deployed.
    bound: String,
    state: State,
}

enum State {
    Safe,
    Concerned(Vec<Concern>),
    /// It has already ended, or no Segno worker has it.
    Left(&'static str),
}

/// Bundles that were already read, by their bytes.
type Known = Mutex<BTreeMap<Vec<u8>, Arc<Loaded>>>;

pub(crate) async fn check(
    client: &Client,
    store: &dyn Store,
    query: &str,
    proposal: &Proposal,
    output: Output,
) -> Result<Checked, CliError> {
    let effects = &Effects::of(&proposal.plan, &proposal.found, &proposal.compared);
    let query = &own::without_own(query);
    let progress = output.progress("checking runs in flight".to_owned());
    let known = Known::default();
    let mut checked = Checked {
        definitions: on_new_runs(&in_force(store, proposal).await?, &proposal.plan.gone()),
        runs: Vec::new(),
    };
    let mut token = Some(Vec::new());
    while let Some(next) = token.take() {
        let (page, next) = client.list_page(query, PAGE_SIZE, next).await?;
        // A filter with an order does not exclude the registry's own workflows.
        let page = page
            .into_iter()
            .filter(|run| !own::is_own(&run.workflow_type));
        let runs = stream::iter(page).map(|run| look(client, run, effects, &known));
        let mut runs = runs.buffered(AT_ONCE);
        while let Some(run) = runs.next().await {
            checked.runs.push(run?);
        }
        token = next;
    }
    drop(progress);
    if !output.is_json() {
        checked.print(output)?;
    }
    Ok(checked)
}

/// The versions that new runs may get after the deployment, of all projects; unreadable ones are left out.
async fn in_force(store: &dyn Store, proposal: &Proposal) -> Result<Vec<InForce>, CliError> {
    let Proposal {
        plan, found, after, ..
    } = proposal;
    let steps: BTreeMap<&str, u32> = plan
        .steps
        .iter()
        .filter_map(|step| Some((step.workflow.as_str(), step.action.to()?)))
        .collect();
    let definitions = after.state.definitions.iter();
    let versions = definitions.flat_map(|d| d.in_force().map(move |v| (d.clone(), v.clone())));
    let (mut all, mut elsewhere) = (Vec::new(), Vec::new());
    for (definition, version) in versions {
        let is_new = steps.get(definition.workflow.as_str()) == Some(&version.number);
        let digest = Digest::from_bytes(&version.digest).map(|digest| digest.to_string());
        let here = found.get(&definition.workflow).map(|(entry, _)| entry);
        match here.filter(|entry| digest.as_ref() == Some(&entry.bundle.digest)) {
            Some(entry) => all.push(InForce {
                name: definition.name_of(version.number),
                workflow: definition.workflow,
                loaded: entry.loaded.clone(),
                is_new,
            }),
            None => elsewhere.push((definition, version)),
        }
    }
    if plan.steps.is_empty() {
        return Ok(all);
    }
    let packed = bundles(store, &elsewhere).await?;
    for ((definition, version), packed) in elsewhere.into_iter().zip(packed) {
        if let Some(loaded) = packed.and_then(|packed| load(&packed).ok()) {
            all.push(InForce {
                name: definition.name_of(version.number),
                workflow: definition.workflow,
                loaded,
                is_new: false,
            });
        }
    }
    Ok(all)
}

async fn look(
    client: &Client,
    summary: WorkflowSummary,
    effects: &Effects,
    known: &Known,
) -> Result<Run, CliError> {
    let mut run = Run {
        workflow: WorkflowRef::new(summary.workflow_id, Some(summary.run_id)),
        workflow_type: summary.workflow_type,
        bound: String::new(),
        state: State::Safe,
    };
    if !OPEN.contains(&summary.status) {
        run.state = State::Left("it has ended");
        return Ok(run);
    }
    let beginning = match client.beginning(&run.workflow).await {
        Ok(beginning) => beginning,
        Err(ClientError::NoSuchWorkflow(..)) => {
            run.state = State::Left("it is gone");
            return Ok(run);
        }
        Err(error) => return Err(error.into()),
    };
    let bound = match &beginning.bundle {
        Some(bundle) => match loaded(bundle, known) {
            Ok(bound) => Some(bound),
            Err(why) => {
                run.state = State::Concerned(vec![Concern {
                    what: format!("this version of Segno cannot read what it is bound to: {why}"),
                    breaks: false,
                }]);
                return Ok(run);
            }
        },
        None if beginning.has_begun => {
            run.state = State::Left("no Segno worker has it");
            return Ok(run);
        }
        None => None,
    };
    run.bound = match &bound {
        Some(bound) if bound.bundle.version.is_empty() => bound.bundle.digest.clone(),
        Some(bound) => bound.bundle.version.clone(),
        None => String::new(),
    };
    let children = match &bound {
        Some(bound) if effects.concern_children_of(bound) => {
            client.inputs_of_children(&run.workflow).await?
        }
        _ => BTreeMap::new(),
    };
    let concerns = effects.on(&in_flight(beginning, bound, children));
    if !concerns.is_empty() {
        run.state = State::Concerned(concerns);
    }
    Ok(run)
}

fn in_flight(
    beginning: Beginning,
    bound: Option<Arc<Loaded>>,
    children: BTreeMap<String, Vec<Vec<Payload>>>,
) -> InFlight {
    let values = |payloads: Vec<Payload>| -> Vec<Value> {
        let value = |payload: &Payload| payload.decode().unwrap_or(Value::Null);
        payloads.iter().map(value).collect()
    };
    let children = children
        .into_iter()
        .map(|(workflow_type, inputs)| (workflow_type, inputs.into_iter().map(values).collect()));
    InFlight {
        workflow_type: beginning.workflow_type,
        arguments: values(beginning.input),
        bound,
        keeps_its_own: beginning.is_carried,
        begins_again: beginning.begins_again,
        children: children.collect(),
    }
}

fn loaded(bundle: &[u8], known: &Known) -> Result<Arc<Loaded>, String> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(loaded) = known.get(bundle) {
        return Ok(loaded.clone());
    }
    let loaded = load(bundle)?;
    known.insert(bundle.to_vec(), loaded.clone());
    Ok(loaded)
}

impl Checked {
    pub(crate) fn breaks(&self) -> bool {
        self.runs.iter().any(Run::breaks) || !self.definitions.is_empty()
    }

    pub(crate) fn refusal(&self) -> CliError {
        let count = self.runs.iter().filter(|run| run.breaks()).count();
        let names: BTreeSet<&String> = self.definitions.iter().map(|(name, _)| name).collect();
        let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
        let mut what = match count {
            0 => Vec::new(),
            1 => vec!["1 run in flight".to_owned()],
            _ => vec![format!("{count} runs in flight")],
        };
        if !names.is_empty() {
            what.push(format!("new runs of {}", names.join(", ")));
        }
        let error = CliError::new(format!(
            "{} would break; nothing was deployed",
            what.join(" and ")
        ));
        match count {
            0 => error.help("make each definition accept the input that the other passes"),
            _ => error.help(
                "runs keep the definition that they are bound to, but what they start later uses the deployed one; make it accept what they pass, or wait until they have ended",
            ),
        }
    }

    fn print(&self, output: Output) -> Result<(), CliError> {
        for (name, concern) in &self.definitions {
            output.line(format!(
                "{} new runs of {name}: {}",
                styled(Tone::Bad, "would break"),
                concern.what
            ))?;
        }
        for run in &self.runs {
            let State::Concerned(concerns) = &run.state else {
                continue;
            };
            for Concern { what, breaks } in concerns {
                let word = match breaks {
                    true => styled(Tone::Bad, "would break"),
                    false => styled(Tone::Odd, "not known"),
                };
                output.line(format!("{word} {}: {what}", run.name()))?;
            }
        }
        let mut safe: BTreeMap<&str, usize> = BTreeMap::new();
        let mut left: BTreeMap<&str, usize> = BTreeMap::new();
        for run in &self.runs {
            match run.state {
                State::Safe => *safe.entry(&run.bound).or_default() += 1,
                State::Left(why) => *left.entry(why).or_default() += 1,
                State::Concerned(_) => {}
            }
        }
        for (bound, count) in safe {
            let why = match bound {
                "" => "not started, with an input that is accepted".to_owned(),
                bound => format!("bound to {bound}"),
            };
            output.line(format!(
                "{} {} {why}",
                styled(Tone::Good, "safe"),
                runs(count)
            ))?;
        }
        for (why, count) in left {
            output.line(format!(
                "{} {}: {why}",
                styled(Tone::Dim, "not checked"),
                runs(count)
            ))?;
        }
        if self.runs.is_empty() {
            output.line("no run matches the query")?;
        }
        Ok(())
    }

    pub(crate) fn json(&self) -> Json {
        self.runs.iter().map(Run::json).collect()
    }

    pub(crate) fn definitions_json(&self) -> Json {
        let definitions = self.definitions.iter();
        definitions
            .map(|(name, concern)| {
                json!({ "version": name, "verdict": "breaks", "why": [concern.what] })
            })
            .collect()
    }
}

impl Run {
    fn name(&self) -> String {
        match self.bound.as_str() {
            "" => self.workflow.workflow_id.clone(),
            bound => format!("{} ({bound})", self.workflow.workflow_id),
        }
    }

    fn breaks(&self) -> bool {
        match &self.state {
            State::Concerned(concerns) => concerns.iter().any(|concern| concern.breaks),
            _ => false,
        }
    }

    fn json(&self) -> Json {
        let (verdict, why) = match &self.state {
            State::Safe => ("safe", Vec::new()),
            State::Left(why) => ("not checked", vec![(*why).to_owned()]),
            State::Concerned(concerns) => {
                let verdict = match self.breaks() {
                    true => "breaks",
                    false => "not known",
                };
                let why = concerns.iter().map(|concern| concern.what.clone());
                (verdict, why.collect())
            }
        };
        json!({
            "workflowId": self.workflow.workflow_id,
            "runId": self.workflow.run_id,
            "workflowType": self.workflow_type,
            "bound": self.bound,
            "verdict": verdict,
            "why": why,
        })
    }
}

fn runs(count: usize) -> String {
    match count {
        1 => "1 run".to_owned(),
        _ => format!("{count} runs"),
    }
}
