//! Recordings for people: searched, played, handed on to those who answer callers' requests.

pub mod playback;
pub mod rendering;
pub mod requests;
