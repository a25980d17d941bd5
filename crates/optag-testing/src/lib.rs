//! Twins of the world for tests: a disk that crashes, and where secrets lie in this process's memory.

#![allow(clippy::unwrap_used)]

pub mod disk;
pub mod faults;
pub mod fixtures;
pub mod import_graph;
pub mod process_memory;
pub mod test_name;
pub mod tree;
