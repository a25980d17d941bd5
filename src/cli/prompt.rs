//! `optag prompt`: makes, lists, plays and checks consent prompts.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};

use super::ConfigArgs;
use super::installation::load_config;
use crate::config::Config;
use crate::prompts::level::{self, TARGET_LUFS, TOLERANCE_LU};
use crate::prompts::{audio, store};
use optag_core::call::{ConsentKeys, Department, Prompt};
use optag_media::announce::audio::PROMPT_HZ;
use optag_media::codec::coded::{Codec, Coded, Format};
use optag_media::codec::decoder::{Decoder, LONGEST_SAMPLES};

/// Programs that play a WAV file, first to last, with their arguments.
const PLAYERS: [(&str, &[&str]); 4] = [
    ("pw-play", &[]),
    ("paplay", &[]),
    ("aplay", &["-q"]),
    ("ffplay", &["-nodisp", "-autoexit", "-v", "error"]),
];

/// Make, list, play and check consent prompts.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  optag prompt add question.wav --version 2026-1-da --language da --text-file question.txt --department demo
  optag prompt list
  optag prompt play 2026-1-da --codec pcma        as callers hear it
  optag prompt play 2026-1-da -o heard.wav
  optag prompt check                               exit code 1: a prompt is not in order

`add` takes WAV, Opus and every other format that `optag import` reads, removes the silence around the speech, and levels
it to -23 LUFS. Name the version under `prompts` of its departments; a running recorder takes it at SIGHUP.
docs/guide/asking.md tells what a prompt must say.")]
pub struct PromptArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Store a new version.
    Add(AddArgs),
    /// Show versions, languages, lengths, departments and texts.
    List {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Play a version, or write it to a file.
    Play {
        /// The version.
        version: String,
        /// As it sounds after this codec.
        #[arg(long)]
        codec: Option<CodecArg>,
        /// Write a WAV file instead.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Check loudness, silence, length, hashes and the keys named in the text.
    Check {
        /// The versions; all without one.
        versions: Vec<String>,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

#[derive(Debug, Args)]
struct AddArgs {
    /// Audio file.
    file: PathBuf,
    /// Version: one version, one language; a changed wording is a new version.
    #[arg(long = "version", value_name = "VERSION")]
    named: String,
    /// Language tag, such as `da` or `en-GB`.
    #[arg(long)]
    language: String,
    /// What is said in it.
    #[arg(long, conflicts_with = "text_file", required_unless_present = "text_file")]
    text: Option<String>,
    /// File with what is said in it.
    #[arg(long, value_name = "FILE")]
    text_file: Option<PathBuf>,
    /// A department that it names; several times for several.
    #[arg(long = "department", value_name = "ID", required = true)]
    departments: Vec<String>,
    /// The keys that it announces for yes; default: the department's.
    #[arg(long, value_name = "KEYS")]
    yes: Option<String>,
    /// The keys that it announces for no; default: the department's.
    #[arg(long, value_name = "KEYS")]
    no: Option<String>,
    /// The keys that it announces for a withdrawal; default: the department's.
    #[arg(long, value_name = "KEYS")]
    withdraw: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CodecArg {
    Pcmu,
    Pcma,
    G722,
    Opus,
}

impl From<CodecArg> for Codec {
    fn from(arg: CodecArg) -> Self {
        match arg {
            CodecArg::Pcmu => Self::Pcmu,
            CodecArg::Pcma => Self::Pcma,
            CodecArg::G722 => Self::G722,
            CodecArg::Opus => Self::Opus,
        }
    }
}

/// Runs the command.
pub async fn run(args: PromptArgs) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Add(new) => add(&load_config(&new.config)?, new),
        Action::List { config } => Ok(list(&load_config(&config)?)),
        Action::Play { version, codec, output, config } => {
            play(prompt(&load_config(&config)?, &version)?, codec, output)
        }
        Action::Check { versions, config } => check(&load_config(&config)?, &versions),
    }
}

fn prompt<'a>(config: &'a Config, version: &str) -> anyhow::Result<&'a Prompt> {
    let found = config.prompts.iter().find(|prompt| prompt.version == version);
    found.with_context(|| format!("there is no prompt of version {version}; see `optag prompt list`"))
}

