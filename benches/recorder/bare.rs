//! What cannot be done without: libopus on the same frames and nothing else.

use optag::load::batch::thread_cpu_ns;
use optag::load::codec::Codec;
use optag::load::speech::Voices;
use optag::media::codec::g711;

const FRAME: usize = 160;

/// Processor time that bare libopus needs for a second of two legs, both encoded from the first
/// frame to the last. Units: ms.
pub fn call_second_ms(voices: &Voices, calls: usize, seconds: usize, complexity: i32) -> f64 {
    let legs = [&voices.caller, &voices.employee].map(|voice| as_received(voice));
    let mut packet = [0; 1_275];
    let before = thread_cpu_ns();
    for call in 0..calls {
        for leg in &legs {
            let mut encoder = encoder(complexity);
            let first = call * 56_000 % leg.len() / FRAME;
            let frames = leg.chunks_exact(FRAME).cycle().skip(first).take(seconds * 50);
            for frame in frames {
                encoder.encode(frame, &mut packet).expect("a frame of 20 ms");
            }
        }
    }
    (thread_cpu_ns() - before) as f64 / 1e6 / (calls * seconds) as f64
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
