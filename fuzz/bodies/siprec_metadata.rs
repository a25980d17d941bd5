//! What must hold for any bytes that claim to be recording metadata.

use optag_core::clock::WallTime;
use optag_sip::siprec::metadata::merged::{KEPT, View};
use optag_sip::siprec::metadata::parse;

/// Reads a document and merges it twice: nobody is doubled, nothing grows without end.
pub(super) fn run(data: &[u8]) {
    let Ok(document) = parse(data) else { return };
    let mut view = View::default();
    view.apply(&document, WallTime::from_unix_micros(1));
    let once = view.clone();
    view.apply(&document, WallTime::from_unix_micros(1));
    assert_eq!(view.participants.len(), once.participants.len());
    assert!(view.participants.len() <= KEPT && view.streams.len() <= KEPT);
    for (_, label) in &view.streams {
        assert!(view.speakers(label).iter().all(|at| *at < view.participants.len()));
    }
    let text = serde_json::to_string(&view).expect("a view can be saved");
    assert_eq!(serde_json::from_str::<View>(&text).expect("and read"), view);
}
