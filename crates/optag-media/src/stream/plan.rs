//! The negotiated parameters of a stream.

use serde::{Deserialize, Serialize};

use crate::stream::media::StreamMedia;
use optag_core::call::StreamRole;

/// Who speaks in a stream, and what it carries.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StreamPlan {
    /// Who speaks in it.
    pub role: StreamRole,
    /// Whether nothing of it is kept, because who speaks in it objects to being recorded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
    /// What it carries.
    #[serde(flatten)]
    pub media: StreamMedia,
}
