//! Checks the data of a template, also against an expected type.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::check::Checker;
use super::template::{TemplateKind, TemplateNode};
use super::types::{Object, Other, Presence, Type, joined};
use crate::diagnostic::Diagnostic;
use crate::source::{Range, Spanned};
use crate::value::Value;

impl Checker<'_> {
    pub(crate) fn template(&mut self, node: &TemplateNode, wanted: Option<&Type>) -> Type {
        let found = match (&node.kind, wanted) {
            (TemplateKind::Literal(value), _) => Type::of(value),
            (TemplateKind::Expression(expression), _) => self.node(&expression.root),
            (TemplateKind::Text(parts), _) => {
                for part in parts {
                    self.template(part, None);
                }
                Type::String
            }
            (TemplateKind::List(items), Some(Type::List(item))) => {
                let items = joined(items.iter().map(|i| self.template(i, Some(item))));
                return Type::list(items).bounded();
            }
            (TemplateKind::List(items), _) => {
                Type::list(joined(items.iter().map(|i| self.template(i, None)))).bounded()
            }
            (TemplateKind::Map(entries), _) => return self.template_map(node, entries, wanted),
        };
        self.fits(&found, wanted, node.range);
        found
    }

    fn fits(&mut self, found: &Type, wanted: Option<&Type>, range: Range) {
        let Some(wanted) = wanted else { return };
        if let Some(why) = found.mismatch(wanted) {
            // Otherwise it is about a part of the value.
            let message = match why.starts_with("expected ") {
                true => super::types::expected(wanted, found),
                false => format!("expected {wanted}: {why}"),
            };
            self.report(Diagnostic::error("wrong-type", range, message).label(format!("{found}")));
        }
    }

    fn template_map(
        &mut self,
        node: &TemplateNode,
        entries: &[(TemplateNode, TemplateNode)],
        wanted: Option<&Type>,
    ) -> Type {
        let object = wanted.and_then(|w| match w.alternatives() {
            [Type::Object(object)] | [Type::Object(object), Type::Null] => Some(object.clone()),
            [Type::Map(_, value)] | [Type::Map(_, value), Type::Null] => Some(Arc::new(
                Object::new(BTreeMap::new(), Other::Allowed((**value).clone())),
            )),
            _ => None,
        });
        let mut fields = Vec::new();
        let mut computed = Type::Never;
        let mut all_named = true;
        for (key, value) in entries {
            let TemplateKind::Literal(Value::String(name)) = &key.kind else {
                self.template(key, None);
                computed = computed.join(&self.template(value, None));
                all_named = false;
                continue;
            };
            let inner = object
                .as_ref()
                .and_then(|o| match (o.fields.get(name), &o.other) {
                    (Some(field), _) => Some(&field.value),
                    (None, Other::Allowed(value)) => Some(value),
                    _ => None,
                });
            if let Some(o) = &object
                && inner.is_none()
                && o.other == Other::Refused
            {
                let field = Spanned::new(name.clone(), key.range);
                let names = o.fields.keys().map(|n| &**n);
                self.unknown_field(&field, names, &Type::Object(o.clone()));
            }
            fields.push((name.clone(), self.template(value, inner)));
        }
        if let (Some(object), true) = (&object, all_named) {
            let written: BTreeSet<_> = fields.iter().map(|(name, _)| name).collect();
            for (name, field) in &object.fields {
                if field.presence == Presence::Required && !written.contains(name) {
                    let message = format!("the field `{name}` is missing");
                    self.report(Diagnostic::error("wrong-type", node.range, message));
                }
            }
        }
        let found = match all_named {
            true => Type::built(fields).bounded(),
            false => Type::map(
                Type::String,
                joined(fields.into_iter().map(|(_, v)| v)).join(&computed),
            ),
        };
        if object.is_none() {
            self.fits(&found, wanted, node.range);
        }
        found
    }
}
