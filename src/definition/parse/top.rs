//! The keys of a definition and of a library.

use super::Parser;
use super::fields::Fields;
use crate::definition::Name;
use crate::definition::table::Table;
use crate::definition::{
    ActivityContract, Block, Defaults, Definition, Handler, Library, Query, Schema, tables,
};
use crate::diagnostic::Diagnostic;
use crate::source::Spanned;
use crate::value::Value;
use crate::yaml::{Data, Node};

impl Parser {
    pub(super) fn definition(&mut self, document: &Node) -> Option<Definition> {
        let fields = self.fields(document, &tables::DEFINITION)?;
        self.version(&fields);
        let name = self
            .text(&fields, "workflow")
            .unwrap_or_else(|| Spanned::new("".into(), fields.start()));
        let state = self.named(&fields, "state");
        Some(Definition {
            range: document.range,
            name,
            description: self.text(&fields, "description"),
            task_queue: self.text(&fields, "task_queue"),
            uses: self.texts(&fields, "use"),
            input: self.schema(&fields, "input"),
            output: self.schema(&fields, "output"),
            types: self.types(&fields),
            activities: self.contracts(&fields),
            defaults: self.defaults(&fields),
            state: self.templates(state),
            queries: self.queries(&fields),
            signals: self.handlers(&fields, "signals", &tables::SIGNAL),
            updates: self.handlers(&fields, "updates", &tables::UPDATE),
            blocks: self.blocks(&fields),
            steps: self.required_steps(&fields, "steps"),
            start: self.start_options(&fields),
            schedules: self.schedules(&fields),
            history: self
                .word(&fields, "history")
                .map(|history| history.value)
                .unwrap_or_default(),
            versioning_behavior: self
                .word(&fields, "versioning_behavior")
                .map(|behavior| behavior.value),
            expression_cost_max: self.whole(&fields, "expression_cost_max"),
        })
    }

    pub(super) fn library(&mut self, document: &Node) -> Option<Library> {
        let fields = self.fields(document, &tables::LIBRARY)?;
        self.version(&fields);
        Some(Library {
            range: document.range,
            uses: self.texts(&fields, "use"),
            types: self.types(&fields),
            activities: self.contracts(&fields),
            blocks: self.blocks(&fields),
        })
    }

    fn version(&mut self, fields: &Fields<'_>) {
        let Some((_, node)) = fields.get("segno") else {
            return;
        };
        if node
            .scalar()
            .is_none_or(|scalar| scalar.value != Value::Int(1))
        {
            let error = Diagnostic::error(
                "unknown-version",
                node.range,
                "the language has no such version",
            )
            .label("expected 1")
            .help("write `segno: 1`");
            self.report(error);
        }
    }

    fn types(&mut self, fields: &Fields<'_>) -> Vec<(Name, Schema)> {
        let named = self.named(fields, "types");
        named
            .into_iter()
            .filter_map(|(name, node)| {
                let schema = self.schema_of(&name.value, node)?;
                Some((name, schema))
            })
            .collect()
    }

    /// Each of a key's named mappings; an empty one stands for one without keys.
    pub(super) fn each<'n, T>(
        &mut self,
        fields: &Fields<'n>,
        name: &str,
        table: &'static Table,
        mut read: impl FnMut(&mut Self, Name, &Fields<'n>) -> T,
    ) -> Vec<T> {
        let named = self.named(fields, name);
        let mut all = Vec::with_capacity(named.len());
        for (name, node) in named {
            let inner = if node.is_null() && !table.fields().any(|field| field.required) {
                Some(Fields::none(node.range))
            } else {
                self.fields(node, table)
            };
            if let Some(inner) = inner {
                all.push(read(self, name, &inner));
            }
        }
        all
    }

    fn contracts(&mut self, fields: &Fields<'_>) -> Vec<ActivityContract> {
        self.each(
            fields,
            "activities",
            &tables::CONTRACT,
            |parser, name, fields| ActivityContract {
                name,
                description: parser.text(fields, "description"),
                input: parser.schema(fields, "input"),
                output: parser.schema(fields, "output"),
                options: parser.activity_options(fields),
            },
        )
    }

    fn defaults(&mut self, fields: &Fields<'_>) -> Defaults {
        let Some(fields) = self.table(fields, "defaults", &tables::DEFAULTS) else {
            return Defaults::default();
        };
        let mut defaults = Defaults::default();
        if let Some(inner) = self.inner_table(&fields, "activity") {
            defaults.activity = self.activity_options(&inner);
        }
        if let Some(inner) = self.inner_table(&fields, "child") {
            defaults.child = self.child_options(&inner);
        }
        defaults
    }

    fn inner_table<'n>(&mut self, fields: &Fields<'n>, name: &str) -> Option<Fields<'n>> {
        let (field, node) = fields.get(name)?;
        self.fields(node, field.shape.table()?)
    }

    fn queries(&mut self, fields: &Fields<'_>) -> Vec<Query> {
        let named = self.named(fields, "queries");
        named
            .into_iter()
            .filter_map(|(name, node)| self.query(name, node))
            .collect()
    }

    /// The long form is a mapping with `result`; any other value is the result itself.
    fn query(&mut self, name: Name, node: &Node) -> Option<Query> {
        let Data::Mapping(_) = node.data else {
            return Some(Query {
                name,
                description: None,
                input: None,
                output: None,
                result: self.any_template(node),
            });
        };
        let fields = self.fields(node, &tables::QUERY)?;
        Some(Query {
            name,
            description: self.text(&fields, "description"),
            input: self.schema(&fields, "input"),
            output: self.schema(&fields, "output"),
            result: self.required_template(&fields, "result"),
        })
    }

    fn handlers(&mut self, fields: &Fields<'_>, name: &str, table: &'static Table) -> Vec<Handler> {
        self.each(fields, name, table, |parser, name, fields| Handler {
            name,
            description: parser.text(fields, "description"),
            input: parser.schema(fields, "input"),
            output: parser.schema(fields, "output"),
            validate: parser.condition(fields, "validate"),
            steps: parser.required_steps(fields, "do"),
            finish_before_completion: parser
                .flag(fields, "finish_before_completion")
                .is_none_or(|flag| flag.value),
        })
    }

    fn blocks(&mut self, fields: &Fields<'_>) -> Vec<Block> {
        self.each(fields, "blocks", &tables::BLOCK, |parser, name, fields| {
            Block {
                name,
                description: parser.text(fields, "description"),
                input: parser.schema(fields, "input"),
                output: parser.schema(fields, "output"),
                steps: parser.required_steps(fields, "do"),
            }
        })
    }
}
