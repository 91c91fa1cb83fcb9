//! Commands whose events have no job for the engine: cancellations of its own operations, markers of versions, upserts,
//! answers to updates, and the run's end (sdk-core 0.10.1, machines/update_state_machine.rs and the other short ones).

use super::table::{Row, Table};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plain {
    Commanded,
    Recorded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Recorded,
}

impl Table for Plain {
    const NAME: &'static str = "command";
    type Input = Input;
    type Effect = ();

    fn rows() -> &'static [Row<Self>] {
        const ROWS: &[Row<Plain>] = &[Row {
            from: Plain::Commanded,
            on: &[Input::Recorded],
            to: Plain::Recorded,
            effect: (),
        }];
        ROWS
    }
}
