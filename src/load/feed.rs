//! How a simulated call is announced to the recorder, and how its end is told: the one place
//! that knows by which signalling. In: an [`Announcement`]. Out: where to send the streams.

use std::net::SocketAddr;

use super::client::{CallView, Client};
use super::codec::Codec;

/// A call as it is announced.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// Department called.
    pub department: String,
    /// Number called from.
    pub caller_number: String,
    /// The caller's name.
    pub caller_name: String,
    /// Coding of both streams.
    pub codec: Codec,
}

/// An announced call that the recorder took.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The recorder's id of it.
    pub id: String,
    /// Where to send the caller's and the employee's stream.
    pub to: [SocketAddr; 2],
}

/// The way by which calls are announced.
#[derive(Clone)]
pub enum Feed {
    /// The HTTP API.
    Api(Client),
}

impl Feed {
    /// Announces a call.
    ///
    /// Errors: it is refused, with the recorder's reason.
    pub async fn open(&self, call: &Announcement) -> anyhow::Result<Admitted> {
        match self {
            Feed::Api(client) => client.admit(call).await,
        }
    }

    /// Tells that a call is over; how the recorder saw it, where this way tells.
    ///
    /// Errors: the recorder's.
    pub async fn close(&self, call: &Admitted) -> anyhow::Result<Option<CallView>> {
        match self {
            Feed::Api(client) => client.end(&call.id).await.map(Some),
        }
    }
}
