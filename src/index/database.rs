//! Supported databases and the differences between them: how they are opened, and what a change leaves behind. Most
//! statements are the same for both; parameters are `$1`, `$2`, ….

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions, install_default_drivers};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, Connection, Row, Transaction};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::IndexError;
use super::hosts::addresses;
use optag_core::private::Private;
use optag_files::private_files::{NotPrivate, make_private_file, private_file};

/// Connections for writing; SQLite serialises writers anyway.
const WRITERS: u32 = 4;
/// Connections for admission and control of calls, so that these never wait for deliveries or searches.
const CONTROLS: u32 = 4;
/// Read-only connections. Searches use these, so deliveries never wait for a connection behind them.
const READERS: u32 = 4;
/// Concurrent searches on a remote database; further ones wait.
const SEARCHES: usize = 2;
/// Time limit for checking a connection to a remote database.
const CHECK: Duration = Duration::from_secs(2);
/// Time limits of a PostgreSQL statement, of its wait for a lock, and of a transaction that does nothing. Units: as the
/// server parses them.
const STATEMENT: &str = "SET statement_timeout = '30s'; SET lock_timeout = '5s';
     SET idle_in_transaction_session_timeout = '60s'";
/// Page cache of each read-only SQLite connection. Units: KiB.
const CACHE_KIB: u32 = 8_192;
/// How long a statement waits for another process's lock. Units: ms.
const BUSY_MS: u32 = 3_000;
/// How long a WAL checkpoint waits for readers; writers wait meanwhile. Units: ms.
const FOLD_MS: u32 = 500;
/// How long a statement waits for a free connection.
const ACQUIRE: Duration = Duration::from_secs(10);

/// Location of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexPlace {
    /// An SQLite file of one node.
    Sqlite(PathBuf),
    /// A PostgreSQL database of one or several nodes: `postgres://user@host/name`, as in libpq. Several hosts
    /// (`one,two:5433`) are tried until one accepts writes. The password is in the address, in the environment
    /// (`PGPASSWORD`) or in a file (`PGPASSFILE`).
    Postgres(Private<String>),
}

impl IndexPlace {
    /// A PostgreSQL database.
    ///
    /// Errors: invalid address, or invalid parameter in it.
    pub fn postgres(address: &str) -> Result<Self, sqlx::Error> {
        Self::servers(address)?;
        Ok(Self::Postgres(address.to_owned().into()))
    }

    /// Connection options for each server in an address.
    ///
    /// Errors: invalid address.
    pub fn servers(address: &str) -> Result<Vec<PgConnectOptions>, sqlx::Error> {
        let addresses = addresses(address).map_err(|why| sqlx::Error::Configuration(why.into()))?;
        addresses.iter().map(|address| address.parse()).collect()
    }
}

/// The servers in an address, and the one in use.
#[derive(Debug, Default)]
struct Servers {
    /// Empty for SQLite.
    all: Vec<AnyConnectOptions>,
    used: AtomicUsize,
    /// Every server, in the options of the PostgreSQL driver.
    postgres: Vec<PgConnectOptions>,
    /// Whether each server's schema has been migrated; one entry if there is only one server.
    migrated: Vec<OnceCell<()>>,
    /// Why the last migration failed, of which the pool says only that it waited in vain.
    unfit: Mutex<Option<String>>,
}

