//! The bodies of the fuzz targets, on captured messages and on what is left of them after
//! cutting, doubling and flipping.

use std::fs;
use std::path::Path;

use crate::corpus::{each_sparsely, seeds};

#[path = "../../fuzz/bodies/saved_call.rs"]
mod saved_call;
#[path = "../../fuzz/bodies/saved_dialog.rs"]
mod saved_dialog;
#[path = "../../fuzz/bodies/sdp_answer.rs"]
mod sdp_answer;
#[path = "../../fuzz/bodies/sdp_offer.rs"]
mod sdp_offer;
#[path = "../../fuzz/bodies/sip_digest.rs"]
mod sip_digest;
#[path = "../../fuzz/bodies/sip_message.rs"]
mod sip_message;
#[path = "../../fuzz/bodies/sip_server.rs"]
mod sip_server;
#[path = "../../fuzz/bodies/siprec_metadata.rs"]
mod siprec_metadata;
#[path = "../../fuzz/bodies/siprec_transfers.rs"]
mod siprec_transfers;
#[path = "../../fuzz/bodies/srs.rs"]
mod srs;

/// Every captured file, whole and without what comes before a description or a document.
fn corpus() -> Vec<Vec<u8>> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let folders = [data.join("sip"), data.join("siprec")];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap().flatten());
    let mut all: Vec<Vec<u8>> = files.map(|file| fs::read(file.path()).unwrap()).collect();
    for whole in all.clone() {
        for start in [b"v=0".as_slice(), b"<?xml", b"<recording"] {
            let found = whole.windows(start.len()).position(|window| window == start);
            all.extend(found.map(|at| whole[at..].to_vec()));
        }
    }
    all
}

#[test]
fn every_captured_and_mutilated_body_keeps_the_promises_of_its_reader() {
    let mut seed: u64 = 0x5eed_0002;
    println!("seed {seed:#x}");
    let mut next = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below.max(1)
    };
    let corpus = corpus();
    assert!(corpus.len() > 20);
    for round in 0..3_000 {
        let mut bytes = corpus[round % corpus.len()].clone();
        for _ in 0..if round < corpus.len() { 0 } else { 1 + next(8) } {
            let at = next(bytes.len());
            match next(4) {
                0 => bytes.truncate(at.max(1)),
                1 => bytes[at] = next(256) as u8,
                2 => bytes.insert(at, b"\r\n\"<>;,:=/ \0"[next(12)]),
                _ => {
                    let copy = bytes[at..(at + next(60)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, copy);
                }
            }
        }
        sip_message::run(&bytes);
        sdp_offer::run(&bytes);
        siprec_metadata::run(&bytes);
    }
}

#[test]
fn invariant_02_no_sequence_of_metadata_documents_keeps_a_recording_open_that_no_yes_covers() {
    let mut seed: u64 = 0x5eed_0023;
    println!("seed {seed:#x}");
    let rounds = std::env::var("SEQUENCES").ok().and_then(|text| text.parse().ok()).unwrap_or(4_000);
    for _ in 0..rounds {
        let mut bytes = Vec::new();
        for _ in 0..64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes.push((seed >> 40) as u8);
        }
        let bytes = &bytes[..2 + (seed >> 33) as usize % 62];
        siprec_transfers::run(bytes);
    }
}

#[test]
fn invariant_13_no_sequence_of_sip_messages_panics_amplifies_or_loses_an_account() {
    each_sparsely("sip_server", sip_server::run, 3);
}

#[test]
fn only_whoever_knows_the_password_is_believed() {
    each_sparsely("sip_digest", sip_digest::run, 1);
}

#[test]
fn a_clients_answer_to_our_offer_breaks_no_session() {
    each_sparsely("sdp_answer", sdp_answer::run, 7);
}

#[test]
fn a_kept_session_that_was_changed_is_refused_or_ends_as_any_other() {
    let read = |text: &str| optag_sip::siprec::session::snapshot::SessionSnapshot::from_text(text).is_some();
    assert!(seeds("saved_dialog").iter().all(|seed| read(std::str::from_utf8(seed).unwrap())));
    each_sparsely("saved_dialog", saved_dialog::run, 11);
}

#[test]
fn a_saved_call_that_was_changed_is_refused_or_goes_on_in_its_time() {
    let read = |text: &str| optag_media::call::snapshot::CallSnapshot::from_text(text).is_some();
    assert!(seeds("saved_call").iter().all(|seed| read(std::str::from_utf8(&seed[1..]).unwrap())));
    each_sparsely("saved_call", saved_call::run, 97);
}
