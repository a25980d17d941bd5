//! What cannot be done without: libopus on the same frames and nothing else.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use optag::load::batch::thread_cpu_ns;
use optag::load::speech::Voices;
use optag_media::codec::coded::Codec;
use optag_media::codec::g711;

const FRAME: usize = 160;
/// Calls of a measurement at once.
const CALLS: usize = 15;
/// Length of each. Units: s.
const SECONDS: usize = 12;
/// Length of the part of a call that is coded each time beside a run. Units: s.
const SLICE_SECONDS: usize = 8;
/// Time between two such parts.
const BETWEEN: Duration = Duration::from_secs(1);

/// Processor time that bare libopus needs for a second of two legs, both encoded from the first
/// frame to the last. Units: ms.
pub(crate) fn call_second_ms(voices: &Voices, complexity: i32) -> f64 {
    let legs = received(voices);
    let ms: f64 = (0..CALLS).map(|call| call_ms(&legs, call, SECONDS, complexity)).sum();
    ms / (CALLS * SECONDS) as f64
}

/// The same beside a run: a part each second, so that both meet the machine as fast as it is at the
/// time, and as busy.
pub(crate) struct Beside {
    over: Sender<()>,
    thread: JoinHandle<f64>,
}

impl Beside {
    /// Begins; it takes some 6 % of a processor.
    pub(crate) fn start(voices: &Voices, complexity: i32) -> Self {
        let legs = received(voices);
        let (over, is_over) = channel();
        let thread = std::thread::spawn(move || {
            let (mut ms, mut parts) = (0.0, 0);
            loop {
                ms += call_ms(&legs, parts, SLICE_SECONDS, complexity);
                parts += 1;
                if is_over.recv_timeout(BETWEEN) != Err(RecvTimeoutError::Timeout) {
                    return ms / (parts * SLICE_SECONDS) as f64;
                }
            }
        });
        Self { over, thread }
    }

    /// Ends; processor time of a second of two legs. Units: ms.
    pub(crate) fn end(self) -> f64 {
        drop(self.over);
        self.thread.join().expect("libopus encodes")
    }
}

/// Processor time of `seconds` of a call. Units: ms.
fn call_ms(legs: &[Vec<i16>; 2], call: usize, seconds: usize, complexity: i32) -> f64 {
    let mut packet = [0; 1_275];
    let before = thread_cpu_ns();
    for leg in legs {
        let mut encoder = encoder(complexity);
        let first = call * 56_000 % leg.len() / FRAME;
        let frames = leg.chunks_exact(FRAME).cycle().skip(first).take(seconds * 50);
        for frame in frames {
            encoder.encode(frame, &mut packet).expect("a frame of 20 ms");
        }
    }
    (thread_cpu_ns() - before) as f64 / 1e6
}

fn received(voices: &Voices) -> [Vec<i16>; 2] {
    [&voices.caller, &voices.employee].map(|voice| as_received(voice))
}

/// The voice as it comes out of A-law: the same samples that the recorder encodes.
fn as_received(voice: &[i16]) -> Vec<i16> {
    let mut samples = vec![0; voice.len()];
    g711::decode_alaw(&Codec::Pcma.encode(voice), &mut samples);
    samples
}

fn encoder(complexity: i32) -> opus::Encoder {
    let mut encoder =
        opus::Encoder::new(8_000, opus::Channels::Mono, opus::Application::Voip).expect("8 kHz mono");
    encoder.set_bitrate(opus::Bitrate::Bits(16_000)).expect("a bit rate");
    encoder.set_complexity(complexity).expect("a complexity");
    encoder.set_signal(opus::Signal::Voice).expect("voice");
    encoder
}
