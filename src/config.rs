//! The configuration, read in two steps: `raw` is what the file and the environment say,
//! checked is what the parts may rely on.
//!
//! In: a TOML file and environment variables. Out: a [`Config`] in which every value is in
//! its range. Not here: what the parts do with it.
//!
//! The environment overrides the file: `OPTAG_API_LISTEN` is `listen` of `[api]`,
//! `OPTAG_DATA_DIR` is `data_dir`, `OPTAG_SIGN_IN_OIDC_ISSUER` is `issuer` of `[sign_in.oidc]`. Blocks such as departments come
//! from the file alone.

mod ask;
mod check;
mod cluster;
mod departments;
mod environment;
mod error;
mod files;
mod oidc;
pub mod prompts;
mod raw;
mod reload;
mod seal;
mod settings;
mod sign_in;
mod sip;
pub mod sip_client;
mod values;
mod webhooks;

use std::path::Path;
use std::time::Duration;

pub use crate::config::cluster::ClusterConfig;
pub use crate::config::environment::HANDOVER_VARIABLE;
pub use crate::config::error::ConfigError;

pub use crate::config::reload::{Changes, Written};
pub use crate::config::settings::{
    ApiConfig, AskConfig, AuditConfig, Config, EngineConfig, HoldConfig, LogConfig, LogFormat,
    MasterKeySource, RtpConfig, S3Config, S3Credentials, SealConfig, SipConfig, SpoolConfig, StoreConfig,
};

use crate::index::IndexPlace;

/// The commented configuration file; it says exactly the defaults.
pub const EXAMPLE: &str = include_str!("../docs/reference/optag.toml");

/// What a stop may take beyond its limits: the last writes, BYEs, open requests, the audit's signature.
const LAST_STEPS: Duration = Duration::from_secs(20);

impl Config {
    /// Reads `path`, if any, lets `env` override it, and checks every value.
    ///
    /// Errors: the first thing that is wrong, with its key and, in a file, its line.
    pub fn load(
        path: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        Self::parse(&read(path)?, env)
    }

    /// As [`Config::load`], from the text of a file.
    pub fn parse(text: &str, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let env: Vec<_> = env.into_iter().collect();
        let raw = raw::from_toml(text)?;
        let raw = environment::with_env(raw, &env)?;
        check::check(raw, &env)
    }

    /// What may be held. Where the bucket's expiry rule is ours, nothing can be held past it.
    pub fn hold_policy(&self) -> crate::erasure::holds::HoldPolicy {
        let HoldConfig { allowed, lawful_bases } = self.holds.clone();
        let ends_anyway = matches!(&self.store, StoreConfig::S3(s3) if s3.manage_lifecycle);
        crate::erasure::holds::HoldPolicy { allowed, lawful_bases, ends_anyway }
    }

    /// The longest that a department keeps recordings. Units: days.
    pub fn longest_kept_days(&self) -> u8 {
        self.departments.iter().map(|department| department.retention_days).max().unwrap_or_default()
    }

    /// The longest that a stop takes, with a disk that hangs.
    pub fn longest_stop(&self) -> Duration {
        self.drain_limit + self.deliver_limit + LAST_STEPS
    }

    /// Moves the data directory, and with it what lies in it.
    pub fn set_data_dir(&mut self, dir: &Path) {
        let old = std::mem::replace(&mut self.data_dir, dir.to_owned());
        let local = self.store.directory_mut();
        let master_key = match &mut self.spool.master_key {
            MasterKeySource::File(path) => Some(path),
            MasterKeySource::Command(_) | MasterKeySource::Environment(_) => None,
        };
        let index = match &mut self.index {
            IndexPlace::Sqlite(file) => Some(file),
            IndexPlace::Postgres(_) => None,
        };
        let within =
            [&mut self.spool.dir, &mut self.seal.keys_dir, &mut self.tokens_path, &mut self.signing_key_file];
        for path in
            within.into_iter().chain([&mut self.ask.prompts_dir]).chain(local).chain(index).chain(master_key)
        {
            if let Ok(rest) = path.strip_prefix(&old) {
                *path = dir.join(rest);
            }
        }
    }
}

/// The file's text; empty where there is none.
fn read(path: Option<&Path>) -> Result<String, ConfigError> {
    let Some(path) = path else { return Ok(String::new()) };
    std::fs::read_to_string(path).map_err(|source| ConfigError::File { path: path.to_owned(), source })
}

