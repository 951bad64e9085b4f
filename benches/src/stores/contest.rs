//! Entrants that are measured in turns.

use std::fmt;

use super::turns::Turn;

/// Something that can be asked how many calls a second it makes.
pub struct Entrant<'a> {
    name: String,
    turn: Box<dyn FnMut() -> Turn + 'a>,
}

impl<'a> Entrant<'a> {
    /// An entrant of this name, with what a turn of it does.
    pub fn new(name: impl Into<String>, turn: impl FnMut() -> Turn + 'a) -> Self {
        Self { name: name.into(), turn: Box::new(turn) }
    }
}

impl fmt::Debug for Entrant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entrant").field(&self.name).finish()
    }
}

/// What a contest ended in.
#[derive(Debug, Clone)]
pub struct Result {
    /// Calls in flight.
    pub in_flight: usize,
    /// In the order of the entrants.
    pub scores: Vec<Score>,
}

/// What an entrant came to.
#[derive(Debug, Clone)]
pub struct Score {
    /// The entrant.
    pub name: String,
    /// Calls a second: the median of all rounds.
    pub rate: f64,
    /// The rate against that of each entrant before it in the same round: the medians.
    pub ratios: Vec<f64>,
    /// Microseconds of a processor for a call, without a server's: the median.
    pub micros: f64,
}

/// Gives all of them their turns, `rounds` times.
pub fn hold(in_flight: usize, rounds: usize, mut entrants: Vec<Entrant<'_>>) -> Result {
    let count = entrants.len();
    let (mut rates, mut micros) = (vec![Vec::new(); count], vec![Vec::new(); count]);
    for round in 0..=rounds {
        // Nobody always comes after the same one.
        for turn in 0..count {
            let entrant = (turn + round) % count;
            let Turn { rate, micros: took } = (entrants[entrant].turn)();
            // The first round fills caches and opens connections.
            if round > 0 {
                rates[entrant].push(rate);
                micros[entrant].push(took);
            }
        }
    }
    let scores = entrants.into_iter().enumerate().map(|(number, entrant)| {
        let to = |other: &Vec<f64>| {
            median(rates[number].iter().zip(other).map(|(rate, other)| rate / other).collect())
        };
        let ratios = rates[..number].iter().map(to).collect();
        let rate = median(rates[number].clone());
        Score { name: entrant.name, rate, ratios, micros: median(micros[number].clone()) }
    });
    Result { in_flight, scores: scores.collect() }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_those_of_the_same_round() {
        // Each round is twice as quick as the one before it, and the second entrant half as quick.
        let (mut raw, mut ours) = (1.0, 0.5);
        let result = hold(
            1,
            3,
            vec![
                Entrant::new("raw", || {
                    raw *= 2.0;
                    Turn { rate: raw, micros: 1.0 }
                }),
                Entrant::new("ours", || {
                    ours *= 2.0;
                    Turn { rate: ours, micros: 2.0 }
                }),
            ],
        );
        assert_eq!(result.scores[1].ratios, [0.5]);
        assert_eq!(result.scores[0].rate, 8.0, "the first round does not count");
    }
}
