//! The codecs of received streams. Their properties are in [`table`]; [`decoder`] turns payloads into
//! samples.

pub mod amr;
pub mod coded;
pub mod decoder;
pub mod encoding;
pub mod g711;
pub mod g722;
pub mod g726;
#[cfg(feature = "g729")]
pub mod g729;
pub mod gsm;
pub mod gsm_encoder;
pub mod l16;
pub mod opus;
pub mod table;

use serde::{Deserialize, Serialize};

pub use encoding::UnknownEncoding;
pub use table::Encoding;

/// A payload type and its codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadFormat {
    /// 0 to 127.
    pub payload_type: u8,
    /// The encoding of its payload.
    pub encoding: Encoding,
}
