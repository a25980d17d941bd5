//! SRTP and SRTCP: keys, derived keys, and packet protection.
//!
//! In: [`SrtpPlan`]s from signalling, protected packets. Out: authenticated packets in the clear; protected
//! packets of ours. A packet that fails authentication changes nothing. Not here: how keys are signalled, and
//! the accepted sender of a stream ([`source_filter`](crate::rtp::source_filter)).
//!
//! Source: RFC 3711 (AES-CM, HMAC-SHA1), RFC 6188 (AES-256), RFC 7714 (AES-GCM).

mod index;
mod key;
mod receiver;
mod sender;
mod session;

pub use key::{KeyError, Secret, SrtpKey, SrtpPlan, Suite};
pub use receiver::{SourceSnapshot, SrtpError, SrtpReceiver, SrtpState};
pub use sender::SrtpSender;

/// Keys of one stream at a time, including those being retired.
pub const KEYS: usize = 8;
/// Maximum length of an RTCP packet. Units: bytes.
pub const RTCP_BYTES: usize = 1_500;
/// Maximum overhead of protection: MKI, index, tag.
pub const OVERHEAD_BYTES: usize = 128 + 4 + 16;

/// Feeds arbitrary bytes to a receiver of every suite; for fuzzing and its corpus.
pub fn exercise(bytes: &[u8]) {
    use optag_core::clock::MonoTime;
    let (&which, packet) = bytes.split_first().unwrap_or((&0, &[]));
    let suite = Suite::ALL[usize::from(which & 7) % Suite::ALL.len()];
    let secret = vec![which; suite.secret_bytes()];
    let mki = vec![which; usize::from(which >> 3 & 3)];
    let Ok(key) = SrtpKey::new(suite, secret, mki) else { return };
    let plan = SrtpPlan { receive: vec![key.clone()], send: None, required: true, roc: 0 };
    let (mut receiver, mut out) = (SrtpReceiver::new(plan), [0; 4_096]);
    let now = MonoTime::default();
    let before = receiver.state();
    if receiver.unprotect(now, packet, &mut out).is_err()
        && receiver.unprotect_rtcp(packet, &mut out).is_err()
    {
        assert!(before == receiver.state(), "a packet that fails authentication changed something");
    }
    // What the sender makes, the receiver accepts exactly once.
    let (mut sender, mut made) = (SrtpSender::new(&key), [0; 4_096]);
    if let Some(length) = sender.protect(packet, &mut made) {
        let plain = receiver.unprotect(now, &made[..length], &mut out).expect("its own packet");
        assert_eq!(&out[..plain], packet);
        assert!(receiver.unprotect(now, &made[..length], &mut out).is_err(), "twice");
    }
}

#[cfg(test)]
mod tests;
