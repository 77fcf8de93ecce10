//! One connection with its place among those that may be open. It has the place until it is
//! closed, whoever reads and writes it then: a WebSocket outlives the request it began as.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::addresses::Place;
use super::patience::Heard;

/// A connection that fails once nothing that was sent is taken for too long.
#[derive(Debug)]
pub(super) struct Seat<I> {
    io: I,
    sent_time_max: Duration,
    /// Runs while something waits to be taken.
    patience: Pin<Box<Sleep>>,
    waiting: bool,
    heard: Heard,
    _places: (OwnedSemaphorePermit, Arc<OnceLock<Place>>),
}

impl<I> Seat<I> {
    pub(super) fn new(
        io: I,
        places: (OwnedSemaphorePermit, Arc<OnceLock<Place>>),
        sent_time_max: Duration,
    ) -> Self {
        let patience = Box::pin(tokio::time::sleep(sent_time_max));
        let heard = Heard::default();
        Self { io, sent_time_max, patience, waiting: false, heard, _places: places }
    }

    /// How much is read from it.
    pub(super) fn heard(&self) -> Heard {
        self.heard.clone()
    }

    /// What became of sending something, or that it took too long.
    fn within_time<T>(
        &mut self,
        sent: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.waiting = false;
            return sent;
        }
        if !self.waiting {
            self.waiting = true;
            self.patience.as_mut().reset(Instant::now() + self.sent_time_max);
        }
        ready!(self.patience.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Seat<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, into);
        self.heard.more(into.filled().len() - before);
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Seat<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.io).poll_write(context, bytes);
        self.within_time(sent, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.io).poll_write_vectored(context, pieces);
        self.within_time(sent, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.io).poll_flush(context);
        self.within_time(sent, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.io).poll_shutdown(context);
        self.within_time(sent, context)
    }
}
