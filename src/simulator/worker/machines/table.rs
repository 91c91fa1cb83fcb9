//! State machines as tables: each row names a state, the inputs that it accepts there, the state that follows, and the effect. An
//! input that no row accepts is an error, which fails the workflow task.

use std::fmt::Debug;

use super::super::replay::Divergence;

/// One row of a machine's table. `on` lists inputs that have the same consequence.
pub(crate) struct Row<S: Table> {
    pub(crate) from: S,
    pub(crate) on: &'static [S::Input],
    pub(crate) to: S,
    pub(crate) effect: S::Effect,
}

/// The states of a machine.
pub(crate) trait Table: Copy + Debug + PartialEq + 'static {
    const NAME: &'static str;
    type Input: Copy + Debug + PartialEq + 'static;
    type Effect: Copy + 'static;

    fn rows() -> &'static [Row<Self>];

    /// Takes an input: the caller carries out the effect.
    fn take(&mut self, input: Self::Input) -> Result<Self::Effect, Divergence> {
        let accepts = |row: &Row<Self>| row.from == *self && row.on.contains(&input);
        let Some(place) = Self::rows().iter().position(accepts) else {
            let name = Self::NAME;
            return Err(Divergence::broken(format!(
                "the {name} machine cannot take {input:?} in the state {self:?}"
            )));
        };
        taken::note(Self::NAME, place);
        let row = &Self::rows()[place];
        *self = row.to;
        Ok(row.effect)
    }
}

/// A row, for the test that every row of every machine is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// `timer: Running --(Fired)--> Fired`.
    pub text: String,
    /// Whether this thread has taken it. Only builds with debug assertions record this.
    pub is_taken: bool,
}

/// The rows of one machine.
pub(crate) fn transitions_of<S: Table>() -> impl Iterator<Item = Transition> {
    S::rows().iter().enumerate().map(|(place, row)| {
        let inputs: Vec<String> = row.on.iter().map(|input| format!("{input:?}")).collect();
        Transition {
            text: format!(
                "{}: {:?} --({})--> {:?}",
                S::NAME,
                row.from,
                inputs.join(" | "),
                row.to
            ),
            is_taken: taken::has(S::NAME, place),
        }
    })
}

#[cfg(debug_assertions)]
mod taken {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    thread_local! {
        static TAKEN: RefCell<BTreeSet<(&'static str, usize)>> = const { RefCell::new(BTreeSet::new()) };
    }

    pub(crate) fn note(machine: &'static str, row: usize) {
        TAKEN.with_borrow_mut(|taken| taken.insert((machine, row)));
    }

    pub(crate) fn has(machine: &'static str, row: usize) -> bool {
        TAKEN.with_borrow(|taken| taken.contains(&(machine, row)))
    }
}

#[cfg(not(debug_assertions))]
mod taken {
    pub(crate) fn note(_machine: &'static str, _row: usize) {}

    pub(crate) fn has(_machine: &'static str, _row: usize) -> bool {
        false
    }
}
