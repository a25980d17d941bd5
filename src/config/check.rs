//! From raw to checked: every value in its range, every default path resolved.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::departments;
use crate::config::error::ConfigError;
use crate::config::raw::{RawConfig, RawEmployees, RawStore};
use crate::config::seal;
use crate::config::settings::*;
use crate::config::values::{number, path_or, wrong};
use crate::disclosure::owner::Owner;
use crate::erasure::sweep_horizon::SweepLimits;
use crate::index::IndexPlace;
use optag_core::limit;
use optag_core::private::Private;
use optag_media::dtmf::tone_listener::{ToneSettings, TonesInOpus};
use optag_sip::objections::{Objections, OnObjection};
use optag_sip::sip::allow_list::AllowList;
use optag_storage::store::s3::endpoint::Place;

/// Checks everything. `env` gives S3 credentials (`AWS_…`), nothing else.
pub(super) fn check(raw: RawConfig, env: &[(String, String)]) -> Result<Config, ConfigError> {
    let data_dir = PathBuf::from(&raw.data_dir);
    if raw.data_dir.is_empty() {
        return Err(wrong("data_dir", "a directory is required"));
    }
    let days =
        number("retention.default_days", raw.retention.default_days, 1..=limit::RETENTION_DAYS.into())?;
    let early_s = number("consent.early_s", raw.consent.early_s, 1..=3_600)?;
    let timeout_s = number("consent.timeout_s", raw.consent.timeout_s, 1..=600)?;
    let country_code = raw.number.country_code;
    if country_code.len() > 3 || !country_code.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong("number.country_code", "up to 3 digits, without +"));
    }
    let objections = objections(&raw.employees, &country_code)?;
    let prompts_dir = path_or(&raw.ask.prompts_dir, &data_dir, "prompts");
    let written = raw.prompt.into_iter().chain(crate::config::prompts::stored(&prompts_dir)?).collect();
    let prompts = crate::config::prompts::check(written, &raw.department)?;
    let asked: Vec<String> = raw.ask.department.iter().map(|one| one.id.clone()).collect();
    let departments = departments::check(raw.department, &prompts, days as u8, timeout_s, &asked)?;
    let index = index(raw.index, &data_dir)?;
    let ids: Vec<&str> = departments.iter().map(|department| department.id.as_str()).collect();
    let rtp = rtp(&raw.rtp)?;
    let ask = crate::config::ask::check(&raw.ask, (&departments, &prompts), &raw.sip, &prompts_dir)?;
    if ask.is_on() && ask.max_asks > rtp.pairs() / 2 {
        return Err(wrong(
            "ask.max_asks",
            "at most half of the pairs of RTP ports (rtp.port_min to rtp.port_max)",
        ));
    }
    Ok(Config {
        cluster: crate::config::cluster::check(raw.cluster, &index)?,
        webhooks: crate::config::webhooks::check(&raw.webhook)?,
        ask,
        sip: crate::config::sip::check(raw.sip, &departments)?,
        prompts,
        api: ApiConfig {
            listen: address("api.listen", &raw.api.listen)?,
            max_connections: number("api.max_connections", raw.api.max_connections, 1..=65_535)? as usize,
            max_requests: number("api.max_requests", raw.api.max_requests, 1..=65_535)? as usize,
            header_timeout: seconds("api.header_timeout_s", raw.api.header_timeout_s, 1..=120)?,
            request_timeout: seconds("api.request_timeout_s", raw.api.request_timeout_s, 1..=600)?,
            max_connections_per_address: number(
                "api.max_connections_per_address",
                raw.api.max_connections_per_address,
                1..=65_535,
            )? as usize,
            max_client_streams_percent: number(
                "api.max_client_streams_percent",
                raw.api.max_client_streams_percent,
                1..=100,
            )? as u8,
            write_timeout: seconds("api.write_timeout_s", raw.api.write_timeout_s, 1..=600)?,
            trusted_proxies: proxies(&raw.api.trusted_proxies)?,
            learn_rtp_source: raw.api.learn_rtp_source,
        },
        sign_in: crate::config::sign_in::check(raw.sign_in, &ids)?,
        metrics_listen: address("metrics.listen", &raw.metrics.listen)?,
        rtp,
        engine: engine(&raw.engine)?,
        tones: tones(&raw.keys)?,
        spool: SpoolConfig {
            dir: path_or(&raw.spool.dir, &data_dir, "spool"),
            max_bytes: number("spool.max_gib", raw.spool.max_gib, 1..=65_536)? << 30,
            min_free_bytes: number("spool.min_free_gib", raw.spool.min_free_gib, 0..=65_536)? << 30,
            packed_max_bytes: {
                let percent = number("spool.spill_max_percent", raw.spool.spill_max_percent, 1..=100)?;
                ((raw.spool.max_gib as u64) << 30) / 100 * percent
            },
            segment_bytes: number("spool.segment_mib", raw.spool.segment_mib, 1..=1_024)? << 20,
            master_key: seal::master_key(&raw.seal, &raw.spool.master_key_file, &data_dir, env),
        },
        seal: seal::seal(&raw.store.seal, &raw.seal, &data_dir)?,
        store: store(raw.store, &data_dir, env)?,
        index,
        tokens_path: data_dir.join("tokens.json"),
        sweep_interval: seconds("retention.sweep_interval_s", raw.retention.sweep_interval_s, 1..=900)?,
        sweep_limits: SweepLimits {
            percent: number("retention.sweep_limit_percent", raw.retention.sweep_limit_percent, 1..=100)?
                as u8,
            days: number("retention.sweep_limit_days", raw.retention.sweep_limit_days, 1..=90)? as u8,
        },
        holds: HoldConfig {
            allowed: raw.retention.legal_hold,
            lawful_bases: listed(&raw.retention.hold_lawful_bases),
        },
        signing_key_file: path_or(&raw.retention.signing_key_file, &data_dir, "signing.key"),
        audit: AuditConfig {
            keep_days: number("audit.keep_days", raw.audit.keep_days, 1..=3_650)? as u32,
            checkpoint_interval: seconds(
                "audit.checkpoint_interval_s",
                raw.audit.checkpoint_interval_s,
                1..=86_400,
            )?,
            anchor_dir: Some(PathBuf::from(raw.audit.anchor_dir)).filter(|dir| !dir.as_os_str().is_empty()),
        },
        time_zone: time_zone(raw.search.time_zone)?,
        country_code,
        early_answers: Duration::from_secs(early_s),
        log: LogConfig { format: log_format(&raw.log.format)?, level: log_level(raw.log.level)? },
        drain_limit: seconds("shutdown.drain_limit_s", raw.shutdown.drain_limit_s, 0..=86_400)?,
        deliver_limit: seconds("shutdown.deliver_limit_s", raw.shutdown.deliver_limit_s, 0..=3_600)?,
        confine: raw.process.confine,
        disclosure: disclosure(raw.disclosure)?,
        objections,
        departments,
        data_dir,
    })
}

