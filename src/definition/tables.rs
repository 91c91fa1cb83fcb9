//! What a definition may contain, key by key: the one list from which all others are derived.

mod callback;
mod exec;
mod grpc;
mod http;
mod options;
mod schedule;
mod step_options;
mod steps;
mod test;
mod top;

pub(crate) use callback::CALLBACK;
pub(crate) use exec::EXEC;
pub(crate) use grpc::GRPC;
pub(crate) use http::{HTTP, HTTP_POLL, HTTP_SECRETS};
pub use options::{ACTIVITY_OPTIONS, CHILD_OPTIONS, LOCAL, PRIORITY, RETRY_POLICY, START};
pub use schedule::{CALENDAR, INTERVAL, SCHEDULE};
pub(crate) use step_options::CATCH;
pub use steps::{ACTIONS, COMMON, STARTED};
pub use test::{
    EXPECTATION, EXPECTED_FAILURE, HEARTBEAT, MOCKED_FAILURE, OUTCOME, TEST, TEST_ACTION, TEST_CASE,
};
pub use top::{BLOCK, CONTRACT, DEFAULTS, DEFINITION, LIBRARY, QUERY, SIGNAL, UPDATE};

use super::table::{Action, Table, any_has};
use crate::words::BuiltIn;

/// The action with a key.
pub fn action(key: &str) -> Option<&'static Action> {
    ACTIONS.iter().find(|action| action.key.name == key)
}

/// The keys of a built-in activity's request.
pub(crate) fn request(built_in: BuiltIn) -> &'static Table {
    match built_in {
        BuiltIn::Http => &HTTP,
        BuiltIn::Exec => &EXEC,
        BuiltIn::Grpc => &GRPC,
        BuiltIn::Callback => &CALLBACK,
    }
}

/// Whether a table has a key of this name.
pub(super) const fn have(name: &str) -> bool {
    let mut place = 0;
    while place < ACTIONS.len() {
        let action = &ACTIONS[place];
        if action.key.has(name) || any_has(action.options, name) {
            return true;
        }
        place += 1;
    }
    any_has(&[COMMON], name)
        || any_has(DEFINITION.groups, name)
        || any_has(LIBRARY.groups, name)
        || any_has(TEST.groups, name)
}
