//! The shared stores beside the clients that they are made of: loads and saves a second, bytes a
//! session, and what the change feed costs.
//!
//! `cargo run --profile bench -p moojo-benches --bin stores` prints it; with `-- --write` it goes
//! into `docs/performance.md`. It starts servers of its own, which `scripts/servers` installs.
//! `-- --only redis` measures one engine, `-- --small` everything for a moment.
#![allow(clippy::print_stdout)]

use std::fmt::Write as _;

use moojo_benches::report::{self, Table};
use moojo_benches::stores::records::People;
use moojo_benches::stores::{Figures, Plan, contest, feed, postgres, redis, runtime, sqlite};
use tokio::runtime::Runtime;

type Measure = fn(&Plan, &Runtime, &People) -> Figures;

const ENGINES: [(&str, Measure); 3] =
    [("Redis", redis::measure), ("PostgreSQL", postgres::measure), ("SQLite", sqlite::measure)];

struct Arguments {
    write: bool,
    plan: Plan,
    only: Option<String>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Arguments { write, plan, only } = arguments()?;
    let (runtime, people) = (runtime(), People::new(plan.users));
    let is_wanted = |name: &str| only.as_ref().is_none_or(|only| only.eq_ignore_ascii_case(name));
    let figures: Vec<_> = ENGINES
        .into_iter()
        .filter(|(name, _)| is_wanted(name))
        .map(|(name, measure)| (name, measure(&plan, &runtime, &people)))
        .collect();
    let mut text = loads(&figures) + "\n" + &saves(&figures) + "\n" + &bytes(&figures);
    if only.is_none() {
        text += &told(&plan, &runtime);
    }
    if write {
        return Ok(report::write_section("stores", &text)?);
    }
    println!("{text}");
    Ok(())
}

fn arguments() -> Result<Arguments, lexopt::Error> {
    use lexopt::prelude::*;

    let mut arguments = Arguments { write: false, plan: Plan::FULL, only: None };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("write") => arguments.write = true,
            Long("small") => arguments.plan = Plan::SMALL,
            Long("only") => arguments.only = Some(parser.value()?.parse()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(arguments)
}

fn loads(figures: &[(&str, Figures)]) -> String {
    let mut table = Table::new([
        "loads a second (goal: 0.9 of the engine's first line)",
        "1 at once",
        "64",
        "256",
        "µs of a processor, 64",
    ]);
    for (_, figures) in figures {
        for entrant in 0..figures.loads[0].scores.len() {
            let cell = |result: &contest::Result| {
                let score = &result.scores[entrant];
                let ratios = score.ratios.iter().map(|ratio| format!("{ratio:.2}"));
                let ratios: Vec<_> = ratios.collect();
                match ratios.is_empty() {
                    true => thousands(score.rate),
                    false => format!("{} ({})", thousands(score.rate), ratios.join("; ")),
                }
            };
            let [a, b, c] = &figures.loads[..] else { continue };
            let name = a.scores[entrant].name.clone();
            let micros = format!("{:.1}", b.scores[entrant].micros);
            table.row([name, cell(a), cell(b), cell(c), micros]);
        }
    }
    table.into_text()
}

fn saves(figures: &[(&str, Figures)]) -> String {
    let mut table = Table::new([
        "saves (goal for SQLite: 10 times the single commits)",
        "a second",
        "to the lines before",
    ]);
    for (_, figures) in figures {
        for score in figures.saves.iter().flat_map(|result| &result.scores) {
            let ratios: Vec<_> = score.ratios.iter().map(|ratio| format!("{ratio:.1}")).collect();
            table.row([score.name.clone(), thousands(score.rate), ratios.join("; ")]);
        }
    }
    table.into_text()
}

fn bytes(figures: &[(&str, Figures)]) -> String {
    let mut table = Table::new([
        "bytes",
        "a session",
        "after all logged in anew",
        "a login under way",
        "a number's count",
    ]);
    for (name, Figures { bytes, .. }) in figures {
        let [a, b, c, d] = [bytes.session, bytes.session_renewed, bytes.login, bytes.quota]
            .map(|bytes| format!("{bytes:.0}"));
        table.row([(*name).to_owned(), a, b, c, d]);
    }
    table.into_text()
}

/// The change feed, and the manager that spares the stores.
fn told(plan: &Plan, runtime: &Runtime) -> String {
    let mut text = String::new();
    let micros = |time: std::time::Duration| time.as_secs_f64() * 1e6;
    let (redis, postgres) = (feed::redis(plan, runtime), feed::postgres(plan, runtime));
    if let (Some(server), Some(listener)) = (redis.server, redis.listener) {
        let _ = writeln!(
            text,
            "\nA change that another process made costs each process that hears of it {:.1} µs of \
             a processor through Redis and {:.1} µs through PostgreSQL, if it has nothing to do \
             with the user. Redis itself takes {:.2} µs to publish it to one process, and {:.2} µs \
             for each further one.",
            micros(redis.process),
            micros(postgres.process),
            micros(server),
            micros(listener),
        );
    }
    let (rate, asked) = redis::behind_a_manager(plan, runtime);
    let _ = writeln!(
        text,
        "\n`SessionManager::get` of a session that the process has seen: {} a second, one at a \
         time, for which the store was asked {asked} times.",
        thousands(rate)
    );
    text
}

/// Three digits are enough of any figure here.
fn thousands(value: f64) -> String {
    let digits = value.max(1.0).log10().floor() as i32 - 2;
    let unit = 10_f64.powi(digits.max(0));
    let rounded = ((value / unit).round() * unit) as u64;
    let text = rounded.to_string();
    let mut out = String::new();
    for (i, digit) in text.chars().enumerate() {
        if i > 0 && (text.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
