//! What names mean at a place in a definition: variables with their slots and types, and which functions may be called.

use std::sync::Arc;

use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};

use super::ast::Expression;
use super::presence::facts;
use super::signature::Signature;
use super::types::Type;
use crate::limits::PATTERNS_PROGRAM_SIZE_BYTES_MAX;

/// Names in scope. Extending a scope shares what exists, so nested scopes cost nothing.
#[derive(Debug, Clone)]
pub struct Environment {
    innermost: Option<Arc<Layer>>,
    /// The variables by name as well, for scopes with thousands of them.
    by_name: RedBlackTreeMapSync<Arc<str>, Variable>,
    container: Option<Arc<str>>,
    purity: Purity,
    /// Paths whose fields are known to be present.
    present: RedBlackTreeSetSync<String>,
    /// Functions that only the checker knows.
    declared: Arc<Vec<(Arc<str>, Signature)>>,
    /// The compiled size that remains for the patterns of further expressions.
    patterns_left: usize,
    /// Enough mistakes have already been reported.
    is_quiet: bool,
}

impl Default for Environment {
    fn default() -> Self {
        Environment {
            innermost: None,
            by_name: RedBlackTreeMapSync::new_sync(),
            container: None,
            purity: Purity::default(),
            present: RedBlackTreeSetSync::new_sync(),
            declared: Arc::default(),
            patterns_left: PATTERNS_PROGRAM_SIZE_BYTES_MAX,
            is_quiet: false,
        }
    }
}

#[derive(Debug)]
struct Layer {
    variable: Variable,
    outer: Option<Arc<Layer>>,
}

/// A chain of scopes is dropped iteratively, since it may be long.
impl Drop for Layer {
    fn drop(&mut self) {
        let mut outer = self.outer.take();
        while let Some(mut layer) = outer.and_then(Arc::into_inner) {
            outer = layer.outer.take();
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Variable {
    /// May contain dots.
    pub(crate) name: Arc<str>,
    pub(crate) slot: u32,
    pub(crate) value: Type,
}

/// Which functions may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Purity {
    #[default]
    Workflow,
    /// Queries and validators of updates leave no trace in the run: `uuid()` and `random()` are refused.
    ReadOnly,
}

impl Environment {
    pub fn new() -> Self {
        Environment::default()
    }

    /// With one more variable; it hides an outer one of the same name.
    pub fn with(&self, name: impl Into<Arc<str>>, slot: u32, value: Type) -> Self {
        let variable = Variable {
            name: name.into(),
            slot,
            value,
        };
        Environment {
            by_name: self.by_name.insert(variable.name.clone(), variable.clone()),
            innermost: Some(Arc::new(Layer {
                variable,
                outer: self.innermost.clone(),
            })),
            ..self.clone()
        }
    }

    /// With what is known if a condition is `truth`: the optional fields that it tested may be used.
    pub(crate) fn assuming(&self, condition: &Expression, truth: bool) -> Self {
        let mut found = Vec::new();
        facts(&condition.root, truth, &mut found);
        let mut environment = self.clone();
        for path in found {
            environment.present.insert_mut(path);
        }
        environment
    }

    pub(super) fn is_present(&self, path: &str) -> bool {
        self.present.contains(path)
    }

    pub(crate) fn purity(&self, purity: Purity) -> Self {
        Environment {
            purity,
            ..self.clone()
        }
    }

    /// The namespace in which names are looked up first, its parts joined by dots.
    pub(crate) fn container(&self, container: impl Into<Arc<str>>) -> Self {
        Environment {
            container: Some(container.into()).filter(|c: &Arc<str>| !c.is_empty()),
            ..self.clone()
        }
    }

    /// With a function that can be checked but not called.
    pub(crate) fn declare(&self, name: impl Into<Arc<str>>, signature: Signature) -> Self {
        let mut declared = (*self.declared).clone();
        declared.push((name.into(), signature));
        Environment {
            declared: Arc::new(declared),
            ..self.clone()
        }
    }

    /// Expressions share a bound on the size of their compiled patterns: this is what earlier expressions left of it.
    pub(crate) fn set_patterns_left(&mut self, size_bytes: usize) {
        self.patterns_left = size_bytes;
    }

    /// Makes the checker only infer types, once so many mistakes are known that further ones would not be read.
    pub(crate) fn set_quiet(&mut self, is_quiet: bool) {
        self.is_quiet = is_quiet;
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    pub(super) fn patterns_left(&self) -> usize {
        self.patterns_left
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.purity == Purity::ReadOnly
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&Variable> {
        self.by_name.get(name)
    }

    /// The variables, innermost first.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Variable> {
        let mut layer = self.innermost.as_deref();
        std::iter::from_fn(move || {
            let current = layer?;
            layer = current.outer.as_deref();
            Some(&current.variable)
        })
    }

    pub(super) fn declared(&self, name: &str) -> impl Iterator<Item = &Signature> {
        self.declared
            .iter()
            .filter(move |(n, _)| &**n == name)
            .map(|(_, s)| s)
    }

    /// The variable that a dotted name begins with, and how many of its parts name the variable: the longest match, in
    /// the container before outside it.
    pub(super) fn resolve(&self, parts: &[&str], absolute: bool) -> Option<(usize, &Variable)> {
        for length in (1..=parts.len()).rev() {
            let name = parts[..length].join(".");
            for candidate in self.candidates(&name, absolute) {
                if let Some(variable) = self.variable(&candidate) {
                    return Some((length, variable));
                }
            }
        }
        None
    }

    fn candidates(&self, name: &str, absolute: bool) -> Vec<String> {
        let mut candidates = Vec::new();
        let mut container = self.container.as_deref().filter(|_| !absolute);
        while let Some(inside) = container {
            candidates.push(format!("{inside}.{name}"));
            container = inside.rsplit_once('.').map(|(outer, _)| outer);
        }
        candidates.push(name.to_owned());
        candidates
    }
}
