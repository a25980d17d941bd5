//! Sockets and their ports.

pub mod port_pool;
mod receive_buffers;
pub mod socket;
