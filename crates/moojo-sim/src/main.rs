//! The simulated Moojo as a program: `cargo run -p moojo-sim -- --help`.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use lexopt::prelude::*;
use moojo_sim::MoojoSim;

const HELP: &str = "\
A simulated Moojo to develop and test against.

Usage: moojo-sim [OPTIONS]

Options:
      --bind <ADDR:PORT>     where to listen [default: 127.0.0.1:8787]
      --api-key <KEY>        the key that callers must send [default: moojo-sim-api-key]
      --code-ttl <DURATION>  how long a code can be used: 600, 600s, 10m or 1h [default: 10m]
      --token-ttl <DURATION> how long a token lives [default: 2h]
      --fault-free           take no faults over HTTP: /sim/faults is not there
  -h, --help                 show this
  -V, --version              show the version
";

fn main() -> ExitCode {
    let options = match Options::parse(lexopt::Parser::from_env()) {
        Ok(Some(options)) => options,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => return fail(&error, 2),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error.as_ref(), 1),
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn run(options: Options) -> Result<(), Failure> {
    let mut builder = MoojoSim::builder().bind(options.bind).fault_control(!options.fault_free);
    if let Some(key) = options.api_key {
        builder = builder.api_key(key);
    }
    if let Some(ttl) = options.code_ttl {
        builder = builder.code_ttl(ttl);
    }
    if let Some(ttl) = options.token_ttl {
        builder = builder.token_ttl(ttl);
    }
    let sim = builder.start().await?;
    say(&format!(
        "simulated Moojo listens on {}\n  api key        {}\n  the phone      {}\n\
         Ctrl-C stops it.\n",
        sim.base_url(),
        sim.api_key(),
        sim.phone_url(),
    ));
    tokio::signal::ctrl_c().await?;
    sim.shutdown().await;
    say("stopped\n");
    Ok(())
}

struct Options {
    bind: SocketAddr,
    api_key: Option<String>,
    code_ttl: Option<Duration>,
    token_ttl: Option<Duration>,
    fault_free: bool,
}

impl Options {
    /// None if there is nothing more to do.
    fn parse(mut parser: lexopt::Parser) -> Result<Option<Self>, lexopt::Error> {
        let mut options = Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 8787)),
            api_key: None,
            code_ttl: None,
            token_ttl: None,
            fault_free: false,
        };
        while let Some(arg) = parser.next()? {
            match arg {
                Long("bind") => options.bind = parser.value()?.parse()?,
                Long("api-key") => options.api_key = Some(parser.value()?.string()?),
                Long("code-ttl") => options.code_ttl = Some(parser.value()?.parse_with(duration)?),
                Long("token-ttl") => {
                    options.token_ttl = Some(parser.value()?.parse_with(duration)?)
                }
                Long("fault-free") => options.fault_free = true,
                Short('h') | Long("help") => {
                    say(HELP);
                    return Ok(None);
                }
                Short('V') | Long("version") => {
                    say(concat!("moojo-sim ", env!("CARGO_PKG_VERSION"), "\n"));
                    return Ok(None);
                }
                _ => return Err(arg.unexpected()),
            }
        }
        Ok(Some(options))
    }
}

/// Seconds, or a whole number with `s`, `m` or `h`.
fn duration(text: &str) -> Result<Duration, &'static str> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) if text.ends_with('m') => (number, 60),
        Some(number) if text.ends_with('h') => (number, 3600),
        Some(number) => (number, 1),
        None => (text, 1),
    };
    let number: u64 = number.parse().map_err(|_| "not a duration such as 600, 10m or 1h")?;
    number.checked_mul(unit).map(Duration::from_secs).ok_or("the duration is too long")
}

fn say(text: &str) {
    // Who closed our output does not want to read it.
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

fn fail(error: &(dyn std::error::Error + 'static), code: u8) -> ExitCode {
    let mut text = format!("moojo-sim: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    let _ = writeln!(io::stderr().lock(), "{text}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Option<Options>, lexopt::Error> {
        Options::parse(lexopt::Parser::from_args(args))
    }

    #[test]
    fn options_and_their_defaults() {
        let defaults = parse(&[]).ok().flatten().expect("no options are legal options");
        assert_eq!(defaults.bind.to_string(), "127.0.0.1:8787");
        assert!(!defaults.fault_free);
        let args = ["--bind", "127.0.0.1:0", "--api-key=k", "--code-ttl", "90s", "--fault-free"];
        let set = parse(&args).ok().flatten().expect("these are legal options");
        assert_eq!(set.bind.port(), 0);
        assert_eq!(set.api_key.as_deref(), Some("k"));
        assert_eq!(set.code_ttl, Some(Duration::from_secs(90)));
        assert!(set.fault_free);
        assert!(parse(&["--port", "1"]).is_err());
    }

    #[test]
    fn durations_have_units() {
        for (text, seconds) in [("600", 600), ("600s", 600), ("10m", 600), ("1h", 3600)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert!(duration("ten").is_err() && duration("1d").is_err() && duration("m").is_err());
        assert!(duration("18446744073709551615h").is_err());
    }
}
