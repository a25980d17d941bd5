//! Our lifecycle rule among a bucket's rules, edited in the text that the store returned. Other rules are written
//! back byte for byte, unknown elements included; a document that cannot be parsed reliably is not written at all.
//!
//! Source: Amazon S3 API Reference, PutBucketLifecycleConfiguration.

use std::ops::Range;

use crate::store::names::{ANCHORS_PREFIX, PREFIX};
use crate::store::s3::xml::{self, Element};

/// Name of our rule.
pub const RULE_ID: &str = "optag-expire-recordings";

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";
/// Storage classes whose objects must be restored for hours before they can be read.
const COLD: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

/// Difference between a bucket's rules and the required ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drift {
    /// Our rule is missing.
    Missing,
    /// Our rule is disabled, or has another prefix or another number of days.
    Wrong(String),
    /// Our rule expires objects, but something beside that is missing.
    Partly(String),
}

/// A foreign rule that affects our objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touching {
    /// Name of the rule.
    pub rule: String,
    /// Its effect on our objects.
    pub does: String,
    /// Whether it acts before the promised time, or makes objects unreadable that must be readable.
    pub harms: bool,
}

/// A bucket's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    text: String,
    root: Element,
}

impl Default for Rules {
    fn default() -> Self {
        let text = format!("<LifecycleConfiguration xmlns=\"{NAMESPACE}\"></LifecycleConfiguration>");
        Self::read(&text).expect("well-formed")
    }
}

impl Rules {
    /// Parses a store's answer.
    ///
    /// Errors: not a lifecycle configuration; describes the document instead.
    pub fn read(text: &str) -> Result<Self, String> {
        let root = xml::read(text)?;
        match root.local() {
            "LifecycleConfiguration" => Ok(Self { text: text.to_owned(), root }),
            other => Err(format!("expected a lifecycle configuration, found `{other}`")),
        }
    }

    /// The document.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The drift of our rule, if any.
    pub fn drift(&self, days: u8) -> Option<Drift> {
        let Some(rule) = self.rules().find(|rule| is_ours(rule)) else { return Some(Drift::Missing) };
        if !is_enabled(rule) {
            return Some(Drift::Wrong("disabled".into()));
        }
        let narrowed = rule.at(&["Filter", "And"]).is_some() || has_tag(rule);
        if prefix(rule) != Some(PREFIX) || narrowed {
            return Some(Drift::Wrong(format!(
                "prefix is {:?}, or the filter has further conditions",
                prefix(rule)
            )));
        }
        let number = |path: &[&str]| rule.at(path).and_then(|element| element.text.parse::<u32>().ok());
        let expires = number(&["Expiration", "Days"]);
        if expires != Some(u32::from(days)) {
            return Some(Drift::Wrong(format!("expires after {expires:?} days, not {days}")));
        }
        let noncurrent = number(&["NoncurrentVersionExpiration", "NoncurrentDays"]);
        let parts = number(&["AbortIncompleteMultipartUpload", "DaysAfterInitiation"]);
        let doubled = self.rules().filter(|rule| is_ours(rule)).count() > 1;
        match (noncurrent, parts, doubled) {
            (Some(1), Some(1), false) => None,
            (.., true) => Some(Drift::Wrong("present more than once".into())),
            _ => Some(Drift::Partly(format!(
                "noncurrent versions: {noncurrent:?}, unfinished uploads: {parts:?} days"
            ))),
        }
    }

    /// The document with our rule as required, and every other byte unchanged.
    pub fn with_ours(&self, days: u8) -> String {
        let ours = self.our_rule(days);
        let mut cuts: Vec<(Range<usize>, &str)> =
            self.rules().filter(|rule| is_ours(rule)).map(|rule| (rule.span.clone(), "")).collect();
        match cuts.first_mut() {
            Some((_, with)) => *with = &ours,
            None => {
                let end = self.root.inner.end;
                cuts.push((end..end, &ours));
            }
        }
        if self.root.is_empty_tag() {
            let tag = &self.text[self.root.span.clone()];
            let open = tag.trim_end_matches('>').trim_end_matches('/');
            let whole = format!("{open}>{ours}</{}>", self.root.name);
            return replaced(&self.text, vec![(self.root.span.clone(), whole.as_str())]);
        }
        replaced(&self.text, cuts)
    }

