//! A hash set of pointers in which a lookup fetches one cache line before it fetches what the
//! pointer points to.
//!
//! Seven pointers and a byte of the hash of each stand together on a cache line; what finds its line
//! full goes to the next one, as in
//! [F14](https://github.com/facebook/folly/blob/main/folly/container/F14.md). A table whose hash bytes
//! stand elsewhere (hashbrown's) waits for two lines, one after the other, which is a tenth of what a
//! whole request costs when there are a million users.

/// Entries of a group.
const WIDTH: usize = 7;

pub(super) struct Groups<P> {
    groups: Box<[Group<P>]>,
    len: usize,
}

#[repr(align(64))]
struct Group<P> {
    /// The tag of each entry, 0 where there is none.
    tags: [u8; WIDTH],
    /// Whether an entry that belongs here, or before, stands further on.
    overflowed: bool,
    entries: [Option<P>; WIDTH],
}

impl<P> Groups<P> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &P> {
        self.groups.iter().flat_map(|group| group.entries.iter().flatten())
    }

    /// The entry with this hash that is the one meant.
    pub(super) fn find(&self, hash: u64, is_meant: impl Fn(&P) -> bool) -> Option<&P> {
        let mut at = self.home(hash);
        loop {
            let group = self.groups.get(at)?;
            if let Some(found) = group.find(tag(hash), &is_meant) {
                return Some(found);
            }
            if !group.overflowed {
                return None;
            }
            at = self.next(at);
        }
    }

    /// Takes in an entry that is not there yet. `hash_of` is asked when the table grows.
    pub(super) fn insert(&mut self, hash: u64, entry: P, hash_of: impl Fn(&P) -> u64) {
        // Four fifths full, so that nearly all stand in the group where they belong.
        if (self.len + 1) * 5 > self.groups.len() * WIDTH * 4 {
            self.resize(self.groups.len() * 3 / 2 + 1, hash_of);
        }
        self.put(hash, entry);
    }

    /// Lets go of the entries that do not stay, and of the room that is not needed any more.
    pub(super) fn retain(&mut self, stays: impl FnMut(&P) -> bool, hash_of: impl Fn(&P) -> u64) {
        let entries = std::mem::take(&mut self.groups).into_iter().flat_map(|group| group.entries);
        let kept: Vec<P> = entries.flatten().filter(stays).collect();
        self.fill(kept.len() * 3 / 2 / WIDTH + 1, kept, hash_of);
    }

    fn resize(&mut self, groups: usize, hash_of: impl Fn(&P) -> u64) {
        let entries = std::mem::take(&mut self.groups).into_iter().flat_map(|group| group.entries);
        self.fill(groups, entries.flatten(), hash_of);
    }

    fn fill(
        &mut self,
        groups: usize,
        entries: impl IntoIterator<Item = P>,
        hash_of: impl Fn(&P) -> u64,
    ) {
        self.groups = std::iter::repeat_with(Group::default).take(groups).collect();
        self.len = 0;
        for entry in entries {
            self.put(hash_of(&entry), entry);
        }
    }

    /// There has to be room.
    fn put(&mut self, hash: u64, entry: P) {
        let mut at = self.home(hash);
        loop {
            let group = &mut self.groups[at];
            if let Some(free) = group.entries.iter().position(Option::is_none) {
                group.tags[free] = tag(hash);
                group.entries[free] = Some(entry);
                self.len += 1;
                return;
            }
            group.overflowed = true;
            at = self.next(at);
        }
    }

    /// The group in which an entry belongs, by the lower half of its hash.
    fn home(&self, hash: u64) -> usize {
        (((hash & 0xffff_ffff) * self.groups.len() as u64) >> 32) as usize
    }

    fn next(&self, at: usize) -> usize {
        if at + 1 == self.groups.len() { 0 } else { at + 1 }
    }
}

impl<P> Group<P> {
    fn find(&self, tag: u8, is_meant: impl Fn(&P) -> bool) -> Option<&P> {
        let mut candidates = self.tagged(tag);
        while candidates != 0 {
            let i = candidates.trailing_zeros() as usize / 8;
            if let Some(entry) = self.entries[i].as_ref().filter(|entry| is_meant(entry)) {
                return Some(entry);
            }
            candidates &= candidates - 1;
        }
        None
    }

    /// The highest bit of each byte of the tags that may be `tag`, all at once and without a branch
    /// (<https://graphics.stanford.edu/~seander/bithacks.html#ValueInWord>).
    fn tagged(&self, tag: u8) -> u64 {
        const LOWEST: u64 = 0x0001_0101_0101_0101;
        let [a, b, c, d, e, f, g] = self.tags;
        let differences = u64::from_le_bytes([a, b, c, d, e, f, g, 0]) ^ (LOWEST * u64::from(tag));
        differences.wrapping_sub(LOWEST) & !differences & (LOWEST << 7)
    }
}

impl<P> Default for Groups<P> {
    fn default() -> Self {
        Self { groups: Box::default(), len: 0 }
    }
}

impl<P> Default for Group<P> {
    fn default() -> Self {
        Self { tags: [0; WIDTH], overflowed: false, entries: [const { None }; WIDTH] }
    }
}

/// Never 0. The byte above those by which the shard is chosen.
fn tag(hash: u64) -> u8 {
    (hash >> 40) as u8 | 1
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// Bad on purpose: few tags and few homes.
    fn hash(entry: &u16) -> u64 {
        u64::from(entry % 3) << 41 | u64::from(entry % 5) << 30
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u16),
        RetainMultiplesOf(u16),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            30 => (0..300_u16).prop_map(Step::Insert),
            1 => (1..4_u16).prop_map(Step::RetainMultiplesOf),
        ];
        prop::collection::vec(step, 0..400)
    }

    proptest! {
        #[test]
        fn it_holds_what_a_set_of_the_standard_library_holds(steps in steps()) {
            let (mut groups, mut set) = (Groups::default(), HashSet::new());
            for step in steps {
                match step {
                    Step::Insert(entry) => {
                        if set.insert(entry) {
                            groups.insert(hash(&entry), entry, hash);
                        }
                    }
                    Step::RetainMultiplesOf(n) => {
                        groups.retain(|entry| entry % n == 0, hash);
                        set.retain(|entry| entry % n == 0);
                    }
                }
                prop_assert_eq!(groups.len(), set.len());
            }
            for entry in 0..300 {
                let found = groups.find(hash(&entry), |other| *other == entry).copied();
                prop_assert_eq!(found, set.get(&entry).copied());
            }
            prop_assert_eq!(groups.iter().copied().collect::<HashSet<_>>(), set);
        }
    }

    #[test]
    fn a_group_of_pointers_is_a_cache_line() {
        assert_eq!(size_of::<Group<Box<u8>>>(), 64);
    }

    #[test]
    fn room_that_is_not_needed_is_given_back() {
        let mut groups = Groups::default();
        (0..10_000).for_each(|entry| groups.insert(hash(&entry), entry, hash));
        let most = groups.groups.len();
        assert!(most * WIDTH < 10_000 * 2);
        groups.retain(|entry| *entry < 100, hash);
        assert!(groups.groups.len() < most / 50);
    }
}