fn objections(raw: &RawEmployees, country_code: &str) -> Result<Objections, ConfigError> {
    let then = match raw.on_objection.as_str() {
        "others_only" => OnObjection::OthersOnly,
        "not_recorded" => OnObjection::NotRecorded,
        _ => return Err(wrong("employees.on_objection", "`others_only` or `not_recorded`")),
    };
    Ok(Objections::new(listed(&raw.objecting), country_code, then))
}

fn proxies(text: &str) -> Result<AllowList, ConfigError> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    AllowList::parse(entries)
        .map_err(|_| wrong("api.trusted_proxies", "addresses and networks such as 192.0.2.0/24, with commas"))
}

fn disclosure(raw: crate::config::raw::RawDisclosure) -> Result<Owner, ConfigError> {
    let zone = jiff::tz::TimeZone::get(&raw.time_zone);
    let url = raw.public_url.trim_end_matches('/').to_owned();
    if !url.is_empty() && !url.starts_with("https://") && !url.starts_with("http://127.0.0.1") {
        return Err(wrong("disclosure.public_url", "an https:// address, or empty"));
    }
    Ok(Owner {
        controller: raw.controller,
        contact: raw.contact,
        data_protection_officer: raw.data_protection_officer,
        recipients: raw.recipients,
        authority: raw.authority,
        name_staff: raw.name_staff,
        time_zone: zone.map_err(|_| wrong("disclosure.time_zone", "a zone such as Europe/Copenhagen"))?,
        public_url: url,
    })
}

