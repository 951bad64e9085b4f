//! What somebody says to an example on the command line.

use std::ffi::OsString;

use moojo_examples::Arguments;

fn of(arguments: &[&str]) -> Arguments {
    Arguments::of(arguments.iter().map(OsString::from))
}

#[test]
fn help_is_given_and_nothing_is_passed_over() {
    assert_eq!(of(&[]), Arguments::None);
    assert_eq!(of(&["--help"]), Arguments::Help);
    assert_eq!(of(&["-h", "x"]), Arguments::Help);
    for other in ["--hlep", "help", "", "-v", "redis://127.0.0.1"] {
        assert_eq!(of(&[other]), Arguments::Other(other.into()));
    }
}
