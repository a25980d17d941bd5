//! Several nodes on one PostgreSQL: who there is, which node has a call, and answers that wait for calls on any of
//! them. In: heartbeats, admissions, ends. Out: the node to ask. A node alone, on SQLite, has none of this.
//!
//! Not here: what an answer does to a call (`recorder`), and who may give one (`http`).

pub mod answer;
pub mod identity;
pub mod link;
pub mod membership;
pub mod name_hashes;
pub mod shared_calls;
pub mod tls;
