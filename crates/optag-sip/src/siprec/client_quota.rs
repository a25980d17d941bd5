//! Limits for one client: its share of the streams, and how long its calls may be silent.

use std::net::IpAddr;
use std::time::Duration;

use crate::siprec::server::{Server, SessionId};
use optag_core::owner::owner;

impl Server {
    /// The client's address when the session began.
    pub(super) fn client_of(&self, id: SessionId) -> IpAddr {
        let client = self.sessions.get(&id).and_then(|session| session.saved.client.parse().ok());
        client.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
    }

    /// Calls with a silence timeout of their own.
    pub fn silences(&self) -> Vec<(optag_core::id::CallId, Duration)> {
        let live = self.sessions.iter().filter(|(_, session)| !session.is_over());
        live.filter_map(|(id, session)| {
            let silence = self.config.profile(self.client_of(*id))?.silence?;
            Some((session.saved.call?, silence))
        })
        .collect()
    }

    /// Whether a client has as many streams as one may, or all of SIPREC as many as it may: others'
    /// calls find ports too.
    pub(super) fn is_over_quota(&self, client: IpAddr) -> bool {
        let (all, own) = self.streams_taken(client);
        all > self.config.streams_max || own > self.config.streams_per_client
    }

    /// Streams that a client may still add.
    pub(super) fn streams_left(&self, client: IpAddr) -> usize {
        let (all, own) = self.streams_taken(client);
        let of_all = self.config.streams_max.saturating_sub(all);
        of_all.min(self.config.streams_per_client.saturating_sub(own))
    }

    /// Streams that sessions of SIPREC have or have asked for, of all clients and of the one at `ip`.
    fn streams_taken(&self, ip: IpAddr) -> (usize, usize) {
        let client = owner(ip);
        let mut taken = (0, 0);
        for session in self.sessions.values().filter(|session| !session.is_over()) {
            let lines = &session.saved.ours.lines;
            let taken_lines =
                lines.iter().filter(|line| line.taken.is_some_and(|taken| taken.stream.is_some())).count();
            let own = taken_lines + session.controls.streams_pending();
            taken.0 += own;
            let theirs = session.saved.client.parse().is_ok_and(|address| owner(address) == client);
            taken.1 += if theirs { own } else { 0 };
        }
        taken
    }
}
