//! What somebody says to an example on the command line.

use std::ffi::OsString;

use moojo_examples::Wish;

fn of(arguments: &[&str]) -> Wish {
    Wish::of(arguments.iter().map(OsString::from))
}

#[test]
fn help_is_given_and_nothing_is_passed_over() {
    assert_eq!(of(&[]), Wish::Run);
    assert_eq!(of(&["--help"]), Wish::Help);
    assert_eq!(of(&["-h", "x"]), Wish::Help);
    for other in ["--hlep", "help", "", "-v", "redis://127.0.0.1"] {
        assert_eq!(of(&[other]), Wish::Other(other.into()));
    }
}
