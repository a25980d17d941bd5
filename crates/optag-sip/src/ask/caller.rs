//! What an INVITE says of the call to ask: who calls whom, which department asks, under which names its recording
//! will come.

use crate::ask::events::{Question, Rules};
use crate::ask::outcome::Outcome;
use crate::ask::settings::{AskedDepartment, Settings};
use crate::sip::flow::Flow;
use crate::sip::message::Request;
use crate::siprec::call_names::links_of;
use crate::siprec::parties::{self, Hints};
use optag_core::call::Department;
use optag_core::call::context::name_keys;
use optag_media::announce::audio::PTIME_MS;

/// Identifiers of one call that are kept.
const NAMES: usize = 16;

/// A call to ask.
#[derive(Debug)]
pub(super) struct Called {
    /// What its caller is asked.
    pub rules: Rules,
    /// Versions of the confirmations of a yes and of a no.
    pub confirmations: [Option<String>; 2],
    /// Where it goes on to.
    pub target: String,
}

/// Where a call goes on to that is not asked, and why; no target: nobody knows.
#[derive(Debug)]
pub(super) struct NotAsked {
    pub outcome: Outcome,
    pub target: Option<String>,
}

impl Settings {
    /// Whom an INVITE reaches.
    pub(super) fn called(&self, flow: Flow, request: &Request) -> Result<Called, NotAsked> {
        let client = flow.peer.ip();
        let (rules, departments) = (self.sip.rules_for(client), self.sip.departments_for(client));
        let hints = Hints::of(request, rules);
        let parties = parties::resolve(&Default::default(), &hints, rules, departments, None);
        let department = departments.all.iter().find(|one| parties.department.as_ref() == Some(&one.id));
        let asked = department.and_then(|one| self.departments.iter().find(|asked| asked.id == one.id));
        let (Some(department), Some(asked)) = (department, asked) else {
            // Any department's way on is better than none: most installations have one.
            let target = self.departments.first().map(|first| first.send_to.uri(&parties.called_number));
            return Err(NotAsked { outcome: Outcome::NotSelected, target });
        };
        let target = asked.send_to.uri(&parties.called_number);
        if is_emergency(request) || self.unasked.has(&parties.caller_number, &parties.called_number) {
            return Err(NotAsked { outcome: Outcome::NotAsked, target: Some(target) });
        }
        match self.rules(department, asked) {
            Some(rules) => {
                let confirmations = [asked.confirm_yes.clone(), asked.confirm_no.clone()];
                Ok(Called { rules, confirmations, target })
            }
            None => Err(NotAsked { outcome: Outcome::NotSelected, target: Some(target) }),
        }
    }

    /// What callers of a department are asked; `None` where it does not ask (any more), or its prompts cannot be
    /// played.
    fn rules(&self, department: &Department, asked: &AskedDepartment) -> Option<Rules> {
        let question = |prompt: &optag_core::call::Prompt| {
            let lasts = *self.prompts.get(&prompt.version)?;
            Some(Question {
                version: prompt.version.clone(),
                lasts,
                packets: (lasts.as_millis() / u128::from(PTIME_MS)) as u32,
                keys: prompt.keys.as_ref().unwrap_or(&department.keys).clone(),
            })
        };
        let questions: Option<Vec<Question>> = department.prompts.iter().map(question).collect();
        let confirmation =
            |version: &Option<String>| version.as_ref().and_then(|one| self.prompts.get(one).copied());
        Some(Rules {
            questions: questions.filter(|all| !all.is_empty() && department.record)?,
            languages: asked.languages.clone(),
            confirmations: [confirmation(&asked.confirm_yes), confirmation(&asked.confirm_no)],
            answer: self.answer,
            loss_percent: self.loss_percent,
        })
    }

    /// All names of the call in one: an answer that is kept under it is found by each.
    ///
    /// Source: the form is that of Session-ID with its remote half (RFC 7989 §5), which [`name_keys`] reads.
    pub(super) fn name_of(&self, request: &Request) -> String {
        let links = links_of(request);
        let external = self.external_id_header.as_deref().and_then(|name| request.headers.text(name));
        let values = links
            .iter()
            .map(|link| link.value.reveal().clone())
            .chain(external.map(|text| text.into_owned()));
        let mut keys: Vec<String> = Vec::new();
        for key in values.flat_map(|value| name_keys(&value)) {
            if !key.contains([';', '"']) && !keys.contains(&key) && keys.len() < NAMES {
                keys.push(key);
            }
        }
        keys.join(";remote=")
    }
}

/// Whether signalling marks the call as an emergency, or as a call back by its services.
///
/// Source: RFC 5031 §4 (`urn:service:sos`), RFC 3261 §20.26 and RFC 7090 §7 (Priority), RFC 7135 §3 (`esnet`).
fn is_emergency(request: &Request) -> bool {
    let is_sos = |text: &str| text.to_ascii_lowercase().contains("urn:service:sos");
    let to = request.headers.text("to").unwrap_or_default();
    let priority = request.headers.text("priority").unwrap_or_default().trim().to_ascii_lowercase();
    let resource = request.headers.list("resource-priority");
    is_sos(&request.uri.text)
        || is_sos(&to)
        || matches!(priority.as_str(), "emergency" | "psap-callback")
        || resource.iter().any(|value| value.to_ascii_lowercase().starts_with("esnet."))
}
