//! Everything that needs a real Temporal server, in one binary that shares one.

#![cfg(feature = "cluster")]

mod activities;
mod codec_server;
mod codecs;
mod connections;
mod damaged_folders;
mod damaged_registries;
mod deploy_checks;
mod deployed_schedules;
mod deploying;
mod deployments;
mod examples;
mod first_tasks;
mod full_cache;
mod histories;
mod interop;
mod limits;
mod lost;
mod namespaces;
mod nondeterminism;
mod order;
mod output;
mod outside;
mod places;
mod processes;
mod queried;
mod readme;
mod registry_crashes;
mod registry_exchange;
mod registry_project;
mod replays;
mod restarts;
mod rolling_back;
mod scenarios;
mod schedules;
mod schedules_follow;
mod sealed_activities;
mod simulator;
mod start;
mod start_options;
mod steps;
#[path = "../support/mod.rs"]
mod support;
mod telemetry;
mod tuning;
mod two_workers;
mod ui;
mod versions;
