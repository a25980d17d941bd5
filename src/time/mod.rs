//! Which time it is, where the machine's clock alone is not to be believed.

pub mod second_source;
pub mod trusted;
