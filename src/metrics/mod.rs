//! Every metric, once: [`catalog`] names and describes them, [`record`](self) holds the typed
//! functions that the parts call, [`exporter`] renders the text.
//!
//! In: facts. Out: Prometheus text. Label sets are bounded; nothing personal is a label.
//! Until [`exporter::Exporter::install`] ran, recording does nothing.

mod asks;
mod capacity;
mod cases;
pub mod catalog;
mod events;
pub mod exporter;
mod nodes;
mod process;
mod record;
#[cfg(test)]
mod reference;
mod sign_ins;
mod spooling;
mod storing;
mod webhooks;

pub use asks::*;
pub use capacity::*;
pub use cases::*;
pub use events::*;
pub use nodes::*;
pub use process::*;
pub use record::*;
pub use sign_ins::*;
pub use spooling::*;
pub use storing::*;
pub use webhooks::*;
