//! The versions of the index's tables. In: the files `migrations/DATABASE/VERSION_NAME.sql`, compiled in. Out: sqlx's
//! migrator.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{SqlSafeStr, SqlStr};

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
