//! The `[ask]` section: asking callers before their calls reach their departments.
//!
//! In: raw settings, checked departments and prompts. Out: where to listen, whom to ask what, where calls go on to.

use std::path::Path;
use std::time::Duration;

use crate::config::error::ConfigError;
use crate::config::raw::{RawAsk, RawAskedDepartment, RawSip};
use crate::config::settings::AskConfig;
use crate::config::sip::{addresses, name, tls_files};
use crate::config::values::{number, wrong};
use optag_core::call::{Department, Prompt};
use optag_sip::ask::settings::{AskedDepartment, SendOn, Target, Unasked};
use optag_sip::siprec::service::Listen;

/// Checks the section.
pub(super) fn check(
    raw: &RawAsk,
    known: (&[Department], &[Prompt]),
    sip: &RawSip,
    prompts_dir: &Path,
) -> Result<AskConfig, ConfigError> {
    let tls = addresses("ask.listen_tls", &raw.listen_tls)?;
    let tls_files = tls_files(sip).filter(|_| !tls.is_empty());
    if !tls.is_empty() && tls_files.is_none() {
        return Err(wrong("sip.certificate_file", "required, with sip.key_file, for ask.listen_tls"));
    }
    let entries = raw.never_ask.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let numbers: Vec<String> = entries.map(str::to_owned).collect();
    let plain = |number: &String| number.bytes().all(|byte| byte.is_ascii_digit() || b"+x ".contains(&byte));
    if !numbers.iter().all(plain) {
        return Err(wrong("ask.never_ask", "numbers and patterns such as 116xxx, with commas"));
    }
    let consent_header = raw.consent_header.trim().to_owned();
    if !consent_header.is_empty() && !optag_sip::sip::header::is_token(&consent_header) {
        return Err(wrong("ask.consent_header", "the name of a header field, or empty"));
    }
    let config = AskConfig {
        listen: Listen {
            udp: addresses("ask.listen_udp", &raw.listen_udp)?,
            tcp: addresses("ask.listen_tcp", &raw.listen_tcp)?,
            tls,
            tls_files,
        },
        send_on: match raw.send_on.as_str() {
            "redirect" => SendOn::Redirect,
            "refer" => SendOn::Refer,
            _ => return Err(wrong("ask.send_on", "redirect or refer")),
        },
        answer: Duration::from_secs(number("ask.answer_s", raw.answer_s, 2..=30)?),
        loss_percent: number("ask.loss_percent", raw.loss_percent, 0..=50)? as u32,
        max_asks: number("ask.max_asks", raw.max_asks, 1..=20_000)? as usize,
        unasked: Unasked {
            numbers,
            internal_digits: number("ask.internal_digits", raw.internal_digits, 0..=10)? as usize,
        },
        consent_header,
        external_id_header: name(&raw.external_id_header),
        prompts_dir: prompts_dir.to_owned(),
        departments: raw
            .department
            .iter()
            .enumerate()
            .map(|(at, one)| department(raw, one, at, known))
            .collect::<Result<_, _>>()?,
    };
    if config.is_on() && config.departments.is_empty() {
        return Err(wrong("ask.department", "at least one [[ask.department]] where [ask] listens"));
    }
    Ok(config)
}

