//! Departments that change at run time.
//!
//! In: other departments. Out: sessions that begin from then on have them; a session that is there keeps its own.

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::siprec::parties::{Departments, PartyRules};
use crate::siprec::settings::Config;
use optag_core::call::Department;

/// What sessions of earlier configurations keep. Sessions are numbered in the order in which they begin.
#[derive(Debug, Default)]
pub(super) struct Earlier(VecDeque<Generation>);

/// The departments of sessions up to `last`.
#[derive(Debug)]
struct Generation {
    last: u64,
    general: Departments,
    /// Those of each client profile, in their order.
    profiles: Vec<Departments>,
}

impl Earlier {
    /// Where a session's numbers stand, and its departments.
    pub(super) fn rules<'a>(
        &'a self,
        config: &'a Config,
        session: u64,
        client: IpAddr,
    ) -> (&'a PartyRules, &'a Departments) {
        (config.rules_for(client), self.departments(config, session, client))
    }

    /// The departments of a session and its client.
    pub(super) fn departments<'a>(
        &'a self,
        config: &'a Config,
        session: u64,
        client: IpAddr,
    ) -> &'a Departments {
        let Some(kept) = self.0.iter().find(|kept| session <= kept.last) else {
            return config.departments_for(client);
        };
        let profile = config.profiles.iter().position(|profile| profile.clients.allows(client));
        profile.and_then(|at| kept.profiles.get(at)).unwrap_or(&kept.general)
    }

    /// Puts other departments into `config`. Sessions up to `last` keep those of now; `oldest` is the first there is.
    pub(super) fn change(&mut self, config: &mut Config, all: &[Department], oldest: Option<u64>, last: u64) {
        self.0.retain(|kept| oldest.is_some_and(|oldest| oldest <= kept.last));
        if oldest.is_some() {
            let profiles = config.profiles.iter().map(|profile| profile.departments.clone()).collect();
            self.0.push_back(Generation { last, general: config.departments.clone(), profiles });
        }
        let profiles = config.profiles.iter_mut().map(|profile| &mut profile.departments);
        for departments in profiles.chain([&mut config.departments]) {
            departments.all = all.to_vec();
        }
    }
}
