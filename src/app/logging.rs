//! The log: lines on standard error, as text or JSON.
//!
//! In: `tracing` events. Out: lines. Personal data is hidden by its own types (`optag_core::private`); nothing here
//! filters it.

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{LogConfig, LogFormat};

/// Changes the log level at run time, by directives as in the configuration.
pub struct Levels(Box<dyn Fn(EnvFilter) -> bool + Send + Sync>);

impl Levels {
    /// Sets other directives; false: invalid directives, or logging has ended.
    pub fn set(&self, level: &str) -> bool {
        EnvFilter::try_new(level).is_ok_and(|filter| (self.0)(filter))
    }
}

/// Starts logging to standard error, for the whole process.
///
/// Errors: logging is already started.
pub fn init(config: &LogConfig) -> Result<Levels, tracing::subscriber::SetGlobalDefaultError> {
    let (subscriber, levels) = subscriber(config, std::io::stderr);
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(levels)
}

/// The subscriber that [`init`] installs, writing to `writer`.
pub fn subscriber<W>(config: &LogConfig, writer: W) -> (Box<dyn Subscriber + Send + Sync>, Levels)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&config.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match config.format {
        LogFormat::Text => {
            let lines = lines.with_ansi(false).with_filter_reloading();
            let handle = lines.reload_handle();
            let set = move |filter| handle.reload(filter).is_ok();
            (Box::new(lines.finish()), Levels(Box::new(set)))
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let handle = lines.reload_handle();
            let set = move |filter| handle.reload(filter).is_ok();
            (Box::new(lines.finish()), Levels(Box::new(set)))
        }
    }
}

/// Captured log lines, for tests.
#[cfg(test)]
#[derive(Clone, Default)]
struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

#[cfg(test)]
impl Lines {
    /// All lines so far.
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[cfg(test)]
impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs `run` and returns what it logs on this thread, through a subscriber as [`init`] installs it.
///
/// While a process has only one subscriber, `tracing` asks the thread that first reaches a log statement whether it
/// is enabled, and caches the answer for all threads: a concurrent test would disable it. A second subscriber that
/// exists as long as the process prevents that.
#[cfg(test)]
pub(crate) fn capture(config: &LogConfig, run: impl FnOnce()) -> String {
    static SECOND: std::sync::OnceLock<tracing::Dispatch> = std::sync::OnceLock::new();
    SECOND.get_or_init(|| tracing::Dispatch::new(tracing_subscriber::registry()));
    let lines = Lines::default();
    let sink = lines.clone();
    tracing::subscriber::with_default(subscriber(config, move || sink.clone()).0, run);
    lines.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_line_is_one_object_and_the_level_filters() {
        let config = LogConfig { format: LogFormat::Json, level: "info".into() };
        let text = capture(&config, || {
            tracing::info!(calls = 3, "up");
            tracing::debug!("hidden");
        });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((line["message"].as_str(), line["calls"].as_u64()), (Some("up"), Some(3)));
    }

    #[test]
    fn a_line_first_reached_by_a_thread_without_a_subscriber_is_captured_on_another() {
        fn line() {
            tracing::info!("reached");
        }
        let config = LogConfig { format: LogFormat::Text, level: "info".into() };
        let text = capture(&config, || {
            std::thread::spawn(line).join().unwrap();
            line();
        });
        assert_eq!(text.matches("reached").count(), 1, "{text}");
    }
}
