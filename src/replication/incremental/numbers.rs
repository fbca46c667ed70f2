//! The numbers of what is done side by side: each has the lowest that is free, so that two of one number were done one after the other.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The numbers that are taken.
#[derive(Debug, Default)]
pub(super) struct Numbers(Mutex<BTreeSet<usize>>);

/// A number that nobody else has as long as this is there.
#[derive(Debug)]
pub(super) struct Number<'a> {
    pub(super) number: usize,
    of: &'a Numbers,
}

impl Numbers {
    /// Takes the lowest that is free, from 1 on.
    pub(super) fn take(&self) -> Number<'_> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = (1..).find(|number| !taken.contains(number)).unwrap_or(usize::MAX);
        taken.insert(number);
        Number { number, of: self }
    }
}

impl Drop for Number<'_> {
    fn drop(&mut self) {
        self.of.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_the_lowest_number_that_is_free() {
        let numbers = Numbers::default();
        let (first, second, third) = (numbers.take(), numbers.take(), numbers.take());
        assert_eq!([first.number, second.number, third.number], [1, 2, 3]);
        drop(second);
        drop(first);
        let (again, next) = (numbers.take(), numbers.take());
        assert_eq!([again.number, next.number], [1, 2]);
        drop(third);
    }
}
