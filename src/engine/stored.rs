//! Reads stored bytes in postcard's form, which does not describe its shape, so that no bytes make it recurse deeper
//! than a bound: otherwise a value in a few bytes of nesting would overflow the stack.

use std::cell::Cell;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use crate::limits::STATE_DEPTH_MAX;

/// A length is only a claim until its items are read, so no more than this is allocated for it.
const SIZE_HINT_MAX: usize = 256;

/// Why stored bytes cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    #[error("it is nested deeper than STATE_DEPTH_MAX ({STATE_DEPTH_MAX} levels)")]
    Depth,
    #[error("{0}")]
    Malformed(postcard::Error),
}

/// Reads a value from postcard's form.
pub fn from_stored<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, StoredError> {
    Ok(from_beginning(bytes)?.0)
}

/// Reads a value from the beginning of bytes, and returns the rest.
pub(crate) fn from_beginning<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
) -> Result<(T, &'de [u8]), StoredError> {
    let is_too_deep = Cell::new(false);
    let mut reader = postcard::Deserializer::from_bytes(bytes);
    let bounded = Bounded {
        inner: &mut reader,
        left: STATE_DEPTH_MAX,
        is_too_deep: &is_too_deep,
    };
    let value = T::deserialize(bounded).map_err(|error| match is_too_deep.get() {
        true => StoredError::Depth,
        false => StoredError::Malformed(error),
    })?;
    let rest = reader.finalize().map_err(StoredError::Malformed)?;
    Ok((value, rest))
}

/// A part of the reader, with the remaining levels below it.
#[derive(Clone, Copy)]
struct Bounded<'a, T> {
    inner: T,
    left: usize,
    is_too_deep: &'a Cell<bool>,
}

impl<'a, T> Bounded<'a, T> {
    /// Another part at the same level.
    fn with<U>(&self, inner: U) -> Bounded<'a, U> {
        Bounded {
            inner,
            left: self.left,
            is_too_deep: self.is_too_deep,
        }
    }

    /// A part one level below.
    fn below<U, E: Error>(&self, inner: U) -> Result<Bounded<'a, U>, E> {
        let Some(left) = self.left.checked_sub(1) else {
            self.is_too_deep.set(true);
            return Err(E::custom("too deep"));
        };
        Ok(Bounded {
            left,
            ..self.with(inner)
        })
    }
}

/// Deserializers of values that contain no others.
macro_rules! flat {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method(visitor)
        }
    )*};
}

/// Deserializers of values that contain others.
macro_rules! nested {
    ($($method:ident($($name:ident: $kind:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($name: $kind,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor = self.below(visitor)?;
            self.inner.$method($($name,)* visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Bounded<'_, D> {
    type Error = D::Error;

    flat! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string
        deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_identifier
    }

    nested! {
        deserialize_any()
        deserialize_ignored_any()
        deserialize_option()
        deserialize_seq()
        deserialize_map()
        deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str)
        deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Bounded<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.inner.expecting(f)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let inner = self.with(inner);
        self.inner.visit_some(inner)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let inner = self.with(inner);
        self.inner.visit_newtype_struct(inner)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let inner = self.with(inner);
        self.inner.visit_seq(inner)
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let inner = self.with(inner);
        self.inner.visit_map(inner)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let inner = self.with(inner);
        self.inner.visit_enum(inner)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Bounded<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        let inner = self.with(inner);
        self.inner.deserialize(inner)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let seed = self.with(seed);
        self.inner.next_element_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.inner.size_hint()?.min(SIZE_HINT_MAX))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let seed = self.with(seed);
        self.inner.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.with(seed);
        self.inner.next_value_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.inner.size_hint()?.min(SIZE_HINT_MAX))
    }
}

impl<'a, 'de, A: EnumAccess<'de>> EnumAccess<'de> for Bounded<'a, A> {
    type Error = A::Error;
    type Variant = Bounded<'a, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let seed = self.with(seed);
        let Bounded {
            inner,
            left,
            is_too_deep,
        } = self;
        let (value, inner) = inner.variant_seed(seed)?;
        let variant = Bounded {
            inner,
            left,
            is_too_deep,
        };
        Ok((value, variant))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.with(seed);
        self.inner.newtype_variant_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.with(visitor);
        self.inner.tuple_variant(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.with(visitor);
        self.inner.struct_variant(fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::failure::Failure;
    use crate::engine::state::Outcome;
    use crate::limits::{FAILURE_CAUSES_MAX, VALUE_DEPTH_MAX};
    use crate::value::{Map, Value};

    /// As small as a worker thread's stack.
    const STACK_SIZE_BYTES: usize = 2 * 1024 * 1024;

    fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
        let thread = std::thread::Builder::new().stack_size(STACK_SIZE_BYTES);
        thread.spawn(test).unwrap().join().unwrap();
    }

    fn nested(depth: usize) -> Value {
        (0..depth).fold(Value::Null, |value, level| match level % 2 {
            0 => Value::list(vec![value]),
            _ => {
                let mut map = Map::new();
                map.insert("a", value);
                Value::map(map)
            }
        })
    }

    #[test]
    fn what_is_nested_without_end_is_refused() {
        on_a_small_stack(|| {
            let refused = |error: Option<StoredError>| {
                let error = error.expect("it has no end");
                assert_eq!(error, StoredError::Depth);
                assert!(error.to_string().contains("STATE_DEPTH_MAX"), "{error}");
            };
            // A list of one list, an optional of an optional: two bytes a level.
            refused(from_stored::<Value>(&[7, 1].repeat(500_000)).err());
            refused(from_stored::<Value>(&[14, 1].repeat(500_000)).err());
            // A failure's form ends with its cause and what is passed on, which it does not have.
            let failure = postcard::to_allocvec(&Failure::application("", "")).unwrap();
            let caused = [&failure[..failure.len() - 2], &[1]].concat();
            refused(from_stored::<Failure>(&caused.repeat(100_000)).err());
        });
    }

    #[test]
    fn the_deepest_that_a_run_may_hold_is_read() {
        on_a_small_stack(|| {
            let mut failure = Failure::application("T", "deepest");
            if let crate::engine::failure::FailureInfo::Application { details, .. } =
                &mut failure.info
            {
                *details = vec![nested(VALUE_DEPTH_MAX)];
            }
            for _ in 0..FAILURE_CAUSES_MAX {
                let mut outer = Failure::application("T", "outer");
                outer.cause = Some(Box::new(failure));
                failure = outer;
            }
            let outcome = vec![Some(Outcome::Failed(failure))];
            let bytes = postcard::to_allocvec(&outcome).unwrap();
            let read: Vec<Option<Outcome>> = from_stored(&bytes).unwrap();
            assert_eq!(postcard::to_allocvec(&read).unwrap(), bytes);
        });
    }
}
