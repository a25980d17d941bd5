//! Opens an installation's data in the only safe order: the deletion log before anything that could serve or deliver,
//! the spool before the store.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use jiff::tz::TimeZone;

use crate::app::{master_key, nodes};
use crate::audit::accesses::Accesses;
use crate::audit::trail::AuditTrail;
use crate::audit::{self, AuditLog};
use crate::auth::SealKey;
use crate::auth::password_sign_in::PasswordSignIns;
use crate::auth::provider::{self, ProviderSignIns};
use crate::auth::second_factor::{self, FactorKey};
use crate::auth::sign_ins::SignIns;
use crate::auth::tokens::Tokens;
use crate::auth::users::Users;
use crate::cases::register::Cases;
use crate::cluster::link::Link;
use crate::cluster::shared_calls::SharedCalls;
use crate::config::Config;
use crate::delivery::queue::DeliveryQueue;
use crate::disclosure::links::Links;
use crate::erasure::deletion_guard::DeletionGuard;
use crate::erasure::deletion_log::DeletionLog;
use crate::erasure::holds::Holds;
use crate::erasure::service::EraseService;
use crate::erasure::unfinished::UnderWay;
use crate::http::Services;
use crate::http::drains::Drains;
use crate::http::nodes::Nodes;
use crate::http::server::health::Readiness;
use crate::index::Index;
use crate::ledger::writer::LABEL;
use crate::recorder::live_calls::LiveCalls;
use crate::recorder::settings::Departments;
use crate::recordings::oversight::OversightService;
use crate::recordings::playback::Recordings;
use crate::recordings::requests::RequestService;
use crate::stores::Stores;
use crate::time::second_source::TimeKeeper;
use crate::webhooks::Target;
use optag_core::clock::Clock;
use optag_core::locked::Secret;
use optag_core::signing::Signer;
use optag_files::dir_lock::{DirLock, LockError};
use optag_files::disk::OsDisk;
use optag_files::private_files::{NotPrivate, private_dir, private_file};
use optag_sip::feed::Feed;
use optag_storage::archive::seal::day_keys::DayKeys;
use optag_storage::archive::vault::Vault;
use optag_storage::spool::recover::Recovered;
use optag_storage::spool::{DurableEvent, Spool, SpoolConfig, SpoolError};
use optag_storage::store::Store;

/// Time allowed for an erasure, beyond two sweeps, before a report calls it late. Units: s.
const GRACE_S: u64 = 300;
/// Maximum size of records waiting for the disk: some minutes of audio at 100 calls. Units: bytes.
const SPOOL_QUEUE_BYTES: usize = 64 << 20;

/// An installation's data, opened by this process exclusively.
pub struct Opened {
    /// Configuration.
    pub config: Arc<Config>,
    /// Clocks.
    pub clock: Arc<dyn Clock>,
    /// Spool, store, vault and index.
    pub stores: Stores,
    /// Erasures.
    pub erasure: Arc<EraseService>,
    /// Contents of the spool.
    pub recovered: Recovered,
    /// Calls in progress.
    pub live_calls: Arc<LiveCalls>,
    /// What other nodes know of them; none where there are no other nodes.
    pub shared: Option<Arc<SharedCalls>>,
    /// Deliveries.
    pub deliveries: Arc<DeliveryQueue>,
    /// Audit log.
    pub audit: AuditLog,
    /// The departments.
    pub departments: Departments,
    /// Trusted time.
    pub time: Arc<TimeKeeper>,
    /// Access tokens.
    pub tokens: Arc<Tokens>,
    /// The key of users' second factors.
    pub factor_key: FactorKey,
    /// Sign-ins by the OpenID Connect provider; none: there is no provider.
    pub provider: Option<Arc<ProviderSignIns>>,
    /// The key of the ledger's hashes.
    pub ledger_key: Secret,
    /// The master key's file, if this start created it.
    pub new_master_key: Option<PathBuf>,
    /// Keeps other processes from writing in the data directory.
    pub lock: DirLock,
}

/// Result of opening the data.
pub enum Access {
    /// Opened exclusively.
    Opened(Box<Opened>),
    /// In use by another process.
    InUse(LockError),
}

impl Access {
    /// The opened data, for commands that cannot run beside a recorder.
    ///
    /// Errors: in use by another process.
    pub fn alone(self) -> anyhow::Result<Opened> {
        match self {
            Self::Opened(opened) => Ok(*opened),
            Self::InUse(error) => Err(error).context("stop the recorder first"),
        }
    }
}

