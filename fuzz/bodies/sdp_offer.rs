//! What must hold for any bytes that claim to be a session description.

use std::net::IpAddr;

use optag_sip::sdp::{Description, Taken, parse};
use optag_sip::siprec::streams::{refused, spare};

/// Reads an offer, answers it, reads the answer: every m= line and label is there, in order.
pub(super) fn run(data: &[u8]) {
    let Ok(offer) = parse(data) else { return };
    for set in offer.alternatives() {
        assert!(set.len() > 1 && set.iter().all(|line| *line < offer.media.len()));
    }
    // Of lines that stand for one stream, at most one is taken; of those that can be, one is.
    let spare = spare(&offer, |_| false);
    for set in offer.alternatives() {
        let usable = set.iter().filter(|line| refused(&offer.media[**line]).is_none());
        let left = usable.clone().filter(|line| !spare.contains(line)).count();
        assert_eq!(left, usable.count().min(1), "of {set:?}");
    }
    let own: IpAddr = "198.51.100.1".parse().expect("an address");
    let mut ours = Description::new(1);
    ours.follow(&offer);
    for line in &mut ours.lines {
        line.taken = Some(Taken { stream: Some(0), address: (own, 20_000).into() });
    }
    let text = ours.text(own, offer.media.len(), true);
    let answer = parse(&text).expect("an answer is a description");
    assert_eq!(answer.media.len(), offer.media.len());
    for (asked, given) in offer.media.iter().zip(&answer.media) {
        assert_eq!((&asked.kind, &asked.label), (&given.kind, &given.label));
        assert!(given.port == 0 || (asked.is_audio() && !given.direction.sends()));
    }
    ours.follow(&offer);
    assert_eq!(ours.text(own, offer.media.len(), true), text, "the same offer gets the same answer");
}
