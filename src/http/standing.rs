//! Whether what admitted a request still holds while its answer is sent: a long answer ends soon after its actor's
//! token was revoked or expired.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::BoxError;
use axum::body::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};

use crate::metrics::{self, AuthFailure};

/// Time between two questions.
pub(super) const ASK_EVERY: Duration = Duration::from_millis(400);

/// Asks whether the credential of a request still holds.
#[derive(Clone)]
pub(crate) struct Standing(Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>);

impl Standing {
    pub(super) fn new(ask: impl Fn() -> BoxFuture<'static, bool> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    /// Ready once it does not hold any more.
    async fn lapsed(self) {
        loop {
            tokio::time::sleep(ASK_EVERY).await;
            if !(self.0)().await {
                return;
            }
        }
    }
}

/// An answer on its way.
struct Sending<S> {
    blocks: Pin<Box<S>>,
    lapsed: BoxFuture<'static, ()>,
    over: bool,
}

/// The blocks of an answer until its actor's credential lapses, which ends it with an error, so that no client takes it
/// for whole. Without a credential (a request of this process), all of them.
pub(super) fn while_standing<S, E>(
    blocks: S,
    standing: Option<Standing>,
) -> BoxStream<'static, io::Result<Bytes>>
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    let blocks = blocks.map(|block| block.map_err(io::Error::other));
    let Some(standing) = standing else { return blocks.boxed() };
    let sending = Sending { blocks: Box::pin(blocks), lapsed: Box::pin(standing.lapsed()), over: false };
    stream::unfold(sending, |mut sending| async move {
        if sending.over {
            return None;
        }
        tokio::select! {
            biased;
            () = &mut sending.lapsed => {
                metrics::auth_failed(AuthFailure::Lapsed);
                sending.over = true;
                Some((Err(io::ErrorKind::PermissionDenied.into()), sending))
            }
            block = sending.blocks.next() => Some((block?, sending)),
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn slow_blocks() -> impl Stream<Item = io::Result<Bytes>> {
        stream::unfold(0_u32, |n| async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            (n < 50).then(|| (Ok(Bytes::from_static(b"audio")), n + 1))
        })
    }

    fn asking(holds: &Arc<AtomicBool>) -> Standing {
        let holds = Arc::clone(holds);
        Standing::new(move || {
            let holds = holds.load(Ordering::Relaxed);
            Box::pin(async move { holds })
        })
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_breaks_off_within_a_second_of_the_end_of_what_admitted_it() {
        let holds = Arc::new(AtomicBool::new(true));
        let mut sent = while_standing(slow_blocks(), Some(asking(&holds)));
        for _ in 0..10 {
            sent.next().await.unwrap().unwrap();
        }
        holds.store(false, Ordering::Relaxed);
        let (revoked, mut more) = (tokio::time::Instant::now(), 0);
        let error = loop {
            match sent.next().await.unwrap() {
                Ok(_) => more += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(revoked.elapsed() <= Duration::from_secs(1) && more < 10, "{more} blocks more");
        assert!(sent.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_whole_while_what_admitted_it_holds() {
        let holds = Arc::new(AtomicBool::new(true));
        assert_eq!(while_standing(slow_blocks(), Some(asking(&holds))).count().await, 50);
        assert_eq!(while_standing(slow_blocks(), None).count().await, 50);
    }
}
