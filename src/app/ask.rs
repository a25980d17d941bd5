//! Starts asking from the checked configuration, publishes its metrics, and stops it.

use std::future::Future;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use anyhow::Context;

use crate::app::capacity::AskRoom;
use crate::app::sip;
use crate::app::upgrade::Handover;
use crate::asking::{self, Asking};
use crate::config::Config;
use crate::http::Services;
use crate::metrics;
use optag_core::clock::Clock;
use optag_media::announce::announcer::Announcer;
use optag_media::net::port_pool::PortPool;
use optag_sip::ask::service::{AskServer, Events};
use optag_sip::ask::settings::Settings;
use optag_sip::siprec::service::Bound;

/// Interval at which statistics are published.
const PUBLISH: Duration = Duration::from_secs(1);

/// A running asking server.
pub(crate) struct Running {
    server: AskServer,
    asking: Arc<Asking>,
}

/// Starts it; `None` if it is not configured.
///
/// Errors: an address cannot be bound, certificates or prompts cannot be read, the system gives no thread.
pub(super) async fn start(
    config: &Arc<Config>,
    services: &Services,
    ports: &PortPool,
    clock: Arc<dyn Clock>,
    (kept, copies): (&mut Handover, &mut Handover),
) -> anyhow::Result<Option<Running>> {
    let ask = &config.ask;
    if !ask.is_on() {
        return Ok(None);
    }
    let own = Arc::clone(config);
    let audio = tokio::task::spawn_blocking(move || asking::load(&own)).await?;
    let audio = audio.context("cannot read the prompts (configuration section [ask])")?;
    let prompts = asking::lengths(&audio);
    let (events, arriving) = Events::channel();
    let tell = Box::new(move |id, event| events.send(id, event));
    let announcer =
        Announcer::start(Arc::clone(&clock), config.tones, tell).context("cannot start the announcer")?;
    let host = Arc::new(Asking {
        ports: ports.clone(),
        announcer: Arc::new(announcer),
        advertised_ip: config.rtp.advertised_ip,
        audio: RwLock::new(Arc::new(audio)),
        services: services.clone(),
        clock: Arc::clone(&clock),
    });
    let mut sip = sip::settings(config)?;
    // Whom no number decides is asked by nobody.
    sip.departments.otherwise = None;
    for profile in &mut sip.profiles {
        profile.departments.otherwise = None;
    }
    let settings = Settings {
        sip,
        departments: ask.departments.clone(),
        prompts,
        send_on: ask.send_on,
        answer: ask.answer,
        loss_percent: ask.loss_percent,
        max_asks: ask.max_asks,
        unasked: ask.unasked.clone(),
        consent_header: ask.consent_header.clone(),
        external_id_header: ask.external_id_header.clone(),
    };
    let listen = ask.listen.clone();
    let server = sip::sockets(&listen, kept, copies).and_then(|sockets| {
        AskServer::start_on(sockets, listen.tls_files, settings, host.clone(), arriving, clock)
    });
    let server = server.context("cannot listen for SIP (configuration section [ask])")?;
    Ok(Some(Running { server, asking: host }))
}

impl Running {
    /// Where it listens.
    pub(super) fn bound(&self) -> Bound {
        self.server.bound().clone()
    }

    /// What it has room in.
    pub(super) fn room(&self) -> AskRoom {
        AskRoom { asks: self.server.asks(), switch: Box::new(self.server.accepting_switch()) }
    }

    /// Publishes statistics until dropped.
    pub(super) fn publish(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let (asks, announcer) = (self.server.asks(), Arc::clone(&self.asking.announcer));
        async move {
            loop {
                tokio::time::sleep(PUBLISH).await;
                metrics::asking(*asks.borrow(), &announcer.stats());
            }
        }
    }

    /// Takes departments and prompts of `config` for callers who are asked from now on. Prompts that cannot be read
    /// change nothing.
    pub(super) async fn change(&self, config: &Config) {
        let own = config.clone();
        match tokio::task::spawn_blocking(move || asking::load(&own)).await {
            Ok(Ok(audio)) => {
                let prompts = asking::lengths(&audio);
                self.asking.change(audio);
                self.server.change(config.departments.clone(), prompts).await;
            }
            Ok(Err(error)) => tracing::error!(%error, "prompts not reloaded: the previous ones stay in use"),
            Err(error) => tracing::error!(%error, "prompts not reloaded"),
        }
    }

    /// Sends on whoever is being asked, and stops.
    pub(super) async fn stop(self) {
        self.server.stop().await;
    }
}
