//! Whether the polling workers support the language version of what is deployed.

use std::collections::BTreeMap;
use std::path::Path;

use crate::bundle::Bundle;
use crate::cli::args::task_queue::task_queue_of;
use crate::cli::error::CliError;
use crate::client::{Client, Poller};
use crate::registry::deploy::{Definitions, Plan};
use crate::source::Sources;
use crate::yaml::{self, Node};

/// Refuses definitions that a worker on their task queue cannot read. If no worker announces its version, nothing is
/// refused.
pub(crate) async fn refuse_older_workers(
    client: &Client,
    plan: &Plan,
    found: &Definitions,
    folder: &Path,
) -> Result<(), CliError> {
    let mut pollers: BTreeMap<String, Vec<Poller>> = BTreeMap::new();
    for step in &plan.steps {
        // A retired type has none.
        let Some((entry, file)) = found.get(&step.workflow) else {
            continue;
        };
        let bundle =
            Bundle::decode(&entry.bundle.bytes).map_err(|e| CliError::new(e.to_string()))?;
        let wanted = bundle.versions().language;
        let queue = task_queue_of(entry.loaded.program.start.task_queue.as_deref());
        if !pollers.contains_key(&queue) {
            let polling = client.workflow_pollers(&queue).await?;
            pollers.insert(queue.clone(), polling);
        }
        let polling = pollers.get(&queue).into_iter().flatten();
        let mut older = polling.filter_map(|p| Some((p, p.language?)));
        if let Some((worker, known)) = older.find(|(_, known)| *known < wanted) {
            return Err(CliError::new(format!(
                "{}: {} uses version {wanted} of the language, but the worker {:?} on the task queue {queue:?} supports versions up to {known}; nothing was deployed",
                place(&bundle, &folder.join(&**file)),
                step.workflow,
                worker.identity
            ))
            .help(
                "replace the workers of the queue by newer ones first; a stopped worker counts until 90 seconds after its last poll",
            ));
        }
    }
    Ok(())
}

/// The place of the language version in the definition.
fn place(bundle: &Bundle, path: &Path) -> String {
    let file = bundle.entry();
    let path = path.display().to_string();
    let mut sources = Sources::default();
    let id = sources.add(path.as_str(), file.text.clone());
    let (documents, _) = yaml::read(id, &file.text);
    let document = documents.get(bundle.document() as usize);
    let mut keys = document.and_then(Node::mapping).into_iter().flatten();
    let said = keys.find(|e| e.key.scalar().is_some_and(|key| &*key.text == "segno"));
    said.map_or(path, |said| sources.location(said.value.range))
}
