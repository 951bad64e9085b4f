//! Our layer with its default settings over the store in memory, in its three ways to name a user.
//!
//! As its peers do, it inserts one header: no API key is set.

use std::rc::Rc;

use moojo_session::{SessionLayer, SessionManager, SessionService, UserHandle, UserId};
use tokio::runtime::Runtime;
use tower::Layer;

use super::{Call, bare};
use crate::exchange::{Inner, ORIGIN, exchange, request};
use crate::login::{self, user_id};
use crate::workload::Users;

/// One manager with all users logged in.
pub(super) struct Sessions {
    manager: SessionManager,
    /// On it runs the task that follows the store's changes. Nobody polls it while requests are
    /// made: the store does not change then.
    _runtime: Runtime,
}

impl Sessions {
    pub(super) fn new(users: &Users) -> Self {
        let runtime = login::runtime();
        let manager = login::log_all_in(users, &runtime);
        Self { manager, _runtime: runtime }
    }

    fn service(&self) -> SessionService<Inner> {
        SessionLayer::new(self.manager.clone())
            .allow_origin(ORIGIN)
            .expect("https is allowed")
            .layer(Inner)
    }

    /// A handle for each user.
    pub(super) fn handles(&self, users: &Users) -> Vec<UserHandle> {
        (0..users.count()).map(|user| self.manager.handle(&user_id(users, user))).collect()
    }
}

/// The request carries the user's id.
pub(super) struct ByUserId {
    ids: Vec<UserId>,
    service: SessionService<Inner>,
    _sessions: Rc<Sessions>,
}

impl ByUserId {
    pub(super) fn new(users: &Users, sessions: &Rc<Sessions>) -> Self {
        let service = sessions.service();
        Self { ids: bare::ids(users), service, _sessions: Rc::clone(sessions) }
    }
}

impl Call for ByUserId {
    fn call(&mut self, user: usize) {
        exchange(&mut self.service, request(self.ids[user].clone()));
    }
}

/// The request carries the user's handle. To clone it counts a reference in the slot, which the
/// layer then finds in the processor's cache: the bare service is measured with handles too.
pub(super) struct ByUserHandle {
    handles: Vec<UserHandle>,
    service: SessionService<Inner>,
    _sessions: Rc<Sessions>,
}

impl ByUserHandle {
    pub(super) fn new(users: &Users, sessions: &Rc<Sessions>) -> Self {
        let (handles, service) = (sessions.handles(users), sessions.service());
        Self { handles, service, _sessions: Rc::clone(sessions) }
    }
}

impl Call for ByUserHandle {
    fn call(&mut self, user: usize) {
        exchange(&mut self.service, request(self.handles[user].clone()));
    }
}

/// Each user has a client. Its requests need not name a user; these do, so that the request is the
/// same as the bare service gets, and the layer compares the two.
pub(super) struct ForUser {
    ids: Vec<UserId>,
    clients: Vec<moojo_session::ForUser<Inner>>,
    _sessions: Rc<Sessions>,
}

impl ForUser {
    pub(super) fn new(users: &Users, sessions: &Rc<Sessions>) -> Self {
        let service = sessions.service();
        let client = |handle| service.clone().for_user(handle);
        let clients = sessions.handles(users).into_iter().map(client).collect();
        Self { ids: bare::ids(users), clients, _sessions: Rc::clone(sessions) }
    }
}

impl Call for ForUser {
    fn call(&mut self, user: usize) {
        exchange(&mut self.clients[user], request(self.ids[user].clone()));
    }
}
