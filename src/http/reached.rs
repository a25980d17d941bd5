//! A recording whose department was checked against the actor's.

use optag_core::id::CallId;

/// A recording that an actor may know of. What is done to a recording by its id needs one, so that no route can forget
/// to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached(CallId);

impl Reached {
    /// Made by `reach` alone, and for the holder of a link, whose maker reached the recording.
    pub(in crate::http) fn after_check(id: CallId) -> Self {
        Self(id)
    }

    /// Its id.
    pub fn id(self) -> CallId {
        self.0
    }
}

#[cfg(test)]
impl From<CallId> for Reached {
    fn from(id: CallId) -> Self {
        Self(id)
    }
}
