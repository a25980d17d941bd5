//! Recordings as the API serves them: search, playback, and requests of data subjects.

pub mod playback;
pub mod rendering;
pub mod requests;
mod waiting;
