//! The log: lines on standard error, as text or JSON.
//!
//! In: `tracing` events. Out: lines. Personal data is kept out where it arises, by
//! `base::private`; nothing here filters it.

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::config::{LogConfig, LogFormat};

/// Starts logging to standard error, for the whole process.
///
/// Errors: logging has been started already.
pub fn init(config: &LogConfig) -> Result<(), tracing::subscriber::SetGlobalDefaultError> {
    tracing::subscriber::set_global_default(subscriber(config, std::io::stderr))
}

/// What [`init`] installs, writing to `writer`.
pub fn subscriber<W>(config: &LogConfig, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&config.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match config.format {
        LogFormat::Text => Box::new(lines.with_ansi(false).finish()),
        LogFormat::Json => Box::new(lines.json().flatten_event(true).finish()),
    }
}

/// What was logged, for tests that read it.
#[cfg(test)]
#[derive(Clone, Default)]
pub(crate) struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

#[cfg(test)]
impl Lines {
    /// Every line so far.
    pub fn text(&self) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_line_is_one_object_and_the_level_filters() {
        let lines = Lines::default();
        let sink = lines.clone();
        let config = LogConfig { format: LogFormat::Json, level: "info".into() };
        tracing::subscriber::with_default(subscriber(&config, move || sink.clone()), || {
            tracing::info!(calls = 3, "up");
            tracing::debug!("hidden");
        });
        let text = lines.text();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((line["message"].as_str(), line["calls"].as_u64()), (Some("up"), Some(3)));
    }
}
