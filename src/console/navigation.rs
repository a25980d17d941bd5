//! The main pages, and who sees which: whoever may do something there. What may be done is the API's to say.

use super::me::Me;
use super::texts::FrameTexts;

/// A main page.
pub(super) struct Entry {
    /// Its address.
    pub path: &'static str,
    /// Its name.
    pub text: fn(&FrameTexts) -> &'static str,
    /// Permissions of which any is needed, as the API names them.
    pub needs: &'static [&'static str],
}

/// The main pages, in their order.
pub(super) const ENTRIES: &[Entry] = &[
    Entry { path: "/recordings", text: |text| text.recordings, needs: &["listen"] },
    Entry { path: "/calls", text: |text| text.calls, needs: &["see_calls"] },
    Entry { path: "/cases", text: |text| text.requests, needs: &["cases", "audit"] },
    Entry { path: "/audit", text: |text| text.audit, needs: &["audit"] },
    Entry { path: "/retention", text: |text| text.retention, needs: &["report"] },
    Entry { path: "/health", text: |text| text.health, needs: &["administer"] },
];

/// The main pages of somebody.
pub(super) fn entries(me: &Me) -> impl Iterator<Item = &'static Entry> {
    ENTRIES.iter().filter(|entry| entry.needs.iter().any(|need| me.may(need)))
}

/// Whether an address belongs to a main page.
pub(super) fn is_of(entry: &Entry, place: &str) -> bool {
    let path = place.split(['?', '#']).next().unwrap_or_default();
    path.strip_prefix(entry.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