/// Name of the lock file in the data directory.
pub const LOCK: &str = "recorder.lock";
/// Files that identify a data directory.
const OURS: [&str; 3] = ["deletions.log", "tokens.json", LOCK];
/// Files that are written in place, which earlier versions may have made readable for others.
const IN_PLACE: [&str; 7] = [
    "deletions.log",
    "audit.jsonl",
    "audit.checkpoints.jsonl",
    "accounts.key",
    "clock.json",
    "holds.json",
    "links.json",
];

/// Creates the data directory, and makes it and its files private to their owner.
///
/// Errors: it cannot be made private; the message says what to do.
pub fn prepare(config: &Config) -> Result<(), NotPrivate> {
    private_dir(&config.data_dir, &OURS)?;
    for name in IN_PLACE {
        private_file(&config.data_dir.join(name))?;
    }
    Ok(())
}

/// Locks the data directory: deletion log, audit log and index have a single writing process.
fn lock(dir: &Path, inherited: Option<File>) -> Result<DirLock, LockError> {
    DirLock::take(dir, &dir.join(LOCK), inherited)
}

/// Opens the data. `inherited` is the lock of the previous program in this process.
///
/// Errors: a part cannot be opened; names the part and the remedy.
pub async fn open(
    config: Arc<Config>,
    inherited: Option<File>,
    on_durable: impl Fn(DurableEvent) + Send + 'static,
) -> anyhow::Result<Access> {
    let dir = &config.data_dir;
    prepare(&config).context("data directory")?;
    let lock = match lock(dir, inherited) {
        Err(error @ LockError::InUse { .. }) => return Ok(Access::InUse(error)),
        locked => locked?,
    };
    let (secret, is_new) = master_key::load(&config.spool.master_key).await?;
    let master = secret.key()?;
    let day_master = match &config.seal.master_key {
        None => secret.key()?,
        Some(source) => master_key::load(source).await?.0.key()?,
    };
    let spool_config = SpoolConfig {
        dir: config.spool.dir.clone(),
        segment_bytes: config.spool.segment_bytes,
        max_bytes: config.spool.max_bytes,
        queue_bytes: SPOOL_QUEUE_BYTES,
        min_free_bytes: config.spool.min_free_bytes,
        packed_max_bytes: config.spool.packed_max_bytes,
    };
    let opened = tokio::task::spawn_blocking(move || {
        Spool::open(spool_config, Arc::new(OsDisk), master, Box::new(on_durable))
    });
    let (spool, recovered) = match opened.await? {
        Err(SpoolError::InUse { path }) => return Ok(Access::InUse(LockError::InUse { path, pid: None })),
        opened => opened.context("cannot open the spool")?,
    };
    let time = Arc::new(TimeKeeper::new(dir.join("clock.json")));
    let clock: Arc<dyn Clock> = time.clock.clone();
    let signer = Signer::load_or_create(&config.signing_key_file)?;
    let holds =
        Holds::open(&dir.join("holds.json"), config.hold_policy()).context("cannot open the holds")?;
    let guard = DeletionGuard::new(signer, holds);
    let log = DeletionLog::open(&dir.join("deletions.log")).context("cannot open the deletion log")?;
    let told = config.webhooks.iter().map(Target::receiver).collect();
    let index = Index::open(&config.index, &config.country_code).await?.with_receivers(told);
    let shared = nodes::shared(&config, &index, &secret)?;
    let store = Store::open(&config.store)?.kept_in(&dir.join("store-id"))?.tried_as(&guard.signer.node());
    let keys = Arc::new(DayKeys::open(&config.seal.keys_dir, day_master).context("cannot open day keys")?);
    let vault = Vault::new(store.clone(), keys, config.seal.seals, config.seal.escrow.clone());
    let tokens = Arc::new(Tokens::open(index.clone(), &config.tokens_path, clock.clone())?);
    let progress = UnderWay::open(&dir.join("erasing")).context("cannot open erasure progress")?;
    let provider_key = SealKey::new(&*secret.derive(provider::LABEL)?)?;
    let provider = ProviderSignIns::new(index.clone(), clock.clone(), provider_key, &config.sign_in);
    let provider = provider.context("sign_in.oidc")?.map(Arc::new);
    let stores = Stores { spool, store, vault, index };
    let members = shared.as_ref().map(|shared| Arc::clone(&shared.members));
    let erasure = EraseService::new(stores.clone(), log, guard, clock.clone(), progress);
    let erasure = Arc::new(erasure.among(members));
    Ok(Access::Opened(Box::new(Opened {
        audit: AuditLog::new(audit::path_in(dir)),
        live_calls: Arc::default(),
        deliveries: Arc::default(),
        departments: Departments::new(config.departments.clone()),
        shared,
        config,
        clock,
        stores,
        erasure,
        recovered,
        time,
        tokens,
        provider,
        factor_key: FactorKey::new(&secret.derive(second_factor::LABEL)?)?,
        ledger_key: secret.derive(LABEL)?,
        new_master_key: is_new,
        lock,
    })))
}

