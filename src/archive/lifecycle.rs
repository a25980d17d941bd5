//! Our lifecycle rule among a bucket's rules, as pure comparison and merging. Rules that we did
//! not create are never touched.

use aws_sdk_s3::types::{ExpirationStatus, LifecycleRule};

use super::key::PREFIX;

/// The name of our rule.
pub const RULE_ID: &str = "optag-expire-recordings";

/// How a bucket's rules differ from what they must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drift {
    /// Our rule is not there.
    Missing,
    /// It is switched off, for another prefix, or for another number of days.
    Wrong(String),
    /// It expires objects, but something beside that is missing.
    Partly(String),
}

/// What is wrong with our rule, if anything.
pub fn drift(rules: &[LifecycleRule], days: u8) -> Option<Drift> {
    let Some(rule) = rules.iter().find(|rule| is_ours(rule)) else { return Some(Drift::Missing) };
    if rule.status != ExpirationStatus::Enabled {
        return Some(Drift::Wrong("it is switched off".into()));
    }
    if prefix(rule) != Some(PREFIX) {
        return Some(Drift::Wrong(format!("its prefix is {:?}", prefix(rule))));
    }
    let expires = rule.expiration.as_ref().and_then(|expiration| expiration.days);
    if expires != Some(i32::from(days)) {
        return Some(Drift::Wrong(format!("it expires after {expires:?} days, not {days}")));
    }
    let noncurrent = rule.noncurrent_version_expiration.as_ref().and_then(|one| one.noncurrent_days);
    let parts = rule.abort_incomplete_multipart_upload.as_ref().and_then(|one| one.days_after_initiation);
    match (noncurrent, parts) {
        (Some(1), Some(1)) => None,
        _ => Some(Drift::Partly(format!(
            "noncurrent versions: {noncurrent:?}, unfinished uploads: {parts:?} days"
        ))),
    }
}

/// The rules with ours in place of the one that was there.
pub fn merge(rules: Vec<LifecycleRule>, ours: LifecycleRule) -> Vec<LifecycleRule> {
    rules.into_iter().filter(|rule| !is_ours(rule)).chain([ours]).collect()
}

fn is_ours(rule: &LifecycleRule) -> bool {
    rule.id.as_deref() == Some(RULE_ID)
}

#[allow(deprecated, reason = "older stores answer with the rule's own prefix instead of a filter")]
fn prefix(rule: &LifecycleRule) -> Option<&str> {
    rule.filter.as_ref().and_then(|filter| filter.prefix.as_deref()).or(rule.prefix.as_deref())
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{LifecycleExpiration, LifecycleRuleFilter};

    use super::*;

    fn rule(id: &str, prefix: &str, days: i32) -> LifecycleRule {
        LifecycleRule::builder()
            .id(id)
            .filter(LifecycleRuleFilter::builder().prefix(prefix).build())
            .status(ExpirationStatus::Enabled)
            .expiration(LifecycleExpiration::builder().days(days).build())
            .build()
            .unwrap()
    }

    #[test]
    fn invariant_10_rules_that_are_not_ours_stay_as_they_are() {
        let theirs = [rule("backups", "backups/", 7), rule("logs", "logs/", 30)];
        let before = [theirs[0].clone(), rule(RULE_ID, PREFIX, 30), theirs[1].clone()];
        let merged = merge(before.to_vec(), rule(RULE_ID, PREFIX, 90));
        assert_eq!(merged[..2], theirs);
        assert_eq!(merged.len(), 3);
        assert_eq!(merged[2].expiration.as_ref().unwrap().days, Some(90));
    }

    #[test]
    fn every_kind_of_drift_is_seen() {
        assert_eq!(drift(&[], 90), Some(Drift::Missing));
        assert!(matches!(drift(&[rule(RULE_ID, PREFIX, 91)], 90), Some(Drift::Wrong(_))));
        assert!(matches!(drift(&[rule(RULE_ID, "other/", 90)], 90), Some(Drift::Wrong(_))));
        assert!(matches!(drift(&[rule(RULE_ID, PREFIX, 90)], 90), Some(Drift::Partly(_))));
    }
}
