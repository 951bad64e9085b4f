//! The cost of a request to a user who is logged in, for each subject, number of users and traffic.
//!
//! `cargo bench -p moojo-benches`, or with a part of a name: `-- 1000000-zipf`, `-- /ours`.
//! A subject that is filtered out is not set up either.

use std::time::{Duration, Instant};

use criterion::Criterion;
use moojo_benches::subject::{Kind, Subject, Subjects};
use moojo_benches::workload::{Ids, Sequence, Traffic, Users};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CASES: [(Ids, usize, &[Traffic]); 4] = [
    (Ids::Short, 1, &[Traffic::Uniform]),
    (Ids::Short, 100_000, &[Traffic::Zipf, Traffic::Uniform]),
    (Ids::Short, 1_000_000, &[Traffic::Zipf, Traffic::Uniform]),
    (Ids::Uuid, 1_000_000, &[Traffic::Zipf]),
];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(40)
        .warm_up_time(Duration::from_millis(700))
        .measurement_time(Duration::from_millis(2500))
        .without_plots()
        .configure_from_args();
    for (ids, count, traffics) in CASES {
        case(&mut criterion, ids, count, traffics);
    }
    criterion.final_summary();
}

fn case(criterion: &mut Criterion, ids: Ids, count: usize, traffics: &[Traffic]) {
    let users = Users::new(ids, count);
    let subjects = Subjects::new(&users);
    let mut sequences: Vec<_> =
        traffics.iter().map(|traffic| (*traffic, Sequence::new(*traffic, count))).collect();
    // One subject after the other, so that only one of them takes up memory.
    for kind in Kind::ALL {
        let mut subject = None;
        for (traffic, sequence) in &mut sequences {
            sequence.rewind();
            let mut group = criterion.benchmark_group(group_name(ids, count, *traffic));
            group.bench_function(kind.name(), |bencher| {
                let subject = subject.get_or_insert_with(|| subjects.make(kind));
                bencher.iter_custom(|requests| time(subject.as_mut(), sequence, requests));
            });
            group.finish();
        }
    }
}

fn group_name(ids: Ids, count: usize, traffic: Traffic) -> String {
    match ids {
        Ids::Short => format!("{count}-{}", traffic.name()),
        Ids::Uuid => format!("{count}-{}-uuid", traffic.name()),
    }
}

fn time(subject: &mut dyn Subject, sequence: &mut Sequence, requests: u64) -> Duration {
    let mut left = usize::try_from(requests).expect("fits the address space");
    let start = Instant::now();
    while left > 0 {
        let users = sequence.take(left);
        subject.run(users);
        left -= users.len();
    }
    start.elapsed()
}
