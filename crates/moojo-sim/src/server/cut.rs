//! Cutting a connection at an exact place: at once, or when all that was written has left.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// The switch of one connection.
#[derive(Default)]
pub(super) struct CutSwitch {
    at_next_flush: AtomicBool,
    cut: Notify,
}

impl CutSwitch {
    /// Closes the connection now.
    pub(super) fn cut_now(&self) {
        self.cut.notify_one();
    }

    /// Closes the connection as soon as all that is written by then has been handed to the system.
    pub(super) fn cut_when_flushed(&self) {
        self.at_next_flush.store(true, Ordering::Release);
    }

    /// Ends when the connection is to be closed.
    pub(super) async fn is_cut(&self) {
        self.cut.notified().await;
    }
}

/// The socket, which tells the switch when it has been flushed.
pub(super) struct CutStream {
    stream: TcpStream,
    switch: Arc<CutSwitch>,
}

impl CutStream {
    pub(super) fn new(stream: TcpStream, switch: Arc<CutSwitch>) -> Self {
        Self { stream, switch }
    }
}

impl AsyncRead for CutStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for CutStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // hyper flushes the stream only when its own buffer is empty: by then everything has left.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if self.switch.at_next_flush.swap(false, Ordering::AcqRel) {
            self.switch.cut_now();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
