//! SRTP of simulated streams: their keys, and the signalling of them. In: plain packets. Out: encrypted ones.
//!
//! The only part shared with the recorder: its SRTP is tested against libsrtp elsewhere.
//!
//! Source: RFC 3711; RFC 4568 §6 and RFC 7714 §14 for the signalling of keys.

use anyhow::Context;

use optag_core::base64;
use optag_media::rtp::srtp::{OVERHEAD_BYTES, SrtpKey, SrtpSender, Suite};

/// New keys for a call's streams, the caller's first.
///
/// Errors: no random numbers available.
pub fn keys(suite: Suite) -> anyhow::Result<[SrtpKey; 2]> {
    let key = || -> anyhow::Result<SrtpKey> {
        let mut secret = vec![0; suite.secret_bytes()];
        aws_lc_rs::rand::fill(&mut secret).ok().context("no random numbers available")?;
        Ok(SrtpKey::new(suite, secret, Vec::new())?)
    };
    Ok([key()?, key()?])
}

/// A key in SDP format: master key and salt, in base64.
pub fn inline(key: &SrtpKey) -> String {
    base64::encode(key.secret().reveal())
}

/// Encrypts one stream's packets.
pub struct Protection {
    sender: SrtpSender,
    clear: Vec<u8>,
}

impl Protection {
    /// Encryption with a key.
    pub fn new(key: &SrtpKey) -> Self {
        Self { sender: SrtpSender::new(key), clear: Vec::new() }
    }

    /// Encrypts the packet in `out` from `from` to the end, in place.
    pub fn apply(&mut self, out: &mut Vec<u8>, from: usize) {
        self.clear.clear();
        self.clear.extend_from_slice(&out[from..]);
        out.resize(from + self.clear.len() + OVERHEAD_BYTES, 0);
        // Fails only for a packet that was already sent or is invalid, which a leg does not make.
        let bytes = self.sender.protect(&self.clear, &mut out[from..]).unwrap_or(0);
        out.truncate(from + bytes);
    }
}