impl Servers {
    fn unfit(&self) -> MutexGuard<'_, Option<String>> {
        self.unfit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn causes_of(error: &sqlx::Error) -> String {
    optag_core::error_chain::causes(error)
}

/// A database that may be unavailable: connections are made on demand.
#[derive(Clone, Debug)]
pub(super) struct Database {
    /// Connections for writing.
    pub pool: AnyPool,
    /// Read-only connections.
    pub readers: AnyPool,
    /// Connections for calls in progress.
    pub control: AnyPool,
    pub(super) kind: Kind,
    /// Permits for searches.
    searching: Arc<Semaphore>,
    /// Whether the index of names is known to be complete.
    pub(super) names_filled: Arc<AtomicBool>,
    servers: Arc<Servers>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sqlite,
    Postgres,
}

impl Database {
    /// Prepares connection pools; the first connection of each migrates the schema. Does not connect yet.
    ///
    /// Errors: invalid address.
    pub(super) fn new(place: &IndexPlace) -> Result<Self, sqlx::Error> {
        install_default_drivers();
        let mut servers = Servers::default();
        let (kind, options) = match place {
            IndexPlace::Sqlite(file) => {
                make_private(file)?;
                (Kind::Sqlite, sqlite(file)?)
            }
            IndexPlace::Postgres(address) => {
                let addresses = addresses(address.reveal());
                let addresses = addresses.map_err(|why| sqlx::Error::Configuration(why.into()))?;
                let postgres = addresses.iter().map(|one| one.parse());
                servers.postgres = postgres.collect::<Result<_, _>>()?;
                let all = addresses.iter().map(|one| one.parse());
                let all = all.collect::<Result<Vec<AnyConnectOptions>, _>>()?;
                let first = all[0].clone();
                servers.all = all;
                (Kind::Postgres, first)
            }
        };
        servers.migrated.resize_with(servers.all.len().max(1), OnceCell::new);
        let servers = Arc::new(servers);
        let pool = |most, only_reads: bool| {
            let servers = Arc::clone(&servers);
            AnyPoolOptions::new()
                .max_connections(most)
                .acquire_timeout(ACQUIRE)
                // `is_of_use` checks connections before they are lent, which makes this test redundant.
                .test_before_acquire(false)
                .after_connect(move |connection, _| {
                    let servers = Arc::clone(&servers);
                    Box::pin(async move {
                        kind.set_up(connection).await?;
                        let migrated = &servers.migrated[servers.used.load(Ordering::Relaxed)];
                        let done = migrated.get_or_try_init(|| kind.migrate(connection)).await;
                        *servers.unfit() = done.as_ref().err().map(causes_of);
                        done?;
                        kind.limit(connection, only_reads).await
                    })
                })
                .before_acquire(move |connection, _| Box::pin(kind.is_of_use(connection)))
                .connect_lazy_with(options.clone())
        };
        Ok(Self {
            pool: pool(WRITERS, false),
            readers: pool(READERS, true),
            control: pool(CONTROLS, false),
            kind,
            searching: Arc::new(Semaphore::new(kind.searches())),
            names_filled: Arc::default(),
            servers,
        })
    }

    /// Whether the database runs on a machine with its own clock.
    pub(super) fn has_clock(&self) -> bool {
        self.kind == Kind::Postgres
    }

    /// Connection options for the PostgreSQL server in use; `None` for SQLite.
    pub(super) fn postgres_in_use(&self) -> Option<PgConnectOptions> {
        self.servers.postgres.get(self.servers.used.load(Ordering::Relaxed)).cloned()
    }

    /// Checks that the database answers and accepts writes. If not, and there are other servers, switches to one of
    /// them.
    ///
    /// Errors: no server accepts writes; the reason of the first one.
    pub(super) async fn probe(&self) -> Result<(), sqlx::Error> {
        self.find_server().await.map_err(|error| match self.servers.unfit().take() {
            Some(why) => sqlx::Error::Configuration(why.into()),
            None => error,
        })
    }

    async fn find_server(&self) -> Result<(), sqlx::Error> {
        if self.servers.all.is_empty() {
            return self.ask().await;
        }
        match tokio::time::timeout(CHECK, self.ask()).await {
            Ok(Ok(())) => Ok(()),
            // A pool waits for a server that refuses connections, and then says only that it waited.
            _ => {
                self.turn().await?;
                self.ask().await
            }
        }
    }

    /// Switches to the first server that accepts writes.
    ///
    /// Errors: there is none; why the first one does not.
    async fn turn(&self) -> Result<(), sqlx::Error> {
        let asked = self.servers.all.iter().map(|options| async move {
            let connected = async {
                let mut connection = AnyConnection::connect_with(options).await?;
                self.kind.takes_writes(&mut connection).await
            };
            match tokio::time::timeout(CHECK, connected).await {
                Ok(Ok(false)) => Err(standby()),
                Ok(Ok(true)) => Ok(()),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
            }
        });
        let mut answers = futures::future::join_all(asked).await;
        let Some(at) = answers.iter().position(Result::is_ok) else {
            return answers.drain(..).next().unwrap_or(Ok(()));
        };
        if self.servers.used.swap(at, Ordering::Relaxed) != at {
            tracing::warn!(server = at + 1, "switched to another PostgreSQL server of index.postgres");
        }
        for pool in [&self.pool, &self.readers, &self.control] {
            pool.set_connect_options(self.servers.all[at].clone());
        }
        Ok(())
    }

