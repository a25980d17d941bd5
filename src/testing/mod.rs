//! Twins of the world for tests: a disk that crashes.

pub mod disk;
