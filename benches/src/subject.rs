//! What is measured: one module for each way to put a user's token on a request.
//!
//! Each is used as its makers would have it used for this job: tables are made in their final
//! size where that can be said, hashers are fast ones where one can be chosen, header values stand
//! ready where the peer can hold them, and nothing is looked up that the caller could carry along.
//! Every subject holds its own copies of ids and tokens, as a process does that got the user's id
//! with a request and the token with a login.

use std::cell::OnceCell;
use std::fmt;
use std::rc::Rc;

use http::HeaderValue;

use crate::workload::Users;

mod aws;
mod bare;
mod constant;
mod hand_written;
mod moka;
mod ours;
mod papaya;
mod tower_sessions;

/// A way to put a user's token on a request.
pub trait Subject {
    /// Makes one request for each of these users, one after the other, from making the request
    /// to the answer.
    fn run(&mut self, users: &[u32]);
}

/// One request; what a [`Subject`] is made of.
trait Call {
    fn call(&mut self, user: usize);
}

impl<C: Call> Subject for C {
    fn run(&mut self, users: &[u32]) {
        for user in users {
            self.call(*user as usize);
        }
    }
}

/// The subjects by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The inner service alone; the request carries a `UserId`, or something as cheap to clone.
    Bare,
    /// The inner service alone; the request carries a `UserHandle`.
    BareHandle,
    /// The inner service alone; the request carries an identity resolver of the AWS SDK.
    BareResolver,
    /// tower-http's `AddAuthorization`: one token for all.
    Constant,
    /// A papaya map.
    Papaya,
    /// Our layer; the request carries a `UserId`.
    OursUserId,
    /// Our layer; the request carries a `UserHandle`.
    OursUserHandle,
    /// Our layer; one client for each user.
    OursForUser,
    /// A moka cache with a time to live.
    Moka,
    /// A layer as one writes it by hand.
    HandWritten,
    /// The identity cache of the AWS SDK.
    Aws,
    /// tower-sessions with its memory store.
    TowerSessionsMemory,
    /// tower-sessions with its moka store.
    TowerSessionsMoka,
}

impl Kind {
    /// All of them, in the order in which they are measured and shown.
    pub const ALL: [Self; 13] = [
        Self::Bare,
        Self::BareHandle,
        Self::BareResolver,
        Self::Constant,
        Self::OursForUser,
        Self::OursUserHandle,
        Self::OursUserId,
        Self::Papaya,
        Self::Moka,
        Self::HandWritten,
        Self::Aws,
        Self::TowerSessionsMemory,
        Self::TowerSessionsMoka,
    ];

    /// A short name, for files and filters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::BareHandle => "bare-handle",
            Self::BareResolver => "bare-resolver",
            Self::Constant => "constant",
            Self::Papaya => "papaya",
            Self::OursUserId => "ours-user-id",
            Self::OursUserHandle => "ours-user-handle",
            Self::OursForUser => "ours-for-user",
            Self::Moka => "moka",
            Self::HandWritten => "hand-written",
            Self::Aws => "aws",
            Self::TowerSessionsMemory => "tower-sessions-memory",
            Self::TowerSessionsMoka => "tower-sessions-moka",
        }
    }

    /// The inner service alone with the same request: what is subtracted. `None` for those that
    /// are it.
    pub fn bare(self) -> Option<Self> {
        match self {
            Self::Bare | Self::BareHandle | Self::BareResolver => None,
            Self::OursUserHandle => Some(Self::BareHandle),
            Self::Aws => Some(Self::BareResolver),
            _ => Some(Self::Bare),
        }
    }

    /// A name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Bare => "the inner service alone, request with a `UserId`",
            Self::BareHandle => "the inner service alone, request with a `UserHandle`",
            Self::BareResolver => "the inner service alone, request with an AWS resolver",
            Self::Constant => "tower-http `AddAuthorization`, one token for all",
            Self::Papaya => "papaya lookup, header insert",
            Self::OursUserId => "**ours, by `UserId`**",
            Self::OursUserHandle => "**ours, by `UserHandle`**",
            Self::OursForUser => "**ours, `for_user`**",
            Self::Moka => "moka (sync, TTL) lookup, header insert",
            Self::HandWritten => "hand-written layer, tokio `RwLock<HashMap>`",
            Self::Aws => "AWS SDK lazy identity cache, a partition a user",
            Self::TowerSessionsMemory => "tower-sessions, memory store, `session.get`",
            Self::TowerSessionsMoka => "tower-sessions, moka store, `session.get`",
        }
    }
}

/// Makes subjects over the same users.
pub struct Subjects<'a> {
    users: &'a Users,
    /// Ours are three views of one manager.
    ours: OnceCell<Rc<ours::Sessions>>,
}

impl<'a> Subjects<'a> {
    /// Subjects for these users.
    pub fn new(users: &'a Users) -> Self {
        Self { users, ours: OnceCell::new() }
    }

    /// A subject with all of the users logged in, each of whom has made a request: what is set up
    /// at a user's first request is not measured.
    pub fn make(&self, kind: Kind) -> Box<dyn Subject> {
        let users = self.users;
        let ours = || Rc::clone(self.ours.get_or_init(|| Rc::new(ours::Sessions::new(users))));
        let mut subject: Box<dyn Subject> = match kind {
            Kind::Bare => Box::new(bare::Bare::new(bare::ids(users))),
            Kind::BareHandle => Box::new(bare::Bare::new(ours().handles(users))),
            Kind::BareResolver => Box::new(bare::Bare::new(aws::resolvers(users))),
            Kind::Constant => Box::new(constant::Constant::new(users)),
            Kind::Papaya => Box::new(papaya::Papaya::new(users)),
            Kind::OursUserId => Box::new(ours::ByUserId::new(users, &ours())),
            Kind::OursUserHandle => Box::new(ours::ByUserHandle::new(users, &ours())),
            Kind::OursForUser => Box::new(ours::ForUser::new(users, &ours())),
            Kind::Moka => Box::new(moka::Moka::new(users)),
            Kind::HandWritten => Box::new(hand_written::HandWritten::new(users)),
            Kind::Aws => Box::new(aws::Aws::new(users)),
            Kind::TowerSessionsMemory => Box::new(tower_sessions::TowerSessions::memory(users)),
            Kind::TowerSessionsMoka => Box::new(tower_sessions::TowerSessions::moka(users)),
        };
        (0..users.count() as u32).for_each(|user| subject.run(&[user]));
        subject
    }
}

impl fmt::Debug for Subjects<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subjects").field("users", &self.users).finish_non_exhaustive()
    }
}

/// The finished value of a user's `Authorization` header.
fn authorization(users: &Users, user: usize) -> HeaderValue {
    let mut value = HeaderValue::try_from(format!("Bearer {}", users.token(user)))
        .expect("hexadecimal digits are legal");
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::tests::SENT;
    use crate::workload::Ids;

    #[test]
    fn every_subject_sends_each_users_own_token() {
        for ids in [Ids::Short, Ids::Uuid] {
            let users = Users::new(ids, 300);
            let subjects = Subjects::new(&users);
            for kind in Kind::ALL {
                let mut subject = subjects.make(kind);
                for user in [0, 7, 299] {
                    subject.run(&[user]);
                    let expected = match kind {
                        bare if bare.bare().is_none() => None,
                        Kind::Constant => Some(authorization(&users, 0)),
                        _ => Some(authorization(&users, user as usize)),
                    };
                    assert_eq!(SENT.take(), expected, "{}", kind.name());
                }
            }
        }
    }
}
