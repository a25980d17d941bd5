//! Renders WAV, or one party's Opus stream, while the store is read, in bounded memory.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use crate::http::recordings::library::LibraryError;
use optag_storage::archive::render::{Renderer, WAV_HEADER_BYTES, one_channel, wav_header};
use optag_storage::archive::vault::Plain;

/// A file while it is made.
type Blocks = BoxStream<'static, Result<Bytes, LibraryError>>;

/// Blocks that may wait for a slow listener.
const WAITING: usize = 2;
/// Size of a block. Units: bytes.
const BLOCK_BYTES: usize = 64 * 1024;

/// Renderings at a time, each with a thread and some buffers of its own.
static RENDERINGS: Semaphore = Semaphore::const_new(16);
/// How long one waits for another to end.
const WAIT: Duration = Duration::from_secs(5);

/// Room for one more rendering.
///
/// Errors: there is none for a while.
async fn room() -> Result<SemaphorePermit<'static>, LibraryError> {
    let permit = tokio::time::timeout(WAIT, RENDERINGS.acquire()).await;
    permit.ok().and_then(Result::ok).ok_or(LibraryError::Busy)
}

/// What a WAV is like.
#[derive(Clone, Copy, Debug)]
pub struct WavForm {
    /// Length. Units: ms.
    pub duration_ms: u64,
    /// Samples a second. Units: Hz.
    pub rate_hz: u32,
    /// Channels.
    pub channels: u16,
}

impl WavForm {
    /// Its size, header included.
    pub fn bytes(&self) -> u64 {
        WAV_HEADER_BYTES + self.samples() * 2 * u64::from(self.channels)
    }

    /// Samples of each channel.
    fn samples(&self) -> u64 {
        self.duration_ms * u64::from(self.rate_hz) / 1_000
    }
}

/// Decodes `opus` to the bytes `part` of a WAV. `channel`: one alone.
///
/// Errors: too many are being made.
pub async fn wav(
    opus: Plain,
    form: WavForm,
    channel: Option<u8>,
    part: Range<u64>,
) -> Result<Blocks, LibraryError> {
    Ok(made(room().await?, opus, part, move |source, out| make(source, out, form, channel)))
}

/// The stream of one channel as a file of its own, of which the bytes `part`.
///
/// Errors: too many are being made.
pub async fn voice(opus: Plain, channel: u8, part: Range<u64>) -> Result<Blocks, LibraryError> {
    let made = made(room().await?, opus, part, move |source, out| {
        let mut failed = None;
        let done = one_channel(source, channel, |bytes| match out.write(&bytes) {
            Ok(()) => true,
            Err(error) => {
                failed = Some(error);
                false
            }
        });
        failed.map_or(done.map_err(|_| Some(LibraryError::Damaged)), Err)
    });
    Ok(made)
}

/// The size of that file, which its making alone tells.
///
/// Errors: the stored file cannot be read.
pub async fn voice_bytes(opus: Plain, channel: u8) -> Result<u64, LibraryError> {
    let runtime = tokio::runtime::Handle::current();
    let count = move || {
        let source = StreamReader { runtime, stream: opus, chunk: Bytes::new() };
        let mut total_bytes = 0;
        let done = one_channel(source, channel, |bytes| {
            total_bytes += bytes.len() as u64;
            true
        });
        done.map(|()| total_bytes).map_err(|_| LibraryError::Damaged)
    };
    tokio::task::spawn_blocking(count).await.unwrap_or(Err(LibraryError::Damaged))
}

/// What `make` writes, made in a thread of its own while it is read.
fn made(
    room: SemaphorePermit<'static>,
    opus: Plain,
    part: Range<u64>,
    make: impl FnOnce(StreamReader, &mut Part) -> Result<(), Option<LibraryError>> + Send + 'static,
) -> Blocks {
    let (to, from) = mpsc::channel(WAITING);
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let source = StreamReader { runtime, stream: opus, chunk: Bytes::new() };
        let mut out = Part { to, part, at: 0, block: Vec::with_capacity(BLOCK_BYTES) };
        match make(source, &mut out) {
            Ok(()) => drop(out.flush()),
            Err(Some(error)) => drop(out.to.blocking_send(Err(error))),
            // The listener is gone.
            Err(None) => {}
        }
        drop(room);
    });
    stream::unfold(from, |mut from| async move { from.recv().await.map(|block| (block, from)) }).boxed()
}

fn make(
    source: StreamReader,
    out: &mut Part,
    form: WavForm,
    channel: Option<u8>,
) -> Result<(), Option<LibraryError>> {
    let mut renderer = Renderer::new(source, form.rate_hz).map_err(|_| Some(LibraryError::Damaged))?;
    out.write(&wav_header(form.channels, form.rate_hz, form.samples()))?;
    let every = renderer.channels();
    let mut bytes = Vec::new();
    let mut left = form.samples() * u64::from(form.channels);
    while let Some(block) = renderer.next_block().map_err(|_| Some(LibraryError::Damaged))? {
        bytes.clear();
        let picked =
            block.iter().enumerate().filter(|(n, _)| channel.is_none_or(|one| n % every == usize::from(one)));
        for (_, sample) in picked.take(left.min(usize::MAX as u64) as usize) {
            bytes.extend(sample.to_le_bytes());
        }
        left -= bytes.len() as u64 / 2;
        out.write(&bytes)?;
    }
    // The header promised this many samples.
    while left > 0 {
        let zeros = vec![0; (left * 2).min(BLOCK_BYTES as u64) as usize];
        left -= zeros.len() as u64 / 2;
        out.write(&zeros)?;
    }
    Ok(())
}

/// Lets through the bytes of one part, in blocks.
struct Part {
    to: mpsc::Sender<Result<Bytes, LibraryError>>,
    part: Range<u64>,
    at: u64,
    block: Vec<u8>,
}

impl Part {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Option<LibraryError>> {
        let length = bytes.len() as u64;
        let from = self.part.start.saturating_sub(self.at).min(length) as usize;
        let to = self.part.end.saturating_sub(self.at).min(length) as usize;
        self.at += length;
        self.block.extend_from_slice(bytes.get(from..to).unwrap_or_default());
        if self.block.len() >= BLOCK_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Option<LibraryError>> {
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK_BYTES));
        if block.is_empty() {
            return Ok(());
        }
        self.to.blocking_send(Ok(block.into())).map_err(|_| None)
    }
}

/// The store's stream as a blocking reader.
struct StreamReader {
    runtime: tokio::runtime::Handle,
    stream: Plain,
    chunk: Bytes,
}

impl Read for StreamReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.runtime.block_on(self.stream.next()) {
                None => return Ok(0),
                Some(Ok(chunk)) => self.chunk = chunk,
                Some(Err(error)) => return Err(io::Error::other(error)),
            }
        }
        let length = self.chunk.len().min(into.len());
        into[..length].copy_from_slice(&self.chunk.split_to(length));
        Ok(length)
    }
}

/// The container reader asks for it, but files are read from front to back.
impl Seek for StreamReader {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
