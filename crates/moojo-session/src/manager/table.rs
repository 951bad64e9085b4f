//! The slots by user: what the hot path reads.
//!
//! Shards of a hash table that holds nothing but pointers to slots, so that a lookup fetches two
//! things from cold memory: the table's entry and the slot, in which the user's id stands. The hash
//! only finds candidates; the id itself decides (rule 1). A shard's lock is held for the lookup and
//! never across an `await`.

use std::hash::BuildHasher;
use std::sync::atomic::Ordering;

use foldhash::quality::RandomState;

use super::groups::Groups;
use super::slot::{Slot, SlotRef};
use crate::sync::{AtomicUsize, RwLock};
use crate::user::UserId;

const SHARDS: usize = if cfg!(shuttle) { 1 } else { 256 };

/// How many slots are looked at to find room, at most.
const EVICTION_LOOKS: usize = 8192;

pub(super) struct Table {
    shards: Box<[Shard]>,
    hasher: RandomState,
    len: AtomicUsize,
    max: usize,
    idle_seconds: u32,
}

/// On a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Shard(RwLock<Slots>);

#[derive(Default)]
struct Slots {
    table: Groups<SlotRef>,
    /// Insertions since the idle ones were last cleared out.
    inserted: usize,
}

/// Every slot is in use and there is no room for one more.
#[derive(Debug)]
pub(super) struct Full;

impl Table {
    pub(super) fn new(max: usize, idle_seconds: u32) -> Self {
        Self {
            shards: std::iter::repeat_with(Shard::default).take(SHARDS).collect(),
            hasher: RandomState::default(),
            len: AtomicUsize::new(0),
            max,
            idle_seconds,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Reads the user's slot, if there is one, in place: no reference is counted.
    pub(super) fn read<R>(&self, user: &UserId, read: impl FnOnce(&SlotRef) -> R) -> Option<R> {
        let hash = self.hasher.hash_one(user);
        let slots = self.shard(hash).0.read();
        slots.table.find(hash, |slot| slot.user() == user).map(read)
    }

    pub(super) fn get(&self, user: &UserId) -> Option<SlotRef> {
        self.read(user, SlotRef::clone)
    }

    /// The user's slot, a new one if need be. While the pointer is held the slot stays.
    pub(super) fn pin(&self, user: &UserId, now_seconds: u32) -> Result<SlotRef, Full> {
        if let Some(slot) = self.get(user) {
            return Ok(slot);
        }
        let hash = self.hasher.hash_one(user);
        if self.len() >= self.max {
            self.make_room(hash)?;
        }
        Ok(self.insert(hash, user, now_seconds))
    }

    /// As [`Table::pin`], even if there is no room for one more.
    pub(super) fn pin_always(&self, user: &UserId, now_seconds: u32) -> SlotRef {
        self.pin(user, now_seconds)
            .unwrap_or_else(|Full| self.insert(self.hasher.hash_one(user), user, now_seconds))
    }

    fn shard(&self, hash: u64) -> &Shard {
        // Not by the bits that the table goes by.
        &self.shards[(hash >> 48) as usize % SHARDS]
    }

    fn insert(&self, hash: u64, user: &UserId, now_seconds: u32) -> SlotRef {
        let mut slots = self.shard(hash).0.write();
        if let Some(slot) = slots.table.find(hash, |slot| slot.user() == user) {
            return SlotRef::clone(slot);
        }
        self.clear_idle(&mut slots, now_seconds);
        let slot = SlotRef::new(Slot::new(user.clone(), now_seconds));
        slots.table.insert(hash, SlotRef::clone(&slot), |slot| self.hash(slot));
        slots.inserted += 1;
        self.len.fetch_add(1, Ordering::Relaxed);
        slot
    }

    /// Lets the idle slots of a shard go once it has taken half as many new ones as it holds: a
    /// constant cost for each insertion.
    fn clear_idle(&self, slots: &mut Slots, now_seconds: u32) {
        if slots.inserted < (slots.table.len() / 2).max(32) {
            return;
        }
        slots.inserted = 0;
        let oldest = now_seconds.saturating_sub(self.idle_seconds);
        let before = slots.table.len();
        let stays = |slot: &SlotRef| in_use(slot) || slot.touched() >= oldest;
        slots.table.retain(stays, |slot| self.hash(slot));
        self.len.fetch_sub(before - slots.table.len(), Ordering::Relaxed);
    }

    fn hash(&self, slot: &SlotRef) -> u64 {
        self.hasher.hash_one(slot.user())
    }

    /// Lets some of the slots go that were not used for longest, from the shard of `hash` or the
    /// next one that has any.
    fn make_room(&self, hash: u64) -> Result<(), Full> {
        let start = (hash >> 48) as usize;
        let mut looks = 0;
        for shard in (0..SHARDS).map(|offset| &self.shards[(start + offset) % SHARDS]) {
            let mut slots = shard.0.write();
            looks += slots.table.len();
            if self.evict(&mut slots) {
                return Ok(());
            }
            if looks > EVICTION_LOOKS {
                break;
            }
        }
        Err(Full)
    }

    fn evict(&self, slots: &mut Slots) -> bool {
        let unused = slots.table.iter().filter(|slot| !in_use(slot));
        let mut ages: Vec<u32> = unused.map(|slot| slot.touched()).collect();
        if ages.is_empty() {
            return false;
        }
        let mut goal = ages.len().div_ceil(16);
        let (_, &mut oldest, _) = ages.select_nth_unstable(goal - 1);
        self.len.fetch_sub(goal, Ordering::Relaxed);
        let stays = |slot: &SlotRef| {
            let stays = goal == 0 || in_use(slot) || slot.touched() > oldest;
            goal -= usize::from(!stays);
            stays
        };
        slots.table.retain(stays, |slot| self.hash(slot));
        true
    }
}

/// Whether anybody but the table holds the slot. Pointers are made under the shard's lock, or from
/// another pointer: seen under the write lock, an unused slot stays unused.
fn in_use(slot: &SlotRef) -> bool {
    SlotRef::strong_count(slot) > 1
}
