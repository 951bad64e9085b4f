//! tower-http's layer for one token: what it costs to insert a header.

use moojo_session::UserId;
use tower::Layer;
use tower_http::auth::{AddAuthorization, AddAuthorizationLayer};

use super::{Call, bare};
use crate::exchange::{Inner, exchange, request};
use crate::workload::Users;

pub(super) struct Constant {
    ids: Vec<UserId>,
    service: AddAuthorization<Inner>,
}

impl Constant {
    pub(super) fn new(users: &Users) -> Self {
        let layer = AddAuthorizationLayer::bearer(&users.token(0)).as_sensitive(true);
        Self { ids: bare::ids(users), service: layer.layer(Inner) }
    }
}

impl Call for Constant {
    fn call(&mut self, user: usize) {
        exchange(&mut self.service, request(self.ids[user].clone()));
    }
}