fn department<'a>(config: &'a Config, id: &str) -> anyhow::Result<&'a Department> {
    let found = config.departments.iter().find(|department| department.id == id);
    found.with_context(|| format!("there is no department `{id}`"))
}

fn add(config: &Config, new: AddArgs) -> anyhow::Result<ExitCode> {
    if config.prompts.iter().any(|prompt| prompt.version == new.named) {
        bail!("version {} is there already; a changed prompt is a new version", new.named);
    }
    let text = match (new.text, new.text_file) {
        (Some(text), _) => text,
        (None, Some(file)) => {
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?
        }
        (None, None) => bail!("what is said in the prompt is required: --text or --text-file"),
    };
    let first = department(config, &new.departments[0])?;
    for id in &new.departments {
        department(config, id)?;
    }
    let own = new.yes.is_some() || new.no.is_some() || new.withdraw.is_some();
    let keys = ConsentKeys {
        yes: new.yes.unwrap_or_else(|| first.keys.yes.clone()),
        no: new.no.unwrap_or_else(|| first.keys.no.clone()),
        withdraw: new.withdraw.unwrap_or_else(|| first.keys.withdraw.clone()),
    };
    let missing = unnamed(&text, &keys);
    if !missing.is_empty() {
        bail!("the text does not name {}", missing.join(" and "));
    }
    let samples = level::prepare(&audio::read(&new.file)?)
        .with_context(|| format!("{} cannot be a prompt", new.file.display()))?;
    let stored = store::NewPrompt {
        version: &new.named,
        language: &new.language,
        text: &text,
        samples: &samples,
        departments: &new.departments,
        keys: own.then_some(&keys),
    };
    let file = store::add(&config.ask.prompts_dir, &stored)?;
    println!("stored {} ({:.1} s)", file.display(), samples.len() as f64 / f64::from(PROMPT_HZ));
    for id in &new.departments {
        if !department(config, id)?.prompts.iter().any(|prompt| prompt.version == new.named) {
            println!("add \"{}\" to `prompts` of department `{id}` in the configuration", new.named);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Keys that a text does not name, in words: callers cannot press what they were not told.
fn unnamed(text: &str, keys: &ConsentKeys) -> Vec<String> {
    let digits: Vec<&str> = text.split(|c: char| !c.is_ascii_digit() && !"*#".contains(c)).collect();
    let named = |keys: &str| digits.iter().any(|word| word.trim_end_matches('*') == keys || *word == keys);
    let all = [("yes", &keys.yes), ("no", &keys.no)];
    all.iter()
        .filter(|(_, keys)| !named(keys))
        .map(|(what, keys)| format!("the key for {what}, `{keys}`"))
        .collect()
}

fn list(config: &Config) -> ExitCode {
    if config.prompts.is_empty() {
        println!("no prompts: `optag prompt add`, or [[prompt]] in the configuration");
    }
    for prompt in &config.prompts {
        let length = prompt.audio_file.as_deref().map(audio::read);
        let length = match length {
            Some(Ok(samples)) => format!("{:.1} s", samples.len() as f64 / f64::from(PROMPT_HZ)),
            Some(Err(_)) => "unreadable audio".to_owned(),
            None => "no audio".to_owned(),
        };
        println!("{}  {}  {length}  {}", prompt.version, prompt.language, prompt.covers.join(", "));
        println!("    {}", prompt.text.trim().replace('\n', "\n    "));
    }
    ExitCode::SUCCESS
}

fn play(prompt: &Prompt, codec: Option<CodecArg>, output: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let file = prompt.audio_file.as_deref().context("the prompt has no audio_file")?;
    let samples = audio::read(file)?;
    let (samples, rate_hz) = match codec {
        None => (samples, PROMPT_HZ),
        Some(codec) => through(codec.into(), &samples)?,
    };
    let bytes = audio::wav(&samples, rate_hz);
    if let Some(output) = output {
        std::fs::write(&output, bytes).with_context(|| format!("cannot write {}", output.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let dir = std::env::temp_dir().join(format!("optag-prompt-{}.wav", std::process::id()));
    std::fs::write(&dir, bytes).with_context(|| format!("cannot write {}", dir.display()))?;
    let played = PLAYERS.iter().find_map(|(program, arguments)| {
        Command::new(program).args(*arguments).arg(&dir).stdin(Stdio::null()).status().ok()
    });
    let removed = std::fs::remove_file(&dir);
    let status = played.with_context(|| {
        format!("none of {} is installed; use -o FILE", PLAYERS.map(|(program, _)| program).join(", "))
    })?;
    removed?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a codec makes of it, with the rate.
fn through(codec: Codec, samples: &[i16]) -> anyhow::Result<(Vec<i16>, u32)> {
    let coded = Coded::of_wideband(samples, Format { codec, ptime_ms: 20 })?;
    let mut decoder = Decoder::new(codec.encoding());
    let (mut heard, mut block) = (Vec::new(), vec![0; LONGEST_SAMPLES]);
    for packet in 0..coded.packets() as u64 {
        let count = decoder.decode(coded.payload(packet), &mut block);
        heard.extend_from_slice(&block[..count]);
    }
    Ok((heard, decoder.audio_hz()))
}

fn check(config: &Config, versions: &[String]) -> anyhow::Result<ExitCode> {
    for version in versions {
        prompt(config, version)?;
    }
    let mut wrong = false;
    for prompt in &config.prompts {
        if !versions.is_empty() && !versions.contains(&prompt.version) {
            continue;
        }
        let faults = faults(config, prompt);
        wrong |= !faults.is_empty();
        match faults.is_empty() {
            true => println!("{}: in order", prompt.version),
            false => faults.iter().for_each(|fault| println!("{}: {fault}", prompt.version)),
        }
    }
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What is wrong with a prompt. Its hashes are those of its files: the configuration was read just now.
fn faults(config: &Config, prompt: &Prompt) -> Vec<String> {
    let mut faults = Vec::new();
    let asking: Vec<&Department> = config
        .departments
        .iter()
        .filter(|one| one.prompts.iter().any(|own| own.version == prompt.version))
        .collect();
    for department in &asking {
        let keys = prompt.keys.as_ref().unwrap_or(&department.keys);
        faults.extend(unnamed(&prompt.text, keys).iter().map(|key| format!("the text does not name {key}")));
    }
    faults.dedup();
    let Some(file) = prompt.audio_file.as_deref() else {
        faults.push("no audio_file: it cannot be played".to_owned());
        return faults;
    };
    let measured = match audio::read(file).map_err(anyhow::Error::from) {
        Ok(samples) => level::measure(&samples).map_err(anyhow::Error::from),
        Err(error) => Err(error),
    };
    match measured {
        Err(error) => faults.push(error.to_string()),
        Ok(measured) => {
            if (measured.lufs - TARGET_LUFS).abs() > TOLERANCE_LU {
                faults.push(format!(
                    "{:.1} LUFS, not -23 ± 1: store it with `optag prompt add`",
                    measured.lufs
                ));
            }
            let (before, after) = measured.silence_ms;
            if before > 500 || after > 1_000 {
                faults.push(format!("silence of {before} ms before and {after} ms after the speech"));
            }
            if measured.length_ms > 60_000 {
                faults.push("longer than 60 s".to_owned());
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_does_not_name_the_keys_is_found() {
        let keys = ConsentKeys::default();
        assert!(unnamed("Tast 1 for ja, 2 for nej. Fortryd med *9.", &keys).is_empty());
        assert_eq!(unnamed("Press 1 for yes, or stay on the line.", &keys).len(), 1);
        assert_eq!(unnamed("Press 12 for yes, 21 for no", &keys).len(), 2);
        let stars = ConsentKeys { yes: "*1".into(), no: "#".into(), ..ConsentKeys::default() };
        assert!(unnamed("Press *1 to agree, # to refuse", &stars).is_empty());
    }
}