fn department(
    raw: &RawAsk,
    one: &RawAskedDepartment,
    at: usize,
    (departments, prompts): (&[Department], &[Prompt]),
) -> Result<AskedDepartment, ConfigError> {
    let wrong = |key: &str, allowed: &str| wrong(&format!("ask.department[{at}].{key}"), allowed);
    let known = departments.iter().find(|department| department.id == one.id && department.record);
    let department = known.ok_or_else(|| wrong("id", "the id of a department with record = true"))?;
    if raw.department.iter().take(at).any(|other| other.id == one.id) {
        return Err(wrong("id", "used twice"));
    }
    let playable = |prompt: &&Prompt| prompt.audio_file.is_some();
    if department.prompts.is_empty() || !department.prompts.iter().all(|prompt| playable(&prompt)) {
        return Err(wrong("id", "a department with prompts, each of which has an audio_file"));
    }
    let text = one.send_to.as_ref().unwrap_or(&raw.send_to);
    let send_to = Target::parse(text).ok_or_else(|| {
        wrong("send_to", "required, here or in [ask]: a SIP URI such as sip:{called}@192.0.2.5:5060")
    })?;
    let mut languages = Vec::new();
    for (key, version) in &one.languages {
        let mut keys = key.chars();
        let key =
            keys.next().filter(|key| keys.next().is_none() && (key.is_ascii_digit() || "*#".contains(*key)));
        let key = key.ok_or_else(|| wrong("languages", "one of the keys 0-9 * # for each prompt version"))?;
        let prompt = department.prompts.iter().position(|prompt| prompt.version == *version);
        let prompt = prompt.ok_or_else(|| wrong("languages", "versions among the department's prompts"))?;
        let begins = |prompt: &Prompt| {
            let keys = prompt.keys.as_ref().unwrap_or(&department.keys);
            [&keys.yes, &keys.no, &keys.withdraw].into_iter().any(|sequence| sequence.contains(key))
        };
        if department.prompts.iter().any(begins) {
            return Err(wrong("languages", "keys that are in no yes, no or withdrawal"));
        }
        languages.push((key, prompt));
    }
    let confirmation = |key: &str, version: &String| {
        if version.is_empty() {
            return Ok(None);
        }
        let found = prompts.iter().find(|prompt| prompt.version == *version).filter(playable);
        found
            .map(|_| Some(version.clone()))
            .ok_or_else(|| wrong(key, "the version of a prompt with an audio_file"))
    };
    Ok(AskedDepartment {
        id: one.id.clone(),
        send_to,
        languages,
        confirm_yes: confirmation("confirm_yes", &one.confirm_yes)?,
        confirm_no: confirmation("confirm_no", &one.confirm_no)?,
    })
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const REST: &str = "[[prompt]]\nversion = 'da-1'\nlanguage = 'da'\ndepartments = ['a']\ntext = 'x'\naudio_file = 'AUDIO'\n\
        [[prompt]]\nversion = 'en-1'\nlanguage = 'en'\ndepartments = ['a']\ntext = 'x'\naudio_file = 'AUDIO'\n\
        [[department]]\nid = 'a'\nname = 'A'\nrecord = true\nprompts = ['da-1', 'en-1']\n\
        [[department]]\nid = 'b'\nname = 'B'\nrecord = true\n";

    fn parse(ask: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let audio = dir.path().join("a.wav");
        std::fs::write(&audio, "x").unwrap();
        let text = format!("{ask}\n{REST}").replace("AUDIO", &audio.display().to_string());
        Config::parse(&text, []).map_err(|error| error.to_string())
    }

    #[test]
    fn nobody_is_asked_by_default_and_an_asked_department_says_so_in_its_calls() {
        assert!(!Config::default().ask.is_on());
        let config = parse(
            "[ask]\nlisten_udp = '127.0.0.1:5070'\nsend_to = 'sip:{called}@192.0.2.1'\n\
             [[ask.department]]\nid = 'a'\nlanguages = { 8 = 'en-1' }\nconfirm_yes = 'en-1'\n",
        )
        .unwrap();
        assert!(config.ask.is_on());
        assert_eq!(config.ask.departments[0].languages, [('8', 1)]);
        let asked: Vec<bool> = config.departments.iter().map(|one| one.asked_before).collect();
        assert_eq!(asked, [true, false]);
        assert!(config.departments[0].question().asked_before);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_key() {
        let block = |rest: &str| format!("[ask]\nsend_to = 'sip:x@h'\n[[ask.department]]\n{rest}");
        for (text, part) in [
            ("[ask]\nlisten_udp = '127.0.0.1:5070'".to_owned(), "ask.department"),
            ("[ask]\nlisten_tls = '127.0.0.1:5070'".to_owned(), "sip.certificate_file"),
            ("[ask]\nsend_on = 'fly'".to_owned(), "ask.send_on"),
            ("[ask]\nnever_ask = 'bo'".to_owned(), "ask.never_ask"),
            ("[ask]\nanswer_s = 1".to_owned(), "ask.answer_s"),
            ("[ask]\nconsent_header = 'a b'".to_owned(), "ask.consent_header"),
            (block("id = 'c'"), "ask.department[0].id"),
            (block("id = 'b'"), "prompts"),
            (block("id = 'a'\nsend_to = 'nowhere'"), "ask.department[0].send_to"),
            (block("id = 'a'\nlanguages = { 1 = 'en-1' }"), "no yes, no or withdrawal"),
            (block("id = 'a'\nlanguages = { 12 = 'en-1' }"), "languages"),
            (block("id = 'a'\nlanguages = { 8 = 'fr-1' }"), "languages"),
            (block("id = 'a'\nconfirm_no = 'fr-1'"), "confirm_no"),
            (block("id = 'a'\n[[ask.department]]\nid = 'a'"), "ask.department[1].id"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
