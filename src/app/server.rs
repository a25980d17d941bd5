//! Starts the recorder.
//!
//! Order: health listener → data opened → engine → calls resumed → remaining calls of a crash queued for delivery → tasks →
//! listeners. The shutdown is in `stop`.

mod engine;
mod first_user;
mod looks;
pub(crate) mod stop;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::looks::{check_store, compare_deletions, learn_orders};
use crate::app::bucket_watch::{AuditCare, RulesWatch};
use crate::app::capacity::{Capacity, Fullness, Parts};
use crate::app::drain::Drain;
use crate::app::health::{Checks, Health, Starting};
use crate::app::open::{Access, Opened, open};
use crate::app::publish::Publisher;
use crate::app::upgrade::Handover;
use crate::app::{ask, certificates, hardening, nodes, process, sip};
use crate::cluster::link::Link;
use crate::config::{Config, StoreConfig};
use crate::console::with_pages;
use crate::delivery::Delivery;
use crate::delivery::encoding::SpareTime;
use crate::delivery::queue::DeliveryQueue;
use crate::erasure::sweeper::Sweeper;
use crate::http::nodes::control::control_router;
use crate::http::{ConnectionLimits, Limits, health_router, router, serve_behind};
use crate::index::NodeState;
use crate::ledger::writer::{self, Ledger};
use crate::metrics;
use crate::metrics::exporter::Exporter;
use crate::recorder::Recorder;
use crate::recorder::pending_answers::PendingAnswers;
use crate::recorder::recovery::{Followed, follow_durable, settle_recovered};
use crate::recorder::resume::Resume;
use crate::webhooks::Webhooks;
use optag_core::clock::Clock;
use optag_media::engine::Engine;
use optag_media::net::port_pool::PortPool;
use optag_sip::sip::sockets::bind_stream;
use optag_sip::siprec::service::{Bound, SipServer};

/// Under which name the lock of the data directory is handed over.
const DATA_LOCK: &str = "lock of the data directory";
/// What the pages of health and metrics may take: whoever watches is answered whatever the API has to do.
const HEALTH: ConnectionLimits = ConnectionLimits {
    connections: 128,
    per_address: 128,
    header_timeout: Duration::from_secs(5),
    write_timeout: Duration::from_secs(5),
};

/// A running recorder.
pub struct Server {
    /// Where the API listens.
    pub api: SocketAddr,
    /// Where metrics and health listen.
    pub metrics: SocketAddr,
    /// Where SIP is listened to.
    pub sip: Bound,
    pub(super) sip_server: Option<SipServer>,
    /// Where calls are taken whose callers are asked.
    pub ask: Bound,
    pub(super) asking: Option<ask::Running>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) rules: Arc<RulesWatch>,
    engine: Engine,
    opened: Opened,
    drain: Arc<Drain>,
    /// Set once calls have ended: what was spilled is not encoded any more.
    ending: Arc<AtomicBool>,
    /// Where the spool's events go, and with them whoever waits until they were followed.
    follow: std::sync::mpsc::Sender<Followed>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    listeners: JoinSet<()>,
    /// Copies of the listening sockets, for a program that takes our place.
    sockets: Handover,
}

