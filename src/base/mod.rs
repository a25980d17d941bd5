//! Ids, clocks, limits and privacy wrappers. In: nothing. Out: the small types that
//! every stage shares. Not here: anything that imports another module of ours.

pub mod base64;
pub mod causes;
pub mod clock;
pub mod dir_lock;
pub mod hex;
pub mod id;
pub mod latency;
pub mod limit;
pub mod locked;
pub mod private;
pub mod private_files;
pub mod replace;
pub mod signing;
pub mod steady;
