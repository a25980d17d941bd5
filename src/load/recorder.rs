//! The recorder under load: started for the run, or already running; and its cost. In: a program, or a
//! process id. Out: figures before and after.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;

use super::usage::Usage;

/// A recorder started for the run, on loopback, with a temporary data directory.
pub struct OwnRecorder {
    child: Child,
    _stdout: BufReader<ChildStdout>,
    dir: PathBuf,
    /// Its API address.
    pub api: String,
    /// Its metrics address.
    pub metrics: String,
    /// Its SIP addresses: for UDP and for TCP.
    pub sip: [String; 2],
    /// An admin token.
    pub token: String,
}

impl OwnRecorder {
    /// Starts `program serve` and waits until it is ready. `settings` override the configuration, such as
    /// `("OPTAG_ENGINE_OPUS_COMPLEXITY", "10")`.
    ///
    /// Errors: it does not start; see its log.
    pub fn start(program: &Path, settings: &[(&str, String)]) -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("optag-load-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let config = dir.join("optag.toml");
        let text = format!(
            "data_dir = {:?}\n[api]\nlisten = \"127.0.0.1:0\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n\
             [sip]\nlisten_udp = \"127.0.0.1:0\"\nlisten_tcp = \"127.0.0.1:0\"\n[log]\nlevel = \"warn\"\n",
            dir.join("data")
        );
        std::fs::write(&config, text)?;
        let mut child = Command::new(program)
            .args(["serve", "--config"])
            .arg(&config)
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut stdout = BufReader::new(child.stdout.take().context("cannot read its output")?);
        let mut sip = <[String; 2]>::default();
        loop {
            let mut line = String::new();
            if stdout.read_line(&mut line)? == 0 {
                bail!("the recorder exited early: {}", child.wait()?);
            }
            if let Some((_, address)) = line.split_once("SIPREC over ") {
                let at = usize::from(address.starts_with("TCP"));
                sip[at] = address.split(": ").nth(1).unwrap_or_default().trim().to_owned();
            }
            if let Some((_, rest)) = line.split_once("API ") {
                let (api, metrics) =
                    rest.trim().split_once(", metrics ").context("no addresses in its output")?;
                let (api, metrics) = (api.to_owned(), metrics.to_owned());
                let token = token(program, &config, settings)?;
                return Ok(Self { child, _stdout: stdout, dir, api, metrics, sip, token });
            }
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for OwnRecorder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Makes an admin token as an administrator does.
fn token(program: &Path, config: &Path, settings: &[(&str, String)]) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    command.args(["token", "create", "load", "--role", "admin", "--config"]).arg(config);
    let made = command.envs(settings.iter().map(|(name, value)| (name, value))).output()?;
    if !made.status.success() {
        bail!("cannot create a token: {}", String::from_utf8_lossy(&made.stderr));
    }
    Ok(String::from_utf8(made.stdout)?.trim().to_owned())
}

/// Resources used by a recorder in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// User time. Units: s.
    pub user_s: f64,
    /// System time. Units: s.
    pub system_s: f64,
    /// Two-party calls × seconds after consent.
    pub call_seconds: f64,
    /// Processor time per call-second. Units: ms.
    pub cpu_ms_per_call_second: f64,
    /// Peak resident memory. Units: KiB.
    pub rss_peak_kib: u64,
    /// Number of threads at the end.
    pub threads: u64,
    /// Datagrams dropped by the kernel, if the metrics are known.
    pub kernel_drops: Option<u64>,
    /// Time inside the encoder as reported by the recorder, if the metrics are known.
    /// Units: s.
    pub encoder_s: Option<f64>,
}

/// A monitored recorder.
pub struct Watch {
    pid: u32,
    metrics: Option<String>,
    before: Usage,
    page_before: Page,
}

impl Watch {
    /// Starts measuring. `metrics` is the URL of its metrics listener.
    ///
    /// Errors: there is no such process or listener.
    pub async fn begin(pid: u32, metrics: Option<String>) -> anyhow::Result<Self> {
        let page_before = Page::read(metrics.as_deref()).await?;
        Ok(Self { before: Usage::of(pid)?, pid, metrics, page_before })
    }

    /// Processor time since the start of measuring. Units: s.
    ///
    /// Errors: the process has ended.
    pub fn cpu_s(&self) -> anyhow::Result<f64> {
        Ok(Usage::of(self.pid)?.cpu_s() - self.before.cpu_s())
    }

    /// The increase of a metric since the start of measuring, if the recorder's metrics are known and it is among
    /// them; all its label values added up.
    ///
    /// Errors: the recorder does not answer.
    pub async fn increase(&self, metric: &str) -> anyhow::Result<Option<f64>> {
        Ok(Page::read(self.metrics.as_deref()).await?.since(&self.page_before, metric))
    }

    /// Waits until the recorder has stored this many more recordings, if its metrics are known.
    ///
    /// Errors: it does not `within` that time.
    pub async fn stored(&self, recordings: usize, within: Duration) -> anyhow::Result<()> {
        let until = tokio::time::Instant::now() + within;
        while self.metrics.is_some() {
            let stored = self.increase("optag_stored_objects_total").await?.unwrap_or(0.0);
            if stored >= recordings as f64 {
                break;
            }
            if tokio::time::Instant::now() > until {
                bail!("{stored} of {recordings} recordings were stored");
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    }

    /// Resources used for this many call-seconds.
    ///
    /// Errors: the process has ended.
    pub async fn end(&self, call_seconds: f64) -> anyhow::Result<Cost> {
        let page = Page::read(self.metrics.as_deref()).await?;
        let now = Usage::of(self.pid)?;
        let since = |name| page.since(&self.page_before, name);
        Ok(Cost {
            user_s: now.user_s - self.before.user_s,
            system_s: now.system_s - self.before.system_s,
            call_seconds,
            cpu_ms_per_call_second: (now.cpu_s() - self.before.cpu_s()) * 1e3 / call_seconds.max(1e-3),
            rss_peak_kib: now.rss_peak_kib,
            threads: now.threads,
            kernel_drops: since("optag_rtp_kernel_drops_total").map(|drops| drops as u64),
            encoder_s: since("optag_encoder_cpu_seconds_total"),
        })
    }
}

/// A metrics page.
#[derive(Default)]
struct Page(Option<String>);

impl Page {
    async fn read(url: Option<&str>) -> anyhow::Result<Self> {
        let Some(url) = url else { return Ok(Self(None)) };
        let answer = reqwest::get(format!("{}/metrics", url.trim_end_matches('/'))).await;
        let page = answer.with_context(|| format!("no response from {url}"))?.text().await?;
        Ok(Self(Some(page)))
    }

    /// The increase of the sum of a metric's samples.
    fn since(&self, before: &Self, name: &str) -> Option<f64> {
        Some(self.sum(name)? - before.sum(name)?)
    }

    fn sum(&self, name: &str) -> Option<f64> {
        let lines = self.0.as_deref()?.lines();
        let own =
            lines.filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        Some(own.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_the_sum_of_its_samples_and_of_no_others() {
        let page = |text: &str| Page(Some(text.into()));
        let before = page("a_total 1\na_total_more 50\n");
        let after = page("# HELP a_total x\na_total{x=\"1\"} 3\na_total{x=\"2\"} 4\na_total_more 90\n");
        assert_eq!(after.since(&before, "a_total"), Some(6.0));
        assert_eq!(Page(None).since(&before, "a_total"), None);
    }
}
