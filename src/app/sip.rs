//! Starts the recording server on the checked configuration, and publishes its figures.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::app::config::Config;
use crate::base::clock::Clock;
use crate::signalling::feed::Feed;
use crate::signalling::sip::digest::{Algorithm, Credentials};
use crate::signalling::siprec::config::Config as SiprecConfig;
use crate::signalling::siprec::kept::Kept;
use crate::signalling::siprec::listen::SipServer;
use crate::signalling::siprec::parties::{Departments, PartyRules};

/// How often the figures are published.
const PUBLISH: Duration = Duration::from_secs(1);

/// Starts the server with the sessions that go on; `None` where no address is configured.
///
/// Errors: an address cannot be bound, or the certificates cannot be read.
pub async fn start(
    config: &Config,
    feed: Arc<dyn Feed>,
    clock: Arc<dyn Clock>,
    resumed: Vec<Kept>,
) -> anyhow::Result<Option<SipServer>> {
    let sip = &config.sip;
    let listen = sip.listen.clone();
    if listen.udp.is_empty() && listen.tcp.is_empty() && listen.tls.is_empty() {
        return Ok(None);
    }
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).context("no random numbers")?;
    let credentials = sip.user.clone().map(|user| Credentials {
        realm: "optag".to_owned(),
        users: vec![user],
        algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
    });
    let siprec = SiprecConfig {
        clients: sip.clients.clone(),
        credentials,
        advertised: (config.rtp.advertised_ip != config.rtp.listen_ip).then_some(config.rtp.advertised_ip),
        departments: Departments {
            all: config.departments.clone(),
            country_code: config.country_code.clone(),
            otherwise: sip.default_department.clone(),
        },
        rules: PartyRules::default(),
        consent: sip.consent.clone(),
        plain_calls: sip.plain_calls,
        when_unavailable: sip.when_unavailable,
        media_source: sip.media_source,
        info_keys: sip.info_keys,
        sessions_max: sip.max_sessions,
        secret,
    };
    let server = SipServer::start(listen, siprec, feed, clock, resumed).await;
    server.context("SIP cannot be listened to ([sip] of the configuration)").map(Some)
}

/// Publishes the server's figures until it is dropped.
pub async fn publish(stats: tokio::sync::watch::Receiver<crate::signalling::siprec::stats::Stats>) {
    loop {
        tokio::time::sleep(PUBLISH).await;
        let now = *stats.borrow();
        crate::metrics::sip(&now.named());
    }
}
