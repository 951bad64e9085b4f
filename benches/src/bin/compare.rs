//! All subjects in turns, in many short rounds: for machines that are not quiet.
//!
//! `cargo run --profile bench -p moojo-benches --bin compare -- [--users N] [--rounds N]
//! [--traffic zipf|uniform] [--uuid] [--only NAME,NAME]`
//!
//! What disturbs the machine for longer than a round disturbs all subjects alike, and falls out of
//! the ratios; what is shorter falls out of the medians. It holds all subjects in memory at once:
//! several gigabytes at a million users. `--features mimalloc` gives all of them another allocator.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use moojo_benches::report::Table;
use moojo_benches::subject::{Kind, Subject, Subjects};
use moojo_benches::workload::{Ids, Sequence, Traffic, Users};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Before each measurement, to get the subject's busiest users back into the caches.
const WARM_UP: usize = 30_000;
const MEASURED: usize = 60_000;

struct Arguments {
    users: usize,
    rounds: usize,
    traffic: Traffic,
    ids: Ids,
    kinds: Vec<Kind>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Arguments { users, rounds, traffic, ids, kinds } = arguments()?;
    let users = Users::new(ids, users);
    let subjects = Subjects::new(&users);
    let mut sequence = Sequence::new(traffic, users.count());
    let mut entrants: Vec<_> =
        kinds.iter().map(|kind| (*kind, subjects.make(*kind), Vec::new())).collect();
    for round in 0..rounds {
        let warm_up = sequence.take(WARM_UP).to_vec();
        let measured = sequence.take(MEASURED).to_vec();
        // Nobody always follows the same predecessor's state of the caches.
        let first = round % entrants.len();
        for i in 0..entrants.len() {
            let (_, subject, costs) = &mut entrants[(first + i) % kinds.len()];
            costs.push(nanos_per_request(subject.as_mut(), &warm_up, &measured));
        }
    }
    println!("{} users, {}, {ids:?} ids, {rounds} rounds\n", users.count(), traffic.name());
    let costs: Vec<_> = entrants.into_iter().map(|(kind, _, costs)| (kind, costs)).collect();
    println!("{}", report(&costs));
    Ok(())
}

fn arguments() -> Result<Arguments, Box<dyn std::error::Error>> {
    use lexopt::prelude::*;

    let mut arguments = Arguments {
        users: 1_000_000,
        rounds: 50,
        traffic: Traffic::Zipf,
        ids: Ids::Short,
        kinds: Kind::ALL.to_vec(),
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("users") => arguments.users = parser.value()?.parse()?,
            Long("rounds") => arguments.rounds = parser.value()?.parse()?,
            Long("uuid") => arguments.ids = Ids::Uuid,
            Long("traffic") => {
                arguments.traffic = match parser.value()?.string()?.as_str() {
                    "zipf" => Traffic::Zipf,
                    "uniform" => Traffic::Uniform,
                    other => return Err(format!("no such traffic: {other}").into()),
                }
            }
            Long("only") => {
                let names = parser.value()?.string()?;
                let named = |kind: &Kind| names.split(',').any(|name| name == kind.name());
                let wanted: Vec<_> = Kind::ALL.into_iter().filter(named).collect();
                arguments.kinds.retain(|kind| {
                    wanted.iter().any(|other| other == kind || other.bare() == Some(*kind))
                });
            }
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(arguments)
}

fn nanos_per_request(subject: &mut dyn Subject, warm_up: &[u32], measured: &[u32]) -> f64 {
    subject.run(warm_up);
    let start = Instant::now();
    subject.run(measured);
    start.elapsed().as_secs_f64() * 1e9 / measured.len() as f64
}

fn report(costs: &[(Kind, Vec<f64>)]) -> String {
    let of = |kind| costs.iter().find(|(other, _)| *other == kind).map(|(_, costs)| &costs[..]);
    // What each round cost above the bare service in the same round.
    let net = |kind: Kind| -> Option<Vec<f64>> {
        let bare = of(kind.bare()?)?;
        Some(of(kind)?.iter().zip(bare).map(|(cost, bare)| cost - bare).collect())
    };
    let ratio = |kind, to| {
        let ratios = net(kind)?.into_iter().zip(net(to)?).map(|(cost, to)| cost / to).collect();
        Some(format!("{:.2}", median(ratios)))
    };
    let mut table = Table::new(["subject", "ns a request", "above bare", "to papaya", "to moka"]);
    for (kind, costs) in costs {
        table.row([
            kind.name().to_owned(),
            format!("{:.0}", median(costs.clone())),
            net(*kind).map(|net| format!("{:.0}", median(net))).unwrap_or_default(),
            ratio(*kind, Kind::Papaya).unwrap_or_default(),
            ratio(*kind, Kind::Moka).unwrap_or_default(),
        ]);
    }
    table.into_text()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