    async fn ask(&self) -> Result<(), sqlx::Error> {
        match self.kind {
            Kind::Sqlite => {
                let mut connection = self.pool.acquire().await?;
                // Takes the write lock and does nothing else.
                connection.begin_with("BEGIN IMMEDIATE").await?.rollback().await
            }
            // A read-only server cannot assign transaction ids.
            Kind::Postgres => {
                sqlx::query("SELECT CAST(txid_current() AS TEXT)").execute(&self.pool).await.map(drop)
            }
        }
    }

    /// Waits for a search permit, since a search may use much processor time. Looking up a single row needs no
    /// permit.
    ///
    /// Errors: earlier searches take too long.
    pub(super) async fn turn_of_search(&self) -> Result<OwnedSemaphorePermit, sqlx::Error> {
        match tokio::time::timeout(ACQUIRE, Arc::clone(&self.searching).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(sqlx::Error::PoolTimedOut),
        }
    }

    /// Begins a write transaction.
    ///
    /// Errors: database unavailable, or another writer holds the lock for too long.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        self.kind.begin(&self.pool).await
    }

    /// The same on a connection for calls in progress.
    ///
    /// Errors: database unavailable, or another writer holds the lock for too long.
    pub(super) async fn begin_control(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        self.kind.begin(&self.control).await
    }

    /// Removes overwritten rows from where the database keeps old versions.
    ///
    /// Errors: database unavailable, or another process still reads an older snapshot: the overwritten row is still
    /// in a file.
    pub(super) async fn forget_overwritten(&self) -> Result<(), IndexError> {
        match self.kind {
            // The write-ahead log holds the old row until a checkpoint.
            Kind::Sqlite => {
                let fold = format!(
                    "PRAGMA busy_timeout = {FOLD_MS}; PRAGMA wal_checkpoint(TRUNCATE);
                     PRAGMA busy_timeout = {BUSY_MS}"
                );
                let rows = sqlx::raw_sql(AssertSqlSafe(fold)).fetch_all(&self.pool).await?;
                // Source: sqlite.org/pragma.html#pragma_wal_checkpoint: busy, frames in the log, frames checkpointed.
                let folded = rows.iter().find(|row| row.len() == 3).map(|row| row.try_get::<i64, _>(0));
                match folded.transpose()? {
                    Some(0) => Ok(()),
                    _ => Err(IndexError::ReadByOthers),
                }
            }
            // PostgreSQL's next vacuum removes dead rows; that is left to the server.
            Kind::Postgres => Ok(()),
        }
    }
}

impl Kind {
    async fn begin(self, pool: &AnyPool) -> Result<Transaction<'static, Any>, sqlx::Error> {
        match self {
            // A deferred transaction that reads before it writes fails if another connection has written in between.
            Self::Sqlite => pool.begin_with("BEGIN IMMEDIATE").await,
            Self::Postgres => pool.begin().await,
        }
    }

    /// An SQL expression for the database's time. Units: µs since 1970.
    pub(super) fn now_us(self) -> &'static str {
        match self {
            Self::Sqlite => "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
            Self::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
        }
    }

    /// Concurrent searches. SQLite searches in this process: half of the processors are left to calls and deliveries.
    fn searches(self) -> usize {
        match self {
            Self::Sqlite => {
                let processors =
                    std::thread::available_parallelism().map_or(1, |processors| processors.get());
                (processors / 2).clamp(1, READERS as usize)
            }
            Self::Postgres => SEARCHES,
        }
    }

    async fn set_up(self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        if self == Self::Postgres {
            return match self.takes_writes(connection).await? {
                true => Ok(()),
                false => Err(standby()),
            };
        }
        // Erased rows are overwritten in the file; sorting uses no temporary files.
        let settings = format!(
            "PRAGMA busy_timeout = {BUSY_MS}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY"
        );
        sqlx::raw_sql(AssertSqlSafe(settings)).execute(connection).await.map(drop)
    }

    /// Session settings of a connection after migration.
    async fn limit(self, connection: &mut AnyConnection, only_reads: bool) -> Result<(), sqlx::Error> {
        let sql = match (self, only_reads) {
            (Self::Postgres, _) => STATEMENT,
            (Self::Sqlite, true) => &format!("PRAGMA query_only = ON; PRAGMA cache_size = -{CACHE_KIB}"),
            (Self::Sqlite, false) => return Ok(()),
        };
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.map(drop)
    }

    /// Whether a connection may be lent. If not, it is closed and replaced.
    async fn is_of_use(self, connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
        // When the disk is full, SQLite ends the transaction itself and the driver still counts it as open: the next
        // transaction on this connection would never be committed.
        if connection.is_in_transaction() {
            return Ok(false);
        }
        match self {
            Self::Sqlite => Ok(true),
            // After a fail-over, old connections lead to a server that is now a standby, or gone.
            Self::Postgres => {
                let asked = tokio::time::timeout(CHECK, self.takes_writes(connection)).await;
                Ok(matches!(asked, Ok(Ok(true))))
            }
        }
    }

    /// Whether the server accepts writes: neither a standby nor read-only. Same as libpq's
    /// `target_session_attrs=read-write`.
    async fn takes_writes(self, connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
        let asked = sqlx::query(
            "SELECT CASE WHEN pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'
                 THEN 0 ELSE 1 END",
        );
        Ok(asked.fetch_one(connection).await?.try_get::<i32, _>(0)? == 1)
    }
}

