//! The users, and who of them makes the next request. The same in every run.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_distr::Zipf;

const SEED: u64 = 0x006d_6f6f_6a6f;

/// What the users' ids look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// `user-0000001`: 12 characters.
    Short,
    /// 36 characters, random.
    Uuid,
}

/// The users of a run with their tokens.
#[derive(Debug)]
pub struct Users {
    ids: Ids,
    count: usize,
    salt: u64,
}

impl Users {
    /// This many users.
    pub fn new(ids: Ids, count: usize) -> Self {
        Self { ids, count, salt: StdRng::seed_from_u64(SEED).random() }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The id of a user.
    pub fn id(&self, user: usize) -> String {
        match self.ids {
            Ids::Short => format!("user-{user:07}"),
            Ids::Uuid => {
                let [a, b] = self.random(user, 0);
                format!(
                    "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
                    a >> 32,
                    a >> 16 & 0xffff,
                    a & 0xfff,
                    b >> 48 & 0xfff,
                    b & 0xffff_ffff_ffff
                )
            }
        }
    }

    /// The token of a user: 64 hexadecimal digits, as in Moojo's documented example.
    pub fn token(&self, user: usize) -> String {
        let [a, b] = self.random(user, 1);
        let [c, d] = self.random(user, 2);
        format!("{a:016x}{b:016x}{c:016x}{d:016x}")
    }

    fn random(&self, user: usize, stream: u64) -> [u64; 2] {
        // SplitMix64: fast also where nothing is optimized.
        let mut state = self.salt ^ (user as u64) << 2 ^ stream;
        std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ mixed >> 31
        })
    }
}

/// How the requests fall on the users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// After Zipf's law with exponent 0.99: few users make most of the requests.
    Zipf,
    /// All users alike, so that next to nothing is in the processor's caches.
    Uniform,
}

impl Traffic {
    /// A name for files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zipf => "zipf",
            Self::Uniform => "uniform",
        }
    }
}

/// An endless sequence of users, drawn beforehand.
#[derive(Debug)]
pub struct Sequence {
    users: Vec<u32>,
    next: usize,
}

impl Sequence {
    /// Longer than what a subject is asked for in one measurement, or nearly so.
    const LEN: usize = 1 << 22;

    /// A sequence over `count` users.
    pub fn new(traffic: Traffic, count: usize) -> Self {
        Self::with_len(traffic, count, Self::LEN)
    }

    fn with_len(traffic: Traffic, count: usize, len: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(SEED);
        let size = u32::try_from(count).expect("fewer than 2^32 users");
        let users = match traffic {
            Traffic::Uniform => (0..len).map(|_| rng.random_range(0..size)).collect(),
            Traffic::Zipf => {
                // Busy users are strewn over the memory: without this they would be neighbours,
                // as they are made in this order.
                let mut by_rank: Vec<u32> = (0..size).collect();
                by_rank.shuffle(&mut rng);
                let zipf = Zipf::new(count as f64, 0.99).expect("the parameters are in range");
                let rank = |_| rng.sample(zipf) as usize - 1;
                (0..len).map(rank).map(|rank| by_rank[rank]).collect()
            }
        };
        Self { users, next: 0 }
    }

    /// The next users, at most `max` of them and at least one.
    pub fn take(&mut self, max: usize) -> &[u32] {
        if self.next == self.users.len() {
            self.next = 0;
        }
        let start = self.next;
        self.next = self.users.len().min(start.saturating_add(max));
        &self.users[start..self.next]
    }

    /// Back to the beginning.
    pub fn rewind(&mut self) {
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_the_same_in_every_run_and_different_from_each_other() {
        let users = Users::new(Ids::Short, 2);
        assert_eq!(users.id(1), "user-0000001");
        assert_eq!(users.token(1), Users::new(Ids::Short, 2).token(1));
        assert_ne!(users.token(1), users.token(0));
        assert_eq!(users.token(1).len(), 64);
        let uuid = Users::new(Ids::Uuid, 2);
        assert_eq!(uuid.id(1).len(), 36);
        assert_ne!(uuid.id(1), uuid.id(0));
    }

    #[test]
    fn zipf_prefers_few_and_uniform_none() {
        let most = |traffic| {
            let mut counts = vec![0; 1000];
            let mut sequence = Sequence::with_len(traffic, 1000, 100_000);
            sequence.take(100_000).iter().for_each(|user| counts[*user as usize] += 1);
            counts.into_iter().max().unwrap_or(0)
        };
        assert!(most(Traffic::Zipf) > 10_000);
        assert!(most(Traffic::Uniform) < 200);
    }

    #[test]
    fn a_sequence_starts_again_at_its_end() {
        let mut sequence = Sequence::with_len(Traffic::Uniform, 10, 100);
        let first = sequence.take(3).to_vec();
        assert_eq!(sequence.take(usize::MAX).len(), 97);
        assert_eq!(sequence.take(3), first);
    }
}
