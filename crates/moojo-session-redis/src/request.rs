//! One call on one key.

use redis::{Cmd, Value, cmd};
use zeroize::Zeroizing;

use crate::error::Failure;
use crate::keys::Key;
use crate::script::Script;

/// A command or a script on one key: one atomic step on one slot.
///
/// Arguments are overwritten when it goes. (The copies that the redis crate makes while it sends them
/// are not.)
pub(crate) struct Request {
    verb: Verb,
    key: Key,
    args: Vec<Zeroizing<Vec<u8>>>,
}

enum Verb {
    Command(&'static str),
    Script(&'static Script),
}

impl Request {
    pub(crate) fn command(name: &'static str, key: Key) -> Self {
        Self { verb: Verb::Command(name), key, args: Vec::new() }
    }

    pub(crate) fn script(script: &'static Script, key: Key) -> Self {
        Self { verb: Verb::Script(script), key, args: Vec::new() }
    }

    pub(crate) fn arg(self, arg: impl Into<Vec<u8>>) -> Self {
        self.secret(Zeroizing::new(arg.into()))
    }

    pub(crate) fn secret(mut self, arg: Zeroizing<Vec<u8>>) -> Self {
        self.args.push(arg);
        self
    }

    pub(crate) fn slot(&self) -> u16 {
        self.key.slot()
    }

    /// The command, with a script named by its hash.
    pub(crate) fn short(&self) -> Cmd {
        self.cmd(|script| ("EVALSHA", script.hash()))
    }

    /// The command, with a script's whole text, for a server that does not know it.
    pub(crate) fn whole(&self) -> Cmd {
        self.cmd(|script| ("EVAL", script.code()))
    }

    fn cmd<'a>(&'a self, script: impl FnOnce(&'a Script) -> (&'static str, &'a str)) -> Cmd {
        let mut command = match self.verb {
            Verb::Command(name) => cmd(name),
            Verb::Script(its) => {
                let (name, what) = script(its);
                let mut command = cmd(name);
                command.arg(what).arg(1);
                command
            }
        };
        command.arg(&self.key.name);
        for arg in &self.args {
            command.arg(arg.as_slice());
        }
        command
    }
}

/// What a script says with 0 and 1.
pub(crate) fn yes_or_no(value: &Value) -> Result<bool, Failure> {
    match value {
        Value::Int(0) => Ok(false),
        Value::Int(1) => Ok(true),
        _ => Err(Failure::Answer),
    }
}

/// A text or nothing, to be overwritten when it goes.
pub(crate) fn bytes(value: Value) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    match value {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => Ok(Some(Zeroizing::new(bytes))),
        _ => Err(Failure::Answer),
    }
}
