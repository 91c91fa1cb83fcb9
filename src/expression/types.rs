//! Gradual types: what is known about a value before it exists. `Dynamic` agrees with everything.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::limits::TYPE_NODES_MAX;
use crate::value::{Key, Value};

/// Alternatives a union lists before it becomes `Dynamic`.
const UNION_ALTERNATIVES_MAX: usize = 6;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// Nothing is known.
    Dynamic,
    /// There is no value: an empty list's items.
    Never,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    /// The type of types.
    Type,
    Ip,
    Cidr,
    List(Arc<Type>),
    Map(Arc<Type>, Arc<Type>),
    /// A map whose fields are known by name.
    Object(Arc<Object>),
    Optional(Arc<Type>),
    /// One of several; never nested, never with equal alternatives.
    Union(Arc<[Type]>),
    /// A type known by its name only.
    Abstract(Arc<str>, Arc<[Type]>),
    /// A type parameter of a function's signature.
    Parameter(Arc<str>),
}

#[derive(Debug, Clone)]
pub struct Object {
    pub(crate) fields: BTreeMap<Arc<str>, Field>,
    pub(crate) other: Other,
    /// Types within it, itself included.
    nodes: usize,
    /// The type of any field's value, joined once.
    values: OnceLock<Type>,
}

impl PartialEq for Object {
    fn eq(&self, other: &Object) -> bool {
        self.nodes == other.nodes && self.fields == other.fields && self.other == other.other
    }
}

impl Eq for Object {}

/// What the type of an unlisted field is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Other {
    /// The schema does not list it: selecting one is a mistake, having one is not.
    Unlisted,
    /// No other fields are allowed.
    Refused,
    /// The value was built without it: testing for it is not a mistake, as `has()` and tests do.
    Absent,
    Allowed(Type),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) value: Type,
    pub(crate) presence: Presence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Required,
    Optional,
    /// The schema lists no required fields at all.
    Unstated,
}

impl Type {
    pub(crate) fn list(item: Type) -> Type {
        Type::List(Arc::new(item))
    }

    pub(crate) fn map(key: Type, value: Type) -> Type {
        Type::Map(Arc::new(key), Arc::new(value))
    }

    /// What a `for_each` over a value of this type iterates over: a list's items, a map's values.
    pub(crate) fn items(&self) -> Type {
        match self {
            Type::List(item) => (**item).clone(),
            Type::Map(_, value) => (**value).clone(),
            Type::Object(object) => object.values(),
            _ => Type::Dynamic,
        }
    }

    pub(crate) fn optional(inner: Type) -> Type {
        Type::Optional(Arc::new(inner))
    }

    /// A JSON number.
    pub(crate) fn number() -> Type {
        Type::Union([Type::Int, Type::Double].into())
    }

    pub(crate) fn nullable(self) -> Type {
        Type::union([self, Type::Null])
    }

    /// An object with these fields, all present, and no others.
    pub(crate) fn object<N: Into<Arc<str>>>(fields: impl IntoIterator<Item = (N, Type)>) -> Type {
        Type::with_fields(fields, Other::Refused)
    }

    /// The type of a map that was just built with these fields.
    pub(crate) fn built<N: Into<Arc<str>>>(fields: impl IntoIterator<Item = (N, Type)>) -> Type {
        Type::with_fields(fields, Other::Absent)
    }

    /// An object in which each of these fields may be missing, and other fields are possible.
    pub(crate) fn partial<N: Into<Arc<str>>>(fields: impl IntoIterator<Item = (N, Type)>) -> Type {
        let fields = fields.into_iter().map(|(name, value)| {
            let presence = Presence::Optional;
            (name.into(), Field { value, presence })
        });
        Type::Object(Arc::new(Object::new(fields.collect(), Other::Unlisted)))
    }

    fn with_fields<N: Into<Arc<str>>>(
        fields: impl IntoIterator<Item = (N, Type)>,
        other: Other,
    ) -> Type {
        let fields = fields.into_iter().map(|(name, value)| {
            let presence = Presence::Required;
            (name.into(), Field { value, presence })
        });
        Type::Object(Arc::new(Object::new(fields.collect(), other)))
    }

    /// One of several types, simplified.
    pub(crate) fn union(types: impl IntoIterator<Item = Type>) -> Type {
        let mut alternatives: Vec<Type> = Vec::new();
        for one in types {
            match one {
                Type::Dynamic => return Type::Dynamic,
                Type::Never => {}
                Type::Union(inner) => {
                    for t in inner.iter() {
                        add(&mut alternatives, t.clone());
                    }
                }
                other => add(&mut alternatives, other),
            }
            if alternatives.len() > UNION_ALTERNATIVES_MAX {
                return Type::Dynamic;
            }
        }
        match alternatives.len() {
            0 => Type::Never,
            1 => alternatives.swap_remove(0),
            _ => Type::Union(alternatives.into()),
        }
    }

