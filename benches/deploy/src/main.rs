//! Deploys ten definitions again and again to one registry on a cluster, and says how large things become.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::{Duration, Instant};

use prost::Message;
use segno::catalog::{Catalog, Origin};
use segno::client::{Client, ConnectionSettings, WorkflowRef, unique_id};
use segno::registry::deploy::{Definitions, Plan, Routing};
use segno::registry::{ClusterStore, Found, Store, read_folder};

const DEFINITIONS: usize = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(registry), Some(count)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("ADDRESS REGISTRY DEPLOYMENTS".into());
    };
    let settings = ConnectionSettings {
        address: Some(address),
        ..ConnectionSettings::default()
    };
    let client = Client::connect(&settings.resolve()?).await?;
    let store = ClusterStore::new(client.clone(), registry.clone());
    let folder = std::env::temp_dir().join(format!("segno-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let deployments: usize = count.parse()?;
    let mut largest = Largest::default();
    let begun = Instant::now();
    for deployment in 0..deployments {
        let took = deploy(&store, &folder, deployment).await?;
        largest.time = largest.time.max(took);
        // Also right before the registry continues as new.
        if deployment % 100 == 98 {
            largest
                .look(&client, &registry, &store.read().await?)
                .await?;
        }
    }
    let took = begun.elapsed();
    let reads = Instant::now();
    let fresh = ClusterStore::new(client.clone(), registry.clone());
    let catalog = fresh.read().await?;
    println!(
        "{deployments} deployments in {:.1} s ({:.1} ms each, the slowest {:.0} ms); at the revision {}, {} versions",
        took.as_secs_f64(),
        took.as_secs_f64() * 1e3 / deployments as f64,
        largest.time.as_secs_f64() * 1e3,
        catalog.revision(),
        versions(&catalog),
    );
    println!(
        "the registry continued as new {} times; its history: at most {} events and {} bytes; its catalog {} bytes; a new reader has it all in {:.0} ms",
        largest.runs.len().saturating_sub(1),
        largest.events,
        largest.bytes,
        largest.catalog,
        reads.elapsed().as_secs_f64() * 1e3
    );
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

#[derive(Default)]
struct Largest {
    time: Duration,
    /// One is looked at in each run of the registry at least.
    runs: BTreeSet<String>,
    events: i64,
    bytes: i64,
    catalog: usize,
}

impl Largest {
    async fn look(
        &mut self,
        client: &Client,
        registry: &str,
        catalog: &Catalog,
    ) -> Result<(), Box<dyn Error>> {
        let found = client.describe(&WorkflowRef::new(registry, None)).await?;
        self.runs.insert(found.workflow.run_id);
        self.events = self.events.max(found.workflow.history_length);
        self.bytes = self.bytes.max(found.workflow.history_size_bytes);
        self.catalog = self.catalog.max(catalog.state.encoded_len());
        Ok(())
    }
}

/// One of the definitions is another one each time.
async fn deploy(
    store: &ClusterStore,
    folder: &std::path::Path,
    deployment: usize,
) -> Result<Duration, Box<dyn Error>> {
    let changed = deployment % DEFINITIONS;
    for definition in 0..DEFINITIONS {
        if deployment == 0 || definition == changed {
            let text = format!(
                "segno: 1\nworkflow: bench-{definition}\nsteps:\n  - return: deployment {deployment}\n"
            );
            std::fs::write(folder.join(format!("{definition}.yaml")), text)?;
        }
    }
    let begun = Instant::now();
    let Found { definitions, .. } = read_folder(folder)?;
    let definitions: Definitions = definitions;
    let plan = Plan::new(&store.read().await?, &definitions, "bench", Routing::Usual)?;
    let origin = Origin {
        who: "bench@host".to_owned(),
        commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        message: format!("Deployment {deployment}"),
    };
    plan.carry_out(store, &definitions, origin, unique_id(), None)
        .await?;
    store.compact().await?;
    Ok(begun.elapsed())
}

fn versions(catalog: &Catalog) -> usize {
    let definitions = catalog.state.definitions.iter();
    let numbers: BTreeMap<_, _> = definitions
        .map(|d| (&d.workflow, d.versions.len()))
        .collect();
    numbers.values().sum()
}
