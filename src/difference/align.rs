//! Finds the items that two lists have in common, in order.

use rustc_hash::FxHashMap;

use crate::limits::DIFFERENCE_COMPARISONS_MAX;

/// The remaining comparisons, whose number grows with the product of two lists.
pub(super) struct Budget {
    left: usize,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Budget {
            left: DIFFERENCE_COMPARISONS_MAX,
        }
    }

    /// Whether this many comparisons are left; if so, they are spent.
    pub(crate) fn take(&mut self, comparisons: usize) -> bool {
        let is_enough = comparisons <= self.left;
        if is_enough {
            self.left -= comparisons;
        }
        is_enough
    }
}

/// The longest common subsequence, as pairs of positions, ascending in both. Once the budget is spent, a good
/// approximation.
pub(super) fn common(old: &[u32], new: &[u32], budget: &mut Budget) -> Vec<(usize, usize)> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old[head..], &new[head..]);
    let tails = old_rest.iter().rev().zip(new_rest.iter().rev());
    let tail = tails.take_while(|(a, b)| a == b).count();
    let old_middle = &old_rest[..old_rest.len() - tail];
    let new_middle = &new_rest[..new_rest.len() - tail];
    let middle = if budget.take(old_middle.len().saturating_mul(new_middle.len())) {
        heaviest(old_middle.len(), new_middle.len(), |i, j| {
            u32::from(old_middle[i] == new_middle[j])
        })
    } else {
        by_occurrence(old_middle, new_middle)
    };
    let tails = (0..tail).map(|i| (old.len() - tail + i, new.len() - tail + i));
    let heads = (0..head).map(|i| (i, i));
    heads
        .chain(middle.into_iter().map(|(i, j)| (head + i, head + j)))
        .chain(tails)
        .collect()
}

/// The pairs, ascending in both, with the greatest total weight; pairs of weight 0 are left out.
pub(super) fn heaviest(
    old: usize,
    new: usize,
    mut weight: impl FnMut(usize, usize) -> u32,
) -> Vec<(usize, usize)> {
    if old == 0 || new == 0 {
        return Vec::new();
    }
    let width = new + 1;
    let mut best = vec![0u32; (old + 1) * width];
    let mut weights = vec![0u32; old * new];
    // From the end, so that the walk from the start below prefers the earliest pairs.
    for i in (0..old).rev() {
        for j in (0..new).rev() {
            let own = weight(i, j);
            weights[i * new + j] = own;
            let paired = if own == 0 {
                0
            } else {
                own + best[(i + 1) * width + j + 1]
            };
            let apart = best[(i + 1) * width + j].max(best[i * width + j + 1]);
            best[i * width + j] = paired.max(apart);
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::new();
    while i < old && j < new {
        let own = weights[i * new + j];
        let here = best[i * width + j];
        if own > 0 && here == own + best[(i + 1) * width + j + 1] {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if here == best[(i + 1) * width + j] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

/// Pairs the first occurrences of a number with each other, the second ones, and so on; returns as many of these as
/// ascend.
fn by_occurrence(old: &[u32], new: &[u32]) -> Vec<(usize, usize)> {
    let mut places: FxHashMap<u32, std::collections::VecDeque<usize>> = FxHashMap::default();
    for (i, number) in old.iter().enumerate() {
        places.entry(*number).or_default().push_back(i);
    }
    let pairs: Vec<_> = new
        .iter()
        .enumerate()
        .filter_map(|(j, number)| Some((places.get_mut(number)?.pop_front()?, j)))
        .collect();
    let firsts: Vec<_> = pairs.iter().map(|(i, _)| *i).collect();
    ascending(&firsts).into_iter().map(|at| pairs[at]).collect()
}

/// The longest run of positions whose numbers ascend; the numbers differ from each other.
pub(super) fn ascending(numbers: &[usize]) -> Vec<usize> {
    // The lowest position at which a run of each length ends, and the predecessor of each position in its run.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(numbers.len());
    for (at, number) in numbers.iter().enumerate() {
        let length = ends.partition_point(|end| numbers[*end] < *number);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() {
            ends.push(at);
        } else {
            ends[length] = at;
        }
    }
    let mut run: Vec<_> = std::iter::successors(ends.last().copied(), |at| before[*at]).collect();
    run.reverse();
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_common_subsequence_is_found_and_a_good_one_when_nothing_may_be_spent() {
        let old = [1, 2, 3, 4, 5, 6];
        let new = [1, 4, 2, 3, 7, 5, 6];
        let expected = vec![(0, 0), (1, 2), (2, 3), (4, 5), (5, 6)];
        assert_eq!(common(&old, &new, &mut Budget::new()), expected);
        assert_eq!(common(&old, &new, &mut Budget { left: 0 }), expected);
        assert_eq!(common(&[], &new, &mut Budget::new()), vec![]);
    }

    #[test]
    fn heavier_pairs_win() {
        let weights = [[1, 5], [4, 1]];
        assert_eq!(heaviest(2, 2, |i, j| weights[i][j]), vec![(0, 1)]);
        let weights = [[3, 5], [0, 3]];
        assert_eq!(heaviest(2, 2, |i, j| weights[i][j]), vec![(0, 0), (1, 1)]);
    }

    #[test]
    fn the_longest_ascending_run_is_found() {
        assert_eq!(ascending(&[3, 0, 1, 4, 2]), vec![1, 2, 4]);
        assert_eq!(ascending(&[]), Vec::<usize>::new());
    }
}
