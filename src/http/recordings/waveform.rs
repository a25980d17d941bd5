//! `/api/v1/recordings/{id}/waveform`: how loud each party is over time, to be drawn. The recorder computes it while it
//! stores a recording, in the manifest, which is sealed, erased and expires with the audio.

use axum::extract::State;
use axum::{Extension, Json};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::access::{Actor, Permission};
use crate::http::audited::AuditAction;
use crate::http::problem::Problem;
use crate::http::recordings::library::Waveform;
use crate::http::recordings::{audit, audit_failure, unanswered};
use crate::http::server::params::{Id, Params};
use crate::http::services::Services;

/// What the audit says of it.
const DETAIL: &str = "waveform";
/// Default and maximum number of values per channel.
const POINTS: usize = 2_000;
const POINTS_MOST: usize = 100_000;

/// The loudest samples of a recording.
#[derive(Serialize, ToSchema)]
pub(crate) struct WaveformView {
    /// Length of the span that a value stands for; the last one may be shorter. Units: ms.
    every_ms: u64,
    /// For each channel, one byte per span in base64 (RFC 4648): the loudest sample, 0 to 255, of full scale.
    channels: Vec<String>,
}

/// How loud each channel is. Audited before it is answered, as listening is.
#[utoipa::path(get, path = "/api/v1/recordings/{id}/waveform", tag = "recordings", params(
    ("id" = String, Path),
    ("points" = Option<usize>, Query, description = "At most this many values per channel, 1 to 100000, otherwise 2000"),
    ("purpose" = String, Query, description = "training, caller_request or administration; or the header Optag-Purpose"),
), responses(
    (status = 200, body = WaveformView),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 410, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn show(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Id(id): Id,
    mut params: Params,
) -> Result<Json<WaveformView>, Problem> {
    actor.need(Permission::Listen)?;
    let points = params.parsed("points", "a whole number").unwrap_or(POINTS);
    if !(1..=POINTS_MOST).contains(&points) {
        params.wrong("points", format!("1 to {POINTS_MOST} is allowed"));
    }
    let purpose = params.allowed_purpose(&actor, Permission::Listen)?;
    params.finish()?;
    let reached = actor.reach(&services, id).await?;
    audit(&services, &actor, AuditAction::View, purpose, Some(id), Some(DETAIL.into())).await?;
    let waveform = match services.library.waveform(reached).await {
        Ok(waveform) => waveform,
        Err(error) => {
            audit_failure(&services, &actor, AuditAction::NotServed, purpose, id).await;
            return Err(unanswered(error));
        }
    };
    Ok(Json(view(&waveform, points)))
}

/// The waveform in at most `points` spans, each with its loudest sample.
fn view(waveform: &Waveform, points: usize) -> WaveformView {
    let longest = waveform.channels.iter().map(Vec::len).max().unwrap_or(0);
    let together = longest.div_ceil(points).max(1);
    let loudest = |peaks: &[u8]| peaks.iter().copied().max().unwrap_or(0);
    let channel = |peaks: &Vec<u8>| STANDARD.encode(peaks.chunks(together).map(loudest).collect::<Vec<u8>>());
    WaveformView {
        every_ms: waveform.every_ms * together as u64,
        channels: waveform.channels.iter().map(channel).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_recording_is_told_in_longer_spans_with_the_loudest_of_each() {
        let mut peaks = vec![1; 72_000];
        peaks[71_999] = 200;
        let whole = Waveform { every_ms: 100, channels: vec![peaks, vec![3; 5]] };
        let drawn = view(&whole, 2_000);
        assert_eq!(drawn.every_ms, 3_600);
        let first = STANDARD.decode(&drawn.channels[0]).unwrap();
        assert_eq!((first.len(), first[0], first[1_999]), (2_000, 1, 200));
        assert_eq!(STANDARD.decode(&drawn.channels[1]).unwrap(), [3]);
        assert_eq!(view(&whole, 100_000).every_ms, 100);
        assert!(view(&Waveform { every_ms: 100, channels: Vec::new() }, 1).channels.is_empty());
    }
}