impl Server {
    /// Starts on the configuration's data, with what an earlier program left open.
    ///
    /// Errors: the first part that does not start, and why.
    pub async fn start(config: Arc<Config>, mut kept: Handover) -> anyhow::Result<Self> {
        hardening::raise_open_files();
        let exporter = Exporter::install().map_err(|error| anyhow::anyhow!("metrics: {error}"))?;
        crate::metrics::departments(&config.departments);
        let connections = ConnectionLimits {
            connections: config.api.max_connections,
            per_address: config.api.max_connections_per_address,
            header_timeout: config.api.header_timeout,
            write_timeout: config.api.write_timeout,
        };
        let (stop, _) = watch::channel(false);
        let mut listeners = JoinSet::new();
        let mut sockets = Handover::default();
        let mut listen = |kept: &mut Handover,
                          sockets: &mut Handover,
                          what: &str,
                          address: SocketAddr,
                          (router, limits, door)| {
            let name = format!("{what} {address}");
            let bound = kept.take(&name).map_or_else(|| bind_stream(address), Ok);
            let listener = bound.with_context(|| format!("cannot listen on {address}"))?;
            sockets.keep(name, listener.try_clone()?);
            let listener = TcpListener::from_std(listener)?;
            let bound = listener.local_addr()?;
            let mut stopping = stop.subscribe();
            let stopped = async move { drop(stopping.wait_for(|stop| *stop).await) };
            listeners.spawn(serve_behind(listener, router, limits, stopped, door));
            anyhow::Ok(bound)
        };
        // Health first: reading what an outage of the store left may take a while.
        let readiness = Arc::new(Starting::default());
        let health_pages = health_router(readiness.clone(), exporter.clone());
        let metrics =
            listen(&mut kept, &mut sockets, "metrics", config.metrics_listen, (health_pages, HEALTH, None))?;
        let (follow, events) = std::sync::mpsc::channel();
        let durable = follow.clone();
        let inherited = kept.take(DATA_LOCK);
        let follow_one = move |event| drop(durable.send(Followed::Event(Box::new(event))));
        let opened = match open(Arc::clone(&config), inherited, follow_one).await? {
            Access::Opened(opened) => *opened,
            Access::InUse(error) => return Err(error.into()),
        };
        sockets.keep(DATA_LOCK.into(), opened.lock.for_successor()?);
        match &opened.shared {
            Some(shared) => opened.live_calls.share_ends(Arc::clone(shared)),
            None => metrics::registry_up(true),
        }
        let tls = nodes::tls(&config)?;
        first_user::audit_rules(&opened);
        // First of all: every moment until here is missing in the calls that go on.
        let engine = engine::start(&opened)?;
        let ports = PortPool::new(
            config.rtp.listen_ip,
            config.rtp.port_min,
            config.rtp.port_max,
            config.rtp.socket_buffer_bytes,
        );
        let settings = config.recorder(opened.departments.clone());
        let resumed = Resume {
            clock: &*opened.clock,
            log: &opened.erasure.log,
            live_calls: &opened.live_calls,
            settings: &settings,
            engine: &engine,
            ports: &ports,
        }
        .resume(&opened.recovered.calls, std::mem::take(&mut kept.rtp))
        .await;
        check_store(&opened).await?;
        compare_deletions(&opened).await;
        learn_orders(&opened).await;
        settle_recovered(&opened.recovered, &resumed, &opened.erasure, &opened.deliveries).await?;
        follow_durable(
            events,
            Arc::clone(&opened.deliveries),
            Arc::clone(&opened.live_calls),
            Arc::clone(&opened.erasure),
        );
        let drain = Arc::new(Drain::new(config.drain_limit, Arc::clone(&opened.live_calls)));
        let ending = Arc::<AtomicBool>::default();
        let pseudonyms = writer::pseudonyms(&config.data_dir, &opened.ledger_key, &config.country_code)?;
        let (ledger, write_ledger) = Ledger::new(opened.stores.index.clone(), pseudonyms.clone());
        let pending_answers = PendingAnswers::open(
            config.data_dir.join("early-answers"),
            config.early_answers,
            pseudonyms,
            opened.clock.wall(),
        )
        .context("cannot open the file of pending answers")?;
        let recorder = Arc::new(Recorder {
            pending_answers,
            ledger: ledger.clone(),
            settings,
            clock: Arc::clone(&opened.clock),
            engine: engine.clone(),
            spool: opened.stores.spool.clone(),
            ports: ports.clone(),
            live_calls: Arc::clone(&opened.live_calls),
            erasure: Arc::clone(&opened.erasure),
            shared: opened.shared.clone(),
            draining: drain.flag(),
            joining: Default::default(),
            answering: Default::default(),
        });
        // With its number, calls say whose they are. Where the registry is away, they are found by it later.
        let _ = recorder.tell_nodes(NodeState::Starting).await;
        recorder.answer_resumed(&resumed.calls).await;
        let health = Arc::new(Health::default());
        health.look(&opened.stores).await;
        let manage = matches!(&config.store, StoreConfig::S3(s3) if s3.manage_lifecycle);
        let rules =
            Arc::new(RulesWatch::new(Arc::clone(&opened.erasure), manage, config.longest_kept_days()));
        let mut tasks = start_tasks(&opened, &engine, (&ports, &ending), &health, &rules, exporter);
        tasks.spawn(Arc::clone(&opened.tokens).follow());
        tasks.spawn(write_ledger);
        if !config.webhooks.is_empty() {
            tasks.spawn(webhooks(&opened).run());
        }
        tasks.spawn(Arc::clone(&recorder).follow_nodes());
        let sip_server = sip::start(
            &config,
            recorder.clone(),
            Arc::clone(&opened.clock),
            ledger.sink(),
            resumed.sessions,
            (&mut kept, &mut sockets),
        )?;
        if let Some(server) = &sip_server {
            tasks.spawn(sip::publish(server.stats_stream(), server.dropped_messages()));
        }
        let services =
            opened.services(recorder.clone(), drain.clone(), Link::new(tls.clone()), Some(readiness.clone()));
        let asking = ask::start(
            &config,
            &services,
            &ports,
            Arc::clone(&opened.clock) as Arc<dyn Clock>,
            (&mut kept, &mut sockets),
        )
        .await?;
        if let Some(asking) = &asking {
            tasks.spawn(asking.publish());
        }
        let sip = sip_server.as_ref().map(|server| server.bound().clone()).unwrap_or_default();
        let capacity = Arc::<Capacity>::default();
        let parts = Parts {
            ports,
            engine: engine.clone(),
            spool: opened.stores.spool.clone(),
            calls: Arc::clone(&opened.live_calls),
            spills: config.engine.spills,
            draining: drain.flag(),
            sip: sip_server.as_ref().map(|server| sip::room(&config, server)),
            ask: asking.as_ref().map(ask::Running::room),
        };
        let mut fullness = Fullness::default();
        capacity.look(&parts, &mut fullness);
        tasks.spawn(Arc::clone(&capacity).run(parts, fullness));
        let clock = Arc::<dyn Clock>::clone(&opened.clock);
        tasks.spawn(certificates::watch(certificates::in_use(&config), move || clock.wall()));
        tasks.spawn(process::publish());
        let limits = Limits {
            requests: config.api.max_requests,
            timeout: config.api.request_timeout,
            proxies: Arc::new(config.api.trusted_proxies.clone()),
        };
        let checks = Checks {
            health,
            rules: Arc::clone(&rules),
            time: Arc::clone(&opened.time),
            spool: opened.stores.spool.clone(),
            erasure: Arc::clone(&opened.erasure),
            deliveries: Arc::clone(&opened.deliveries),
            shared: opened.shared.clone(),
            draining: drain.flag(),
            capacity,
        };
        if let (Some(cluster), Some(tls)) = (&config.cluster, tls) {
            let asked = control_router(services.clone(), limits.clone());
            let behind = (asked, connections, Some(nodes::door(&tls)));
            listen(&mut kept, &mut sockets, "cluster", cluster.listen, behind)?;
            tasks.spawn(nodes::watch(tls));
        }
        let pages = with_pages(router(services, limits));
        let api = listen(&mut kept, &mut sockets, "api", config.api.listen, (pages, connections, None))?;
        readiness.started(checks);
        Ok(Self {
            api,
            metrics,
            sip,
            sip_server,
            ask: asking.as_ref().map(ask::Running::bound).unwrap_or_default(),
            asking,
            recorder,
            rules,
            engine,
            opened,
            drain,
            ending,
            follow,
            stop,
            tasks,
            listeners,
            sockets,
        })
    }

