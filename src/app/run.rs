//! Starts the recorder and drains it.
//!
//! Start: health listener → data opened → engine → calls that go on → what else a crash left is settled → tasks →
//! listeners. Drain: no new calls → engine ends its calls and hands over what it heard → spool
//! durable → deliveries get a while → listeners close. What is not delivered by then waits in the spool.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::accounting::Accounts;
use crate::app::caretaking::{AuditCare, RulesWatch};
use crate::app::config::{Config, StoreConfig};
use crate::app::delivery::Delivery;
use crate::app::durable::durable;
use crate::app::early::EarlyAnswers;
use crate::app::handover::Kept;
use crate::app::open::{Opened, open};
use crate::app::publish::Publisher;
use crate::app::readiness::{Checks, Health, Starting};
use crate::app::recorder::Recorder;
use crate::app::recovering::{follow_durable, settle_recovered};
use crate::app::resuming::resume;
use crate::app::settling::Settling;
use crate::app::sink::SpoolSink;
use crate::app::sweeping::Sweeper;
use crate::app::{accounting, harden, sip};
use crate::base::clock::Clock;
use crate::base::limit;
use crate::http::access::Role;
use crate::http::{ConnectionLimits, Limits, Services, health_router, router, serve};
use crate::media::call::CallSettings;
use crate::media::encoder::OpusSettings;
use crate::media::engine::{Engine, EngineConfig};
use crate::media::plan::CaptureSettings;
use crate::media::ports::PortPool;
use crate::metrics::exporter::Exporter;
use crate::signalling::sip::link::bind_stream;
use crate::signalling::siprec::listen::{Bound, Ending, SipServer};

/// How long the start waits for index and store to tell what they saw of the deletion log.
const COMPARE: Duration = Duration::from_secs(10);
/// How long deliveries may go on after the last call ended.
const DRAIN: Duration = Duration::from_secs(10);
/// How long open requests get before another program takes over.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// A running recorder.
pub struct Running {
    /// Where the API listens.
    pub api: SocketAddr,
    /// Where metrics and health listen.
    pub metrics: SocketAddr,
    /// An admin token, if this start made one.
    pub new_admin_token: Option<String>,
    /// Where SIP is listened to.
    pub sip: Bound,
    sip_server: Option<SipServer>,
    engine: Engine,
    opened: Opened,
    draining: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    listeners: JoinSet<()>,
    /// Copies of the listening sockets, for a program that takes our place.
    sockets: Kept,
}

