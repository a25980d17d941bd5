//! Sockets and the ports that they are bound to.

pub mod port_pool;
pub mod socket;
