//! Whose request it is, and what goes on it.

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};

use super::{OnAuthorization, Settings};
use crate::error::Error;
use crate::manager::{Pass, UserHandle};
use crate::origin::Origin;
use crate::store::StoreError;
use crate::user::UserId;

/// How a request names its user.
#[derive(Clone, Copy)]
pub(super) enum Binding<'a> {
    Id(&'a UserId),
    Handle(&'a UserHandle),
}

impl<'a> Binding<'a> {
    /// The user of `request`: by `client`, the handle of a client that is for one user, or by the
    /// request's extensions. More than one may be given, but not of different users.
    pub(super) fn of<B>(
        request: &'a Request<B>,
        client: Option<&'a UserHandle>,
    ) -> Result<Option<Self>, Error> {
        let extensions = request.extensions();
        let handle = extensions.get::<UserHandle>();
        // Nearly always the user is the one thing in there.
        let id = match handle {
            Some(_) if extensions.len() == 1 => None,
            _ => extensions.get::<UserId>(),
        };
        let binding = match (client.or(handle), id) {
            (Some(handle), _) => Self::Handle(handle),
            (None, Some(id)) => Self::Id(id),
            (None, None) => return Ok(None),
        };
        let bound = binding.user();
        match [handle.map(UserHandle::user), id].into_iter().flatten().find(|other| *other != bound)
        {
            Some(other) => Err(Error::UserConflict { bound: bound.clone(), other: other.clone() }),
            None => Ok(Some(binding)),
        }
    }

    pub(super) fn user(self) -> &'a UserId {
        match self {
            Self::Id(id) => id,
            Self::Handle(handle) => handle.user(),
        }
    }
}

/// Rule 1, at the moment of attaching and whatever was said before: the session's own user is the
/// request's.
pub(super) fn check_user(of_session: &UserId, of_request: &UserId) -> Result<(), Error> {
    if of_session == of_request {
        return Ok(());
    }
    Err(Error::Store(StoreError::corrupt("the session found is that of another user")))
}

impl Settings {
    /// Whether a request for a user may go where it goes, as it is.
    pub(super) fn check<B>(&self, request: &Request<B>) -> Result<(), Error> {
        if !self.origins.iter().any(|origin| origin.is_of(request.uri())) {
            return Err(Error::OriginNotAllowed { origin: Origin::of(request.uri()) });
        }
        if self.on_authorization == OnAuthorization::Refuse
            && request.headers().contains_key(AUTHORIZATION)
        {
            return Err(Error::AuthorizationPresent);
        }
        Ok(())
    }

    /// What a request bound like this is sent with, if there is a live session in memory.
    #[inline]
    pub(super) fn pass(&self, binding: Binding<'_>) -> Option<Pass> {
        match binding {
            Binding::Id(user) => self.sessions.pass(user),
            Binding::Handle(handle) => self.sessions.pass_handle(handle),
        }
    }

    /// Puts the user's token and the API key on a request that was checked, as was its user.
    pub(super) fn attach<B>(&self, request: &mut Request<B>, authorization: HeaderValue) {
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, authorization);
        if let Some(key) = &self.api_key {
            headers.insert(self.api_key_header.clone(), key.clone());
        }
    }
}
