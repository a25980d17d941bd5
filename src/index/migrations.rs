//! The versions of the index's tables. In: the files `migrations/DATABASE/VERSION_NAME.sql`, compiled in. Out: sqlx's
//! migrator; tables that have what this program knows, or that a later program has changed them in a way that this one
//! cannot work with.
//!
//! Migrations expand first and contract later: a program works with tables that have more than it knows, down to the
//! migration that the table `schema_floor` names. So a program of the version before starts beside, or after, a later one.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, Row, SqlSafeStr, SqlStr};

use super::database::Kind;

include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// Migrations of SQLite.
pub(crate) fn sqlite() -> Migrator {
    migrator(SQLITE)
}

/// Migrations of PostgreSQL.
pub(crate) fn postgres() -> Migrator {
    migrator(POSTGRES)
}

fn migrator(files: &'static [(&str, &str)]) -> Migrator {
    Migrator::with_migrations(files.iter().map(|&(name, text)| migration(name, text)).collect())
}

/// The migration of a file, as sqlx itself takes it from a folder: the name tells version and description, and an
/// applied one is recognised by the hash of its text.
fn migration(name: &'static str, text: &'static str) -> Migration {
    let (version, rest) = name.split_once('_').unwrap_or((name, ""));
    let description = rest.trim_end_matches(".sql").replace('_', " ");
    let sql: SqlStr = text.into_sql_str();
    let alone = text.starts_with("-- no-transaction");
    Migration::new(version.parse().unwrap_or(0), description.into(), MigrationType::Simple, sql, alone)
}

impl Kind {
    /// Migrates the tables. Migrations of later programs are left as they are.
    ///
    /// Errors: database, or the tables need a later program.
    pub(super) async fn migrate(self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        let mut tables = match self {
            Self::Sqlite => sqlite(),
            Self::Postgres => postgres(),
        };
        if let Some(later) = later_than(&tables, connection).await {
            may_be_used(&tables, later, connection).await?;
            tracing::info!(
                migration = later,
                "the index was migrated by a later version; what this one needs is there"
            );
            tables.set_ignore_missing(true);
        }
        let done = tables.run_direct(None, connection, false).await;
        done.map_err(|error| sqlx::Error::Migrate(Box::new(error)))
    }
}

/// The latest migration that was applied, if this program does not know it.
async fn later_than(tables: &Migrator, connection: &mut AnyConnection) -> Option<i64> {
    // A database without any table has none.
    let asked =
        sqlx::query("SELECT MAX(version) AS version FROM _sqlx_migrations").fetch_one(connection).await;
    let applied: Option<i64> = asked.ok()?.try_get("version").ok()?;
    applied.filter(|applied| *applied > newest(tables))
}

/// Whether this program knows as much as the tables need.
async fn may_be_used(
    tables: &Migrator,
    later: i64,
    connection: &mut AnyConnection,
) -> Result<(), sqlx::Error> {
    let floor = sqlx::query("SELECT MAX(floor) AS floor FROM schema_floor").fetch_one(connection).await?;
    let (floor, known): (i64, i64) = (floor.try_get("floor")?, newest(tables));
    if known >= floor {
        return Ok(());
    }
    let why = format!(
        "the index was migrated by a later version (migration {later}), and needs a program that knows migration \
         {floor}; this one knows {known}: start the later version"
    );
    Err(sqlx::Error::Configuration(why.into()))
}

fn newest(tables: &Migrator) -> i64 {
    tables.iter().map(|migration| migration.version).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn migrations_are_those_that_sqlx_finds_in_the_folders() {
        for (ours, folder) in [(sqlite(), "sqlite"), (postgres(), "postgres")] {
            let folder = std::path::Path::new("src/index/migrations").join(folder);
            let found = Migrator::new(folder).await.unwrap();
            let facts = |migrator: &Migrator| {
                let facts = migrator.iter().map(|one| {
                    (
                        one.version,
                        one.description.to_string(),
                        one.checksum.to_vec(),
                        one.migration_type,
                        one.no_tx,
                    )
                });
                facts.collect::<Vec<_>>()
            };
            assert_eq!(facts(&ours), facts(&found));
            assert!(ours.iter().all(|one| one.version > 0) && ours.iter().count() > 10);
        }
    }
}
