//! Trusted time, where the machine's clock alone cannot be relied on.

pub mod second_source;
pub mod trusted;
