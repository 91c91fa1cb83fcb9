//! Steps: which action a step is, and what every step may have.

use super::Parser;
use super::fields::{self, Fields, first_key};
use super::values::unknown;
use crate::definition::table::{self, Field, key};
use crate::definition::{Action, ChildStep, Input, Name, Step, Steps, tables};
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::source::{Range, Spanned};
use crate::words::CompensateOn;
use crate::yaml::{Entry, Node};

impl Parser {
    pub(super) fn steps_of(&mut self, field: &Field, node: &Node) -> Steps {
        let Some(items) = node.sequence() else {
            self.wrong_type(field, node);
            return Vec::new();
        };
        items.iter().map(|item| self.step(item)).collect()
    }

    fn step(&mut self, node: &Node) -> Step {
        let Some(entries) = node.mapping() else {
            self.report(not_a_step(node));
            return self.nothing(node.range, None);
        };
        let all: Vec<_> = tables::ACTIONS.iter().collect();
        let Some((entry, action)) = self.action_key(node, entries, &all) else {
            let id = self.id_of_broken(entries);
            return self.nothing(node.range, id);
        };
        let fields = self.step_fields(node, action, &all, tables::COMMON);
        let id = self.identifier(&fields, key!("id"));
        let description = self.template(&fields, key!("description"));
        let when = self.condition(&fields, key!("when"));
        let compensate = self.steps(&fields, key!("compensate"));
        let compensate_on = self.compensate_on(&fields, compensate.is_some());
        let done = self.action(action, &fields, entry);
        Step {
            id,
            description,
            when,
            compensate,
            compensate_on,
            action: Spanned::new(done, entry.key.range),
        }
    }

    fn compensate_on(
        &mut self,
        fields: &Fields<'_>,
        has_compensate: bool,
    ) -> Option<Spanned<CompensateOn>> {
        let choice = self.word(fields, key!("compensate_on"))?;
        if !has_compensate {
            let message = "`compensate_on` without `compensate` has no effect";
            let error = Diagnostic::error("missing-key", choice.range, message)
                .help("add `compensate`, or remove `compensate_on`");
            self.report(error);
        }
        Some(choice)
    }

    /// The one action key of a step, or of the step inside `start`.
    pub(super) fn action_key<'n>(
        &mut self,
        node: &'n Node,
        entries: &'n [Entry],
        actions: &[&'static table::Action],
    ) -> Option<(&'n Entry, &'static table::Action)> {
        let present: Vec<_> = entries
            .iter()
            .filter_map(|entry| {
                let name = entry.name();
                let action = actions.iter().find(|action| action.key.name == &*name)?;
                Some((entry, *action))
            })
            .collect();
        // `do` is an action and also an option of loops.
        let is_option = |entry: &Entry| {
            let name = entry.name();
            present.iter().any(|(other, action)| {
                !std::ptr::eq(*other, entry) && action.fields().any(|field| field.name == &*name)
            })
        };
        let mut chosen = present
            .iter()
            .filter(|(entry, _)| !is_option(entry))
            .copied();
        let Some(first) = chosen.next() else {
            self.report(no_action(node, entries, actions));
            return None;
        };
        for (entry, _) in chosen {
            let names = (first.0.name(), entry.name());
            let message = format!(
                "a step must have one action; found `{}` and `{}`",
                names.0, names.1
            );
            let error = Diagnostic::error("two-actions", entry.key.range, message)
                .label("a second action key")
                .annotate(first.0.key.range, "the first one")
                .help("split it into two steps, each with its own `- `");
            self.report(error);
        }
        Some(first)
    }

    /// So that a use of the id is not reported as undefined.
    fn id_of_broken(&mut self, entries: &[Entry]) -> Option<Name> {
        let entry = entries.iter().find(|entry| &*entry.name() == "id")?;
        let scalar = entry.value.scalar()?;
        Some(Spanned::new(scalar.text.clone(), entry.value.range))
    }

    /// Replaces a step that could not be read: its result has an unknown type.
    fn nothing(&mut self, range: Range, id: Option<Name>) -> Step {
        let action = Action::Child(Box::new(ChildStep {
            child: self.any_template(&unknown(range)),
            input: Input::None,
            options: None,
        }));
        Step {
            id,
            description: None,
            when: None,
            compensate: None,
            compensate_on: None,
            action: Spanned::new(action, range),
        }
    }

    pub(super) fn input(&mut self, fields: &Fields<'_>) -> Input {
        self.exclusive(fields, [key!("input"), key!("args")]);
        if let Some((field, node)) = fields.get(key!("args")) {
            let Some(items) = node.sequence() else {
                self.wrong_type(field, node);
                return Input::None;
            };
            return Input::Several(items.iter().map(|item| self.any_template(item)).collect());
        }
        match self.template(fields, key!("input")) {
            Some(template) => Input::One(template),
            None => Input::None,
        }
    }
}

fn not_a_step(node: &Node) -> Diagnostic {
    let message = format!("a step must be a mapping; found {}", node.kind());
    let error = Diagnostic::error("wrong-type", node.range, message);
    let action = node
        .scalar()
        .and_then(|scalar| did_you_mean(&scalar.text, action_names(tables::ACTIONS.iter())));
    match action {
        Some(action) => error.help(format!("write `{action}:`, with a colon")),
        None => error.help("write `- ACTION: …`, for example `- log: hello`"),
    }
}

fn action_names(
    actions: impl Iterator<Item = &'static table::Action>,
) -> impl Iterator<Item = &'static str> {
    actions.map(|action| action.key.name)
}

fn no_action(node: &Node, entries: &[Entry], actions: &[&'static table::Action]) -> Diagnostic {
    let names = || action_names(actions.iter().copied());
    let is_common = |name: &str| tables::COMMON.iter().any(|field| field.name == name);
    let option = entries.iter().find_map(|entry| {
        let of = fields::actions_with(&entry.name())?;
        Some((entry.key.range, format!("a key of {of}, which is missing")))
    });
    let near = entries
        .iter()
        .filter(|entry| option.is_none() && !is_common(&entry.name()))
        .find_map(|entry| Some((entry.key.range, did_you_mean(&entry.name(), names())?)));
    let (range, label) = match (&option, near) {
        (Some((range, label)), _) => (*range, label.clone()),
        (None, Some((range, near))) => (range, format!("did you mean `{near}`?")),
        (None, None) => (first_key(node), "none of its keys is an action".to_string()),
    };
    let mut error =
        Diagnostic::error("no-action", range, "the step has no action key").label(label);
    if let Some((range, near)) = near {
        error = error.fix(
            format!("write `{near}`"),
            vec![(range, near.to_string())],
            false,
        );
    }
    error.help(format!(
        "the action keys are {}",
        names().collect::<Vec<_>>().join(", ")
    ))
}