impl Opened {
    /// Services of the API; `feed` accepts calls, `drains` the order to drain, `link` reaches other nodes.
    pub fn services(
        &self,
        feed: Arc<dyn Feed>,
        drains: Arc<dyn Drains>,
        link: Link,
        readiness: Option<Arc<dyn Readiness>>,
    ) -> Services {
        let nodes = self.shared.clone().map(|shared| Arc::new(Nodes { shared, link }));
        Services {
            nodes,
            feed,
            drains,
            library: self.library(),
            audit: self.trail(),
            requests: self.requests(),
            oversight: Arc::new(OversightService {
                stores: self.stores.clone(),
                audit: self.audit.clone(),
                signer: Arc::clone(&self.erasure.guard.signer),
                clock: Arc::<dyn Clock>::clone(&self.clock),
                time_zone: self.config.time_zone.clone(),
                keep_days: self.config.longest_kept_days(),
                readiness,
            }),
            tokens: Arc::clone(&self.tokens),
            sign_ins: self.sign_ins(),
            users: Arc::new(self.users()),
            passwords: self.passwords(),
            provider: self.provider.clone(),
            clock: Arc::clone(&self.clock),
            cases: self.cases(),
            links: self.links(),
            owner: Arc::new(self.config.disclosure.clone()),
            learn_rtp_source: self.config.api.learn_rtp_source,
        }
    }

    /// Recordings, for the API.
    pub fn library(&self) -> Arc<Recordings> {
        Arc::new(Recordings {
            stores: self.stores.clone(),
            erasure: Arc::clone(&self.erasure),
            live_calls: Arc::clone(&self.live_calls),
            deliveries: Arc::clone(&self.deliveries),
        })
    }

    /// People who are signed in to the pages.
    pub fn sign_ins(&self) -> Arc<SignIns> {
        let (index, clock) = (self.stores.index.clone(), Arc::clone(&self.clock));
        Arc::new(SignIns::new(index, Arc::clone(&self.tokens), clock, self.config.sign_in.clone()))
    }

    /// Users, for those who administer them.
    pub fn users(&self) -> Users {
        Users::new(self.stores.index.clone(), Arc::clone(&self.clock), self.config.sign_in.clone())
    }

    /// Users, by what they type to sign in.
    fn passwords(&self) -> Arc<PasswordSignIns> {
        let (index, clock) = (self.stores.index.clone(), Arc::clone(&self.clock));
        let passwords = PasswordSignIns::new(index, clock, self.factor_key.clone());
        Arc::new(passwords.beside_provider(self.config.sign_in.provider.is_some()))
    }

    /// Requests of callers.
    pub fn cases(&self) -> Arc<Cases> {
        let zone = TimeZone::get(&self.config.time_zone).unwrap_or(TimeZone::UTC);
        Arc::new(Cases::new(self.stores.index.clone(), zone))
    }

    /// Counts cases, and makes the key of this node's receipts known.
    pub fn watch_cases(&self) -> impl Future<Output = ()> + Send + 'static {
        self.cases().publish(self.erasure.guard.signer.public_key(), Arc::clone(&self.clock))
    }

    /// One-time links.
    pub fn links(&self) -> Arc<Links> {
        Arc::new(Links::new(self.stores.index.clone(), self.config.data_dir.join("links.json")))
    }

    /// Accesses to recordings, those of other nodes included.
    pub fn accesses(&self) -> Accesses {
        Accesses {
            log: self.audit.clone(),
            index: self.stores.index.clone(),
            node: self.erasure.guard.signer.node(),
        }
    }

    /// Erasures, holds and reports, for the API.
    pub fn requests(&self) -> Arc<RequestService> {
        let grace_s = 2 * self.config.sweep_interval.as_secs() + GRACE_S;
        Arc::new(RequestService {
            stores: self.stores.clone(),
            erasure: Arc::clone(&self.erasure),
            live_calls: Arc::clone(&self.live_calls),
            deliveries: Arc::clone(&self.deliveries),
            time: Arc::clone(&self.time),
            audit: self.audit.clone(),
            departments: self.departments.clone(),
            time_zone: self.config.time_zone.clone(),
            grace_s,
            keep_days: self.config.longest_kept_days(),
            reports: Default::default(),
        })
    }

    /// The audit log, for the API.
    pub fn trail(&self) -> Arc<AuditTrail> {
        Arc::new(AuditTrail {
            accesses: self.accesses(),
            signer: Arc::clone(&self.erasure.guard.signer),
            country_code: self.config.country_code.clone(),
        })
    }
}
