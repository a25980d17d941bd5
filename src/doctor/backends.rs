//! The store, operation by operation; the database; clocks.

use std::time::Duration;

use bytes::Bytes;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

use crate::config::{Config, StoreConfig};
use crate::doctor::Finding;
use crate::index::IndexPlace;
use optag_core::clock::{Clock, OsClock, WallTime};
use optag_core::limit::RETENTION_DAYS;
use optag_core::steady::kept_by_a_time_server;
use optag_storage::store::names::PROBE_PREFIX;
use optag_storage::store::s3::admin::S3Admin;
use optag_storage::store::{Store, StoreError};

/// How long an operation may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most that clocks may differ. Units: s.
const APART_S: i64 = 5;
/// What is written for a moment.
const SMALL: Bytes = Bytes::from_static(b"optag doctor");

/// Whether a time server keeps the machine's clock.
pub(super) fn clock() -> Vec<Finding> {
    let kept = kept_by_a_time_server();
    vec![match kept {
        true => Finding::ok("clock", "a time server keeps it"),
        false => Finding::warning(
            "clock",
            "no time server keeps it",
            "run chrony or systemd-timesyncd: dates and expiry go by it",
        ),
    }]
}

fn compared(check: &str, whose: &str, theirs: WallTime, before: WallTime) -> Finding {
    let now = OsClock.wall();
    // Asked between the two moments.
    let apart_s =
        if theirs > now { theirs.micros_since(now) } else { before.micros_since(theirs).max(0) } / 1_000_000;
    match apart_s > APART_S {
        false => Finding::ok(check, format!("{whose} and this machine agree on the time")),
        true => Finding::wrong(
            check,
            format!("{whose} says {theirs}, this machine {now}: {apart_s} s apart"),
            "set the clock that is wrong; expiry waits until they agree (`optag retention confirm-clock`)",
        ),
    }
}

/// Rights on the bucket or directory, one by one, by a small object that is removed again.
pub(super) async fn store(config: &Config) -> Vec<Finding> {
    if let StoreConfig::Local { dir } = &config.store
        && !dir.exists()
    {
        return vec![Finding::ok("store", format!("{} is made by the recorder at its start", dir.display()))];
    }
    let name = format!("{PROBE_PREFIX}doctor-{}-small", std::process::id());
    let store = match Store::open(&config.store) {
        Ok(store) => store.tried_as(&format!("doctor-{}", std::process::id())),
        Err(error) => return vec![Finding::wrong("store", error.to_string(), "correct [store]")],
    };
    let needs = |action: &str| match &config.store {
        StoreConfig::S3(s3) => format!("allow {action} on the bucket `{}` (docs/guide/stores.md)", s3.bucket),
        StoreConfig::Local { dir } => format!("let the recorder's user write in {}", dir.display()),
    };
    let mut findings = Vec::new();
    let listed = within(store.probe()).await.map(|()| "can be listed".to_owned());
    let reached = listed.is_ok();
    findings.push(Finding::of(
        "store: list",
        listed,
        &format!("check endpoint, region and credentials; {}", needs("s3:ListBucket")),
    ));
    if !reached {
        return findings;
    }
    let put = within(store.put_over(&name, SMALL)).await.map(|()| "a small object can be written".to_owned());
    let written = put.is_ok();
    findings.push(Finding::of("store: write", put, &needs("s3:PutObject")));
    if written {
        let read = within(store.get_small(&name, 64)).await.and_then(|bytes| match bytes == SMALL {
            true => Ok("it is read back as written".to_owned()),
            false => Err("it is read back as something else".to_owned()),
        });
        findings.push(Finding::of("store: read", read, &needs("s3:GetObject")));
        let gone = within(store.delete_all(&name))
            .await
            .map(|gone| format!("it is deleted ({} copies)", gone.len()));
        findings.push(Finding::of(
            "store: delete",
            gone,
            &needs("s3:DeleteObject and s3:DeleteObjectVersion"),
        ));
        let all = within(store.try_out()).await.map(|()| "every client sees what the other wrote".to_owned());
        findings.push(Finding::of(
            "store: search",
            all,
            &needs("s3:ListBucketVersions and s3:ListBucketMultipartUploads"),
        ));
        findings.push(match within(store.creates()).await {
            Ok(true) => Finding::ok("store: create-only", "it refuses to overwrite"),
            Ok(false) => Finding::warning(
                "store: create-only",
                "it ignores If-None-Match; each name is looked up before it is written",
                "let only this installation write to the bucket",
            ),
            Err(error) => Finding::wrong("store: create-only", error, needs("s3:PutObject")),
        });
    }
    if let Some(admin) = store.admin() {
        findings.extend(bucket(config, admin).await);
    }
    findings
}

