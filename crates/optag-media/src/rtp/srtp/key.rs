//! Master keys from signalling. Debug output hides them; serialisation is only for the sealed spool. They are
//! overwritten when dropped.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use optag_core::base64;

/// An SRTP cipher suite.
///
/// Source: RFC 4568 §6.2, RFC 6188 §4, RFC 7714 §14.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Suite {
    /// AES-CM with 128 bits, HMAC-SHA1 with 80.
    #[serde(rename = "AES_CM_128_HMAC_SHA1_80")]
    AesCm128Sha1Tag80,
    /// AES-CM with 128 bits, HMAC-SHA1 with 32.
    #[serde(rename = "AES_CM_128_HMAC_SHA1_32")]
    AesCm128Sha1Tag32,
    /// AES-CM with 256 bits, HMAC-SHA1 with 80.
    #[serde(rename = "AES_256_CM_HMAC_SHA1_80")]
    AesCm256Sha1Tag80,
    /// AES-CM with 256 bits, HMAC-SHA1 with 32.
    #[serde(rename = "AES_256_CM_HMAC_SHA1_32")]
    AesCm256Sha1Tag32,
    /// AES-GCM with 128 bits.
    #[serde(rename = "AEAD_AES_128_GCM")]
    AeadAes128Gcm,
    /// AES-GCM with 256 bits.
    #[serde(rename = "AEAD_AES_256_GCM")]
    AeadAes256Gcm,
}

impl Suite {
    /// Every suite.
    pub const ALL: [Suite; 6] = [
        Suite::AesCm128Sha1Tag80,
        Suite::AesCm128Sha1Tag32,
        Suite::AesCm256Sha1Tag80,
        Suite::AesCm256Sha1Tag32,
        Suite::AeadAes128Gcm,
        Suite::AeadAes256Gcm,
    ];

    /// Its name in SDP.
    pub const fn name(self) -> &'static str {
        match self {
            Suite::AesCm128Sha1Tag80 => "AES_CM_128_HMAC_SHA1_80",
            Suite::AesCm128Sha1Tag32 => "AES_CM_128_HMAC_SHA1_32",
            Suite::AesCm256Sha1Tag80 => "AES_256_CM_HMAC_SHA1_80",
            Suite::AesCm256Sha1Tag32 => "AES_256_CM_HMAC_SHA1_32",
            Suite::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Suite::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// The suite with this name, ignoring case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))
    }

    /// Length of the master key. Units: bytes.
    pub const fn key_bytes(self) -> usize {
        match self {
            Suite::AesCm128Sha1Tag80 | Suite::AesCm128Sha1Tag32 | Suite::AeadAes128Gcm => 16,
            Suite::AesCm256Sha1Tag80 | Suite::AesCm256Sha1Tag32 | Suite::AeadAes256Gcm => 32,
        }
    }

    /// Whether it is an AEAD suite.
    pub const fn is_aead(self) -> bool {
        matches!(self, Suite::AeadAes128Gcm | Suite::AeadAes256Gcm)
    }

    /// Length of the master salt. Units: bytes.
    pub const fn salt_bytes(self) -> usize {
        if self.is_aead() { 12 } else { 14 }
    }

    /// Length of master key and salt together. Units: bytes.
    pub const fn secret_bytes(self) -> usize {
        self.key_bytes() + self.salt_bytes()
    }

    /// Length of an RTP packet's tag. Units: bytes.
    pub const fn tag_bytes(self) -> usize {
        match self {
            Suite::AesCm128Sha1Tag32 | Suite::AesCm256Sha1Tag32 => 4,
            _ => self.rtcp_tag_bytes(),
        }
    }

    /// Length of an RTCP packet's tag, which the short suites do not shorten. Units: bytes.
    pub const fn rtcp_tag_bytes(self) -> usize {
        if self.is_aead() { 16 } else { 10 }
    }
}

/// Secret bytes, never printed and overwritten when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The secret bytes.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("‹secret›")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = base64::encode(&self.0);
        let done = serializer.serialize_str(&text);
        text.zeroize();
        done
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = String::deserialize(deserializer)?;
        let bytes = base64::decode(&text);
        text.zeroize();
        bytes.map(Secret).ok_or_else(|| serde::de::Error::custom("a secret is written in base64"))
    }
}

/// Why a key is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Key and salt have the wrong length.
    #[error("key and salt of {suite} have {expected} bytes together, not {bytes}")]
    Length {
        /// Name of the suite.
        suite: &'static str,
        /// The required length.
        expected: usize,
        /// The actual length.
        bytes: usize,
    },
    /// The MKI is too long.
    #[error("the identifier of a key has at most {MKI_BYTES} bytes")]
    Mki,
}

/// Maximum length of an MKI. Source: RFC 4568 §6.1. Units: bytes.
pub(super) const MKI_BYTES: usize = 128;

/// A master key with its salt.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct SrtpKey {
    suite: Suite,
    secret: Secret,
    #[serde(default)]
    mki: Vec<u8>,
    /// Whether RTCP under it is only authenticated, not encrypted.
    #[serde(default)]
    pub unencrypted_rtcp: bool,
}

impl SrtpKey {
    /// A key of `suite` from master key and salt, concatenated. `mki` is the identifier in packets, as on the
    /// wire; empty for none.
    ///
    /// Errors: wrong length.
    pub fn new(suite: Suite, secret: Vec<u8>, mki: Vec<u8>) -> Result<Self, KeyError> {
        let (bytes, expected) = (secret.len(), suite.secret_bytes());
        let secret = Secret(secret);
        if bytes != expected {
            return Err(KeyError::Length { suite: suite.name(), expected, bytes });
        }
        if mki.len() > MKI_BYTES {
            return Err(KeyError::Mki);
        }
        Ok(Self { suite, secret, mki, unencrypted_rtcp: false })
    }

    /// Its suite.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Master key and salt, concatenated.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The identifier in packets; empty for none.
    pub fn mki(&self) -> &[u8] {
        &self.mki
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.secret.0[..self.suite.key_bytes()]
    }

    pub(super) fn salt(&self) -> &[u8] {
        &self.secret.0[self.suite.key_bytes()..]
    }
}

impl fmt::Debug for SrtpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SrtpKey({}, ‹secret›)", self.suite.name())
    }
}

/// A serialised key, before its lengths are checked.
#[derive(Deserialize)]
struct Unchecked {
    suite: Suite,
    secret: Secret,
    #[serde(default)]
    mki: Vec<u8>,
    #[serde(default)]
    unencrypted_rtcp: bool,
}

impl TryFrom<Unchecked> for SrtpKey {
    type Error = KeyError;

    fn try_from(from: Unchecked) -> Result<Self, KeyError> {
        let key = Self::new(from.suite, from.secret.0.clone(), from.mki)?;
        Ok(Self { unencrypted_rtcp: from.unencrypted_rtcp, ..key })
    }
}

/// Encryption of a stream as negotiated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrtpPlan {
    /// Keys that its packets may use, the most likely first. Those beyond [`KEYS`](super::KEYS) are ignored.
    pub receive: Vec<SrtpKey>,
    /// The key for outgoing packets (RTCP reports); without one, nothing is sent.
    pub send: Option<SrtpKey>,
    /// Whether plain RTP is refused from the beginning. Otherwise it is refused after the first protected
    /// packet.
    pub required: bool,
    /// The sender's initial roll-over counter; 0 except for streams joined midway.
    #[serde(default)]
    pub roc: u32,
}
