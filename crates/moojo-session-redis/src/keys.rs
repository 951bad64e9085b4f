//! The names of keys and of the channel.

use std::fmt::Write as _;
use std::ops::Range;

use moojo_session::UserId;

use crate::config::RedisConfigError;

/// Where a tenant's things are: `<prefix>:<kind>:{<user>}`.
///
/// The user stands percent-encoded in braces: no two users share a key, whatever characters they
/// have, and what is in braces decides the slot in a cluster. A prefix has no braces, so no two
/// prefixes share a key either.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    prefix: String,
    channel: String,
}

/// A key and its slot in a cluster.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) name: String,
    /// Where in it whose it is stands.
    tag: Range<usize>,
}

impl Key {
    /// Only clusters have slots: nobody else pays for the sum.
    pub(crate) fn slot(&self) -> u16 {
        slot(&self.name.as_bytes()[self.tag.clone()])
    }
}

impl Keys {
    const MAX_PREFIX_BYTES: usize = 128;

    /// Redis has one space of channels for all databases, so the channel names the database.
    pub(crate) fn new(prefix: &str, database: i64) -> Result<Self, RedisConfigError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
        let length_fits = (1..=Self::MAX_PREFIX_BYTES).contains(&prefix.len());
        if !length_fits || !prefix.bytes().all(allowed) {
            return Err(RedisConfigError::InvalidPrefix);
        }
        Ok(Self { prefix: prefix.to_owned(), channel: format!("{prefix}:changes:{database}") })
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn channel(&self) -> &str {
        &self.channel
    }

    /// A channel on which one subscriber hears itself.
    pub(crate) fn probe(&self) -> String {
        format!("{}:probe:{:016x}", self.prefix, fastrand::u64(..))
    }

    pub(crate) fn session(&self, user: &UserId) -> Key {
        self.key('s', user.as_str())
    }

    pub(crate) fn challenge(&self, user: &UserId) -> Key {
        self.key('c', user.as_str())
    }

    pub(crate) fn lease(&self, user: &UserId) -> Key {
        self.key('l', user.as_str())
    }

    pub(crate) fn quota(&self, key: &str) -> Key {
        self.key('q', key)
    }

    /// A key that nobody else has, in a slot that is drawn by lot.
    pub(crate) fn check(&self) -> Key {
        self.key('t', &format!("{:016x}", fastrand::u64(..)))
    }

    /// What the keys of all sessions match, in the pattern language of SCAN, which gives no other
    /// meaning to what a prefix can hold.
    pub(crate) fn all_sessions(&self) -> String {
        format!("{}:s:{{*", self.prefix)
    }

    /// The user whose session is at this key, if it is one of ours.
    pub(crate) fn user_of(&self, key: &[u8]) -> Option<UserId> {
        let rest = std::str::from_utf8(key).ok()?.strip_prefix(&self.prefix)?;
        let tag = rest.strip_prefix(":s:{")?.strip_suffix('}')?;
        UserId::new(decoded(tag)?).ok()
    }

    fn key(&self, kind: char, whose: &str) -> Key {
        let mut name = String::with_capacity(self.prefix.len() + whose.len() + 8);
        name.push_str(&self.prefix);
        name.extend([':', kind, ':', '{']);
        let begin = name.len();
        encode(whose, &mut name);
        let tag = begin..name.len();
        name.push('}');
        Key { name, tag }
    }
}

/// Percent-encoding of all but what reads well and means nothing to Redis.
fn encode(text: &str, to: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"._:-@+".contains(&byte) {
            to.push(char::from(byte));
        } else {
            let _ = write!(to, "%{byte:02X}");
        }
    }
}

/// What was encoded.
fn decoded(tag: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = tag.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The slot of a hash tag: CRC-16/XMODEM modulo 16384 (Redis Cluster specification).
fn slot(tag: &[u8]) -> u16 {
    let mut crc = 0_u16;
    for byte in tag {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        }
    }
    crc % 16384
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // From the specification, and from CLUSTER KEYSLOT.
        assert_eq!(slot(b"123456789"), 0x31C3);
        assert_eq!(slot(b"alice"), 749);
        assert_eq!(slot(b"somekey"), 11058);
    }

    #[test]
    fn rule_1_users_are_told_apart() {
        for user in ["a", "a}", "{a}", "}{", "a%7D", "%", "é", "e\u{301}", "a b", "*?[x]\\", "a:b"]
        {
            let mut tag = String::new();
            encode(user, &mut tag);
            assert!(
                tag.bytes().all(|b| b.is_ascii_graphic() && !b"{}*?[]\\".contains(&b)),
                "{tag}"
            );
            assert_eq!(decoded(&tag).as_deref(), Some(user));
        }
    }

    #[test]
    fn the_kinds_of_a_user_share_a_slot() {
        let keys = Keys::new("tenant-1", 0).unwrap();
        let user = UserId::new("al{ice}").unwrap();
        assert_eq!(keys.session(&user).name, "tenant-1:s:{al%7Bice%7D}");
        assert_eq!(keys.user_of(keys.session(&user).name.as_bytes()).as_ref(), Some(&user));
        assert_eq!(keys.user_of(b"tenant-1:c:{alice}"), None);
        assert_eq!(keys.session(&user).slot(), keys.lease(&user).slot());
        assert_eq!(keys.channel(), "tenant-1:changes:0");
    }

    #[test]
    fn a_prefix_has_no_braces() {
        for bad in ["", "a{b", "a}", "a*", "a b", "é", &"x".repeat(129)] {
            assert!(matches!(Keys::new(bad, 0), Err(RedisConfigError::InvalidPrefix)), "{bad}");
        }
    }
}
