use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::cut::CutSwitch;

/// What one chunk of an endless body holds.
const FILLER: &[u8] = &[b'a'; 8 * 1024];

/// The body of an answer, with the faults that concern how it is sent.
pub(super) enum AnswerBody {
    /// All of it; `cut` closes the connection once it has left.
    Whole { bytes: Option<Bytes>, cut: Option<Arc<CutSwitch>> },
    /// `first` of a body that announces `total` bytes; then the connection is closed.
    Broken { first: Option<Bytes>, total: u64, switch: Arc<CutSwitch> },
    /// `start`, then more for as long as anybody reads.
    Endless { start: Option<Bytes> },
}

impl AnswerBody {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self::Whole { bytes: Some(bytes).filter(|bytes| !bytes.is_empty()), cut: None }
    }

    pub(super) fn whole_then_cut(bytes: Bytes, switch: Arc<CutSwitch>) -> Self {
        Self::Whole { bytes: Some(bytes).filter(|bytes| !bytes.is_empty()), cut: Some(switch) }
    }

    pub(super) fn broken(bytes: &Bytes, switch: Arc<CutSwitch>) -> Self {
        let first = bytes.slice(..bytes.len() / 2);
        Self::Broken { first: Some(first), total: bytes.len() as u64, switch }
    }

    pub(super) fn endless(start: Bytes) -> Self {
        Self::Endless { start: Some(start) }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole { bytes, .. } => Poll::Ready(bytes.take().map(Frame::data).map(Ok)),
            Self::Broken { first, switch, .. } => match first.take() {
                Some(first) if !first.is_empty() => Poll::Ready(Some(Ok(Frame::data(first)))),
                _ => {
                    // Nobody wakes this task for more: the flush that follows cuts the connection.
                    switch.cut_when_flushed();
                    Poll::Pending
                }
            },
            Self::Endless { start } => {
                let chunk = start.take().unwrap_or(Bytes::from_static(FILLER));
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole { bytes: None, .. })
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole { bytes, .. } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Broken { first, total, .. } => {
                let sent = if first.is_some() { 0 } else { total / 2 };
                SizeHint::with_exact(total - sent)
            }
            Self::Endless { .. } => SizeHint::default(),
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        // hyper lets go of a body when it has taken all of it, or needs none of it (HEAD), and
        // flushes afterwards.
        if let Self::Whole { cut: Some(switch), .. } = self {
            switch.cut_when_flushed();
        }
    }
}
