//! Starts the session recording server from the checked configuration, and publishes its metrics.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::app::capacity::SipRoom;
use crate::app::upgrade::Handover;
use crate::config::Config;
use optag_core::clock::Clock;
use optag_core::limit;
use optag_sip::feed::Feed;
use optag_sip::sip::digest::{Algorithm, Credentials};
use optag_sip::sip::sockets::{bind_stream, bind_udp};
use optag_sip::siprec::parties::Departments;
use optag_sip::siprec::service::{AnnouncedCallSink, Listen, SipServer, Sockets};
use optag_sip::siprec::session::snapshot::SessionSnapshot;
use optag_sip::siprec::settings::Config as SiprecConfig;

/// Interval at which statistics are published.
const PUBLISH: Duration = Duration::from_secs(1);

/// The server's sockets: inherited from the previous program if the addresses are the same, otherwise new. Copies are
/// kept for the next program.
pub(super) fn sockets(
    listen: &Listen,
    kept: &mut Handover,
    copies: &mut Handover,
) -> std::io::Result<Sockets> {
    let name = |kind: &str, at: usize| format!("{kind} {at} {listen:?}");
    let mut sockets = Sockets::default();
    for (at, &address) in listen.udp.iter().enumerate() {
        let name = name("udp", at);
        let socket = kept.take(&name).map_or_else(|| bind_udp(address), Ok)?;
        copies.keep(name, socket.try_clone()?);
        sockets.udp.push(socket);
    }
    for (kind, addresses, list) in
        [("tcp", &listen.tcp, &mut sockets.tcp), ("tls", &listen.tls, &mut sockets.tls)]
    {
        for (at, &address) in addresses.iter().enumerate() {
            let name = name(kind, at);
            let socket = kept.take(&name).map_or_else(|| bind_stream(address), Ok)?;
            copies.keep(name, socket.try_clone()?);
            list.push(socket);
        }
    }
    Ok(sockets)
}

/// Of the RTP ports, `percent`; however few there are, one call of the most streams finds its share. Units: streams.
fn share(config: &Config, percent: u8) -> usize {
    (config.rtp.pairs().max(1) * usize::from(percent) / 100).max(limit::STREAMS_PER_CALL)
}

/// What recording sessions have room in.
pub fn room(config: &Config, server: &SipServer) -> SipRoom {
    SipRoom {
        stats: server.stats_stream(),
        sessions_max: config.sip.max_sessions,
        streams_max: share(config, config.sip.max_streams_percent),
        switch: Box::new(server.accepting_switch()),
    }
}

/// Starts the server with the resumed sessions; `None` if no address is configured.
///
/// Errors: an address cannot be bound, or certificates cannot be read.
pub fn start(
    config: &Config,
    feed: Arc<dyn Feed>,
    clock: Arc<dyn Clock>,
    ledger: AnnouncedCallSink,
    resumed: Vec<SessionSnapshot>,
    (kept, copies): (&mut Handover, &mut Handover),
) -> anyhow::Result<Option<SipServer>> {
    let sip = &config.sip;
    let listen = sip.listen.clone();
    if listen.udp.is_empty() && listen.tcp.is_empty() && listen.tls.is_empty() {
        return Ok(None);
    }
    let siprec = settings(config)?;
    let server = sockets(&listen, kept, copies).and_then(|sockets| {
        SipServer::start_on(sockets, listen.tls_files, siprec, feed, clock, ledger, resumed)
    });
    server.context("cannot listen for SIP (configuration section [sip])").map(Some)
}

/// What recording and asking have in common, and the settings of recording.
///
/// Errors: no random numbers from the system.
pub(super) fn settings(config: &Config) -> anyhow::Result<SiprecConfig> {
    let sip = &config.sip;
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).context("no random bytes from the system")?;
    let credentials = sip.user.clone().map(|user| Credentials {
        realm: "optag".to_owned(),
        users: vec![user],
        algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
    });
    let departments = |otherwise: &Option<String>| Departments {
        all: config.departments.clone(),
        country_code: config.country_code.clone(),
        otherwise: otherwise.clone(),
    };
    let share = |percent| share(config, percent);
    let profiles = sip.clients_of_their_own.iter().cloned();
    let profiles = profiles.map(|client| client.with_departments(|otherwise| departments(&otherwise)));
    Ok(SiprecConfig {
        clients: sip.clients.clone(),
        credentials,
        advertised: (config.rtp.advertised_ip != config.rtp.listen_ip).then_some(config.rtp.advertised_ip),
        departments: departments(&sip.default_department),
        rules: sip.rules.clone(),
        consent: sip.consent.clone(),
        until_consent: sip.until_consent,
        plain_calls: sip.plain_calls,
        when_unavailable: sip.when_unavailable,
        media_source: sip.media_source,
        info_keys: sip.info_keys,
        unknown_party: sip.unknown_party,
        profiles: profiles.collect(),
        streams_max: share(sip.max_streams_percent),
        streams_per_client: share(sip.max_client_streams_percent),
        sessions_max: sip.max_sessions,
        secret,
    })
}

/// Publishes the server's statistics until dropped.
pub async fn publish(
    stats: tokio::sync::watch::Receiver<optag_sip::siprec::stats::Stats>,
    dropped: impl Fn() -> u64,
) {
    loop {
        tokio::time::sleep(PUBLISH).await;
        let now = *stats.borrow();
        crate::metrics::sip(&now.named());
        crate::metrics::sip_responses(now.responses.iter());
        crate::metrics::sip_messages_dropped(dropped());
    }
}
