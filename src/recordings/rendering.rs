//! Renders WAV, or one party's Opus stream, while the store or the spool is being read, in bounded memory.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use crate::http::recordings::library::LibraryError;
use optag_storage::archive::assemble::AssembleError;
use optag_storage::archive::deliver::{Records, assemble};
use optag_storage::archive::manifest::Manifest;
use optag_storage::archive::render::{Renderer, Samples, WAV_HEADER_BYTES, one_channel, wav_header};
use optag_storage::archive::unencoded::Player;
use optag_storage::archive::vault::Plain;

/// A file while it is generated.
type Blocks = BoxStream<'static, Result<Bytes, LibraryError>>;

/// Maximum number of blocks buffered for a slow client.
const WAITING: usize = 2;
/// Size of a block. Units: bytes.
const BLOCK_BYTES: usize = 64 * 1024;

/// Maximum number of concurrent renderings, each with its own thread and buffers.
static RENDERINGS: Semaphore = Semaphore::const_new(16);
/// How long to wait for another one to end.
const WAIT: Duration = Duration::from_secs(5);

/// Waits for a rendering slot.
///
/// Errors: none became free in time.
async fn room() -> Result<SemaphorePermit<'static>, LibraryError> {
    let permit = tokio::time::timeout(WAIT, RENDERINGS.acquire()).await;
    permit.ok().and_then(Result::ok).ok_or(LibraryError::Busy)
}

/// Format of a WAV file.
#[derive(Clone, Copy, Debug)]
pub struct WavForm {
    /// Duration. Units: ms.
    pub duration_ms: u64,
    /// Sampling rate. Units: Hz.
    pub rate_hz: u32,
    /// Channels.
    pub channels: u16,
}

impl WavForm {
    /// Its size, including the header.
    pub fn bytes(&self) -> u64 {
        WAV_HEADER_BYTES + self.samples() * 2 * u64::from(self.channels)
    }

    /// Samples per channel.
    fn samples(&self) -> u64 {
        self.duration_ms * u64::from(self.rate_hz) / 1_000
    }
}

/// Decodes `opus` to the bytes `part` of a WAV file. `channel`: only this one.
///
/// Errors: too many concurrent renderings.
pub async fn wav(
    opus: Plain,
    form: WavForm,
    channel: Option<u8>,
    part: Range<u64>,
) -> Result<Blocks, LibraryError> {
    Ok(made(room().await?, opus, part, move |source, out| {
        let mut renderer = Renderer::new(source, form.rate_hz).map_err(|_| Some(LibraryError::Damaged))?;
        make(&mut renderer, out, form, channel)
    }))
}

/// Plays records of the spool to the bytes `part` of a WAV. `channel`: one alone.
///
/// Errors: too many are being made.
pub async fn unencoded_wav(
    records: RecordsOf,
    outline: &Manifest,
    form: WavForm,
    channel: Option<u8>,
    part: Range<u64>,
) -> Result<Blocks, LibraryError> {
    let outline = outline.clone();
    Ok(written(room().await?, part, move |out| {
        let records = records().map_err(|_| Some(LibraryError::Damaged))?;
        make(&mut Player::new(records, &outline), out, form, channel)
    }))
}

/// The file that records of the spool make, as it will be stored, of which the bytes `part`; what is packed is encoded
/// for that.
///
/// Errors: too many are being made.
pub async fn encoded(records: RecordsOf, part: Range<u64>) -> Result<Blocks, LibraryError> {
    Ok(written(room().await?, part, move |out| {
        let mut stopped = None;
        let made = records().and_then(|records| {
            assemble(records, |bytes| {
                out.write(bytes).map_err(|why| {
                    stopped = Some(why);
                    AssembleError::Io("nobody listens any more".into())
                })
            })
        });
        match (made, stopped) {
            (Ok(_), _) => Ok(()),
            (Err(_), Some(why)) => Err(why),
            (Err(_), None) => Err(Some(LibraryError::Damaged)),
        }
    }))
}

/// Opens the records of a recording that waits in the spool, as often as asked.
pub type RecordsOf = Arc<dyn Fn() -> Result<Records, AssembleError> + Send + Sync>;

/// The stream of one channel as a separate file, of which the bytes `part` are returned.
///
/// Errors: too many concurrent renderings.
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

/// The size of that file, which is known only by generating it.
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

/// The output of `make`, generated in a separate thread while it is read.
fn made(
    room: SemaphorePermit<'static>,
    opus: Plain,
    part: Range<u64>,
    make: impl FnOnce(StreamReader, &mut Part) -> Result<(), Option<LibraryError>> + Send + 'static,
) -> Blocks {
    let runtime = tokio::runtime::Handle::current();
    written(room, part, move |out| make(StreamReader { runtime, stream: opus, chunk: Bytes::new() }, out))
}

/// The same, of what `write` writes from wherever it has it.
fn written(
    room: SemaphorePermit<'static>,
    part: Range<u64>,
    write: impl FnOnce(&mut Part) -> Result<(), Option<LibraryError>> + Send + 'static,
) -> Blocks {
    let (to, from) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        let mut out = Part { to, part, at: 0, block: Vec::with_capacity(BLOCK_BYTES) };
        match write(&mut out) {
            Ok(()) => drop(out.flush()),
            Err(Some(error)) => drop(out.to.blocking_send(Err(error))),
            // The client has disconnected.
            Err(None) => {}
        }
        drop(room);
    });
    stream::unfold(from, |mut from| async move { from.recv().await.map(|block| (block, from)) }).boxed()
}

fn make(
    renderer: &mut impl Samples,
    out: &mut Part,
    form: WavForm,
    channel: Option<u8>,
) -> Result<(), Option<LibraryError>> {
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

/// Passes the bytes of one part, in blocks.
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

/// Required by the container reader, but files are read from front to back.
impl Seek for StreamReader {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
