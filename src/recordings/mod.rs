//! Recordings as the API serves them: search, playback, and requests of data subjects.

mod audit_page;
mod audit_search;
pub mod oversight;
pub mod playback;
mod receipts;
pub mod rendering;
pub mod requests;
mod undelivered;
mod views;
mod waiting;
