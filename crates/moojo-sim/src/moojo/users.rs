use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::random::Random;

/// What a user is known by. The texts of Firebase JWTs are opaque, as the documented example is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Identity {
    /// The digits of a phone number.
    Phone(String),
    Jwt(String),
}

/// A user of the simulated Moojo, in the forms that the API shows.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) public_user_id: String,
    pub(crate) public_key: String,
    pub(crate) recipient_address: String,
    pub(crate) created_at: DateTime<Utc>,
}

#[derive(Default)]
pub(super) struct Users {
    by_identity: HashMap<Identity, User>,
    identities: HashMap<String, Identity>,
    linked_jwts: HashMap<String, String>,
    refused_jwts: HashSet<String>,
}

impl Users {
    pub(super) fn find(&self, identity: &Identity) -> Option<&User> {
        self.by_identity.get(identity)
    }

    pub(super) fn get(&self, public_user_id: &str) -> Option<&User> {
        self.by_identity.get(self.identities.get(public_user_id)?)
    }

    /// Assumption: who logs in first is made a user, and is the same one at every later login.
    pub(super) fn find_or_create(
        &mut self,
        identity: Identity,
        random: &mut Random,
        now: DateTime<Utc>,
    ) -> &User {
        let identities = &mut self.identities;
        self.by_identity.entry(identity).or_insert_with_key(|identity| {
            let user = User::random(random, now);
            identities.insert(user.public_user_id.clone(), identity.clone());
            user
        })
    }

    /// Whom a JWT stands for; nobody if it is to be refused.
    pub(super) fn identity_of_jwt(&self, jwt: &str) -> Option<Identity> {
        if self.refused_jwts.contains(jwt) {
            return None;
        }
        Some(match self.linked_jwts.get(jwt) {
            Some(number) => Identity::Phone(number.clone()),
            None => Identity::Jwt(jwt.to_owned()),
        })
    }

    pub(super) fn link_jwt(&mut self, jwt: &str, number: String) {
        self.refused_jwts.remove(jwt);
        self.linked_jwts.insert(jwt.to_owned(), number);
    }

    pub(super) fn refuse_jwt(&mut self, jwt: &str) {
        self.refused_jwts.insert(jwt.to_owned());
    }
}

impl User {
    /// The forms are those of the documented examples: a UUID, a compressed public key of 33 bytes,
    /// an address of 20 bytes.
    fn random(random: &mut Random, now: DateTime<Utc>) -> Self {
        Self {
            public_user_id: random.uuid(),
            public_key: format!("0x02{}", random.hex(64)),
            recipient_address: format!("0x{}", random.hex(40)),
            created_at: now,
        }
    }
}
