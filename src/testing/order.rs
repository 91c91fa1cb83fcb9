//! The order in which what is due at one time is done: by default the first at each choice.

use std::collections::BTreeMap;

use crate::engine::split_mix;

/// Which of several is first, by the number of the choice, counted from 0; at all others it is the first.
pub(crate) type Chosen = BTreeMap<usize, usize>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    Chosen(Chosen),
    /// By a seed.
    Random(u64),
}

/// A choice of the order, and what was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) options: usize,
    pub(crate) taken: usize,
}

/// Makes the choices, and records them.
#[derive(Debug)]
pub(crate) struct Chooser {
    order: Order,
    pub(crate) choices: Vec<Choice>,
}

impl Chooser {
    pub(crate) fn new(order: Order) -> Self {
        Chooser {
            order,
            choices: Vec::new(),
        }
    }

    /// One of `options`, of which there is at least one.
    pub(crate) fn choose(&mut self, options: usize) -> usize {
        let number = self.choices.len();
        let taken = match &mut self.order {
            Order::Chosen(chosen) => chosen.get(&number).copied().unwrap_or(0),
            Order::Random(seed) => (split_mix(seed) % options as u64) as usize,
        };
        let taken = taken.min(options - 1);
        self.choices.push(Choice { options, taken });
        taken
    }
}

/// The choices that differ from the usual order.
pub(crate) fn chosen(choices: &[Choice]) -> Chosen {
    let taken = choices.iter().map(|choice| choice.taken).enumerate();
    taken.filter(|(_, taken)| *taken > 0).collect()
}
