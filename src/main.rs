//! The `optag` program.

fn main() {}
