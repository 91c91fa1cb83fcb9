//! Everything that needs a real Temporal server, in one binary that shares one.

#![cfg(feature = "cluster")]

#[path = "cluster/activities.rs"]
mod activities;
#[path = "cluster/codec_server.rs"]
mod codec_server;
#[path = "cluster/codecs.rs"]
mod codecs;
#[path = "cluster/connections.rs"]
mod connections;
#[path = "cluster/damaged_folders.rs"]
mod damaged_folders;
#[path = "cluster/damaged_registries.rs"]
mod damaged_registries;
#[path = "cluster/deploy_checks.rs"]
mod deploy_checks;
#[path = "cluster/deployed_schedules.rs"]
mod deployed_schedules;
#[path = "cluster/deploying.rs"]
mod deploying;
#[path = "cluster/deployments.rs"]
mod deployments;
#[path = "cluster/examples.rs"]
mod examples;
#[path = "cluster/first_tasks.rs"]
mod first_tasks;
#[path = "cluster/full_cache.rs"]
mod full_cache;
#[path = "cluster/histories.rs"]
mod histories;
#[path = "cluster/interop.rs"]
mod interop;
#[path = "cluster/limits.rs"]
mod limits;
#[path = "cluster/lost.rs"]
mod lost;
#[path = "cluster/namespaces.rs"]
mod namespaces;
#[path = "cluster/order.rs"]
mod order;
#[path = "cluster/output.rs"]
mod output;
#[path = "cluster/outside.rs"]
mod outside;
#[path = "cluster/places.rs"]
mod places;
#[path = "cluster/processes.rs"]
mod processes;
#[path = "cluster/queried.rs"]
mod queried;
#[path = "cluster/registry_crashes.rs"]
mod registry_crashes;
#[path = "cluster/registry_exchange.rs"]
mod registry_exchange;
#[path = "cluster/registry_project.rs"]
mod registry_project;
#[path = "cluster/replays.rs"]
mod replays;
#[path = "cluster/restarts.rs"]
mod restarts;
#[path = "cluster/rolling_back.rs"]
mod rolling_back;
#[path = "cluster/scenarios.rs"]
mod scenarios;
#[path = "cluster/schedules.rs"]
mod schedules;
#[path = "cluster/schedules_follow.rs"]
mod schedules_follow;
#[path = "cluster/sealed_activities.rs"]
mod sealed_activities;
#[path = "cluster/start.rs"]
mod start;
#[path = "cluster/start_options.rs"]
mod start_options;
mod support;
#[path = "cluster/telemetry.rs"]
mod telemetry;
#[path = "cluster/tuning.rs"]
mod tuning;
#[path = "cluster/two_workers.rs"]
mod two_workers;
#[path = "cluster/ui.rs"]
mod ui;
#[path = "cluster/versions.rs"]
mod versions;