    /// The type of values that are of either type. Lists and maps are joined inside.
    pub(crate) fn join(&self, other: &Type) -> Type {
        if self.is_same(other) {
            return self.clone();
        }
        if self.is_too_large() || other.is_too_large() {
            return Type::Dynamic;
        }
        self.join_within(other).bounded()
    }

    /// Whether the two are one in memory, a quick test for large types.
    fn is_same(&self, other: &Type) -> bool {
        match (self, other) {
            (Type::Object(a), Type::Object(b)) => Arc::ptr_eq(a, b),
            (Type::List(a), Type::List(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// The number of types that it consists of, counted up to `most`.
    fn nodes(&self, most: usize) -> usize {
        let inner = |types: &mut dyn Iterator<Item = &Type>| {
            let mut nodes = 1;
            for one in types {
                if nodes >= most {
                    break;
                }
                nodes += one.nodes(most - nodes);
            }
            nodes
        };
        match self {
            Type::Object(object) => object.nodes,
            Type::List(one) | Type::Optional(one) => inner(&mut [&**one].into_iter()),
            Type::Map(key, value) => inner(&mut [&**key, &**value].into_iter()),
            Type::Union(any) | Type::Abstract(_, any) => inner(&mut any.iter()),
            _ => 1,
        }
    }

    fn is_too_large(&self) -> bool {
        self.nodes(TYPE_NODES_MAX + 1) > TYPE_NODES_MAX
    }

    /// A type that an expression builds may double with each of its parts; beyond the bound it becomes dynamic.
    pub(super) fn bounded(self) -> Type {
        match self.is_too_large() {
            true => Type::Dynamic,
            false => self,
        }
    }

    fn join_within(&self, other: &Type) -> Type {
        match (self, other) {
            (a, b) if a == b => a.clone(),
            (Type::Dynamic, _) | (_, Type::Dynamic) => Type::Dynamic,
            (Type::Never, t) | (t, Type::Never) => t.clone(),
            // Null represents an absent value of these types.
            (
                t @ (Type::Optional(_) | Type::Abstract(..) | Type::Timestamp | Type::Duration),
                Type::Null,
            )
            | (
                Type::Null,
                t @ (Type::Optional(_) | Type::Abstract(..) | Type::Timestamp | Type::Duration),
            ) => t.clone(),
            (Type::List(a), Type::List(b)) => Type::list(a.join_within(b)),
            (Type::Optional(a), Type::Optional(b)) => Type::optional(a.join_within(b)),
            (Type::Map(k, v), Type::Map(l, w)) => Type::map(k.join_within(l), v.join_within(w)),
            (Type::Abstract(a, x), Type::Abstract(b, y)) if a == b && x.len() == y.len() => {
                let parameters = x
                    .iter()
                    .zip(y.iter())
                    .map(|(p, q)| p.join_within(q))
                    .collect();
                Type::Abstract(a.clone(), parameters)
            }
            (Type::Object(a), Type::Object(b)) => Type::Object(Arc::new(a.join(b))),
            (Type::Object(o), Type::Map(k, v)) | (Type::Map(k, v), Type::Object(o)) => {
                Type::map(k.join_within(&Type::String), v.join_within(&o.values()))
            }
            _ => Type::union([self.clone(), other.clone()]),
        }
    }

    /// The type of an existing value.
    pub fn of(value: &Value) -> Type {
        match value {
            Value::Null => Type::Null,
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::Uint(_) => Type::Uint,
            Value::Double(_) => Type::Double,
            Value::String(_) => Type::String,
            Value::Bytes(_) => Type::Bytes,
            Value::Timestamp(_) => Type::Timestamp,
            Value::Duration(_) => Type::Duration,
            Value::Type(_) => Type::Type,
            Value::Ip(_) => Type::Ip,
            Value::Cidr(_) => Type::Cidr,
            Value::List(items) => Type::list(joined(items.iter().map(Type::of))),
            Value::Map(map) if map.keys().all(|k| k.as_str().is_some()) => {
                let fields = map
                    .iter()
                    .filter_map(|(k, v)| Some((k.as_str()?, Type::of(v))));
                Type::built(fields)
            }
            Value::Map(map) => Type::map(
                joined(map.keys().map(|k: &Key| Type::of(&k.to_value()))),
                joined(map.values().map(Type::of)),
            ),
            Value::Optional(None) => Type::optional(Type::Never),
            Value::Optional(Some(inner)) => Type::optional(Type::of(inner)),
            Value::Encoded(_) => Type::Dynamic,
        }
    }

    /// The type of a variable whose first value is of this type, which allows few conclusions about later values.
    pub(crate) fn as_variable(&self) -> Type {
        match self {
            Type::Int | Type::Double => Type::number(),
            Type::List(item) => Type::list(item.as_variable()),
            Type::Map(..) | Type::Object(_) => Type::map(Type::String, Type::Dynamic),
            Type::Bool | Type::String | Type::Timestamp | Type::Duration => self.clone(),
            _ => Type::Dynamic,
        }
    }

    /// Whether every value of this type is one of `to`. False for an unknown type.
    pub(crate) fn always_fits(&self, to: &Type) -> bool {
        match (self, to) {
            (_, Type::Dynamic) | (Type::Never, _) => true,
            (Type::Dynamic | Type::Parameter(_), _) => false,
            (Type::Union(any), _) => any.iter().all(|t| t.always_fits(to)),
            (_, Type::Union(any)) => any.iter().any(|t| self.always_fits(t)),
            (Type::List(a), Type::List(b)) => a.always_fits(b),
            (Type::Map(k, v), Type::Map(l, w)) => k.always_fits(l) && v.always_fits(w),
            (Type::Object(_), Type::Map(k, v)) => {
                Type::String.always_fits(k) && **v == Type::Dynamic
            }
            (a, b) => a == b,
        }
    }

    /// Whether a value of this type is allowed if `to` is expected. True for an unknown type.
    pub(crate) fn assignable(&self, to: &Type) -> bool {
        self.mismatch(to).is_none()
    }

    /// Why no value of this type fits `to`, as the end of a message.
    pub(crate) fn mismatch(&self, to: &Type) -> Option<String> {
        if self.is_same(to) {
            return None;
        }
        let plain = || Some(expected(to, self));
        match (self, to) {
            (a, b) if a == b => None,
            (Type::Dynamic | Type::Never | Type::Parameter(_), _)
            | (_, Type::Dynamic | Type::Parameter(_)) => None,
            (Type::Union(any), _) => any.iter().all(|t| !t.assignable(to)).then(plain)?,
            (_, Type::Union(any)) => {
                // One structured alternative explains more than "expected A or B". It is compared once: twice at each level would
                // double with the depth.
                let others: Vec<&Type> = any.iter().filter(|t| **t != Type::Null).collect();
                match (self, &others[..]) {
                    (Type::Object(_) | Type::List(_), [only]) => self.mismatch(only),
                    _ if any.iter().any(|t| self.assignable(t)) => None,
                    _ => plain(),
                }
            }
            (Type::Int, Type::Double) => None,
            (Type::List(a), Type::List(b)) => {
                a.mismatch(b).map(|why| format!("in its items, {why}"))
            }
            (Type::Optional(a), Type::Optional(b)) => a.mismatch(b),
            (Type::Map(k, v), Type::Map(l, w)) => k.mismatch(l).or_else(|| v.mismatch(w)),
            (Type::Map(k, _), Type::Object(_)) => k.mismatch(&Type::String),
            (Type::Object(o), Type::Map(k, v)) => {
                Type::String.mismatch(k).or_else(|| o.values().mismatch(v))
            }
            (Type::Object(a), Type::Object(b)) => a.mismatch(b),
            (Type::Abstract(a, x), Type::Abstract(b, y)) if a == b && x.len() == y.len() => {
                x.iter().zip(y.iter()).find_map(|(p, q)| p.mismatch(q))
            }
            _ => plain(),
        }
    }

    /// The type's alternatives: itself unless it is a union.
    pub(crate) fn alternatives(&self) -> &[Type] {
        match self {
            Type::Union(any) => any,
            one => std::slice::from_ref(one),
        }
    }

    /// Whether the type is compatible with every use.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Type::Dynamic | Type::Never | Type::Parameter(_))
    }
}

pub(super) fn expected(wanted: &Type, found: &Type) -> String {
    format!("expected {wanted}, found {found}")
}

/// The join of all types; `Never` if there are none.
pub(crate) fn joined(types: impl IntoIterator<Item = Type>) -> Type {
    types.into_iter().fold(Type::Never, |all, t| all.join(&t))
}

fn add(alternatives: &mut Vec<Type>, one: Type) {
    if !alternatives.contains(&one) {
        alternatives.push(one);
    }
}

impl Object {
    pub(crate) fn new(fields: BTreeMap<Arc<str>, Field>, other: Other) -> Object {
        let listed = fields.values().map(|field| &field.value);
        let others = match &other {
            Other::Allowed(other) => Some(other),
            Other::Unlisted | Other::Refused | Other::Absent => None,
        };
        let inside = listed.chain(others).map(|one| one.nodes(usize::MAX));
        let nodes = inside.fold(1, usize::saturating_add);
        let values = OnceLock::new();
        Object {
            fields,
            other,
            nodes,
            values,
        }
    }

    /// The type of any field's value.
    pub(crate) fn values(&self) -> Type {
        let joined = || {
            let listed = joined(self.fields.values().map(|f| f.value.clone()));
            match &self.other {
                Other::Allowed(other) => listed.join(other),
                Other::Unlisted | Other::Refused | Other::Absent => listed,
            }
        };
        self.values.get_or_init(joined).clone()
    }

    fn join(&self, other: &Object) -> Object {
        let mut fields = BTreeMap::new();
        for (name, a) in &self.fields {
            let field = match other.fields.get(name) {
                Some(b) => Field {
                    value: a.value.join_within(&b.value),
                    presence: if a.presence == b.presence {
                        a.presence
                    } else {
                        Presence::Unstated
                    },
                },
                None => Field {
                    value: a.value.clone(),
                    presence: Presence::Unstated,
                },
            };
            fields.insert(name.clone(), field);
        }
        for (name, b) in &other.fields {
            fields.entry(name.clone()).or_insert_with(|| Field {
                value: b.value.clone(),
                presence: Presence::Unstated,
            });
        }
        let other = match (&self.other, &other.other) {
            (Other::Allowed(a), Other::Allowed(b)) => Other::Allowed(a.join_within(b)),
            (Other::Allowed(t), _) | (_, Other::Allowed(t)) => Other::Allowed(t.clone()),
            (a, b) if a == b => a.clone(),
            _ => Other::Unlisted,
        };
        Object::new(fields, other)
    }

    fn mismatch(&self, to: &Object) -> Option<String> {
        for (name, wanted) in &to.fields {
            match self.fields.get(name) {
                Some(field) => {
                    if let Some(why) = field.value.mismatch(&wanted.value) {
                        return Some(format!("in its field `{name}`, {why}"));
                    }
                }
                None if wanted.presence == Presence::Required
                    && matches!(self.other, Other::Refused | Other::Absent) =>
                {
                    return Some(format!("the field `{name}` is missing"));
                }
                None => {}
            }
        }
        for (name, field) in &self.fields {
            if to.fields.contains_key(name) || field.presence != Presence::Required {
                continue;
            }
            match &to.other {
                Other::Refused => return Some(format!("there is no field `{name}`")),
                Other::Allowed(t) => {
                    if let Some(why) = field.value.mismatch(t) {
                        return Some(format!("in its field `{name}`, {why}"));
                    }
                }
                Other::Unlisted | Other::Absent => {}
            }
        }
        None
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::Dynamic => "dyn",
            Type::Never => "nothing",
            Type::Null => "null",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Timestamp => "timestamp",
            Type::Duration => "duration",
            Type::Type => "type",
            Type::Ip => "net.IP",
            Type::Cidr => "net.CIDR",
            Type::Parameter(name) => name,
            Type::List(item) => return write!(f, "list({item})"),
            Type::Map(key, value) => return write!(f, "map({key}, {value})"),
            Type::Optional(inner) => return write!(f, "optional({inner})"),
            Type::Object(object) => return object.fmt(f),
            Type::Union(any) => {
                for (i, t) in any.iter().enumerate() {
                    write!(f, "{}{t}", if i == 0 { "" } else { " or " })?;
                }
                return Ok(());
            }
            Type::Abstract(name, parameters) if parameters.is_empty() => name,
            Type::Abstract(name, parameters) => {
                write!(f, "{name}(")?;
                for (i, t) in parameters.iter().enumerate() {
                    write!(f, "{}{t}", if i == 0 { "" } else { ", " })?;
                }
                return f.write_str(")");
            }
        })
    }
}

/// Shows the first few fields, so that a message stays on one line.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        f.write_str("object{")?;
        for (i, name) in self.fields.keys().take(SHOWN).enumerate() {
            write!(f, "{}{name}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str(if self.fields.len() > SHOWN {
            ", …}"
        } else {
            "}"
        })
    }
}