impl Default for Config {
    fn default() -> Self {
        Self::parse("", []).expect("the defaults are in range")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, [])
    }

    fn with_env(name: &str, value: &str) -> Result<Config, ConfigError> {
        Config::parse("", [(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn the_commented_file_says_exactly_the_defaults() {
        assert_eq!(parse(EXAMPLE).unwrap(), parse("").unwrap());
        assert_eq!(raw::from_toml(EXAMPLE).unwrap(), raw::RawConfig::default());
    }

    #[test]
    fn the_commented_file_names_every_key() {
        let all = toml::Table::try_from(raw::RawConfig::default()).unwrap();
        for (section, keys) in all.iter().filter_map(|(name, value)| Some((name, value.as_table()?))) {
            names_every_key(section, keys);
        }
    }

    fn names_every_key(section: &str, keys: &toml::Table) {
        assert!(EXAMPLE.contains(&format!("\n[{section}]")), "[{section}]");
        for (key, value) in keys {
            // Blocks, of which there are none unless the owner writes some, stand as an example.
            let named = match value {
                toml::Value::Table(keys) => {
                    names_every_key(&format!("{section}.{key}"), keys);
                    continue;
                }
                toml::Value::Array(_) => format!("[[{section}.{key}]]"),
                _ => format!("\n{key} = "),
            };
            assert!(EXAMPLE.contains(&named), "{section}.{key}");
        }
    }

    #[test]
    fn everything_is_on_loopback_and_two_departments_exist_by_default() {
        let config = parse("").unwrap();
        assert!(config.api.listen.ip().is_loopback() && config.metrics_listen.ip().is_loopback());
        assert!(config.rtp.listen_ip.is_loopback());
        assert_eq!((config.api.listen.port(), config.metrics_listen.port()), (8080, 9464));
        assert_eq!((config.rtp.port_min, config.rtp.port_max), (20_000, 39_999));
        let departments: Vec<_> = config.departments.iter().map(|d| (d.id.as_str(), d.record)).collect();
        assert_eq!(departments, [("demo", true), ("private", false)]);
    }

    #[test]
    fn an_unknown_key_names_its_line_and_the_nearest_known_key() {
        let error = parse("[api]\nlisen = \"127.0.0.1:1\"\n").unwrap_err().to_string();
        assert_eq!(error, "line 2: unknown key `lisen`; did you mean `listen`?");
        let error = parse("[enigne]\ntick_ms = 50\n").unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains("`engine`"), "{error}");
        let error = parse("[[department]]\nid=\"a\"\nname=\"A\"\nretention=3\n").unwrap_err().to_string();
        assert!(error.contains("line 4") && error.contains("`retention_days`"), "{error}");
    }

    #[test]
    fn the_environment_overrides_the_file_and_is_checked_as_strictly() {
        assert_eq!(with_env("OPTAG_API_LISTEN", "[::1]:9000").unwrap().api.listen.port(), 9000);
        assert_eq!(with_env("OPTAG_ENGINE_TICK_MS", "50").unwrap().engine.tick.as_millis(), 50);
        assert_eq!(with_env("OPTAG_NUMBER_COUNTRY_CODE", "49").unwrap().country_code, "49");
        assert_eq!(with_env("OPTAG_DATA_DIR", "/d").unwrap().spool.dir, Path::new("/d/spool"));
        let error = with_env("OPTAG_API_LISEN", "x").unwrap_err().to_string();
        assert!(error.contains("OPTAG_API_LISEN") && error.contains("OPTAG_API_LISTEN"), "{error}");
        let error = with_env("OPTAG_ENGINE_TICK_MS", "fast").unwrap_err().to_string();
        assert!(error.contains("OPTAG_ENGINE_TICK_MS"), "{error}");
    }

    #[test]
    fn variables_that_a_cluster_or_the_commands_set_are_no_settings() {
        for name in [
            "OPTAG_SERVICE_HOST",
            "OPTAG_SERVICE_PORT",
            "OPTAG_SERVICE_PORT_HTTP",
            "OPTAG_PORT",
            "OPTAG_PORT_8080_TCP",
            "OPTAG_METRICS_SERVICE_HOST",
            "OPTAG_METRICS_SERVICE_PORT_WEB",
            "OPTAG_METRICS_PORT",
            "OPTAG_METRICS_PORT_9464_TCP_ADDR",
            "OPTAG_SIP_PORT_5060_UDP_PROTO",
            "OPTAG_TOKEN",
            "OPTAG_CONFIG",
            "PATH",
        ] {
            with_env(name, "tcp://10.0.0.1:8080").unwrap();
        }
        assert_eq!(with_env("OPTAG_RTP_PORT_MIN", "30000").unwrap().rtp.port_min, 30_000);
        with_env("OPTAG_RTP_PORT_MNI", "30000").unwrap_err();
    }

    #[test]
    fn values_out_of_range_name_the_key_and_the_range() {
        for (text, key, range) in [
            ("[rtp]\nreorder_ms = 199", "rtp.reorder_ms", "200 to"),
            ("[rtp]\nport_min = 40000", "rtp.port_max", "40001"),
            ("[engine]\nopus_complexity = 11", "engine.opus_complexity", "0 to 10"),
            ("[engine]\nspill = \"always\"", "engine.spill", "`auto` or `never`"),
            ("[engine]\nspill_within_h = 24", "engine.spill_within_h", "1 to 20"),
            ("[spool]\nspill_max_percent = 0", "spool.spill_max_percent", "1 to 100"),
            ("[retention]\ndefault_days = 91", "retention.default_days", "1 to 90"),
            ("[consent]\ntimeout_s = 0", "consent.timeout_s", "1 to"),
            ("[api]\nlisten = \"localhost\"", "api.listen", "address:port"),
            ("[log]\nformat = \"xml\"", "log.format", "json"),
            ("[log]\nlevel = \"inof\"", "log.level", "info"),
            ("[log]\nlevel = \"info,sqlx=wran\"", "log.level", "info"),
            ("[number]\ncountry_code = \"+45\"", "number.country_code", "digits"),
            ("[store]\nkind = \"s3\"", "store.bucket", "required"),
            ("[store]\nseal = \"gpg\"", "store.seal", "`age` or `none`"),
            ("[seal]\nescrow_recipient = \"age1x\"", "seal.escrow_recipient", "age1"),
            ("[seal]\nescrow_recipient = \"\"\nescrow_to = \"/mnt\"", "seal.escrow_recipient", "required"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains(range), "{text}: {error}");
        }
    }

    #[test]
    fn departments_must_be_distinct_and_their_keys_unmistakable() {
        let department = |extra: &str| format!("[[department]]\nid = \"a\"\nname = \"A\"\n{extra}\n");
        for (extra, part) in [
            ("retention_days = 0", "retention_days"),
            ("[department.keys]\nyes = \"1\"\nno = \"12\"", "prefix"),
            ("[department.keys]\nyes = \"2\"", "prefix"),
            ("[department.keys]\nyes = \"ja\"", "keys.yes"),
            ("[department.keys]\nno = \"\"", "keys.no"),
        ] {
            let error = parse(&department(extra)).unwrap_err().to_string();
            assert!(error.contains("department `a`") && error.contains(part), "{error}");
        }
        let twice = department("") + &department("");
        assert!(parse(&twice).unwrap_err().to_string().contains("twice"));
        assert_eq!(parse(&department("record = true")).unwrap().departments.len(), 1);
    }

    #[test]
    fn an_index_lies_in_one_place_that_can_be_one() {
        for wrong in [
            "postgres = 'mysql://db/optag'",
            "postgres = 'db.example'",
            "postgres = 'postgres://db/optag?sslmode=perhaps'",
            "postgres = 'postgres://db/optag'\npath = '/i.sqlite'",
        ] {
            let error = parse(&format!("[index]\n{wrong}")).unwrap_err().to_string();
            assert!(error.contains("index.postgres"), "{wrong}: {error}");
        }
        let config =
            parse("[index]\npostgres = 'postgres://optag:word@db/optag?sslmode=verify-full'").unwrap();
        assert!(matches!(&config.index, IndexPlace::Postgres(_)));
        assert!(!format!("{config:?}").contains("word@"));
    }

    #[test]
    fn moving_the_data_directory_moves_what_lies_in_it_alone() {
        let mut config = parse("[spool]\ndir = \"/fast/spool\"").unwrap();
        config.set_data_dir(Path::new("/d"));
        assert_eq!(config.spool.dir, Path::new("/fast/spool"));
        assert_eq!(config.index, IndexPlace::Sqlite("/d/index.sqlite".into()));
        assert_eq!(config.store, StoreConfig::Local { dir: "/d/store".into() });
    }

    #[test]
    fn the_master_key_comes_from_the_environment_before_a_command_before_a_file() {
        let of = |text: &str, env: &[(&str, &str)]| {
            let env = env.iter().map(|(name, value)| (name.to_string(), value.to_string()));
            Config::parse(text, env).unwrap().spool.master_key
        };
        let command = "[seal]\nmaster_key_command = \"vault read key\"";
        let (one, two) = (of(command, &[]), of(command, &[("OPTAG_MASTER_KEY", "00ff")]));
        assert_eq!(one, MasterKeySource::Command("vault read key".into()));
        assert_eq!(two, MasterKeySource::Environment("00ff".to_owned().into()));
        assert!(!format!("{two:?}").contains("00ff"));
        assert_eq!(of("", &[]), MasterKeySource::File("./optag-data/master.key".into()));
    }

    #[test]
    fn service_managers_wait_as_long_as_a_stop_may_take() {
        let longest_s = Config::default().longest_stop().as_secs();
        let unit = include_str!("../contrib/systemd/optag.service");
        let compose = include_str!("../docker/compose.yaml");
        for (text, key) in [(unit, "TimeoutStopSec="), (compose, "stop_grace_period: ")] {
            let value = text.split_once(key).unwrap().1.lines().next().unwrap();
            let waits_s: u64 = value.trim_end_matches('s').parse().unwrap();
            assert!(waits_s >= longest_s, "{key}{waits_s}: a stop takes up to {longest_s} s");
        }
    }

    #[test]
    fn an_s3_secret_is_not_printed() {
        let env = [("AWS_ACCESS_KEY_ID", "AKIDKNOWN"), ("AWS_SECRET_ACCESS_KEY", "known-secret")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = Config::parse("[store]\nkind = \"s3\"\nbucket = \"calls\"", env).unwrap();
        let StoreConfig::S3(s3) = &config.store else { panic!("no S3 store") };
        assert_eq!(s3.credentials.as_ref().unwrap().secret_access_key.reveal(), "known-secret");
        assert!(!format!("{config:?}").contains("known-secret"));
    }
}