    /// Ready once someone orders, through the API, that the recorder drains.
    pub async fn drain_ordered(&self) {
        self.drain.ordered().await;
    }

    /// The master key's file, if this start made it.
    pub fn new_master_key(&self) -> Option<&std::path::Path> {
        self.opened.new_master_key.as_deref()
    }
}

fn webhooks(opened: &Opened) -> Webhooks {
    Webhooks {
        index: opened.stores.index.clone(),
        targets: opened.config.webhooks.clone(),
        members: opened.shared.as_ref().map(|shared| Arc::clone(&shared.members)),
        clock: Arc::<dyn Clock>::clone(&opened.clock),
    }
}

fn start_tasks(
    opened: &Opened,
    engine: &Engine,
    (ports, ending): (&PortPool, &Arc<AtomicBool>),
    health: &Arc<Health>,
    rules: &Arc<RulesWatch>,
    exporter: Exporter,
) -> JoinSet<()> {
    let config = &opened.config;
    let mut tasks = JoinSet::new();
    let (within, clock) = (config.engine.spill_within, Arc::<dyn Clock>::clone(&opened.clock));
    let beside = engine.clone();
    let load = Arc::new(move || beside.condition().load());
    let spare = SpareTime::of(load, clock, within, Arc::clone(ending));
    Delivery::new(Arc::<DeliveryQueue>::clone(&opened.deliveries), Arc::clone(&opened.erasure))
        .encoding_in(spare, config.engine.workers)
        .start(&mut tasks);
    metrics::backlog_limits(within, config.spool.packed_max_bytes);
    let publisher = Publisher {
        engine: engine.clone(),
        spool: opened.stores.spool.clone(),
        spool_limit_bytes: config.spool.max_bytes,
        live_calls: Arc::clone(&opened.live_calls),
        deliveries: Arc::clone(&opened.deliveries),
        ports: ports.clone(),
        clock: Arc::<dyn Clock>::clone(&opened.clock),
        health: Arc::clone(health),
        exporter,
    };
    tasks.spawn(publisher.run());
    let deliveries = Arc::<DeliveryQueue>::clone(&opened.deliveries);
    tasks.spawn(Arc::clone(health).run(opened.stores.clone(), deliveries));
    let sweeper = Sweeper {
        erasure: Arc::clone(&opened.erasure),
        time: Arc::clone(&opened.time),
        interval: config.sweep_interval,
        limits: config.sweep_limits,
        rounds: Default::default(),
    };
    tasks.spawn(sweeper.run());
    tasks.spawn(opened.watch_cases());
    if let Some(provider) = opened.provider.clone() {
        tasks.spawn(async move { provider.watch().await });
    }
    tasks.spawn(Arc::clone(&opened.erasure).follow_orders());
    tasks.spawn(Arc::clone(rules).run());
    let care = AuditCare {
        erasure: Arc::clone(&opened.erasure),
        accesses: opened.accesses(),
        interval: config.audit.checkpoint_interval,
        keep_days: config.audit.keep_days,
        dir: config.audit.anchor_dir.clone(),
    };
    tasks.spawn(care.run());
    tasks
}
