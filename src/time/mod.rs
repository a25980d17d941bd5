//! Trusted time, since the machine's clock alone is not reliable.

pub mod second_source;
pub mod trusted;
