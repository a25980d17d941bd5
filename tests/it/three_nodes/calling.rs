//! Calls through Kamailio by the load generator's client, and what is said in them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use optag::load::sip::link::Link;
use optag::load::sip::session::Session;
use optag::load::sip::shape::{CallInfo, Shape};
use optag::load::sip::{Identity, Target};
use optag_media::codec::coded::Codec;

use super::site::PROXY;
use crate::phone::{FRAME, Leg, voice};

/// How long a request in a session may take; its node may be away. Kamailio gives up after 5 s.
const REQUEST_WITHIN: Duration = Duration::from_secs(7);

/// Length of the voices, which are repeated. Units: ms.
const VOICE_MS: usize = 10_000;

/// All that is said, 20 ms of every call in turn, whatever becomes of the recorders.
pub(super) struct Voices {
    speaking: Arc<Mutex<HashMap<String, Speaking>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Speaking {
    legs: [Leg; 2],
    frames: usize,
}

impl Voices {
    pub(super) fn start() -> Self {
        let speaking = Arc::<Mutex<HashMap<String, Speaking>>>::default();
        let stop = Arc::<AtomicBool>::default();
        let (all, stopping) = (Arc::clone(&speaking), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let voices = [voice(1, VOICE_MS), voice(2, VOICE_MS)];
            let start = Instant::now();
            for frame in 1.. {
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                for one in all.lock().unwrap().values_mut() {
                    let at = one.frames * FRAME % (VOICE_MS * 8);
                    for (leg, voice) in one.legs.iter_mut().zip(&voices) {
                        leg.audio(&voice[at..][..FRAME]);
                    }
                    one.frames += 1;
                }
                let next = start + Duration::from_millis(20) * frame;
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        });
        Self { speaking, stop, thread: Some(thread) }
    }

    fn begin(&self, name: &str, streams: [SocketAddr; 2], seed: u32) {
        let legs = [Leg::to(streams[0], 8, seed), Leg::to(streams[1], 8, seed + 1)];
        self.speaking.lock().unwrap().insert(name.to_owned(), Speaking { legs, frames: 0 });
    }

    /// What was sent of each stream.
    fn end(&self, name: &str) -> Duration {
        let over = self.speaking.lock().unwrap().remove(name);
        Duration::from_millis(20) * over.map_or(0, |over| over.frames as u32)
    }
}

impl Drop for Voices {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A call in progress.
pub(super) struct Call {
    session: Session,
    name: String,
    voices: Arc<Voices>,
}

impl Call {
    /// Begins a call of this name, with a voice for each party at once. Errors: no recorder takes it.
    pub(super) async fn begin(
        voices: &Arc<Voices>,
        from: IpAddr,
        name: &str,
        fields: &str,
    ) -> anyhow::Result<Self> {
        let target = Target::parse(&format!("sip:patient@{PROXY}"))?;
        let identity = Identity::default();
        let link = Arc::new(Link::open(&target, &identity).await?);
        let number = format!(
            "+458{:07}",
            name.bytes().fold(7u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte)) % 10_000_000
        );
        let info = CallInfo {
            name: name.to_owned(),
            caller_number: number,
            called_number: "70101010".into(),
            caller_name: "Ada Lovelace".into(),
            codec: Codec::Pcma,
            keys: None,
            ip: from,
        };
        let session = Session::begin(link, target, &identity, Shape::Plain, info, fields).await?;
        voices.begin(name, session.streams, name.len() as u32 * 1_000);
        Ok(Self { session, name: name.to_owned(), voices: Arc::clone(voices) })
    }

    /// The recorder's id of it.
    pub(super) fn id(&self) -> String {
        self.session.call.clone()
    }

    /// Both go on speaking. False: the recorder has ended the session.
    pub(super) async fn goes_on(&mut self, span: Duration) -> bool {
        self.session.serve(span).await.is_ok() && self.session.met.ended_by_server == 0
    }

    /// The caller presses keys, which signalling passes on; whether the recorder took them.
    pub(super) async fn press(&mut self, keys: &str) -> bool {
        matches!(tokio::time::timeout(REQUEST_WITHIN, self.session.keys(keys)).await, Ok(Ok(())))
    }

    /// Ends it; what was said, and whether there was an answer.
    pub(super) async fn end(mut self) -> (Duration, bool) {
        let said = self.voices.end(&self.name);
        let ended = tokio::time::timeout(REQUEST_WITHIN, self.session.end()).await;
        (said, matches!(ended, Ok(Ok(()))))
    }
}
