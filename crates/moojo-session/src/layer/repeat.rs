//! Which requests can be sent twice.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

use http::Request;

/// The body types that may be repeated, each with the function that clones such a body.
#[derive(Clone, Default)]
pub(super) struct Repeats(Vec<(TypeId, Arc<dyn Any + Send + Sync>)>);

type CloneBody<B> = fn(&B) -> Option<B>;

impl Repeats {
    pub(super) fn allow<B: 'static>(&mut self, clone: CloneBody<B>) {
        self.0.retain(|(body, _)| *body != TypeId::of::<B>());
        self.0.push((TypeId::of::<B>(), Arc::new(clone)));
    }

    /// A clone of the request, if it may be repeated.
    pub(super) fn clone_request<B: 'static>(&self, request: &Request<B>) -> Option<Request<B>> {
        let (_, clone) = self.0.iter().find(|(body, _)| *body == TypeId::of::<B>())?;
        let clone = clone.downcast_ref::<CloneBody<B>>()?;
        let mut repeat = Request::new(clone(request.body())?);
        repeat.method_mut().clone_from(request.method());
        repeat.uri_mut().clone_from(request.uri());
        *repeat.version_mut() = request.version();
        repeat.headers_mut().clone_from(request.headers());
        repeat.extensions_mut().clone_from(request.extensions());
        Some(repeat)
    }
}

impl fmt::Debug for Repeats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repeats({})", self.0.len())
    }
}
