//! `optag import`: imports recordings of an earlier system.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;

use super::ConfigArgs;
use super::installation::existing;
use crate::app::open::open;
use crate::delivery::Notes;
use crate::http::access::Actor;
use crate::import::encode::Import;
use crate::import::importer::Importer;
use crate::import::report::{FileReport, Totals};
use crate::import::table;
use optag_media::opus::encoder::OpusSettings;
use optag_storage::archive::deliver::Deliverer;

/// Import recordings of an earlier system. Stop the recorder first.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  optag import --csv index.csv --source 'Nortel archive' --time-zone Europe/Copenhagen ./recordings

The table has the columns file, started_at, department, caller_number, consent, and if you like
called_number, caller_name, external_id, consent_at. Read are WAV, RF64 and BW64 (PCM, float,
G.711, IMA and MS ADPCM, G.722 and GSM of one channel, MP3 inside), FLAC, MP3, Ogg Vorbis and Opus, AAC in MP4 or ADTS,
and G.722 and GSM without any head (by the endings .g722 and .gsm), at 4,000 to 192,000 Hz, 1 to 8
channels, up to 12 hours and 9 GiB a file; all is coded anew to Opus.
Not read: AMR, Windows Media, AU, Wave64 (convert them first, for example with ffmpeg).
Two channels are the caller (left) and the employee. A header without lengths, as a stopped recorder
leaves it, is read to the end of the file.

A file whose consent is not a plain yes, that is too old or was erased is refused. FIFOs, devices
and links that lead out of the directory are not opened. What became of each file is printed as it
goes: a line a file on standard output, with --json on standard error, followed by the report on
standard output. A run that was cut off is run again: what is there already is left alone.

Exit code 0: every file is there or was refused by the rules. 1: some could not be taken in.")]
pub struct ImportArgs {
    /// The table: CSV with a header line; commas, semicolons or tabs.
    #[arg(long, value_name = "FILE")]
    csv: PathBuf,
    /// Directory of the files named in the table.
    dir: PathBuf,
    /// Name of the earlier system, written to the consent records.
    #[arg(long, default_value = "an earlier system")]
    source: String,
    /// Time zone of times without an offset, for example Europe/Copenhagen.
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// The left channel is the employee, the right one the caller.
    #[arg(long)]
    employee_first: bool,
    /// Validate and decode every file without storing anything.
    #[arg(long)]
    dry_run: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command.
pub async fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    let zone = args.time_zone.as_deref().map(jiff::tz::TimeZone::get).transpose();
    let zone = zone.context("--time-zone must be the name of a time zone, such as Europe/Copenhagen")?;
    let lines = read_table(&args.csv, zone.as_ref())?;
    let dir = args.dir.canonicalize().with_context(|| format!("cannot read {}", args.dir.display()))?;
    if args.source.trim().is_empty() || args.source.chars().any(char::is_control) {
        bail!("--source must name the earlier system");
    }
    let config = Arc::new(existing(&args.config)?);
    let opened = open(Arc::clone(&config), None, |_| {}).await?.alone()?;
    let importer = Importer {
        deliverer: Deliverer::new(opened.stores.vault.clone()).noting(Arc::new(Notes(opened.stores.clone()))),
        departments: config.departments.clone(),
        clock: Arc::clone(&opened.clock),
        erasure: Arc::clone(&opened.erasure),
        audit: opened.audit.clone(),
        dir,
        is_trial: args.dry_run,
        import: Import {
            source: args.source,
            actor: Actor::local_user().name,
            employee_first: args.employee_first,
            opus: OpusSettings {
                bitrate_bps: config.engine.opus_bitrate_bps,
                wideband_bitrate_bps: config.engine.opus_wideband_bitrate_bps,
                complexity: 10,
                saves_background: false,
            },
        },
        seen: Default::default(),
    };
    let bar = ProgressBar::new(lines.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos} of {len} files, {elapsed}, {eta} to go")?);
    let runtime = tokio::runtime::Handle::current();
    let reports = tokio::task::spawn_blocking(move || -> anyhow::Result<Vec<FileReport>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(config.engine.workers).build()?;
        let reports = pool.install(|| {
            let one = |line| {
                let report = importer.take_in(line, &runtime);
                bar.suspend(|| print(&report, args.json));
                bar.inc(1);
                report
            };
            lines.par_iter().map(one).collect()
        });
        bar.finish_and_clear();
        Ok(reports)
    });
    let reports = reports.await??;
    let totals = Totals::of(&reports);
    if args.json {
        let report = serde_json::json!({ "files": reports, "totals": totals, "dry_run": args.dry_run });
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        let taken = match args.dry_run {
            true => format!("{} would be imported", totals.would_import),
            false => format!("{} imported", totals.imported),
        };
        println!(
            "{taken}, {} already present, {} refused, {} failed",
            totals.already_there, totals.refused, totals.failed
        );
    }
    Ok(if totals.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read_table(path: &Path, zone: Option<&jiff::tz::TimeZone>) -> anyhow::Result<Vec<table::Line>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = String::from_utf8(bytes)
        .with_context(|| format!("{} is not UTF-8: save it as CSV in UTF-8", path.display()))?;
    table::read(&text, zone).with_context(|| path.display().to_string())
}

/// Prints the result of a file. An import continues even if its output is closed.
fn print(report: &FileReport, is_progress: bool) {
    let _ = match is_progress {
        true => writeln!(std::io::stderr(), "{report}"),
        false => writeln!(std::io::stdout(), "{report}"),
    };
}
