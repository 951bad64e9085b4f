//! Who is to be looked at in which second.
//!
//! A second holds a list that is linked through the entries themselves: an entry is taken out of
//! the middle of it at no more cost than it was put in, and there is nothing left of it.

use std::collections::BTreeMap;

use super::pages::Pages;
use super::roster::{Entry, NONE};

#[derive(Default)]
pub(super) struct Agenda {
    /// The first entry of each second that has any.
    seconds: BTreeMap<i64, u32>,
}

impl Agenda {
    /// The first second that has entries, and one of them.
    pub(super) fn first(&self) -> Option<(i64, u32)> {
        self.seconds.first_key_value().map(|(second, index)| (*second, *index))
    }

    /// Puts in an entry that is not in yet.
    pub(super) fn add(&mut self, entries: &mut Pages<Entry>, index: u32, second: i64) {
        let next = self.seconds.insert(second, index).unwrap_or(NONE);
        if next != NONE {
            entries[next].previous = index;
        }
        let entry = &mut entries[index];
        (entry.second, entry.previous, entry.next) = (second, NONE, next);
    }

    /// Takes out an entry that is in.
    pub(super) fn remove(&mut self, entries: &mut Pages<Entry>, index: u32) {
        let Entry { second, previous, next, .. } = entries[index];
        if next != NONE {
            entries[next].previous = previous;
        }
        if previous != NONE {
            entries[previous].next = next;
        } else if next != NONE {
            self.seconds.insert(second, next);
        } else {
            self.seconds.remove(&second);
        }
    }

    /// An entry that is in stands at `index` from now on.
    pub(super) fn moved_to(&mut self, entries: &mut Pages<Entry>, index: u32) {
        let Entry { second, previous, next, .. } = entries[index];
        if next != NONE {
            entries[next].previous = index;
        }
        if previous != NONE {
            entries[previous].next = index;
        } else {
            self.seconds.insert(second, index);
        }
    }

    /// How many seconds have entries.
    #[cfg(test)]
    pub(super) fn seconds(&self) -> usize {
        self.seconds.len()
    }
}
