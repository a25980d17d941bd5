//! A connection that does not wait for a client for ever.
//!
//! In: a socket. Out: the same, whose writes fail once the client has read too little of the waiting data,
//! and an [`Activity`] with the time of its last activity. [`Busy`] is a body during whose waits, for a store
//! say, the connection is not idle. The attack: a client that sends requests and never reads the responses
//! holds a connection, its buffers and whatever produces the response.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Bytes that a slow client must have read before the full timeout starts again.
const PROGRESS_BYTES: usize = 16 << 10;

/// The activity of a connection, for selecting one to close.
#[derive(Debug)]
pub(crate) struct Activity {
    opened: Instant,
    last_ms: AtomicU64,
    /// Number of requests for which the next part of the response is being produced.
    answering: AtomicUsize,
}

impl Activity {
    /// A new connection.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { opened: Instant::now(), last_ms: AtomicU64::new(0), answering: AtomicUsize::new(0) })
    }

    fn moved(&self) {
        self.last_ms.store(self.opened.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// How long the client has neither sent nor read anything; zero while a response is being produced.
    pub(crate) fn idle(&self) -> Duration {
        if self.answering.load(Ordering::Relaxed) > 0 {
            return Duration::ZERO;
        }
        let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        self.opened.elapsed().saturating_sub(last)
    }

    /// Marks a response as being produced until the returned value is dropped.
    pub(crate) fn answering(self: &Arc<Self>) -> Answering {
        self.answering.fetch_add(1, Ordering::Relaxed);
        Answering(Arc::clone(self))
    }
}

/// While it exists, the connection counts as active.
#[derive(Debug)]
pub(crate) struct Answering(Arc<Activity>);

/// A response body. While its next part is being produced, its connection is active; while a finished part
/// waits for the client, it is not.
pub(crate) struct Busy {
    body: Body,
    activity: Arc<Activity>,
    answering: Option<Answering>,
}

impl Busy {
    /// The body of a response that is ready. The connection counts as active only when it is polled for a
    /// part and has none: it is not polled for a client that reads nothing.
    pub(crate) fn new(body: Body, activity: Arc<Activity>) -> Self {
        Self { body, activity, answering: None }
    }
}

impl HttpBody for Busy {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let waits = polled.is_pending();
        if waits && self.answering.is_none() {
            self.answering = Some(self.activity.answering());
        } else if !waits {
            self.answering = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.fetch_sub(1, Ordering::Relaxed);
        self.0.moved();
    }
}

/// The connection.
#[derive(Debug)]
pub(crate) struct Patient<S> {
    stream: S,
    activity: Arc<Activity>,
    limit: Duration,
    /// Deadline by which the client must have read [`PROGRESS_BYTES`], while data waits for it.
    due: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S> Patient<S> {
    /// `limit`: how long data may wait for the client.
    pub(crate) fn new(stream: S, activity: Arc<Activity>, limit: Duration) -> Self {
        Self { stream, activity, limit, due: None }
    }

    /// Passes on a write's result and tracks the client's progress.
    fn wrote(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match polled {
            Poll::Ready(Ok(length)) => {
                self.activity.moved();
                let caught_up = self.due.as_mut().is_some_and(|(_, taken)| {
                    *taken += length;
                    *taken >= PROGRESS_BYTES
                });
                if caught_up {
                    self.due = None;
                }
                Poll::Ready(Ok(length))
            }
            Poll::Pending => {
                let limit = self.limit;
                let (due, _) = self.due.get_or_insert_with(|| (Box::pin(tokio::time::sleep(limit)), 0));
                ready!(due.as_mut().poll(context));
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client stalled while reading the answer",
                )))
            }
            failed => failed,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, into);
        if into.filled().len() > before {
            self.activity.moved();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.wrote(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        if polled.is_ready() {
            // No data waits for the client any more.
            self.due = None;
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_not_idle_while_a_part_of_its_answer_is_made() {
        let activity = Activity::new();
        let (part, parts) = tokio::sync::mpsc::channel::<Result<Bytes, axum::Error>>(1);
        let parts = futures::stream::unfold(parts, |mut parts| async { Some((parts.recv().await?, parts)) });
        let mut body = Busy::new(Body::from_stream(parts), Arc::clone(&activity));
        let mut poll = || {
            let mut context = Context::from_waker(std::task::Waker::noop());
            Pin::new(&mut body).poll_frame(&mut context)
        };
        for _ in 0..2 {
            // The store is slow.
            assert!(poll().is_pending());
            tokio::time::sleep(LIMIT).await;
            assert_eq!(activity.idle(), Duration::ZERO);
            part.send(Ok(Bytes::from_static(b"a part"))).await.unwrap();
            assert!(matches!(poll(), Poll::Ready(Some(Ok(_)))));
            // Now the client is slow.
            tokio::time::sleep(LIMIT).await;
            assert_eq!(activity.idle(), LIMIT);
        }
        assert!(poll().is_pending());
        drop(body);
        tokio::time::sleep(LIMIT).await;
        assert_eq!(activity.idle(), LIMIT, "its client went away");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_reads_is_given_up() {
        let (ours, _theirs) = tokio::io::duplex(1_000);
        let mut patient = Patient::new(ours, Activity::new(), LIMIT);
        let began = Instant::now();
        let failed = patient.write_all(&[0; 5_000]).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), LIMIT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_takes_a_byte_now_and_then_is_given_up_as_well() {
        let (ours, mut theirs) = tokio::io::duplex(1_000);
        let mut patient = Patient::new(ours, Activity::new(), LIMIT);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if theirs.read_u8().await.is_err() {
                    return;
                }
            }
        });
        let failed = patient.write_all(&vec![0; 1 << 20]).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_that_is_over_does_not_count_for_the_next_answer() {
        let (ours, mut theirs) = tokio::io::duplex(1_000);
        let mut patient = Patient::new(ours, Activity::new(), LIMIT);
        for _ in 0..2 {
            let reader = async {
                tokio::time::sleep(LIMIT / 2).await;
                theirs.read_exact(&mut [0; 2_000]).await.unwrap();
            };
            let writer = async {
                patient.write_all(&[0; 2_000]).await.unwrap();
                patient.flush().await.unwrap();
            };
            tokio::join!(reader, writer);
            tokio::time::sleep(LIMIT * 2).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_gets_all_of_it() {
        let (ours, mut theirs) = tokio::io::duplex(32 << 10);
        let mut patient = Patient::new(ours, Activity::new(), LIMIT);
        let reader = tokio::spawn(async move {
            let (mut read, mut part) = (0, vec![0; 32 << 10]);
            while read < 1 << 20 {
                tokio::time::sleep(LIMIT / 2).await;
                read += theirs.read(&mut part).await.unwrap();
            }
        });
        patient.write_all(&vec![0; 1 << 20]).await.unwrap();
        reader.await.unwrap();
    }
}
