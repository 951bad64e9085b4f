//! How an example begins and ends.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::ffi::OsString;
use std::process::{ExitCode, Termination};

use moojo_session::Chain;

/// Any error.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What an example was started with.
#[derive(Debug, PartialEq, Eq)]
pub enum Arguments {
    /// Nothing.
    None,
    /// `--help` or `-h` before anything else.
    Help,
    /// Something else first.
    Other(OsString),
}

impl Arguments {
    /// Without the program's name.
    pub fn of(arguments: impl IntoIterator<Item = OsString>) -> Self {
        match arguments.into_iter().next() {
            None => Self::None,
            Some(argument) if argument == "--help" || argument == "-h" => Self::Help,
            Some(argument) => Self::Other(argument),
        }
    }
}

/// Runs an example that takes no arguments, or shows `help`, which says what it is.
pub async fn start<T: Termination>(
    help: &str,
    example: impl Future<Output = Result<T, BoxError>>,
) -> ExitCode {
    match Arguments::of(std::env::args_os().skip(1)) {
        Arguments::None => exit_code(example.await),
        Arguments::Help => {
            println!("{help}");
            ExitCode::SUCCESS
        }
        Arguments::Other(argument) => {
            eprintln!("error: it takes no argument {}\n\n{help}", argument.display());
            ExitCode::from(2)
        }
    }
}

/// How a program ends. An error is shown with all its sources: `main` itself would show its `Debug`.
pub fn exit_code<T: Termination>(outcome: Result<T, BoxError>) -> ExitCode {
    match outcome {
        Ok(good) => good.report(),
        Err(error) => {
            eprintln!("error: {}", Chain(&*error));
            ExitCode::FAILURE
        }
    }
}
