//! The scripts, and how Redis is told to run one.

use std::sync::LazyLock;

/// A Lua script that touches one key, so that it is one atomic step on one slot.
pub(crate) struct Script {
    code: &'static str,
    /// The SHA-1 by which Redis remembers it.
    hash: LazyLock<String>,
}

impl Script {
    pub(crate) fn code(&self) -> &'static str {
        self.code
    }

    pub(crate) fn hash(&self) -> &str {
        &self.hash
    }
}

macro_rules! scripts {
    ($($name:ident = $file:literal),+ $(,)?) => {
        $(pub(crate) static $name: Script = Script {
            code: include_str!(concat!("scripts/", $file)),
            hash: LazyLock::new(|| {
                let code = include_str!(concat!("scripts/", $file));
                redis::Script::new(code).get_hash().to_owned()
            }),
        };)+
    };
}

scripts! {
    SAVE = "save.lua",
    REMOVE = "remove.lua",
    REMOVE_IF_CURRENT = "remove_if_current.lua",
    REPLACE_IF_CURRENT = "replace_if_current.lua",
    SWAP = "swap.lua",
    REMOVE_CHALLENGE = "remove_challenge.lua",
    ADMIT = "admit.lua",
    GIVE_BACK = "give_back.lua",
    ACQUIRE = "acquire.lua",
    RELEASE = "release.lua",
    DECLINE = "decline.lua",
    CHECK = "check.lua",
}
