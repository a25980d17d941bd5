//! Tests of the router, in-process.

mod calls;
mod cases;
mod door;
mod handouts;
mod listening;
mod matrix;
mod playback;
mod privacy;
mod provider;
mod recordings;
mod requests;
mod sign_in;
mod streams;
mod users;
