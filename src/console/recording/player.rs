//! The player: an `audio` element that works by itself, and what its script makes of it. The script gets addresses, lanes,
//! gaps and words from here. Playing asks the API for audio, which it audits before the first byte.

use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::{Detail, RecordingTexts};
use crate::console::ask::address;
use crate::console::frame::Frame;
use crate::console::parts::length;

/// Length of a frame. Units: ms.
const FRAME_MS: u64 = 20;
/// Values of the waveform for each party.
const POINTS: &str = "8000";
/// Gaps that are listed at once.
const AT_ONCE: usize = 12;
/// Gaps that are listed at all.
const LISTED: usize = 500;

/// A party.
#[derive(Debug, Deserialize)]
pub(super) struct Lane {
    label: String,
    role: String,
}

/// A span without media, in frames.
#[derive(Debug, Deserialize)]
pub(super) struct Gap {
    stream: usize,
    from_frame: u64,
    to_frame: u64,
    reason: String,
}

impl Lane {
    fn name(&self, text: &RecordingTexts) -> String {
        match self.role.as_str() {
            "caller" => text.lane_caller.to_owned(),
            "employee" => text.lane_employee.to_owned(),
            "mixed" => text.lane_mixed.to_owned(),
            _ => format!("{} ({})", text.lane_other, self.label),
        }
    }
}

/// The player of a recording.
pub(super) fn player(frame: &Frame, text: &RecordingTexts, detail: &Detail, purpose: &str) -> Markup {
    let path = format!("/api/v1/recordings/{}", detail.id);
    let audio = |format: &str| address(&format!("{path}/audio"), &[("format", format), ("purpose", purpose)]);
    let waveform = address(&format!("{path}/waveform"), &[("points", POINTS), ("purpose", purpose)]);
    let lanes: Vec<_> =
        detail.streams.iter().map(|lane| json!({"name": lane.name(text), "role": lane.role})).collect();
    let s = |frames: u64| (frames * FRAME_MS) as f64 / 1_000.0;
    let gap = |gap: &Gap| json!([gap.stream, s(gap.from_frame), s(gap.to_frame), reason(text, &gap.reason)]);
    let gaps: Vec<_> = detail.gaps.iter().map(gap).collect();
    let words = json!({
        "play": text.play, "stop": text.stop, "mute": text.mute, "solo": text.solo, "at": text.position_of,
        "failed": text.play_failed, "noWaveform": text.no_waveform, "linked": text.linked, "looping": text.looping,
    });
    html! {
        section.player.card id="player" aria-label=(text.player) tabindex="-1"
            data-audio=(audio("opus")) data-wav=(audio("wav")) data-waveform=(waveform)
            data-duration=(detail.duration_ms as f64 / 1_000.0)
            data-lanes=(json!(lanes)) data-gaps=(json!(gaps)) data-words=(words)
        {
            (before(text, detail))
            div.drawing { canvas aria-hidden="true" {} }
            audio controls preload="none" src=(audio("opus")) {}
            div.scripted hidden {
                input type="range" id="position" min="0" max=(detail.duration_ms as f64 / 1_000.0) step="0.1" value="0"
                    aria-label=(text.position);
                div.controls {
                    button.main type="button" id="play" { (text.play) }
                    output id="clock" { "0:00 / " (length(detail.duration_ms)) }
                    button type="button" data-by="-10" { (text.back_10) }
                    button type="button" data-by="10" { (text.on_10) }
                    label { (text.speed) " " select id="speed" {
                        @for speed in ["0.5", "0.75", "1", "1.25", "1.5", "1.75", "2"] {
                            option value=(speed) selected[speed == "1"] { (speed) "×" }
                        }
                    } }
                    label.check { input type="checkbox" id="skip"; (text.skip_silence) }
                    button type="button" id="link" { (text.link_here) }
                }
                div.controls {
                    span.controls id="lanes" {}
                    label id="balance-field" { (text.balance) " " input type="range" id="balance" min="-1" max="1" step="0.1" value="0"; }
                    span.controls role="group" aria-label=(text.loop_span) {
                        button type="button" id="loop-from" { (text.loop_from) }
                        button type="button" id="loop-to" { (text.loop_to) }
                        button type="button" id="loop-off" disabled { (text.loop_off) }
                    }
                }
                p id="said" role="status" {}
                details { summary { (text.keys) } p { (text.keys_help) } }
            }
            p.quiet { (text.audited) " " (super::purpose(frame, purpose)) "." }
        }
    }
}

/// What was said before the yes, of which nothing was recorded.
fn before(text: &RecordingTexts, detail: &Detail) -> Markup {
    let ms = detail.recording_started_at.as_millisecond() - detail.started_at.as_millisecond();
    html! {
        p.before { span.hatched aria-hidden="true" {} " " (text.before_the_yes) " (" (length(ms.max(0) as u64)) "): " strong { (text.never_recorded) } }
    }
}

/// Every span without media, with its reason and a link to it.
pub(super) fn gaps(text: &RecordingTexts, detail: &Detail) -> Markup {
    if detail.gaps.is_empty() {
        return html! { p { (text.nothing_missing) } };
    }
    let (shown, more) = detail.gaps.split_at(detail.gaps.len().min(AT_ONCE));
    let rest = more.len().saturating_sub(LISTED);
    html! {
        @if detail.verdicts.iter().any(|verdict| verdict != "ok") { p.bad { (text.not_whole) } }
        (gap_rows(text, detail, shown))
        @if !more.is_empty() {
            details {
                summary { (text.more_gaps) " (" (more.len()) ")" }
                (gap_rows(text, detail, &more[..more.len() - rest]))
                @if rest > 0 { p { (text.gaps_left) " " (rest) } }
            }
        }
    }
}

fn gap_rows(text: &RecordingTexts, detail: &Detail, gaps: &[Gap]) -> Markup {
    html! {
        ul.gaps {
            @for gap in gaps {
                @let (from, to) = (gap.from_frame * FRAME_MS, gap.to_frame * FRAME_MS);
                li {
                    a href={ "#t=" (from as f64 / 1_000.0) } { (length(from)) " – " (length(to)) } ", "
                    @if let Some(lane) = detail.streams.get(gap.stream) { bdi { (lane.name(text)) } ": " }
                    (reason(text, &gap.reason))
                }
            }
        }
    }
}

fn reason(text: &RecordingTexts, reason: &str) -> &'static str {
    match reason {
        "lost" => text.gap_lost,
        "held" => text.gap_held,
        "paused" => text.gap_paused,
        "restart" => text.gap_restart,
        "no_media" => text.gap_no_media,
        "spool" => text.gap_spool,
        "key_tones" => text.gap_key_tones,
        "late" => text.gap_late,
        "refused" => text.gap_refused,
        "unknown_type" => text.gap_unknown_type,
        _ => text.gap_fault,
    }
}
