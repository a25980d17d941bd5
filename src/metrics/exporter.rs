//! The recorder behind the metrics, and its text.

use ::metrics::{Recorder, SetRecorderError, Unit, with_local_recorder};
use ::metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::catalog::{ALL, BUILD_INFO, Kind, Metric};

/// Renders what was recorded. Clones share it.
#[derive(Clone)]
pub struct Exporter {
    handle: PrometheusHandle,
}

impl Exporter {
    /// Makes this the process's recorder and describes every metric.
    ///
    /// Errors: there is one already.
    pub fn install() -> Result<Self, SetRecorderError<PrometheusRecorder>> {
        let (recorder, exporter) = Self::build();
        ::metrics::set_global_recorder(recorder)?;
        Ok(exporter)
    }

    /// A recorder with every metric described, and its exporter.
    pub fn build() -> (PrometheusRecorder, Self) {
        let builder = ALL.iter().fold(PrometheusBuilder::new(), |builder, metric| match metric.kind {
            Kind::Histogram(bounds) => builder
                .set_buckets_for_metric(Matcher::Full(metric.name.into()), bounds)
                .expect("every histogram has bounds"),
            _ => builder,
        });
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        describe(&recorder);
        (recorder, Self { handle })
    }

    /// Every metric in the Prometheus text format.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds samples of histograms together; call it every few seconds.
    pub fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }
}

/// Describes all metrics and lets their known series begin at zero.
fn describe(recorder: &dyn Recorder) {
    with_local_recorder(recorder, || {
        for metric in ALL {
            let unit = unit(metric.name);
            match metric.kind {
                Kind::Counter => describe_counter!(metric.name, unit, metric.help),
                Kind::Gauge => describe_gauge!(metric.name, unit, metric.help),
                Kind::Histogram(_) => describe_histogram!(metric.name, unit, metric.help),
            }
            begin(metric);
        }
        gauge!(BUILD_INFO.name, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    });
}

/// A metric without labels, or with one whose values are known, is there from the start.
fn begin(metric: &Metric) {
    let series: Vec<Vec<::metrics::Label>> = match metric.labels {
        [] => vec![Vec::new()],
        [(label, values)] => values.iter().map(|value| vec![::metrics::Label::new(*label, *value)]).collect(),
        _ => Vec::new(),
    };
    for labels in series {
        match metric.kind {
            Kind::Counter => counter!(metric.name, labels).absolute(0),
            Kind::Gauge => gauge!(metric.name, labels).set(0.0),
            Kind::Histogram(_) => drop(::metrics::histogram!(metric.name, labels)),
        }
    }
}

fn unit(name: &str) -> Unit {
    let base = name.strip_suffix("_total").unwrap_or(name);
    match base.rsplit('_').next() {
        Some("seconds") => Unit::Seconds,
        Some("bytes") => Unit::Bytes,
        _ => Unit::Count,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::io::Write;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;
    use crate::metrics;
    use optag_core::call::{ConsentHow, ConsentState, NoAudio, Outcome};

    fn rendered() -> String {
        let (recorder, exporter) = Exporter::build();
        with_local_recorder(&recorder, || {
            metrics::call_ended(Outcome::NoAudio(NoAudio::NoPackets));
            metrics::consent_changed(ConsentState::Granted, ConsentHow::Key);
            metrics::http_answered("/api/v1/calls", 201, Duration::from_millis(2));
            metrics::sip(&[("sessions", 2), ("invites", 1)]);
            metrics::sip_responses([("INVITE", "200".to_owned(), 4)].into_iter());
            metrics::audio_kept("demo", &[]);
            metrics::webhook("crm", metrics::Webhook::Delivered, 1);
            metrics::webhook_waits("crm", 1, Duration::from_secs(1));
            metrics::certificate_expires("sip", Default::default());
            metrics::ticks(Duration::from_millis(7), 3);
            metrics::stored(1_000, Duration::from_millis(20));
            metrics::spool_synced(Duration::from_millis(3), 1);
            metrics::sip(&[("requests", 3), ("sessions", 1)]);
            metrics::engine_totals(Duration::from_secs(9), Duration::from_secs(4), Duration::from_secs(1));
        });
        exporter.run_upkeep();
        exporter.render()
    }

    #[test]
    fn every_metric_is_rendered_once_with_help_and_type() {
        let text = rendered();
        for metric in ALL {
            let lines = |head: &str| {
                let start = format!("# {head} {} ", metric.name);
                text.lines().filter(|line| line.starts_with(&start)).count()
            };
            assert_eq!((lines("HELP"), lines("TYPE")), (1, 1), "{}\n{text}", metric.name);
        }
        assert!(text.contains("optag_tick_seconds_bucket{le=\"0.01\"} 3"), "{text}");
        assert!(text.contains("optag_outcomes_total{outcome=\"no_audio\",cause=\"no_packets\"} 1"), "{text}");
    }

    #[test]
    fn names_carry_our_prefix_and_follow_the_conventions() {
        let mut seen = HashSet::new();
        for metric in ALL {
            let prefixes = ["optag_", "process_"];
            let prefixed = prefixes.iter().any(|prefix| metric.name.starts_with(prefix));
            assert!(prefixed && seen.insert(metric.name), "{}", metric.name);
            assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
            assert!(metric.help.ends_with('.') && !metric.help.contains('\n'), "{}", metric.name);
        }
    }

    const ALERTS: &str = include_str!("../../docker/prometheus-alerts.yml");

    #[test]
    fn every_alert_asks_for_metrics_that_there_are() {
        let name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        // What rules record has a colon in its name.
        let recorded: Vec<&str> =
            ALERTS.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).collect();
        for expression in ALERTS.split("expr:").skip(1) {
            let expression = expression.split("annotations:").next().unwrap();
            let asked = expression.split(|c| !name(c)).filter(|word| word.starts_with("optag"));
            let (rules, asked): (Vec<&str>, Vec<&str>) =
                asked.filter(|word| *word != "optag").partition(|word| word.contains(':'));
            assert!(!asked.is_empty() || !rules.is_empty(), "{expression}");
            for rule in rules {
                assert!(recorded.contains(&rule), "{rule} in {expression}");
            }
            for word in asked {
                let is_part = |metric: &Metric| {
                    let part = word.strip_prefix(metric.name);
                    matches!(metric.kind, Kind::Histogram(_))
                        && matches!(part, Some("_bucket" | "_count" | "_sum"))
                };
                let is_there = ALL.iter().any(|metric| metric.name == word || is_part(metric));
                assert!(is_there, "{word} in {expression}");
            }
        }
    }

    #[test]
    fn promtool_takes_the_alerts_where_it_is_installed() {
        let alerts = concat!(env!("CARGO_MANIFEST_DIR"), "/docker/prometheus-alerts.yml");
        let done = match Command::new("promtool").args(["check", "rules", alerts]).output() {
            Ok(done) => done,
            Err(error) => return println!("skipped: promtool does not start: {error}"),
        };
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    #[test]
    fn promtool_finds_no_fault_where_it_is_installed() {
        let started = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut promtool = match started {
            Ok(promtool) => promtool,
            Err(error) => return println!("skipped: promtool does not start: {error}"),
        };
        promtool.stdin.take().unwrap().write_all(rendered().as_bytes()).unwrap();
        let done = promtool.wait_with_output().unwrap();
        let said =
            String::from_utf8_lossy(&done.stderr).into_owned() + &String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && said.trim().is_empty(), "{said}");
    }
}
