//! Items under consecutive numbers, of which some may be left out while the others keep theirs.

use std::ops::Index;

/// The state of runs contains the numbers, so leaving an item out never moves another.
#[derive(Debug)]
pub struct Numbered<T> {
    /// Each stretch with the number of its first item, ascending.
    stretches: Vec<(u32, Vec<T>)>,
    /// Includes the numbers of items that are left out.
    len: u32,
}

impl<T> Numbered<T> {
    /// The number of numbers, including those of items that are left out.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// `None` if the item is left out.
    pub fn get(&self, number: usize) -> Option<&T> {
        let number = number as u32;
        let behind = self
            .stretches
            .partition_point(|(first, _)| *first <= number);
        let (first, items) = self.stretches.get(behind.checked_sub(1)?)?;
        items.get((number - first) as usize)
    }

    /// The items that are not left out, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.stretches.iter().flat_map(|(_, items)| items)
    }

    /// The items with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (u32, &T)> {
        self.stretches
            .iter()
            .flat_map(|(first, items)| (*first..).zip(items))
    }

    /// Leaves out the items for which `keep` returns `None`, and frees their memory.
    pub(crate) fn keeping(self, mut keep: impl FnMut(u32, T) -> Option<T>) -> Self {
        let mut kept: Vec<(u32, Vec<T>)> = Vec::new();
        for (first, items) in self.stretches {
            for (number, item) in (first..).zip(items) {
                let Some(item) = keep(number, item) else {
                    continue;
                };
                match kept.last_mut() {
                    Some((first, items)) if first.wrapping_add(items.len() as u32) == number => {
                        items.push(item);
                    }
                    _ => kept.push((number, vec![item])),
                }
            }
        }
        for (_, items) in &mut kept {
            items.shrink_to_fit();
        }
        kept.shrink_to_fit();
        Numbered {
            stretches: kept,
            len: self.len,
        }
    }
}

impl<T> From<Vec<T>> for Numbered<T> {
    fn from(items: Vec<T>) -> Self {
        Numbered {
            len: items.len() as u32,
            stretches: vec![(0, items)],
        }
    }
}

/// Panics if the item is left out: nothing that runs has its number.
impl<T> Index<usize> for Numbered<T> {
    type Output = T;

    fn index(&self, number: usize) -> &T {
        self.get(number)
            .unwrap_or_else(|| panic!("{number} is not one of the program's numbers in use"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_moves_nothing() {
        let all: Numbered<u32> = (0..10).collect::<Vec<_>>().into();
        let some = all.keeping(|number, item| (number % 4 < 2).then_some(item * 10));
        assert_eq!(some.len(), 10);
        let there: Vec<_> = some.numbered().collect();
        let expected = [0, 1, 4, 5, 8, 9].map(|n| (n, n * 10));
        assert_eq!(
            there,
            expected.iter().map(|(n, i)| (*n, i)).collect::<Vec<_>>()
        );
        for number in 0..12 {
            let found = some.get(number as usize);
            let is_there = expected.iter().any(|(n, _)| *n == number);
            assert_eq!(found, is_there.then_some(&(number * 10)));
        }
        assert_eq!(some[5], 50);
    }

    #[test]
    fn nothing_has_no_numbers() {
        let none: Numbered<u32> = Vec::new().into();
        assert!(none.is_empty() && none.get(0).is_none() && none.iter().next().is_none());
    }
}
