//! Runs the bodies of the fuzz targets on the committed corpus, and on damaged copies of it.

use std::path::PathBuf;

fn each(target: &str, exercise: fn(&[u8])) {
    each_sparsely(target, exercise, 1);
}

/// Every input whole, and damaged at regular positions: cut off there, and with flipped bits.
pub(crate) fn each_sparsely(target: &str, exercise: fn(&[u8]), step: usize) {
    for bytes in seeds(target) {
        exercise(&bytes);
        for at in (0..bytes.len()).step_by(step) {
            exercise(&bytes[..at]);
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x81;
            exercise(&flipped);
        }
    }
}

/// The committed inputs of a target.
pub(crate) fn seeds(target: &str) -> Vec<Vec<u8>> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target);
    let files = std::fs::read_dir(dir).unwrap();
    let all: Vec<Vec<u8>> = files.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
    assert!(all.len() >= 3, "the corpus of {target} is missing");
    all
}

#[test]
fn rtp_headers_never_panic() {
    each("rtp", optag_media::rtp::packet::exercise);
}

#[test]
fn strangers_say_nothing_in_a_calls_receiving_path() {
    each("rtp_stream", optag_media::fuzzing::exercise);
}

#[test]
fn telephone_events_never_panic_and_never_count_twice() {
    each("telephone_event", optag_media::rtp::telephone_event::exercise);
}

#[test]
fn rtcp_never_panics() {
    each("rtcp", optag_media::rtp::rtcp::exercise);
}

#[test]
fn protected_packets_never_panic_and_change_nothing_unproved() {
    each("srtp", optag_media::rtp::srtp::exercise);
}

#[test]
fn packed_audio_never_panics_and_comes_back_as_it_is() {
    each("packed_audio", optag_media::spill::packed_frame::exercise);
}

#[test]
fn samples_never_panic_in_the_tone_detector() {
    each("tone", optag_media::dtmf::goertzel::exercise);
}

#[test]
fn spool_recovery_never_panics() {
    each("spool_recovery", optag_storage::spool::recover::exercise);
}
