//! `optag erase`: erases recordings, shows what an erasure would delete, verifies receipts.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use axum::http::Method;
use clap::Args;
use serde_json::json;

use super::ConfigArgs;
use super::installation::existing;
use super::transport::Transport;
use crate::erasure::receipt::{KIND, Receipt, signed_in};
use optag_core::id::CallId;
use optag_core::signing::Signer;

/// Erase recordings permanently, everywhere.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  optag search --number '12 34 56 78' --date 2026-11-24 --time 14:30 --purpose caller_request
  optag erase 01890a5d-ac96-774b-bcce-b302099a8057 --dry-run
  optag erase 01890a5d-ac96-774b-bcce-b302099a8057 --request 2026-4711 --reason 'asked for by the caller'
  optag erase --caller '12 34 56 78' --request 2026-4711 --reason 'asked for by the caller' > receipts.json
  optag erase 01890a5d-ac96-774b-bcce-b302099a8057 --accept-missing --reason 'removed in the bucket by hand'
  optag erase --verify-receipt receipts.json

Exit code 0: every erasure is durable, even where the store is still to be reached (then ask again
for the receipt), or every receipt is right. 1: something was refused, or a receipt is not right.")]
pub struct EraseArgs {
    /// Ids of recordings.
    ids: Vec<CallId>,
    /// All recordings of calls from this number, in any format.
    #[arg(long, value_name = "NUMBER")]
    caller: Option<String>,
    /// Reason, written to the audit log. No personal data.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Reference number of the erasure request, shown in the receipt.
    #[arg(long, value_name = "NUMBER")]
    request: Option<String>,
    /// Complete the erasure even if no object is found, because they were removed from the store by hand or by an
    /// interrupted erasure of version 0.1.0. Noted in audit log and receipt.
    #[arg(long)]
    accept_missing: bool,
    /// Show what would be deleted, and delete nothing: objects, versions, parts, spool key, index row.
    #[arg(long)]
    dry_run: bool,
    /// Check the signed receipts in a file instead.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ids", "caller", "reason", "request", "dry_run", "accept_missing"])]
    verify_receipt: Option<PathBuf>,
    /// With --verify-receipt: the public key, in hexadecimal. Otherwise this installation's.
    #[arg(long, value_name = "HEX", requires = "verify_receipt")]
    public_key: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command.
pub async fn run(args: EraseArgs) -> anyhow::Result<ExitCode> {
    if let Some(file) = &args.verify_receipt {
        return verify(file, args.public_key.as_deref(), &args.config);
    }
    if args.ids.is_empty() && args.caller.is_none() {
        bail!("specify recording ids, or a caller with --caller");
    }
    let reason = match (&args.reason, args.dry_run) {
        (Some(reason), _) => reason.clone(),
        (None, true) => "preview".into(),
        (None, false) => bail!("--reason is required"),
    };
    let transport = Transport::open(&args.config).await?;
    let mut body = json!({ "recordings": args.ids, "reason": reason, "dry_run": args.dry_run,
                           "accept_missing": args.accept_missing });
    if let Some(caller) = args.caller {
        body["caller_number"] = json!(caller);
    }
    if let Some(request) = args.request {
        body["request"] = json!(request);
    }
    let answer = transport.send_json(Method::POST, "/api/v1/erasures", &body).await?;
    println!("{answer}");
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    let receipts = answer["erasures"].as_array().map(Vec::as_slice).unwrap_or_default();
    let refused = receipts.iter().filter(|receipt| receipt["state"] == "refused").count();
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Verifies every signed receipt in a file: a single one, an API response, or several.
fn verify(file: &std::path::Path, key: Option<&str>, config: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let key = match key {
        Some(key) => key.to_owned(),
        None => {
            let path = existing(config)?.signing_key_file;
            if !path.exists() {
                bail!("no {}; give the key with --public-key", path.display());
            }
            Signer::load_or_create(&path)?.public_key()
        }
    };
    let receipts = signed_in(&text).context("neither a receipt nor a response with one")?;
    if receipts.is_empty() {
        bail!("{} contains no signed receipt; a pending erasure gets one later", file.display());
    }
    let mut wrong = 0;
    for signed in receipts {
        match signed.verify(KIND, Some(&key)) {
            Ok(()) => {
                let receipt: Receipt = signed.read().context("unknown receipt format")?;
                println!(
                    "{}: valid; request {}, ordered {}, verified deleted {}, {} copies deleted{}",
                    receipt.recording,
                    receipt.request.as_deref().unwrap_or("-"),
                    receipt.ordered_at,
                    receipt.verified_gone_at,
                    receipt.deleted.len(),
                    if receipt.accepted_missing { "; accepted as removed by hand" } else { "" },
                );
            }
            Err(error) => {
                println!("invalid receipt: {error}");
                wrong += 1;
            }
        }
    }
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_are_found_in_every_shape_they_are_handed_around_in() {
        let signer = Signer::from_seed(&[7; 32]).unwrap();
        let signed = serde_json::to_string(&signer.sign(KIND, &json!({"a": 1})).unwrap()).unwrap();
        for (text, count) in [
            (signed.clone(), 1),
            (format!("{{\"id\": 1, \"receipt\": {signed}}}"), 1),
            (format!("{{\"erasures\": [{{\"receipt\": {signed}}}, {{\"state\": \"pending\"}}]}}"), 1),
            ("{\"state\": \"pending\"}".to_owned(), 0),
            (
                serde_json::to_string(&format!("\u{feff}{signed}\r\n").trim_start_matches('\u{feff}'))
                    .unwrap(),
                1,
            ),
        ] {
            let found = signed_in(&text).unwrap();
            assert_eq!(found.len(), count, "{text}");
            assert!(found.iter().all(|one| one.verify(KIND, Some(&signer.public_key())).is_ok()));
        }
        assert!(signed_in("[]").is_none());
    }
}