fn index(raw: crate::config::raw::RawIndex, data_dir: &Path) -> Result<IndexPlace, ConfigError> {
    let address = raw.postgres.as_str();
    if address.is_empty() {
        return Ok(IndexPlace::Sqlite(path_or(&raw.path, data_dir, "index.sqlite")));
    }
    if !raw.path.is_empty() {
        return Err(wrong("index.postgres", "empty where index.path is not"));
    }
    let allowed = "an address such as postgres://optag@db.example/optag, or empty";
    IndexPlace::postgres(address).map_err(|_| wrong("index.postgres", allowed))
}

/// Texts with semicolons between.
fn listed(text: &str) -> Vec<String> {
    text.split(';').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect()
}

fn time_zone(name: String) -> Result<String, ConfigError> {
    match jiff::tz::TimeZone::get(&name) {
        Ok(_) => Ok(name),
        Err(_) => Err(wrong("search.time_zone", "the name of a time zone such as Europe/Copenhagen")),
    }
}

fn rtp(raw: &crate::config::raw::RawRtp) -> Result<RtpConfig, ConfigError> {
    let listen_ip = ip("rtp.listen_ip", &raw.listen_ip)?;
    let advertised_ip = match raw.advertised_ip.as_str() {
        "" => listen_ip,
        text => ip("rtp.advertised_ip", text)?,
    };
    if advertised_ip.is_unspecified() {
        return Err(wrong("rtp.advertised_ip", "required where rtp.listen_ip is 0.0.0.0 or ::"));
    }
    let port_min = number("rtp.port_min", raw.port_min, 1_024..=65_534)? as u16;
    let port_max = number("rtp.port_max", raw.port_max, i64::from(port_min) + 1..=65_535)? as u16;
    Ok(RtpConfig {
        listen_ip,
        advertised_ip,
        port_min,
        port_max,
        reorder: Duration::from_millis(number("rtp.reorder_ms", raw.reorder_ms, 200..=5_000)?),
        timeout: seconds("rtp.timeout_s", raw.timeout_s, 5..=86_400)?,
        rtcp_reports: raw.rtcp_reports,
        resume_within: seconds("rtp.resume_within_s", raw.resume_within_s, 0..=43_200)?,
        socket_buffer_bytes: (number("rtp.socket_buffer_kib", raw.socket_buffer_kib, 16..=16_384)? << 10)
            as usize,
    })
}

fn engine(raw: &crate::config::raw::RawEngine) -> Result<EngineConfig, ConfigError> {
    let workers = match number("engine.workers", raw.workers, 0..=1_024)? {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers as usize,
    };
    let wideband =
        number("engine.opus_wideband_bitrate_bps", raw.opus_wideband_bitrate_bps, 6_000..=128_000)?;
    let pass_through = raw.opus_pass_through_max_bps;
    let pass_through = number("engine.opus_pass_through_max_bps", pass_through, 0..=510_000)?;
    let spills = match raw.spill.as_str() {
        "auto" => true,
        "never" => false,
        _ => return Err(wrong("engine.spill", "`auto` or `never`")),
    };
    // Before the day of the shortest retention is over.
    let spill_within_h = number("engine.spill_within_h", raw.spill_within_h, 1..=20)?;
    Ok(EngineConfig {
        workers,
        tick: Duration::from_millis(number("engine.tick_ms", raw.tick_ms, 20..=200)?),
        opus_bitrate_bps: number("engine.opus_bitrate_bps", raw.opus_bitrate_bps, 6_000..=64_000)? as u32,
        opus_complexity: number("engine.opus_complexity", raw.opus_complexity, 0..=10)? as u8,
        adaptive_complexity: raw.adaptive_complexity,
        spills,
        spill_within: Duration::from_secs(3_600 * spill_within_h),
        saves_background: raw.saves_background,
        opus_wideband_bitrate_bps: wideband as u32,
        opus_pass_through_max_bps: pass_through as u32,
    })
}

