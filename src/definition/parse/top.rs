//! The keys of a definition and of a library.

use std::sync::{Arc, LazyLock};

use super::Parser;
use super::fields::Fields;
use crate::definition::Name;
use crate::definition::table::{Key, Table, key};
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
            .text(&fields, key!("workflow"))
            .unwrap_or_else(|| Spanned::new("".into(), fields.start()));
        self.description(&fields);
        let state = self.named(&fields, key!("state"));
        Some(Definition {
            name,
            task_queue: self.text(&fields, key!("task_queue")),
            uses: self.texts(&fields, key!("use")),
            input: self.schema(&fields, key!("input")),
            output: self.schema(&fields, key!("output")),
            types: self.types(&fields),
            activities: self.contracts(&fields),
            defaults: self.defaults(&fields),
            state: self.templates(state),
            queries: self.queries(&fields),
            signals: self.handlers(&fields, key!("signals"), &tables::SIGNAL),
            updates: self.handlers(&fields, key!("updates"), &tables::UPDATE),
            blocks: self.blocks(&fields),
            steps: self.required_steps(&fields, key!("steps")),
            start: self.start_options(&fields),
            schedules: self.schedules(&fields),
            history: self
                .word(&fields, key!("history"))
                .map(|history| history.value)
                .unwrap_or_default(),
            versioning_behavior: self
                .word(&fields, key!("versioning_behavior"))
                .map(|behavior| behavior.value),
            expression_cost_max: self.whole(&fields, key!("expression_cost_max")),
        })
    }

    pub(super) fn library(&mut self, document: &Node) -> Option<Library> {
        let fields = self.fields(document, &tables::LIBRARY)?;
        self.version(&fields);
        Some(Library {
            uses: self.texts(&fields, key!("use")),
            types: self.types(&fields),
            activities: self.contracts(&fields),
            blocks: self.blocks(&fields),
        })
    }

    fn version(&mut self, fields: &Fields<'_>) {
        let Some((_, node)) = fields.get(key!("segno")) else {
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
        let named = self.named(fields, key!("types"));
        named
            .into_iter()
            .filter_map(|(name, node)| {
                let schema = self.schema_of(&name.value, node)?;
                Some((name, schema))
            })
            .collect()
    }

    /// A description is for readers: only its type is checked.
    fn description(&mut self, fields: &Fields<'_>) {
        self.text(fields, key!("description"));
    }

    /// Each of a key's named mappings; an empty one counts as one without keys.
    pub(super) fn each<'n, T>(
        &mut self,
        fields: &Fields<'n>,
        name: Key,
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
            key!("activities"),
            &tables::CONTRACT,
            |parser, name, fields| {
                parser.description(fields);
                ActivityContract {
                    name,
                    input: parser.schema(fields, key!("input")),
                    output: parser.schema(fields, key!("output")),
                    options: parser.activity_options(fields),
                }
            },
        )
    }

    fn defaults(&mut self, fields: &Fields<'_>) -> Arc<Defaults> {
        static NOTHING: LazyLock<Arc<Defaults>> = LazyLock::new(Arc::default);
        let Some(fields) = self.table(fields, key!("defaults"), &tables::DEFAULTS) else {
            return NOTHING.clone();
        };
        let mut defaults = Defaults::default();
        if let Some(inner) = self.inner_table(&fields, key!("activity")) {
            defaults.activity = self.activity_options(&inner);
        }
        if let Some(inner) = self.inner_table(&fields, key!("child")) {
            defaults.child = self.child_options(&inner);
        }
        Arc::new(defaults)
    }

    fn inner_table<'n>(&mut self, fields: &Fields<'n>, name: Key) -> Option<Fields<'n>> {
        let (field, node) = fields.get(name)?;
        self.fields(node, field.shape.table()?)
    }

    fn queries(&mut self, fields: &Fields<'_>) -> Vec<Query> {
        let named = self.named(fields, key!("queries"));
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
            description: self.text(&fields, key!("description")),
            input: self.schema(&fields, key!("input")),
            output: self.schema(&fields, key!("output")),
            result: self.required_template(&fields, key!("result")),
        })
    }

    fn handlers(&mut self, fields: &Fields<'_>, name: Key, table: &'static Table) -> Vec<Handler> {
        self.each(fields, name, table, |parser, name, fields| Handler {
            name,
            description: parser.text(fields, key!("description")),
            input: parser.schema(fields, key!("input")),
            output: parser.schema(fields, key!("output")),
            validate: parser.condition(fields, key!("validate")),
            steps: parser.required_steps(fields, key!("do")),
            finish_before_completion: parser
                .flag(fields, key!("finish_before_completion"))
                .is_none_or(|flag| flag.value),
        })
    }

    fn blocks(&mut self, fields: &Fields<'_>) -> Vec<Block> {
        self.each(
            fields,
            key!("blocks"),
            &tables::BLOCK,
            |parser, name, fields| {
                parser.description(fields);
                Block {
                    name,
                    input: parser.schema(fields, key!("input")),
                    output: parser.schema(fields, key!("output")),
                    steps: parser.required_steps(fields, key!("do")),
                }
            },
        )
    }
}
