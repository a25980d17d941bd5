//! `optag assurance`: checks that every call of a day is accounted for.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use futures::TryStreamExt;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::ConfigArgs;
use super::installation::existing;
use crate::app::master_key;
use crate::config::Config;
use crate::index::{Index, IndexPlace};
use crate::ledger::call_detail_records::{self, CdrColumns, Cdrs};
use crate::ledger::writer::{LABEL, pseudonyms};
use crate::ledger::{Facts, reconcile};
use optag_core::clock::{Clock, OsClock, WallTime};
use optag_core::id::CallId;
use optag_storage::archive::seal::stream::sealed_bytes;
use optag_storage::store::Store;
use optag_storage::store::names;

/// Account for every call of a day, and list differences from store and PBX.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  optag assurance --day 2026-11-24
  optag assurance --day 2026-11-24 --cdr calls.csv --cdr-start StartTime --cdr-caller From \\
      --cdr-called To --cdr-id CallID,UCID --separator ';' --timezone Europe/Copenhagen

Works beside a running recorder and without one. Exit code 0: every call is accounted for and
none was lost. 1: there are faults, each a line. 2: the arguments or the configuration are off.")]
pub struct AssuranceArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The day, as 2026-11-24.
    #[arg(long, value_name = "DAY")]
    day: Date,
    /// Time zone of the day, and of call records that name none.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    timezone: String,
    /// The PBX's call records: CSV with a header line.
    #[arg(long, value_name = "FILE")]
    cdr: Option<PathBuf>,
    /// Column of the time at which a call began.
    #[arg(long, value_name = "COLUMN", default_value = "start")]
    cdr_start: String,
    /// Column of the calling number.
    #[arg(long, value_name = "COLUMN")]
    cdr_caller: Option<String>,
    /// Column of the called number.
    #[arg(long, value_name = "COLUMN")]
    cdr_called: Option<String>,
    /// Columns of names of the call: Call-ID, Session-ID, UCID, the feed's external id.
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    cdr_id: Vec<String>,
    /// Only records with this value in this column, such as Direction=inbound.
    #[arg(long, value_name = "COLUMN=VALUE")]
    cdr_only: Option<String>,
    /// Column separator.
    #[arg(long, value_name = "CHARACTER", default_value = ",")]
    separator: char,
    /// Tolerance between the PBX's times and ours.
    #[arg(long, value_name = "S", default_value_t = 30)]
    tolerance: u64,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub async fn run(args: AssuranceArgs) -> anyhow::Result<ExitCode> {
    let config = existing(&args.config)?;
    let zone = TimeZone::get(&args.timezone).context("--timezone")?;
    let cdr = args.records(&zone)?;
    let facts = gather(&config, &args, &zone, cdr).await?;
    let key = master_key::load(&config.spool.master_key).await?.0.derive(LABEL)?;
    let report = reconcile(&facts, &pseudonyms(&config.data_dir, &key, &config.country_code)?);
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => print!("{report}"),
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl AssuranceArgs {
    fn records(&self, zone: &TimeZone) -> anyhow::Result<Option<Cdrs>> {
        let Some(path) = &self.cdr else { return Ok(None) };
        let only =
            self.cdr_only.as_deref().map(|text| text.split_once('=').context("--cdr-only COLUMN=VALUE"));
        let columns = CdrColumns {
            start: self.cdr_start.clone(),
            caller: self.cdr_caller.clone(),
            called: self.cdr_called.clone(),
            ids: self.cdr_id.clone(),
            only: only.transpose()?.map(|(column, value)| (column.to_owned(), value.to_owned())),
        };
        if columns.caller.is_none() && columns.called.is_none() && columns.ids.is_empty() {
            bail!("specify how to match records: --cdr-caller, --cdr-called or --cdr-id");
        }
        let separator = u8::try_from(self.separator).context("--separator must be one ASCII character")?;
        let file = File::open(path).with_context(|| path.display().to_string())?;
        let read = call_detail_records::read(std::io::BufReader::new(file), separator, &columns, zone);
        read.map(Some).with_context(|| path.display().to_string())
    }
}

/// Collects everything known of the day.
async fn gather(
    config: &Config,
    args: &AssuranceArgs,
    zone: &TimeZone,
    cdr: Option<Cdrs>,
) -> anyhow::Result<Facts> {
    let begins = args.day.to_zoned_datetime(zone.clone())?;
    let ends = begins.checked_add(1.day())?;
    let (from, to) =
        (WallTime::from_timestamp(begins.timestamp()), WallTime::from_timestamp(ends.timestamp()));
    let tolerance = Duration::from_secs(args.tolerance.min(86_400));
    let slack = tolerance.as_micros() as i64;
    let (earliest, latest) = (from.plus_micros(-slack), to.plus_micros(slack));
    if let IndexPlace::Sqlite(file) = &config.index
        && !file.exists()
    {
        bail!("no index at {}", file.display());
    }
    let index = Index::open(&config.index, &config.country_code).await?;
    let store = Store::open(&config.store)?;
    let mut objects = HashMap::new();
    let mut listed = store.list(names::PREFIX);
    while let Some(object) = listed.try_next().await? {
        // Manifests and other objects beside it are not audio.
        if let Some((names::Kind::Audio, sealed)) = names::kind(&object.key)
            && let Some((id, _)) = names::parse(&object.key)
            && (earliest..latest).contains(&id.admitted_at())
        {
            objects.insert(id, (object.bytes, sealed));
        }
    }
    let recordings = index.recordings(earliest, latest).await?;
    let inside: HashMap<CallId, u64> = recordings.iter().map(|row| (row.id, row.object_bytes)).collect();
    // The index has the size of the audio, the store that of the sealed object.
    let objects = objects.into_iter().map(|(id, (bytes, sealed))| {
        let audio = inside.get(&id).copied().filter(|audio| sealed && sealed_bytes(*audio) == bytes);
        (id, audio.unwrap_or(bytes))
    });
    Ok(Facts {
        day: format!("{} {}", args.day, args.timezone),
        from,
        to,
        sessions: index.announced_calls(earliest, latest).await?,
        calls: index.outcomes(earliest, latest).await?,
        recordings,
        objects: objects.collect(),
        spooled: spooled(config)?,
        cdr,
        tolerance,
        now: OsClock.wall(),
    })
}

/// Calls with a key in the spool.
fn spooled(config: &Config) -> anyhow::Result<HashSet<CallId>> {
    let keys = optag_storage::spool::key_dir(&config.spool.dir);
    let Ok(entries) = std::fs::read_dir(keys) else { return Ok(HashSet::new()) };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter_map(|name| name.strip_suffix(".key")?.parse().ok()).collect())
}
