//! Sockets and their ports.

pub mod port_pool;
pub mod socket;