impl Running {
    /// Starts on the configuration's data, with what an earlier program left open.
    ///
    /// Errors: the first part that does not start, and why.
    pub async fn start(config: Arc<Config>, mut kept: Kept) -> anyhow::Result<Self> {
        harden::raise_open_files();
        let exporter = Exporter::install().map_err(|error| anyhow::anyhow!("metrics: {error}"))?;
        let connections = ConnectionLimits {
            connections: config.api.max_connections,
            header_timeout: config.api.header_timeout,
        };
        let (stop, _) = watch::channel(false);
        let mut listeners = JoinSet::new();
        let mut sockets = Kept::default();
        let mut listen = |kept: &mut Kept, sockets: &mut Kept, what: &str, address: SocketAddr, router| {
            let name = format!("{what} {address}");
            let bound = kept.take(&name).map_or_else(|| bind_stream(address), Ok);
            let listener = bound.with_context(|| format!("cannot listen on {address}"))?;
            sockets.keep(name, listener.try_clone()?);
            let listener = TcpListener::from_std(listener)?;
            let bound = listener.local_addr()?;
            let mut stopping = stop.subscribe();
            listeners.spawn(serve(listener, router, connections, async move {
                let _ = stopping.wait_for(|stop| *stop).await;
            }));
            anyhow::Ok(bound)
        };
        // Health first: reading what an outage of the store left may take a while.
        let readiness = Arc::new(Starting::default());
        let health_pages = health_router(readiness.clone(), exporter.clone());
        let metrics = listen(&mut kept, &mut sockets, "metrics", config.metrics_listen, health_pages)?;
        let (durable, events) = std::sync::mpsc::channel();
        let opened = open(Arc::clone(&config), move |event| drop(durable.send(event)))
            .await?
            .with_context(|| format!("another recorder works on {}", config.data_dir.display()))?;
        let new_admin_token = opened.tokens.create_admin_if_none(opened.clock.wall())?;
        // First of all: every moment until here is missing in the calls that go on.
        let engine = start_engine(&opened)?;
        let ports = PortPool::new(
            config.rtp.listen_ip,
            config.rtp.port_min,
            config.rtp.port_max,
            config.rtp.socket_buffer_bytes,
        );
        let resumed = resume(&opened, &engine, &ports, std::mem::take(&mut kept.rtp)).await;
        check_store(&opened).await?;
        compare_deletions(&opened).await;
        settle_recovered(&opened, &resumed).await?;
        follow_durable(events, &opened);
        let draining = Arc::new(AtomicBool::new(false));
        let pseudonyms = accounting::pseudonyms(&config.data_dir, &config.country_code)?;
        let (accounts, keep_accounts) = Accounts::new(opened.erasing.index.clone(), pseudonyms);
        let recorder = Arc::new(Recorder {
            early: EarlyAnswers::new(config.early_answers),
            accounts: accounts.clone(),
            config: Arc::clone(&config),
            clock: Arc::clone(&opened.clock),
            engine: engine.clone(),
            spool: opened.erasing.spool.clone(),
            ports: ports.clone(),
            registry: Arc::clone(&opened.registry),
            erasing: Arc::clone(&opened.erasing),
            draining: Arc::clone(&draining),
            joining: Default::default(),
        });
        let health = Arc::new(Health::default());
        health.look(&opened.erasing).await;
        let manage = matches!(&config.store, StoreConfig::S3(s3) if s3.manage_lifecycle);
        let rules = Arc::new(RulesWatch::new(Arc::clone(&opened.erasing), manage));
        let mut tasks = start_tasks(&opened, &engine, &ports, &health, &rules, exporter);

        tasks.spawn(keep_accounts);
        let sip_server = sip::start(
            &config,
            recorder.clone(),
            Arc::clone(&opened.clock),
            accounts.sink(),
            resumed.sessions,
            (&mut kept, &mut sockets),
        )?;
        if let Some(server) = &sip_server {
            tasks.spawn(sip::publish(server.stats_stream(), server.dropped_messages()));
        }
        let sip = sip_server.as_ref().map(|server| server.bound().clone()).unwrap_or_default();
        let services = Services {
            feed: recorder,
            library: opened.library(),
            audit: opened.trail(),
            steward: opened.steward(),
            tokens: Arc::clone(&opened.tokens),
            clock: Arc::clone(&opened.clock),
            links: opened.links(),
            owner: Arc::new(opened.config.disclosure.clone()),
        };
        let limits = Limits { requests: config.api.max_requests, timeout: config.api.request_timeout };
        let checks = Checks {
            health,
            rules,
            time: Arc::clone(&opened.time),
            erasing: Arc::clone(&opened.erasing),
            draining: Arc::clone(&draining),
        };
        let pages = router(services, limits).merge(crate::console::router());
        let api = listen(&mut kept, &mut sockets, "api", config.api.listen, pages)?;
        readiness.started(checks);
        Ok(Self {
            api,
            metrics,
            new_admin_token,
            sip,
            sip_server,
            engine,
            opened,
            draining,
            stop,
            tasks,
            listeners,
            sockets,
        })
    }

    /// The master key's file, if this start made it.
    pub fn new_master_key(&self) -> Option<&std::path::Path> {
        self.opened.new_master_key.as_deref()
    }

    /// An admin token of this name; an older one of the same name becomes worthless.
    ///
    /// Errors: the tokens' file cannot be written.
    pub fn fresh_token(&self, name: &str) -> anyhow::Result<String> {
        let tokens = &self.opened.tokens;
        if tokens.list()?.iter().any(|token| token.name == name) {
            tokens.revoke(name)?;
        }
        Ok(tokens.create(name, Role::Admin, self.opened.clock.wall())?)
    }

    /// Stops as it is, for another program to go on: calls and sessions are saved, sockets stay
    /// open. The engine is the last to stop, as packets wait in the kernel from then on.
    ///
    /// Errors: the spool did not take the last audio.
    pub async fn hand_over(mut self) -> anyhow::Result<Kept> {
        self.draining.store(true, Ordering::Release);
        let _ = self.stop.send(true);
        let answered = async { while self.listeners.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_ANSWERS, answered).await.is_err() {
            self.listeners.shutdown().await;
        }
        if let Some(server) = self.sip_server.take() {
            server.stop(Ending::Leave).await;
        }
        self.tasks.shutdown().await;
        let engine = self.engine.clone();
        self.sockets.rtp = tokio::task::spawn_blocking(move || engine.leave()).await?.into_iter().collect();
        let spool = self.opened.erasing.spool.clone();
        if !tokio::time::timeout(DRAIN, durable(&spool)).await.unwrap_or(false) {
            anyhow::bail!("the spool did not take the last audio");
        }
        tokio::task::spawn_blocking(move || spool.close()).await?;
        Ok(self.sockets)
    }