fn tones(raw: &crate::config::raw::RawKeys) -> Result<ToneSettings, ConfigError> {
    let in_opus = match raw.tones_in_opus.as_str() {
        "without_events" => TonesInOpus::WithoutEvents,
        "always" => TonesInOpus::Always,
        "never" => TonesInOpus::Never,
        _ => return Err(wrong("keys.tones_in_opus", "`without_events`, `always` or `never`")),
    };
    Ok(ToneSettings { count: raw.tones, in_opus })
}

fn store(raw: RawStore, data_dir: &Path, env: &[(String, String)]) -> Result<StoreConfig, ConfigError> {
    match raw.kind.as_str() {
        "local" => Ok(StoreConfig::Local { dir: path_or(&raw.dir, data_dir, "store") }),
        "s3" => {
            let filled = |text: String| Some(text).filter(|text| !text.is_empty());
            let endpoint = filled(raw.endpoint);
            if endpoint.as_ref().is_some_and(|url| url.starts_with("http://")) && !raw.allow_http {
                return Err(wrong("store.endpoint", "https:// is required unless store.allow_http = true"));
            }
            let s3 = S3Config {
                bucket: filled(raw.bucket)
                    .ok_or_else(|| wrong("store.bucket", "a bucket is required with store.kind = \"s3\""))?,
                endpoint,
                region: raw.region,
                credentials: credentials(env)?,
                credentials_file: filled(raw.credentials_file).map(PathBuf::from),
                proxy: filled(raw.proxy).map(Private::new),
                path_style: raw.path_style,
                allow_http: raw.allow_http,
                ca_file: filled(raw.ca_file).map(PathBuf::from),
                manage_lifecycle: raw.manage_lifecycle,
            };
            // Refused here rather than at the first request.
            match Place::new(&s3) {
                Ok(_) => Ok(StoreConfig::S3(s3)),
                Err(why) => Err(wrong("store", &why.to_string())),
            }
        }
        _ => Err(wrong("store.kind", "`local` or `s3`")),
    }
}

/// From the environment, if both are there. One alone is a slip: nothing else is tried then.
fn credentials(env: &[(String, String)]) -> Result<Option<S3Credentials>, ConfigError> {
    let get = |name: &str| {
        let value = env.iter().find(|(variable, value)| variable == name && !value.is_empty());
        value.map(|(_, value)| Private::new(value.clone()))
    };
    match (get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY")) {
        (None, None) => Ok(None),
        (Some(access_key_id), Some(secret_access_key)) => Ok(Some(S3Credentials {
            access_key_id,
            secret_access_key,
            session_token: get("AWS_SESSION_TOKEN"),
        })),
        (None, Some(_)) => Err(wrong("AWS_ACCESS_KEY_ID", "required beside AWS_SECRET_ACCESS_KEY")),
        (Some(_), None) => Err(wrong("AWS_SECRET_ACCESS_KEY", "required beside AWS_ACCESS_KEY_ID")),
    }
}

fn log_format(text: &str) -> Result<LogFormat, ConfigError> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(wrong("log.format", "`text` or `json`")),
    }
}

/// A level, or directives with commas. A word that is no level would be taken for the name of a
/// module, whose lines alone would then be logged: it is a misspelt level.
fn log_level(level: String) -> Result<String, ConfigError> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let known = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word.trim()));
    let plain = |part: &str| match part.rsplit_once('=') {
        Some((_, level)) => known(level),
        None => known(part),
    };
    if level.split(',').all(plain) && tracing_subscriber::EnvFilter::try_new(&level).is_ok() {
        return Ok(level);
    }
    Err(wrong("log.level", "off, error, warn, info, debug, trace, or directives such as info,sqlx=warn"))
}

fn seconds(key: &str, value: i64, range: RangeInclusive<i64>) -> Result<Duration, ConfigError> {
    number(key, value, range).map(Duration::from_secs)
}

fn address(key: &str, text: &str) -> Result<SocketAddr, ConfigError> {
    text.parse().map_err(|_| wrong(key, "expected address:port, such as 127.0.0.1:8080 or [::1]:8080"))
}

fn ip(key: &str, text: &str) -> Result<IpAddr, ConfigError> {
    text.parse().map_err(|_| wrong(key, "expected an IPv4 or IPv6 address"))
}