fn standby() -> sqlx::Error {
    sqlx::Error::Configuration("PostgreSQL server is a standby or read-only; waiting for a primary".into())
}

/// Restricts the database and its companion files to their owner. SQLite creates companion files with the mode of the
/// database.
fn make_private(file: &Path) -> Result<(), sqlx::Error> {
    let beside = |end: &str| {
        let mut name = file.as_os_str().to_owned();
        name.push(end);
        private_file(Path::new(&name))
    };
    match make_private_file(file).and_then(|()| beside("-wal")).and_then(|()| beside("-shm")) {
        // The directory may be created before it is needed.
        Ok(()) | Err(NotPrivate::Disk { .. }) => Ok(()),
        Err(error) => Err(sqlx::Error::Configuration(Box::new(error))),
    }
}

fn sqlite(file: &Path) -> Result<AnyConnectOptions, sqlx::Error> {
    let file = std::path::absolute(file)?;
    let file = url::Url::from_file_path(&file)
        .map_err(|()| sqlx::Error::Configuration(format!("{} is not a file", file.display()).into()))?;
    format!("sqlite://{}?mode=rwc", file.path()).parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_of_any_name_is_opened_under_that_name() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["index.sqlite", "a b.sqlite", "50 %.sqlite", "a?b#c.sqlite", "ø.sqlite"] {
            let file = dir.path().join(name);
            Database::new(&IndexPlace::Sqlite(file.clone())).unwrap().probe().await.unwrap();
            assert!(file.exists(), "{name}");
        }
    }

    #[tokio::test]
    async fn a_transaction_that_sqlite_ended_itself_swallows_nothing_that_is_written_later() {
        let dir = tempfile::tempdir().unwrap();
        let place = IndexPlace::Sqlite(dir.path().join("index.sqlite"));
        let database = Database::new(&place).unwrap();
        let put = |or: &str, node: i64| {
            let sql =
                format!("INSERT OR {or} INTO deletion_heads (node, entries, hash) VALUES ('{node}', 1, '')");
            sqlx::raw_sql(AssertSqlSafe(sql))
        };
        // A single connection, so that each step uses the same one.
        let all_back = async || {
            while database.pool.num_idle() < database.pool.size() as usize {
                tokio::task::yield_now().await;
            }
        };
        put("ABORT", 1).execute(&database.pool).await.unwrap();
        all_back().await;
        // Simulates a full disk: the statement fails and SQLite ends the transaction.
        let mut transaction = database.pool.begin().await.unwrap();
        put("ROLLBACK", 1).execute(&mut *transaction).await.unwrap_err();
        drop(transaction);
        all_back().await;
        let mut transaction = database.pool.begin().await.unwrap();
        put("ABORT", 2).execute(&mut *transaction).await.unwrap();
        transaction.rollback().await.unwrap();
        all_back().await;
        put("ABORT", 3).execute(&database.pool).await.unwrap();

        let others = Database::new(&place).unwrap();
        others.probe().await.unwrap();
        let seen = sqlx::query("SELECT node FROM deletion_heads ORDER BY node").fetch_all(&others.pool);
        let seen: Vec<String> = seen.await.unwrap().iter().map(|row| row.get("node")).collect();
        assert_eq!(seen, ["1", "3"]);
    }

    #[test]
    fn an_address_with_a_password_is_not_printed() {
        let place = IndexPlace::Postgres("postgres://optag:secret@db/optag".to_owned().into());
        assert!(!format!("{place:?}").contains("secret"));
    }
}