/// What a bucket can do and must not.
async fn bucket(config: &Config, admin: &S3Admin) -> Vec<Finding> {
    let manages = matches!(&config.store, StoreConfig::S3(s3) if s3.manage_lifecycle);
    let before = OsClock.wall();
    let mut findings = vec![match within(admin.clock()).await {
        Ok(theirs) => compared("store: clock", "the store", theirs, before),
        Err(error) => {
            Finding::warning("store: clock", error, "it sends no Date: expiry has no second source from it")
        }
    }];
    findings.push(match within(admin.keeps_versions()).await {
        Ok(true) => Finding::ok("store: versions", "the bucket keeps versions; erasure removes each"),
        Ok(false) => Finding::ok("store: versions", "the bucket keeps no versions"),
        Err(error) => Finding::warning("store: versions", error, "allow s3:GetBucketVersioning"),
    });
    findings.push(match within(admin.refuse_long_lock(RETENTION_DAYS)).await {
        Ok(()) => {
            Finding::ok("store: object lock", "no default retention keeps recordings from being erased")
        }
        Err(error) => Finding::wrong("store: object lock", error, "use a bucket without a default retention"),
    });
    findings.push(match within(admin.lifecycle_drift(RETENTION_DAYS)).await {
        Ok(None) => Finding::ok("store: lifecycle", "the rule that ends everything after 90 days is there"),
        Ok(Some(_)) if manages => {
            Finding::ok("store: lifecycle", "the rule is not there yet; the recorder sets it at its start")
        }
        Ok(Some(drift)) => Finding::wrong(
            "store: lifecycle",
            format!("the rule that ends everything after 90 days is not as it must be: {drift:?}"),
            "set store.manage_lifecycle = true, or the rule by hand (docs/guide/stores.md)",
        ),
        Err(error) => Finding::warning(
            "store: lifecycle",
            error,
            "allow s3:GetLifecycleConfiguration and s3:PutLifecycleConfiguration; a store without rules lacks the second safeguard",
        ),
    });
    if let Ok(touching) = within(admin.touching(config.longest_kept_days())).await {
        findings.extend(touching.into_iter().filter(|one| one.harms).map(|one| {
            Finding::wrong(
                "store: foreign rules",
                format!("the rule `{}` {}", one.rule, one.does),
                "keep it off recordings/",
            )
        }));
    }
    findings
}

async fn within<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// Each server of PostgreSQL; SQLite is a file, whose room and mode are looked at elsewhere.
pub(super) async fn database(config: &Config) -> Vec<Finding> {
    let IndexPlace::Postgres(address) = &config.index else { return Vec::new() };
    let servers = match IndexPlace::servers(address.reveal()) {
        Ok(servers) => servers,
        Err(error) => {
            return vec![Finding::wrong("index.postgres", error.to_string(), "correct the address")];
        }
    };
    let mut findings = Vec::new();
    for server in servers {
        let host = format!("{}:{}", server.get_host(), server.get_port());
        let before = OsClock.wall();
        let asked = tokio::time::timeout(PATIENCE, async {
            let mut connection = PgConnection::connect_with(&server).await?;
            let row = sqlx::query(
                "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, pg_is_in_recovery(), \
                 has_schema_privilege(current_schema(), 'CREATE')",
            );
            let row = row.fetch_one(&mut connection).await?;
            let told =
                (row.try_get::<i64, _>(0)?, row.try_get::<bool, _>(1)?, row.try_get::<Option<bool>, _>(2)?);
            connection.close().await?;
            Ok::<_, sqlx::Error>(told)
        });
        match asked.await {
            Err(_) => findings.push(Finding::wrong(
                "index.postgres",
                format!("{host}: no answer within {} s", PATIENCE.as_secs()),
                "check the firewall, and that PostgreSQL listens on that address",
            )),
            Ok(Err(error)) => findings.push(Finding::wrong(
                "index.postgres",
                format!("{host}: {error}"),
                "check user, password, database, pg_hba.conf and sslmode",
            )),
            Ok(Ok((micros, standby, may_create))) => {
                let detail =
                    format!("{host} accepts the recorder{}", if standby { "; it is a standby" } else { "" });
                findings.push(Finding::ok("index.postgres", detail));
                if may_create != Some(true) && !standby {
                    findings.push(Finding::wrong(
                        "index.postgres: rights",
                        format!("{host}: the user may make no tables"),
                        "GRANT CREATE ON SCHEMA public TO the recorder's user, or let it own the database",
                    ));
                }
                findings.push(compared(
                    "index.postgres: clock",
                    &host,
                    WallTime::from_unix_micros(micros),
                    before,
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn clocks_agree_within_seconds() {
        let now = OsClock.wall();
        let state = |apart_s: i64| compared("clock", "x", now.plus_micros(apart_s * 1_000_000), now).state;
        assert_eq!((state(0), state(2), state(-2)), (State::Ok, State::Ok, State::Ok));
        assert_eq!((state(91 * 86_400), state(-60)), (State::Wrong, State::Wrong));
    }

    #[tokio::test]
    async fn a_store_is_tried_operation_by_operation_and_nothing_stays() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::parse(&format!("data_dir = '{}'\n", dir.path().display()), []).unwrap();
        std::fs::create_dir(dir.path().join("store")).unwrap();
        let findings = store(&config).await;
        let checks: Vec<_> = findings.iter().map(|one| one.check.as_str()).collect();
        let expected = [
            "store: list",
            "store: write",
            "store: read",
            "store: delete",
            "store: search",
            "store: create-only",
        ];
        assert_eq!(checks, expected);
        assert!(findings.iter().all(|one| one.state == State::Ok), "{findings:?}");
        let left = Store::open(&config.store).unwrap().copies("recordings/").await.unwrap();
        assert_eq!(left, []);
    }
}
