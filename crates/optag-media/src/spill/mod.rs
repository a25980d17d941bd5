//! Audio that is kept without loss and encoded later, where there is no time to encode it at once.
//!
//! In: what a stream's encoder would have been given, frame by frame. Out: packed frames, and the same back.

mod bits;
mod law;
pub mod packed_frame;
mod prediction;