    /// Whether all other rules are equal in both documents, apart from the order in which a store writes their
    /// elements. Otherwise the name of the first that differs.
    pub fn others_kept(&self, after: &Rules) -> Result<(), String> {
        let theirs = |rules: &Rules| -> Vec<String> {
            rules.rules().filter(|rule| !is_ours(rule)).map(Element::canonical).collect()
        };
        let mut there = theirs(after);
        for rule in self.rules().filter(|rule| !is_ours(rule)) {
            let wanted = rule.canonical();
            match there.iter().position(|rule| *rule == wanted) {
                Some(n) => drop(there.swap_remove(n)),
                None => return Err(name(rule)),
            }
        }
        Ok(())
    }

    /// Foreign rules that affect our objects, if recordings are kept for up to `keep_days`.
    pub fn touching(&self, keep_days: u8) -> Vec<Touching> {
        let theirs = self.rules().filter(|rule| !is_ours(rule) && is_enabled(rule) && reaches_us(rule));
        theirs.flat_map(|rule| effects(rule, keep_days)).collect()
    }

    fn rules(&self) -> impl Iterator<Item = &Element> {
        self.root.children.iter().filter(|child| child.local() == "Rule")
    }

    /// Our rule in the style of the document: with its namespace prefix, and the kind of filter that its rules use,
    /// since stores reject a mixture.
    fn our_rule(&self, days: u8) -> String {
        let p = self.root.name.strip_suffix(self.root.local()).unwrap_or_default();
        let old_form = self.rules().any(|rule| !is_ours(rule) && rule.at(&["Prefix"]).is_some());
        let prefix = format!("<{p}Prefix>{PREFIX}</{p}Prefix>");
        let filter = if old_form { prefix } else { format!("<{p}Filter>{prefix}</{p}Filter>") };
        let one = |outer: &str, inner: &str, days: u8| {
            format!("<{p}{outer}><{p}{inner}>{days}</{p}{inner}></{p}{outer}>")
        };
        format!(
            "<{p}Rule><{p}ID>{RULE_ID}</{p}ID>{filter}<{p}Status>Enabled</{p}Status>{}{}{}</{p}Rule>",
            one("Expiration", "Days", days),
            one("NoncurrentVersionExpiration", "NoncurrentDays", 1),
            one("AbortIncompleteMultipartUpload", "DaysAfterInitiation", 1),
        )
    }
}

fn replaced(text: &str, cuts: Vec<(Range<usize>, &str)>) -> String {
    let mut out = String::with_capacity(text.len() + 512);
    let mut at = 0;
    for (cut, with) in cuts {
        out.push_str(&text[at..cut.start]);
        out.push_str(with);
        at = cut.end;
    }
    out.push_str(&text[at..]);
    out
}

fn is_ours(rule: &Element) -> bool {
    rule.at(&["ID"]).is_some_and(|id| id.text == RULE_ID)
}

fn is_enabled(rule: &Element) -> bool {
    rule.at(&["Status"]).is_none_or(|status| status.text.eq_ignore_ascii_case("enabled"))
}

fn name(rule: &Element) -> String {
    rule.at(&["ID"]).map_or("unnamed".into(), |id| id.text.clone())
}

/// Older stores return the rule's own prefix instead of a filter.
fn prefix(rule: &Element) -> Option<&str> {
    let places = [&["Filter", "Prefix"][..], &["Filter", "And", "Prefix"], &["Prefix"]];
    places.iter().find_map(|path| rule.at(path)).map(|prefix| prefix.text.as_str())
}

