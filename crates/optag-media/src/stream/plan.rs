//! The negotiated parameters of a stream.

use serde::{Deserialize, Serialize};

use crate::stream::media::StreamMedia;
use optag_core::call::StreamRole;

/// Who speaks in a stream, and what it carries.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StreamPlan {
    /// Who speaks in it.
    pub role: StreamRole,
    /// What it carries.
    #[serde(flatten)]
    pub media: StreamMedia,
}
