//! Finds equal values among many without comparing all pairs: by a form that all equal values have in common, kept in
//! order. Hash order is never visible, and no choice of values makes it slow.

use std::collections::BTreeMap;

use super::context::{Budget, Failure};
use super::operators;
use crate::value::{Key, Value};

/// Lists up to this length are compared item by item: that is cheaper.
const FEW_MAX: usize = 8;
/// Bytes of a form for one unit of cost.
const FORM_BYTES_PER_COST: usize = 8;

/// Whether comparing all items is cheaper than looking them up.
pub(super) fn are_few(items: usize) -> bool {
    items <= FEW_MAX
}

/// Values by their forms.
#[derive(Default)]
pub(super) struct Values<'v>(BTreeMap<Vec<u8>, Vec<&'v Value>>);

impl<'v> Values<'v> {
    pub(crate) fn of(values: &'v [Value], budget: &mut Budget) -> Result<Self, Failure> {
        let mut all = Values::default();
        for value in values {
            all.add(value, budget)?;
        }
        Ok(all)
    }

    /// Whether an equal value is among them.
    pub(crate) fn has(&self, value: &Value, budget: &mut Budget) -> Result<bool, Failure> {
        match form_of(value, budget)? {
            Some(form) => self.has_form(&form, value, budget),
            None => Ok(false),
        }
    }

    /// Adds a value unless an equal one exists; returns whether it was added.
    pub(crate) fn add(&mut self, value: &'v Value, budget: &mut Budget) -> Result<bool, Failure> {
        let Some(form) = form_of(value, budget)? else {
            return Ok(true);
        };
        if self.has_form(&form, value, budget)? {
            return Ok(false);
        }
        self.0.entry(form).or_default().push(value);
        Ok(true)
    }

    /// Values of one form are mostly equal, but not integers beyond 2^53: those share a form with their nearest double.
    fn has_form(&self, form: &[u8], value: &Value, budget: &mut Budget) -> Result<bool, Failure> {
        for other in self.0.get(form).map_or(&[][..], Vec::as_slice) {
            budget.charge(1)?;
            if operators::equal(value, other, budget)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The form of a value; `None` if NaN is in it, which equals nothing.
fn form_of(value: &Value, budget: &mut Budget) -> Result<Option<Vec<u8>>, Failure> {
    let mut form = Vec::new();
    let is_equal_to_itself = write(value, &mut form, budget)?;
    Ok(is_equal_to_itself.then_some(form))
}

fn write(value: &Value, form: &mut Vec<u8>, budget: &mut Budget) -> Result<bool, Failure> {
    budget.charge(1)?;
    match value {
        Value::Null => form.push(0),
        Value::Bool(b) => form.extend([1, u8::from(*b)]),
        Value::Int(i) => number(*i as f64, form),
        Value::Uint(u) => number(*u as f64, form),
        Value::Double(d) if d.is_nan() => return Ok(false),
        Value::Double(d) => number(*d, form),
        Value::String(text) => bytes(3, text.as_bytes(), form, budget)?,
        Value::Bytes(data) => bytes(4, data, form, budget)?,
        Value::List(items) => {
            length(5, items.len(), form);
            for item in items.iter() {
                if !write(item, form, budget)? {
                    return Ok(false);
                }
            }
        }
        Value::Map(map) => {
            length(6, map.len(), form);
            let mut entries = Vec::new();
            for (key, value) in map.iter() {
                let mut entry = Vec::new();
                self::key(key, &mut entry, budget)?;
                if !write(value, &mut entry, budget)? {
                    return Ok(false);
                }
                entries.push(entry);
            }
            entries.sort_unstable();
            form.extend(entries.into_iter().flatten());
        }
        Value::Timestamp(at) => {
            form.push(7);
            form.extend(at.seconds.to_be_bytes());
            form.extend(at.nanos.to_be_bytes());
        }
        Value::Duration(length) => {
            form.push(8);
            form.extend(length.as_nanos().to_be_bytes());
        }
        Value::Type(name) => bytes(9, name.as_bytes(), form, budget)?,
        Value::Ip(address) => {
            bytes(
                10,
                address.to_canonical().to_string().as_bytes(),
                form,
                budget,
            )?;
        }
        Value::Cidr(range) => {
            bytes(11, range.to_string().as_bytes(), form, budget)?;
        }
        Value::Optional(None) => form.push(12),
        Value::Optional(Some(inner)) => {
            form.push(13);
            return write(inner, form, budget);
        }
        // Only whole slots are encoded, and functions see the decoded value.
        Value::Encoded(encoded) => match encoded.decoded() {
            Ok(value) => return write(value, form, budget),
            Err(_) => return Ok(false),
        },
    }
    Ok(true)
}

/// Numbers of all types are compared as doubles; numbers that are equal are also equal as doubles.
fn number(d: f64, form: &mut Vec<u8>) {
    form.push(2);
    // The two zeros are equal.
    form.extend((d + 0.0).to_bits().to_be_bytes());
}

fn key(key: &Key, form: &mut Vec<u8>, budget: &mut Budget) -> Result<(), Failure> {
    match key {
        Key::Bool(b) => form.extend([1, u8::from(*b)]),
        Key::Int(i) => form.extend(i128::from(*i).to_be_bytes()),
        Key::Uint(u) => form.extend(i128::from(*u).to_be_bytes()),
        Key::String(name) => bytes(3, name.as_bytes(), form, budget)?,
    }
    Ok(())
}

fn bytes(tag: u8, data: &[u8], form: &mut Vec<u8>, budget: &mut Budget) -> Result<(), Failure> {
    budget.charge((data.len() / FORM_BYTES_PER_COST) as u64)?;
    length(tag, data.len(), form);
    form.extend(data);
    Ok(())
}

fn length(tag: u8, length: usize, form: &mut Vec<u8>) {
    form.push(tag);
    form.extend((length as u64).to_be_bytes());
}
