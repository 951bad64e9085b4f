//! The users by their id: one entry each, without gaps.
//!
//! The entries of one hash bucket are chained through the entries themselves. There are as many
//! buckets as entries: each insertion splits one bucket in two and each removal joins two
//! ([linear hashing](https://en.wikipedia.org/wiki/Linear_hashing)), so no login waits until a
//! million entries have been rehashed or copied, and room is given back.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;

use super::pages::Pages;
use crate::session::SessionId;
use crate::user::UserId;

/// The index of no entry.
pub(super) const NONE: u32 = u32::MAX;

/// A user's session, on one cache line.
pub(super) struct Entry {
    pub(super) user: UserId,
    pub(super) id: SessionId,
    /// In nanoseconds of Unix time.
    pub(super) end: i64,
    /// When the entry is to be looked at: its place in the agenda, between two others.
    pub(super) second: i64,
    pub(super) previous: u32,
    pub(super) next: u32,
    /// Which lead it is to be looked at for; past the last one it is for the end.
    pub(super) lead: u16,
    /// Whether that is a notice that was put off.
    pub(super) held: bool,
    /// The next entry of the same bucket.
    chain: u32,
}

impl Entry {
    /// Neither in a roster nor in an agenda yet.
    pub(super) fn new(user: UserId, id: SessionId, end: i64) -> Self {
        let (previous, next, chain) = (NONE, NONE, NONE);
        Self { user, id, end, second: 0, previous, next, lead: 0, held: false, chain }
    }
}

#[derive(Default)]
pub(super) struct Roster {
    entries: Pages<Entry>,
    /// The first entry of each bucket.
    buckets: Pages<u32>,
    hasher: RandomState,
}

impl Roster {
    /// The most entries that can be counted.
    pub(super) const MAX: usize = NONE as usize;

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn entries(&self) -> &Pages<Entry> {
        &self.entries
    }

    /// Users must stay as they are.
    pub(super) fn entries_mut(&mut self) -> &mut Pages<Entry> {
        &mut self.entries
    }

    pub(super) fn find(&self, user: &UserId) -> Option<u32> {
        if self.buckets.len() == 0 {
            return None;
        }
        let mut index = self.buckets[self.bucket(user)];
        while index != NONE {
            let entry = &self.entries[index];
            if entry.user == *user {
                return Some(index);
            }
            index = entry.chain;
        }
        None
    }

    /// Takes in an entry of a user who has none. There must be fewer than [`Roster::MAX`].
    pub(super) fn insert(&mut self, entry: Entry) -> u32 {
        let new = self.buckets.len();
        self.buckets.push(NONE);
        if let Some(level) = new.checked_ilog2() {
            let split = std::mem::replace(&mut self.buckets[new - (1 << level)], NONE);
            self.chain_all(split);
        }
        let index = u32::try_from(self.entries.len()).expect("there are fewer than MAX");
        self.entries.push(entry);
        self.chain(index);
        index
    }

    /// Removes an entry. The last one takes its place; says whether there was such another.
    pub(super) fn remove(&mut self, index: u32) -> bool {
        *self.link_to(index) = self.entries[index].chain;
        let last = u32::try_from(self.len() - 1).expect("there are fewer than MAX");
        if last != index {
            *self.link_to(last) = index;
        }
        self.entries.swap_remove(index as usize);
        let joined = self.buckets.pop().unwrap_or(NONE);
        self.chain_all(joined);
        last != index
    }

    /// Where the user belongs: by as many bits of the hash as number the buckets, or one less for
    /// those that were not split yet.
    fn bucket(&self, user: &UserId) -> usize {
        let mask = self.buckets.len().next_power_of_two() - 1;
        let bucket = self.hasher.hash_one(user) as usize & mask;
        if bucket < self.buckets.len() { bucket } else { bucket & (mask >> 1) }
    }

    /// Chains an entry to the bucket where it belongs.
    fn chain(&mut self, index: u32) {
        let bucket = self.bucket(&self.entries[index].user);
        self.entries[index].chain = std::mem::replace(&mut self.buckets[bucket], index);
    }

    fn chain_all(&mut self, mut first: u32) {
        while first != NONE {
            let next = self.entries[first].chain;
            self.chain(first);
            first = next;
        }
    }

    /// What points to an entry in the chain of its bucket.
    fn link_to(&mut self, index: u32) -> &mut u32 {
        let bucket = self.bucket(&self.entries[index].user);
        let mut at = self.buckets[bucket];
        if at == index {
            return &mut self.buckets[bucket];
        }
        while self.entries[at].chain != index {
            at = self.entries[at].chain;
        }
        &mut self.entries[at].chain
    }

    /// For how many entries there is room.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity().max(self.buckets.capacity())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn user(number: u16) -> UserId {
        UserId::new(number.to_string()).unwrap()
    }

    fn entry(number: u16) -> Entry {
        Entry::new(user(number), SessionId::from_bytes([0; 16]), i64::from(number))
    }

    #[test]
    fn an_entry_is_a_cache_line() {
        assert_eq!(size_of::<Entry>(), 64);
    }

    #[test]
    fn room_that_is_not_needed_is_given_back() {
        let mut roster = Roster::default();
        for number in 0..10_000 {
            roster.insert(entry(number));
        }
        assert!(roster.capacity() < 11_500);
        for number in 100..10_000 {
            let index = roster.find(&user(number)).unwrap();
            roster.remove(index);
        }
        assert!(roster.capacity() <= 1024);
        assert!((0..100).all(|number| roster.find(&user(number)).is_some()));
    }

    proptest! {
        #[test]
        fn it_holds_what_a_set_of_the_standard_library_holds(
            numbers in prop::collection::vec(0..60_u16, 0..400),
        ) {
            let (mut roster, mut set) = (Roster::default(), HashSet::new());
            for number in numbers {
                match roster.find(&user(number)) {
                    Some(index) => {
                        prop_assert!(set.remove(&number));
                        roster.remove(index);
                    }
                    None => {
                        prop_assert!(set.insert(number));
                        roster.insert(entry(number));
                    }
                }
                prop_assert_eq!(roster.len(), set.len());
                for number in 0..60 {
                    let found = roster.find(&user(number));
                    prop_assert_eq!(found.is_some(), set.contains(&number));
                    let end = found.map(|index| roster.entries()[index].end);
                    prop_assert_eq!(end, set.get(&number).map(|number| i64::from(*number)));
                }
            }
        }
    }
}