fn has_tag(rule: &Element) -> bool {
    [&["Filter", "Tag"][..], &["Filter", "And", "Tag"]].iter().any(|path| rule.at(path).is_some())
}

/// None of our objects has a tag; any other filter may match them.
fn reaches_us(rule: &Element) -> bool {
    !has_tag(rule) && (meets(rule, PREFIX) || meets(rule, ANCHORS_PREFIX))
}

/// Whether a rule's prefix and one of ours have names in common.
fn meets(rule: &Element, ours: &str) -> bool {
    let theirs = prefix(rule).unwrap_or_default();
    ours.starts_with(theirs) || theirs.starts_with(ours)
}

fn effects(rule: &Element, keep_days: u8) -> Vec<Touching> {
    let (recordings, anchors) = (meets(rule, PREFIX), meets(rule, ANCHORS_PREFIX));
    let known = ["ID", "Status", "Filter", "Prefix"];
    let acts = rule.children.iter().filter(|child| !known.contains(&child.local()));
    acts.map(|act| {
        let days = act.at(&["Days"]).and_then(|days| days.text.parse::<u32>().ok());
        let class = act.at(&["StorageClass"]).map(|class| class.text.clone()).unwrap_or_default();
        let (does, harms) = match (act.local(), days, act.at(&["Date"])) {
            ("Expiration", Some(days), _) if recordings && days < u32::from(keep_days) => {
                (format!("deletes recordings after {days} days; they are kept for up to {keep_days}"), true)
            }
            ("Expiration", Some(days), _) if anchors => {
                (format!("deletes the copy of the deletion log after {days} days"), true)
            }
            ("Expiration", Some(days), _) => (format!("deletes objects after {days} days"), false),
            ("Expiration", None, Some(date)) => (format!("deletes objects on {}", date.text), true),
            ("Transition", after, _) => {
                let days = days.map_or("some".into(), |days| days.to_string());
                // Acting on objects once recordings are gone harms only the copy of the deletion log.
                let in_time = after.is_none_or(|days| days < u32::from(keep_days)) || anchors;
                (
                    format!("moves objects to {class} after {days} days"),
                    in_time && COLD.contains(&class.as_str()),
                )
            }
            (other, ..) => (format!("has {other}"), false),
        };
        Touching { rule: name(rule), does, harms }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEIRS: &str = "<Rule><ID>their-archive</ID><Status>Enabled</Status><Filter><Prefix>archive/</Prefix></Filter>\
        <Expiration><Days>30</Days><ExpiredObjectAllVersions>true</ExpiredObjectAllVersions></Expiration></Rule>\n  \
        <Rule><ID>a &amp; b</ID><!-- ours --><Status>Enabled</Status><Filter><And><Prefix>db/</Prefix>\
        <ObjectSizeGreaterThan>500</ObjectSizeGreaterThan></And></Filter><DelMarkerExpiration><Days>7</Days>\
        </DelMarkerExpiration></Rule>";

    fn document(rules: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<LifecycleConfiguration xmlns=\"{NAMESPACE}\">{rules}</LifecycleConfiguration>\n"
        )
    }

    fn rules(text: &str) -> Rules {
        Rules::read(&document(text)).unwrap()
    }

    fn rule(id: &str, filter: &str, acts: &str) -> String {
        format!("<Rule><ID>{id}</ID><Filter>{filter}</Filter><Status>Enabled</Status>{acts}</Rule>")
    }

    #[test]
    fn invariant_10_rules_that_are_not_ours_keep_every_byte() {
        let old = rule(RULE_ID, "<Prefix>recordings/</Prefix>", "<Expiration><Days>30</Days></Expiration>");
        let (first, second) = THEIRS.split_once("\n  ").unwrap();
        for before in [
            THEIRS.to_owned(),
            format!("{THEIRS}{old}"),
            format!("{old}{THEIRS}"),
            format!("{first}{old}\n  {second}"),
            format!("{old}{THEIRS}{old}"),
        ] {
            let after = rules(&before).with_ours(90);
            let after = Rules::read(&after).unwrap();
            assert_eq!(after.drift(90), None, "{before}");
            let ours = after.our_rule(90);
            assert_eq!(after.text().replacen(&ours, "", 1), document(&before.replace(&old, "")), "{before}");
            assert_eq!(rules(&before).others_kept(&after), Ok(()));
        }
        assert_eq!(rules(THEIRS).with_ours(90).matches("ObjectSizeGreaterThan").count(), 2);
        let marked = format!("\u{feff}{}", document(THEIRS));
        let after = Rules::read(&Rules::read(&marked).unwrap().with_ours(90)).unwrap();
        assert_eq!(after.text().replacen(&after.our_rule(90), "", 1), marked);
    }

    #[test]
    fn invariant_10_a_rule_that_a_store_changed_on_the_way_is_noticed_and_a_new_order_is_not() {
        let before = rules(THEIRS);
        let lost = rules(&THEIRS.replace("<ExpiredObjectAllVersions>true</ExpiredObjectAllVersions>", ""));
        assert_eq!(before.others_kept(&lost), Err("their-archive".into()));
        let shorter = rules(THEIRS.split_once("\n  ").unwrap().0);
        assert_eq!(before.others_kept(&shorter), Err("a & b".into()));
        let (first, second) = THEIRS.split_once("\n  ").unwrap();
        let moved = second
            .replace("<ID>a &amp; b</ID><!-- ours --><Status>Enabled</Status>", "")
            .replace("</Rule>", "<Status>Enabled</Status><ID>a &#38; b</ID></Rule>");
        assert_eq!(before.others_kept(&rules(&format!("{moved}{first}"))), Ok(()));
    }

    #[test]
    fn an_empty_document_another_namespace_and_the_old_form_get_our_rule_in_their_own_words() {
        for text in [
            Rules::default().text().to_owned(),
            format!("<LifecycleConfiguration xmlns=\"{NAMESPACE}\"/>"),
            format!(
                "<s3:LifecycleConfiguration xmlns:s3=\"{NAMESPACE}\"><s3:Rule><s3:ID>x</s3:ID></s3:Rule></s3:LifecycleConfiguration>"
            ),
        ] {
            let with = Rules::read(&Rules::read(&text).unwrap().with_ours(90)).unwrap();
            assert_eq!(with.drift(90), None, "{}", with.text());
            assert_eq!(with.text().contains("<Rule>"), !text.starts_with("<s3:"), "{}", with.text());
        }
        let old =
            rules("<Rule><ID>v1</ID><Prefix>logs/</Prefix><Status>Enabled</Status></Rule>").with_ours(90);
        assert!(!old.contains("<Filter>") && old.contains("<Prefix>recordings/</Prefix>"), "{old}");
        assert!(Rules::read("<html>login</html>").is_err());
        assert!(Rules::read("<LifecycleConfiguration><Rule>").is_err());
        assert!(Rules::read("<!DOCTYPE x><LifecycleConfiguration/>").is_err());
    }

    #[test]
    fn every_kind_of_drift_is_seen() {
        let ours = |filter: &str, days: u32| {
            rules(&rule(RULE_ID, filter, &format!("<Expiration><Days>{days}</Days></Expiration>"))).drift(90)
        };
        let prefix = "<Prefix>recordings/</Prefix>";
        assert_eq!(Rules::default().drift(90), Some(Drift::Missing));
        assert!(matches!(ours(prefix, 91), Some(Drift::Wrong(_))));
        assert!(matches!(ours("<Prefix>other/</Prefix>", 90), Some(Drift::Wrong(_))));
        assert!(matches!(ours(prefix, 90), Some(Drift::Partly(_))));
        let sized = format!("<And>{prefix}<ObjectSizeGreaterThan>9</ObjectSizeGreaterThan></And>");
        assert!(matches!(ours(&sized, 90), Some(Drift::Wrong(_))));
        let off = Rules::default().with_ours(90).replace("Enabled", "Disabled");
        assert!(matches!(Rules::read(&off).unwrap().drift(90), Some(Drift::Wrong(_))));
        let one = Rules::default().with_ours(90);
        let rule = &one[one.find("<Rule>").unwrap()..one.find("</LifecycleConfiguration>").unwrap()];
        let twice = one.replace(rule, &rule.repeat(2));
        assert!(matches!(Rules::read(&twice).unwrap().drift(90), Some(Drift::Wrong(_))));
    }

    #[test]
    fn a_rule_about_the_anchors_alone_is_not_said_to_delete_recordings() {
        let text = rule("x", "<Prefix>anchors/</Prefix>", "<Expiration><Days>1</Days></Expiration>");
        let said = rules(&text).touching(90).remove(0);
        assert!(said.harms && said.does == "deletes the copy of the deletion log after 1 days", "{said:?}");
    }

    #[test]
    fn a_rule_of_others_that_reaches_ours_is_named_with_what_it_does() {
        let week = "<Expiration><Days>7</Days></Expiration>";
        let harm = |filter: &str, acts: &str| {
            rules(&rule("theirs", filter, acts)).touching(90).iter().map(|one| one.harms).collect::<Vec<_>>()
        };
        for (filter, acts, wanted) in [
            ("", week, &[true][..]),
            ("<Prefix></Prefix>", week, &[true]),
            ("<Prefix>recordings/</Prefix>", week, &[true]),
            ("<Prefix>rec</Prefix>", week, &[true]),
            ("<Prefix>recordings/2026/</Prefix>", week, &[true]),
            ("<Prefix>anchors/</Prefix>", "<Expiration><Days>400</Days></Expiration>", &[true]),
            ("<Prefix>recordings/</Prefix>", "<Expiration><Days>90</Days></Expiration>", &[false]),
            (
                "<Prefix>recordings/</Prefix>",
                "<Expiration><Date>2027-01-01T00:00:00Z</Date></Expiration>",
                &[true],
            ),
            ("<ObjectSizeGreaterThan>1</ObjectSizeGreaterThan>", week, &[true]),
            ("<Prefix>backups/</Prefix>", week, &[]),
            ("<And><Prefix>recordings/</Prefix><Tag><Key>a</Key></Tag></And>", week, &[]),
            (
                "<Prefix/>",
                "<Transition><Days>1</Days><StorageClass>DEEP_ARCHIVE</StorageClass></Transition>",
                &[true],
            ),
            (
                "<Prefix>recordings/</Prefix>",
                "<Transition><Days>89</Days><StorageClass>GLACIER</StorageClass></Transition>",
                &[true],
            ),
            (
                "<Prefix>recordings/</Prefix>",
                "<Transition><Days>90</Days><StorageClass>GLACIER</StorageClass></Transition>",
                &[false],
            ),
            (
                "<Prefix/>",
                "<Transition><Days>365</Days><StorageClass>GLACIER</StorageClass></Transition>",
                &[true],
            ),
            (
                "<Prefix>recordings/</Prefix>",
                "<Transition><Date>2030-01-01T00:00:00Z</Date><StorageClass>GLACIER</StorageClass></Transition>",
                &[true],
            ),
            (
                "<Prefix/>",
                "<Transition><Days>30</Days><StorageClass>STANDARD_IA</StorageClass></Transition>",
                &[false],
            ),
            ("<Prefix/>", "<SomethingNew><Days>1</Days></SomethingNew>", &[false]),
        ] {
            assert_eq!(harm(filter, acts), wanted, "{filter} {acts}");
        }
        let said = rules(&rule("week", "", week)).touching(90);
        assert!(said[0].rule == "week" && said[0].does.contains("after 7 days"), "{said:?}");
        let off = rule("off", "", week).replace("Enabled", "Disabled");
        assert_eq!(rules(&off).touching(90), []);
    }
}
