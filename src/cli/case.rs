//! `optag case`: requests of callers, from intake to closing.

use std::process::ExitCode;

use anyhow::{Context, bail};
use axum::http::Method;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::ConfigArgs;
use super::transport::Transport;
use crate::cases::case::{Asked, CaseNumber, Decision, Ground, IdentityCheck};
use crate::cases::state::State;
use optag_core::id::CallId;

/// Answer callers' requests: open, list, show, decide and close cases.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  optag case open --asked erase --department tax --number '12 34 56 78' --name Kristensen \\
      --date 2026-11-24 --time 14:30
  optag case candidates 2026-0042
  optag case choose 2026-0042 01890a5d-ac96-774b-bcce-b302099a8057
  optag case identify 2026-0042 --how called-back
  optag case decide 2026-0042 erase
  optag case decide 2026-0042 refuse --ground not-found
  optag case close 2026-0042
  optag case list

A case has a legal time limit of one month from receipt, which `optag case extend` makes three. Closing it
erases what the caller said; number, dates, kind, decision, who decided and how many recordings stay.

Exit code 0: it is done. 1: it failed, somebody else changed the case meanwhile, or a recording that was
decided on is not erased or handed out (yet). 2: wrong arguments, or no installation.")]
pub struct CaseArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Take down what a caller asks for; prints the number of the case.
    Open(OpenArgs),
    /// List cases, the most urgent first.
    List {
        /// Only those that are open, decided or closed; default: all that are not closed.
        #[arg(long, value_parser = PossibleValuesParser::new(State::ALL.map(|(name, _)| name)))]
        state: Option<String>,
        /// Number of the last case of the list before.
        #[arg(long, value_name = "NUMBER")]
        after: Option<CaseNumber>,
        #[command(flatten)]
        common: Common,
    },
    /// Show a case with its recordings, and what was done with them.
    Show(OneArgs),
    /// Search for recordings that the caller may mean, the likeliest first.
    Candidates(OneArgs),
    /// Correct what the caller said: give all of it.
    Amend {
        #[command(flatten)]
        one: OneArgs,
        #[command(flatten)]
        told: ToldArgs,
    },
    /// Note how the caller's identity was checked.
    Identify {
        #[command(flatten)]
        one: OneArgs,
        /// How.
        #[arg(long, value_parser = words(IdentityCheck::ALL))]
        how: String,
        /// What else is to be known of it.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Choose the recordings that are meant, instead of those that were chosen before.
    Choose {
        #[command(flatten)]
        one: OneArgs,
        /// Ids of recordings.
        ids: Vec<CallId>,
    },
    /// Extend the time limit by two months; tell the caller why within the first one.
    Extend {
        #[command(flatten)]
        one: OneArgs,
        /// The reason.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Decide what is done; an erasure is carried out at once.
    Decide {
        #[command(flatten)]
        one: OneArgs,
        /// What.
        #[arg(value_parser = words(Decision::ALL))]
        decision: String,
        /// Ground of a refusal.
        #[arg(long, value_parser = words(Ground::ALL))]
        ground: Option<String>,
        /// Reason of a refusal, for the caller.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Show what an erasure would delete, and decide nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Erase once more what an erasure did not reach.
    CarryOut(OneArgs),
    /// Close a case: what the caller said is erased.
    Close(OneArgs),
}

#[derive(Debug, Args)]
struct OpenArgs {
    /// What the caller asks for.
    #[arg(long, value_parser = words(Asked::ALL))]
    asked: String,
    /// Department id.
    #[arg(long, value_name = "ID")]
    department: Option<String>,
    /// Day on which the request was received; default: today.
    #[arg(long, value_name = "DAY")]
    received: Option<jiff::civil::Date>,
    #[command(flatten)]
    told: ToldArgs,
    #[command(flatten)]
    common: Common,
}

/// What the caller said.
#[derive(Debug, Args)]
struct ToldArgs {
    /// Number called from.
    #[arg(long, id = "told_number", value_name = "NUMBER")]
    number: Option<String>,
    /// Number called.
    #[arg(long)]
    called_number: Option<String>,
    /// The caller's name.
    #[arg(long)]
    name: Option<String>,
    /// Day of the call.
    #[arg(long, value_name = "DAY")]
    date: Option<jiff::civil::Date>,
    /// Time of day.
    #[arg(long, value_name = "TIME", requires = "date")]
    time: Option<jiff::civil::Time>,
    /// Tolerance in minutes around that time.
    #[arg(long, value_name = "MINUTES")]
    tolerance_min: Option<u32>,
    /// Where to answer, and what else the caller told.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

impl ToldArgs {
    /// As the API takes it.
    fn json(self) -> Value {
        let Self { number, called_number, name, date, time, tolerance_min, note } = self;
        let mut told = json!({
            "number": number, "called_number": called_number, "name": name, "date": date, "time": time,
            "tolerance_min": tolerance_min, "note": note,
        });
        if let Some(told) = told.as_object_mut() {
            told.retain(|_, value| !value.is_null());
        }
        told
    }
}

#[derive(Debug, Args)]
struct OneArgs {
    /// Number of the case.
    number: CaseNumber,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Common {
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Names as arguments have them: `hand-out` for `hand_out`.
fn words<T>(all: &[(&'static str, T)]) -> PossibleValuesParser {
    let kebab = |name: &str| -> &'static str { Box::leak(name.replace('_', "-").into_boxed_str()) };
    PossibleValuesParser::new(all.iter().map(|(name, _)| kebab(name)).collect::<Vec<_>>())
}

fn snake(name: &str) -> String {
    name.replace('-', "_")
}

/// Runs the command.
pub async fn run(args: CaseArgs) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Open(args) => open(args).await,
        Action::List { state, after, common } => list(state, after, &common).await,
        Action::Show(one) => {
            let transport = Transport::open(&one.common.config).await?;
            print(&one.common, &case(&transport, &one.number).await?)
        }
        Action::Candidates(one) => candidates(&one).await,
        Action::Amend { one, told } => step(&one, "told", json!({"told": told.json()})).await,
        Action::Identify { one, how, note } => {
            step(&one, "identity", json!({"how": snake(&how), "note": note})).await
        }
        Action::Choose { one, ids } => step(&one, "recordings", json!({"recordings": ids})).await,
        Action::Extend { one, reason } => step(&one, "extension", json!({"reason": reason})).await,
        Action::Decide { one, dry_run: true, .. } => preview(&one).await,
        Action::Decide { one, decision, ground, reason, dry_run: false } => {
            let ground = ground.as_deref().map(snake);
            step(&one, "decision", json!({"decision": snake(&decision), "ground": ground, "reason": reason}))
                .await
        }
        Action::CarryOut(one) => step(&one, "carry-out", json!({})).await,
        Action::Close(one) => step(&one, "close", json!({})).await,
    }
}

async fn case(transport: &Transport, number: &CaseNumber) -> anyhow::Result<Value> {
    transport.json(Method::GET, &format!("/api/v1/cases/{number}"), &[]).await
}

async fn open(args: OpenArgs) -> anyhow::Result<ExitCode> {
    let OpenArgs { asked, department, received, told, common } = args;
    let told = told.json();
    let body =
        json!({"asked": snake(&asked), "department": department, "received_on": received, "told": told});
    let transport = Transport::open(&common.config).await?;
    let answer = transport.send_json(Method::POST, "/api/v1/cases", &body).await?;
    let answer: Value = serde_json::from_str(&answer)?;
    if common.json {
        return print(&common, &answer);
    }
    println!("{}", answer["number"].as_str().context("the answer has no number")?);
    Ok(ExitCode::SUCCESS)
}

/// Takes a step from the case as it is now.
async fn step(one: &OneArgs, what: &str, body: Value) -> anyhow::Result<ExitCode> {
    let transport = Transport::open(&one.common.config).await?;
    let seen = case(&transport, &one.number).await?;
    let mut body: Map<String, Value> = body.as_object().cloned().unwrap_or_default();
    body.retain(|_, value| !value.is_null());
    body.insert("revision".to_owned(), seen["revision"].clone());
    let path = format!("/api/v1/cases/{}/{what}", one.number);
    let answer = transport.send_json(Method::POST, &path, &Value::Object(body)).await?;
    print(&one.common, &serde_json::from_str(&answer)?)
}

async fn list(state: Option<String>, after: Option<CaseNumber>, common: &Common) -> anyhow::Result<ExitCode> {
    let transport = Transport::open(&common.config).await?;
    let given = [("state", state), ("after", after.map(|number| number.to_string()))];
    let query: Vec<_> =
        given.into_iter().filter_map(|(key, value)| value.map(|value| (key, value))).collect();
    let found = transport.json(Method::GET, "/api/v1/cases", &query).await?;
    if common.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(ExitCode::SUCCESS);
    }
    let cases = found["cases"].as_array().map(Vec::as_slice).unwrap_or_default();
    for case in cases {
        println!("{}", line(case));
    }
    if let (true, Some(last)) = (found["more"] == true, cases.last()) {
        println!("more cases: --after {}", text(last, "number"));
    }
    Ok(ExitCode::SUCCESS)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("-")
}

fn line(case: &Value) -> String {
    let left = match case["days_left"].as_i64() {
        Some(days) if days < 0 => format!("{} days overdue", -days),
        Some(days) => format!("{days} days left"),
        None => format!("closed, {}", text(case, "decision")),
    };
    let name = case["told"]["name"].as_str().unwrap_or("-");
    let [number, state, asked, department, due] =
        ["number", "state", "asked", "department", "due_on"].map(|key| text(case, key));
    format!("{number}  {state:<8}  {asked:<9}  {department:<16}  due {due}  {left:<16}  {name}")
}

/// Prints a case; the exit code says whether what was decided is done.
fn print(common: &Common, case: &Value) -> anyhow::Result<ExitCode> {
    if common.json {
        println!("{}", serde_json::to_string_pretty(case)?);
    } else {
        println!("{}", line(case));
        for one in case["recordings"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let (outcome, detail) = (text(&one["result"], "outcome"), text(&one["result"], "detail"));
            println!(
                "  {}  {}  {}  {outcome}  {detail}",
                text(one, "id"),
                text(one, "started_at"),
                text(one, "department")
            );
        }
    }
    Ok(if is_done(case) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether nothing that was decided failed, was refused or is under way.
fn is_done(case: &Value) -> bool {
    let recordings = case["recordings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let erases = case["decision"] == "erase";
    recordings.iter().all(|one| match one["result"]["outcome"].as_str() {
        None => !erases,
        Some(outcome) => !["failed", "held", "erasing", "broken_off"].contains(&outcome),
    })
}

async fn candidates(one: &OneArgs) -> anyhow::Result<ExitCode> {
    let transport = Transport::open(&one.common.config).await?;
    let path = format!("/api/v1/cases/{}/candidates", one.number);
    let found = transport.json(Method::GET, &path, &[]).await?;
    if one.common.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(ExitCode::SUCCESS);
    }
    let rows = found["candidates"].as_array().map(Vec::as_slice).unwrap_or_default();
    for row in rows {
        println!("{}", super::search::line(row));
    }
    println!("{} of {} found", rows.len(), found["total"]);
    if found["truncated"] == true {
        println!("too many recordings in that time; narrow the search");
    }
    Ok(ExitCode::SUCCESS)
}

async fn preview(one: &OneArgs) -> anyhow::Result<ExitCode> {
    let transport = Transport::open(&one.common.config).await?;
    let path = format!("/api/v1/cases/{}/preview", one.number);
    let found = transport.json(Method::GET, &path, &[]).await?;
    if one.common.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(ExitCode::SUCCESS);
    }
    let all = found["previews"].as_array().map(Vec::as_slice).unwrap_or_default();
    if all.is_empty() {
        bail!("no recordings are chosen: `optag case choose`");
    }
    for one in all {
        let copies = one["copies"].as_array().map_or(0, Vec::len);
        let held =
            one["held_until"].as_str().map(|until| format!(", held until {until}")).unwrap_or_default();
        println!("{}  {}, {copies} copies in the store{held}", text(one, "id"), text(one, "state"));
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_done_once_each_recording_is() {
        let case = |decision: &str, outcomes: &[Option<&str>]| {
            let one = |outcome: &Option<&str>| json!({"result": outcome.map(|outcome| json!({"outcome": outcome}))});
            json!({"decision": decision, "recordings": outcomes.iter().map(one).collect::<Vec<_>>()})
        };
        assert!(is_done(&case("erase", &[Some("erased"), Some("gone")])));
        for open in [None, Some("erasing"), Some("held"), Some("failed")] {
            assert!(!is_done(&case("erase", &[Some("erased"), open])), "{open:?}");
        }
        assert!(is_done(&case("hand_out", &[None, Some("link_open")])));
        assert!(is_done(&json!({"state": "closed", "decision": "erase"})));
    }

    #[test]
    fn a_line_says_how_urgent_a_case_is() {
        let case = json!({"number": "2026-0042", "state": "open", "asked": "erase", "department": "tax",
                          "due_on": "2026-12-24", "days_left": -3, "told": {"name": "Ada"}});
        assert!(line(&case).contains("3 days overdue") && line(&case).ends_with("Ada"), "{}", line(&case));
    }
}
