//! What must hold for any bytes that claim to be a session description.

use std::net::IpAddr;

use optag::signalling::sdp::{Description, Taken, parse};

/// Reads an offer, answers it, reads the answer: every m= line and label is there, in order.
pub fn run(data: &[u8]) {
    let Ok(offer) = parse(data) else { return };
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