    /// Drains and stops.
    ///
    /// Errors: a part did not end as it should; what was acknowledged is durable all the same.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.draining.store(true, Ordering::Release);
        if let Some(server) = self.sip_server.take() {
            server.stop(Ending::Bye).await;
        }
        let engine = self.engine.clone();
        tokio::task::spawn_blocking(move || engine.shutdown()).await?;
        let spool = self.opened.erasing.spool.clone();
        if !tokio::time::timeout(DRAIN, durable(&spool)).await.unwrap_or(false) {
            anyhow::bail!("the spool did not take the last audio");
        }
        let until = Instant::now() + DRAIN;
        while !self.opened.settling.is_empty() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let left = self.opened.settling.len();
        if left > 0 {
            tracing::warn!(calls = left, "calls are not settled; they wait in the spool for the next start");
        }
        self.tasks.shutdown().await;
        let _ = self.stop.send(true);
        while self.listeners.join_next().await.is_some() {}
        let (erasing, config) = (&self.opened.erasing, &self.opened.config);
        let signing = erasing.anchor_audit(
            &self.opened.audit,
            erasing.clock.wall(),
            config.audit.anchor_dir.as_deref(),
        );
        if !matches!(tokio::time::timeout(DRAIN, signing).await, Ok(Ok(()))) {
            tracing::warn!("the end of the audit is not signed; the next start signs it");
        }
        tokio::task::spawn_blocking(move || spool.close()).await?;
        Ok(())
    }
}

/// A store that would keep recordings too long is refused; one that is away is not.
async fn check_store(opened: &Opened) -> anyhow::Result<()> {
    let Some(admin) = opened.erasing.store.admin() else { return Ok(()) };
    match admin.refuse_long_lock(limit::RETENTION_DAYS).await {
        Err(error @ crate::archive::store::StoreError::Config(_)) => Err(error.into()),
        Err(error) => {
            tracing::warn!(%error, "the store does not answer yet; recordings will wait in the spool");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Whether the deletion log is the one that index and store saw. Where it is not, calls are
/// recorded and nothing else: their audio waits in the spool.
async fn compare_deletions(opened: &Opened) {
    let compared = tokio::time::timeout(COMPARE, opened.erasing.compare_heads()).await;
    match compared.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer"))) {
        Ok(compared) if !opened.erasing.custody.in_step() => {
            tracing::error!(
                ?compared,
                "the deletion log has forgotten erasures; run `optag replay-deletions`"
            );
        }
        Ok(_) => {}
        // The sweeper asks again before it writes a copy.
        Err(error) => tracing::warn!(%error, "the deletion log could not be compared with its copy yet"),
    }
}

fn start_engine(opened: &Opened) -> anyhow::Result<Engine> {
    let config = &opened.config;
    let sink = SpoolSink {
        spool: opened.erasing.spool.clone(),
        registry: Arc::clone(&opened.registry),
        settling: Arc::clone(&opened.settling),
    };
    let engine = EngineConfig {
        workers: config.engine.workers,
        tick: config.engine.tick,
        max_calls: usize::from(config.rtp.port_max - config.rtp.port_min).div_ceil(2),
        call: CallSettings {
            capture: CaptureSettings {
                reorder: config.rtp.reorder,
                opus: OpusSettings {
                    bitrate_bps: config.engine.opus_bitrate_bps,
                    wideband_bitrate_bps: config.engine.opus_wideband_bitrate_bps,
                    complexity: config.engine.opus_complexity,
                    saves_background: config.engine.saves_background,
                },
                pass_through_max_bps: config.engine.opus_pass_through_max_bps,
            },
            tones: config.tones,
            rtp_timeout: config.rtp.timeout,
            reports: config.rtp.rtcp_reports,
        },
        adaptive_complexity: config.engine.adaptive_complexity,
    };
    Ok(Engine::start(engine, Arc::clone(&opened.clock), Box::new(sink))?)
}

fn start_tasks(
    opened: &Opened,
    engine: &Engine,
    ports: &PortPool,
    health: &Arc<Health>,
    rules: &Arc<RulesWatch>,
    exporter: Exporter,
) -> JoinSet<()> {
    let config = &opened.config;
    let mut tasks = JoinSet::new();
    Delivery::new(Arc::<Settling>::clone(&opened.settling), Arc::clone(&opened.erasing)).start(&mut tasks);
    let publisher = Publisher {
        engine: engine.clone(),
        spool: opened.erasing.spool.clone(),
        spool_limit_bytes: config.spool.max_bytes,
        registry: Arc::clone(&opened.registry),
        ports: ports.clone(),
        clock: Arc::<dyn Clock>::clone(&opened.clock),
        health: Arc::clone(health),
        exporter,
    };
    tasks.spawn(publisher.run());
    tasks.spawn(Arc::clone(health).run(Arc::clone(&opened.erasing)));
    let sweeper = Sweeper {
        erasing: Arc::clone(&opened.erasing),
        time: Arc::clone(&opened.time),
        interval: config.sweep_interval,
    };
    tasks.spawn(sweeper.run());
    tasks.spawn(Arc::clone(rules).run());
    let care = AuditCare {
        erasing: Arc::clone(&opened.erasing),
        audit: opened.audit.clone(),
        interval: config.audit.checkpoint_interval,
        keep_days: config.audit.keep_days,
        dir: config.audit.anchor_dir.clone(),
    };
    tasks.spawn(care.run());
    tasks
}
