//! `optag search`: finds recordings by a caller's description.

use std::process::ExitCode;

use axum::http::Method;
use clap::Args;

use super::ConfigArgs;
use super::transport::Transport;
use optag_core::call::verdict::VerdictWanted;

/// Find recordings by number, name, department and time.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  optag search --number '+45 12 34 56 78' --from 2026-11-01 --purpose caller_request
  optag search --date 2026-11-24 --time 14:30 --name Kristensen --purpose caller_request

With --date, --like or --called-number, candidates are shown, the likeliest first: the time within 15 minutes in the
caller's time zone, a number by its end or with one digit wrong, a name misspelt.")]
pub struct SearchArgs {
    /// Calling or called number, in any format.
    #[arg(long)]
    number: Option<String>,
    /// Number called, the department's or an employee's; shows candidates.
    #[arg(long)]
    called_number: Option<String>,
    /// The caller's name, or a part of it.
    #[arg(long)]
    name: Option<String>,
    /// Department id.
    #[arg(long)]
    department: Option<String>,
    /// Earliest start of the call: a day (2026-11-24) or a time (2026-11-24T10:00:00Z).
    #[arg(long, value_name = "TIME", conflicts_with_all = ["date", "like", "called_number"])]
    from: Option<String>,
    /// Latest start of the call.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["date", "like", "called_number"])]
    to: Option<String>,
    #[arg(long, conflicts_with_all = ["date", "like", "called_number"], help = format!("Verdict on a stream: {}", VerdictWanted::words()))]
    verdict: Option<String>,
    /// Day of the call as remembered by the caller.
    #[arg(long, value_name = "DAY")]
    date: Option<String>,
    /// Time of day as remembered by the caller: 14:30.
    #[arg(long, value_name = "TIME", requires = "date")]
    time: Option<String>,
    /// The caller's time zone; default: the configured one.
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// Tolerance in minutes around that time.
    #[arg(long, value_name = "MINUTES")]
    tolerance_min: Option<u32>,
    /// Include approximate matches of number and name.
    #[arg(long)]
    like: bool,
    /// Page of the results, from 1.
    #[arg(long, default_value_t = 1, conflicts_with_all = ["date", "like", "called_number"])]
    page: u32,
    /// Cursor printed at the end of the previous page.
    #[arg(long, value_name = "POSITION", conflicts_with_all = ["date", "like", "called_number", "page"])]
    after: Option<String>,
    /// Purpose: training, caller_request or administration. Written to the audit log.
    #[arg(long)]
    purpose: String,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command.
pub async fn run(args: SearchArgs) -> anyhow::Result<ExitCode> {
    let transport = Transport::open(&args.config).await?;
    let by_description = args.date.is_some() || args.like || args.called_number.is_some();
    let (path, list) = if by_description {
        ("/api/v1/candidates", "candidates")
    } else {
        ("/api/v1/recordings", "recordings")
    };
    let mut query = vec![("purpose", args.purpose)];
    if !by_description {
        query.push(("page", args.page.to_string()));
    }
    let filters = [
        ("after", args.after),
        ("number", args.number),
        ("called_number", args.called_number),
        ("name", args.name),
        ("department", args.department),
        ("from", args.from),
        ("to", args.to),
        ("verdict", args.verdict),
        ("date", args.date),
        ("time", args.time),
        ("tz", args.tz.filter(|_| by_description)),
        ("tolerance_min", args.tolerance_min.filter(|_| by_description).map(|minutes| minutes.to_string())),
    ];
    query.extend(filters.into_iter().filter_map(|(key, value)| value.map(|value| (key, value))));
    let found = transport.json(Method::GET, path, &query).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(ExitCode::SUCCESS);
    }
    let empty = Vec::new();
    let rows = found[list].as_array().unwrap_or(&empty);
    for row in rows {
        println!("{}", line(row));
    }
    println!("{} of {} found", rows.len(), found["total"]);
    if let Some(next) = found["next"].as_str() {
        println!("more results: --after {next}");
    }
    if found["truncated"] == true {
        println!("too many recordings in that time; narrow the search");
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn line(row: &serde_json::Value) -> String {
    let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
    let fit = match row["fit"]["score"].as_f64() {
        Some(score) => {
            let off =
                row["fit"]["minutes_off"].as_i64().map_or(String::new(), |min| format!(", {min} min off"));
            let reasons = row["fit"]["reasons"].as_array().map(Vec::as_slice).unwrap_or_default();
            let reasons: Vec<_> =
                reasons.iter().filter_map(|one| one.as_str()).map(|one| one.replace('_', " ")).collect();
            let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
            format!("  fits {:.0} %{off}{why}", score * 100.0)
        }
        None => String::new(),
    };
    let faults = match faulty(row) {
        verdicts if verdicts.is_empty() => String::new(),
        verdicts => format!("  [{}]", verdicts.join(", ")),
    };
    format!(
        "{}  {}  {:<12}  {:>7.1} s  {:<16}  {}{fit}{faults}",
        text("id"),
        text("started_at"),
        text("department"),
        row["duration_ms"].as_f64().unwrap_or_default() / 1e3,
        text("caller_number"),
        text("caller_name"),
    )
}

/// Faults of a recording's streams: `stream 2: late`.
pub(super) fn faulty(recording: &serde_json::Value) -> Vec<String> {
    let verdicts = recording["verdicts"].as_array().map(Vec::as_slice).unwrap_or_default();
    faults(verdicts.iter().filter_map(|verdict| verdict.as_str()))
}

/// Faults among verdicts, in channel order.
pub(super) fn faults<'a>(verdicts: impl Iterator<Item = &'a str>) -> Vec<String> {
    (1..)
        .zip(verdicts)
        .filter(|(_, verdict)| *verdict != "ok")
        .map(|(n, verdict)| format!("stream {n}: {verdict}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_says_which_stream_is_not_whole() {
        let row = json!({"id": "x", "verdicts": ["ok", "partly_late"]});
        assert!(line(&row).ends_with("  [stream 2: partly_late]"), "{}", line(&row));
        assert_eq!(faulty(&json!({"verdicts": ["ok"]})), Vec::<String>::new());
        assert_eq!(faulty(&json!({})), Vec::<String>::new());
    }
}
