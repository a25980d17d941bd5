//! The OpenID Connect provider: whether it answers under the name that the configuration gives it, with keys that can be used,
//! and whether its clock is this machine's.

use std::time::Duration;

use crate::auth::provider::{Away, Seen, look_at};
use crate::config::Config;
use crate::doctor::Finding;
use optag_core::clock::{Clock, OsClock, WallTime};

/// How long a look may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// What was looked at.
const CHECK: &str = "sign_in.oidc";

/// Looks at the provider, if there is one.
pub async fn provider(config: &Config) -> Vec<Finding> {
    let Some(settings) = &config.sign_in.provider else { return Vec::new() };
    let before = OsClock.wall();
    let seen = tokio::time::timeout(PATIENCE, look_at(settings)).await;
    let seen = seen.unwrap_or_else(|_| Err(Away(format!("no answer within {} s", PATIENCE.as_secs()))));
    match seen {
        Ok(seen) => found(&seen, before, settings.leeway),
        Err(Away(why)) => vec![Finding::wrong(
            CHECK,
            format!("{}: {why}", settings.issuer),
            "check sign_in.oidc.issuer (exactly as at its /.well-known/openid-configuration), name, firewall and ca_file: \
             until it answers, nobody signs in by it",
        )],
    }
}

fn found(seen: &Seen, before: WallTime, leeway: Duration) -> Vec<Finding> {
    let keys = match seen.keys {
        0 => Finding::wrong(
            CHECK,
            "the provider has no key that its tokens could be checked with",
            "let it sign with RS256, PS256, ES256, ES384 or EdDSA",
        ),
        keys => Finding::ok(CHECK, format!("the provider answers; {keys} of its keys can be used")),
    };
    let mut findings = vec![keys];
    findings.extend(seen.date.map(|date| clock(date, before, OsClock.wall(), leeway)));
    if !seen.tells_sign_outs {
        findings.push(Finding::warning(
            "sign_in.oidc: sign-out",
            "the provider does not say that it tells clients who signed out",
            "register the address for back-channel logout where it can (docs/guide/sign-in.md); else sign-ins here end by \
             sign_in.idle_min and sign_in.longest_h alone",
        ));
    }
    if !seen.has_sign_out {
        findings.push(Finding::warning(
            "sign_in.oidc: sign-out",
            "the provider names no end_session_endpoint",
            "who signs out here stays signed in there; nothing can be done here",
        ));
    }
    findings
}

/// Compares clocks; the provider's was read between `before` and `after`, and cuts off parts of a second.
fn clock(date: jiff::Timestamp, before: WallTime, after: WallTime, leeway: Duration) -> Finding {
    let theirs = WallTime::from_timestamp(date);
    let ahead_us = theirs.micros_since(after).max(0);
    let behind_us = before.micros_since(theirs.plus_micros(1_000_000)).max(0);
    let apart_us = ahead_us.max(behind_us);
    let check = "sign_in.oidc: clock";
    match u128::from(apart_us.unsigned_abs()) > leeway.as_micros() {
        false => Finding::ok(check, "the provider and this machine agree on the time"),
        true => Finding::wrong(
            check,
            format!(
                "the provider says {theirs}, this machine {after}: its tokens seem expired, or of the future"
            ),
            "set the clock that is wrong",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[tokio::test]
    async fn a_provider_that_is_away_is_wrong_and_none_is_nothing() {
        assert_eq!(provider(&Config::default()).await, []);
        let text = "[sign_in]\nurl = 'https://optag.example'\n[sign_in.oidc]\nissuer = 'http://127.0.0.1:1/x'\n\
                    client_id = 'optag'\nallow_http = true\n[[sign_in.oidc.mapping]]\ngroup = 'a'\nroles = 'auditor'\n";
        let findings = provider(&Config::parse(text, []).unwrap()).await;
        assert!(findings.len() == 1 && findings[0].state == State::Wrong, "{findings:?}");
        assert!(findings[0].detail.starts_with("http://127.0.0.1:1/x: "), "{findings:?}");
    }

    #[test]
    fn what_would_refuse_people_is_wrong_and_what_they_would_miss_a_warning() {
        let now = OsClock.wall();
        let seen = Seen { keys: 1, date: None, tells_sign_outs: true, has_sign_out: true };
        let leeway = Duration::from_secs(60);
        let states = |seen: &Seen| found(seen, now, leeway).iter().map(|one| one.state).collect::<Vec<_>>();
        assert_eq!(states(&seen), [State::Ok]);
        assert_eq!(states(&Seen { keys: 0, ..seen.clone() }), [State::Wrong]);
        let silent = Seen { tells_sign_outs: false, has_sign_out: false, ..seen };
        assert_eq!(states(&silent), [State::Ok, State::Warning, State::Warning]);
        let at = |s: i64| clock(now.plus_micros(s * 1_000_000).timestamp(), now, now, leeway).state;
        assert_eq!(
            [at(0), at(59), at(-59), at(62), at(-63)],
            [State::Ok, State::Ok, State::Ok, State::Wrong, State::Wrong]
        );
    }
}
