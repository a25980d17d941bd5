//! The cover sheet: the information that must accompany a copy for the person recorded, as text and HTML, in
//! English and Danish.
//!
//! Source: GDPR Article 13 (1), (2), Article 15 (1), (3); accesses are listed by time and purpose, not by
//! name, unless the owner configures it (CJEU C-579/21).

use super::document::{self, Section};
use super::owner::Owner;
use optag_core::call::{ConsentHow, ConsentRecord, ConsentState, Prompt};
use optag_core::clock::WallTime;
use optag_core::id::CallId;

/// Language of a sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Language {
    /// English.
    #[serde(rename = "en")]
    English,
    /// Danish.
    #[serde(rename = "da")]
    Danish,
}

/// One access to the recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// When.
    pub at: WallTime,
    /// Who.
    pub actor: String,
    /// The kind of access.
    pub action: Action,
    /// Its purpose, as named in the audit.
    pub purpose: &'static str,
}

/// A kind of access to a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Its details were viewed.
    Viewed,
    /// It was played.
    Heard,
    /// A hand-out was started but not completed.
    BrokenOff,
    /// It was exported or handed out.
    HandedOut,
    /// It was imported from an earlier system.
    Imported,
}

impl Action {
    /// Whether audio was served, even if that may have failed.
    pub const fn served(self) -> bool {
        matches!(self, Self::Heard | Self::HandedOut)
    }
}

/// The content of a sheet.
#[derive(Clone, Debug)]
pub struct Sheet<'a> {
    /// Language.
    pub language: Language,
    /// The recording.
    pub id: CallId,
    /// The department's name.
    pub department: &'a str,
    /// When the call began.
    pub started_at: WallTime,
    /// When the recording began.
    pub recorded_at: WallTime,
    /// Its length. Units: ms.
    pub duration_ms: u64,
    /// Calling number.
    pub caller_number: &'a str,
    /// Called number.
    pub called_number: &'a str,
    /// The caller's name, if known.
    pub caller_name: Option<&'a str>,
    /// When it is erased at the latest.
    pub expires_at: WallTime,
    /// Every change of consent.
    pub consent: &'a [ConsentRecord],
    /// The prompts of now: consent records name theirs by the hash of its words.
    pub prompts: &'a [Prompt],
    /// Every access to it.
    pub uses: &'a [Use],
    /// Name of the audio file beside the sheet.
    pub file: &'a str,
    /// Whether it contains only the caller's voice.
    pub own_voice_only: bool,
    /// When the sheet was created.
    pub made_at: WallTime,
    /// The controller.
    pub owner: &'a Owner,
}

impl Sheet<'_> {
    /// As plain text.
    pub fn text(&self) -> String {
        document::text(self.title(), &self.sections())
    }

    /// As a self-contained HTML page.
    pub fn html(&self) -> String {
        document::html(self.language, self.title(), &self.sections())
    }

    fn title(&self) -> &'static str {
        self.pick("Copy of your recorded call", "Kopi af din optagede samtale")
    }

    fn sections(&self) -> Vec<Section> {
        let mut sections =
            vec![self.recording(), self.purpose(), self.consent(), self.uses(), self.retention()];
        sections.extend([self.recipients(), self.rights(), self.controller()]);
        sections
    }

    fn recording(&self) -> Section {
        let mut lines = vec![
            format!("{}: {}", self.pick("File", "Fil"), self.file),
            format!("{}: {}", self.pick("Call began", "Samtalen begyndte"), self.time(self.started_at)),
            format!(
                "{}: {}",
                self.pick("Recording began", "Optagelsen begyndte"),
                self.time(self.recorded_at)
            ),
            format!("{}: {}", self.pick("Length", "Længde"), length(self.duration_ms)),
            format!("{}: {}", self.pick("Department", "Afdeling"), self.department),
            format!("{}: {}", self.pick("Called from", "Ringet fra nummer"), self.caller_number),
            format!("{}: {}", self.pick("Number called", "Ringet til nummer"), self.called_number),
        ];
        lines.extend(self.caller_name.map(|name| format!("{}: {name}", self.pick("Name", "Navn"))));
        lines.push(format!("{}: {}", self.pick("Recording id", "Optagelsens id"), self.id));
        if self.own_voice_only {
            let own = self.pick(
                "The file contains only your own voice; the employee's voice has been left out.",
                "Filen indeholder kun din egen stemme. Medarbejderens stemme er udeladt.",
            );
            lines.push(own.to_owned());
        }
        (self.pick("The recording", "Optagelsen"), lines)
    }

    fn purpose(&self) -> Section {
        let lines = vec![
            self.pick("Purpose: internal training of staff.", "Formål: intern uddannelse af medarbejdere."),
            self.pick(
                "Lawful basis: your consent, GDPR Article 6 (1) (a).",
                "Retsgrundlag: dit samtykke, databeskyttelsesforordningens artikel 6, stk. 1, litra a.",
            ),
            self.pick(
                "Categories of data: your voice and what you said, telephone numbers, your name if known, time of the call.",
                "Kategorier af oplysninger: din stemme og det, du har sagt, telefonnumre, dit navn, hvis det er kendt, og tidspunktet for samtalen.",
            ),
            self.pick(
                "The recording is not used for automated decisions or profiling.",
                "Optagelsen bruges ikke til automatiske afgørelser eller profilering.",
            ),
        ];
        (self.pick("Purpose", "Formål"), lines.into_iter().map(str::to_owned).collect())
    }

    fn consent(&self) -> Section {
        let line = |record: &ConsentRecord| {
            let state = match record.state {
                ConsentState::Granted => self.pick("consent given", "samtykke givet"),
                ConsentState::Refused => self.pick("consent refused", "samtykke afslået"),
                ConsentState::Withdrawn => self.pick("consent withdrawn", "samtykke trukket tilbage"),
                ConsentState::Asked => self.pick("asked", "spurgt"),
                ConsentState::Unknown => self.pick("not asked", "ikke spurgt"),
            };
            let how = match record.how {
                ConsentHow::Key => self.pick("by key press", "ved tastetryk"),
                ConsentHow::System => {
                    self.pick("reported by the telephone system", "oplyst af telefonsystemet")
                }
                ConsentHow::Staff => self.pick("given to a member of staff", "meddelt til en medarbejder"),
                ConsentHow::Timeout => self.pick("no answer in time", "intet svar inden for fristen"),
                ConsentHow::CallEnded => self.pick("the call ended", "samtalen sluttede"),
                ConsentHow::Transfer => self.pick("the call was transferred", "samtalen blev viderestillet"),
                ConsentHow::Imported => {
                    self.pick("according to an earlier system", "ifølge et tidligere system")
                }
            };
            let prompt = record.prompt_version.as_ref().map(|version| {
                let language = record.terms.as_ref().and_then(|terms| terms.language.as_deref());
                let language = language.map(|tag| format!(" ({tag})")).unwrap_or_default();
                let words = self.words(record).map(|text| format!(": “{text}”")).unwrap_or_default();
                format!(", {} {version}{language}{words}", self.pick("announcement", "oplæst besked"))
            });
            format!("{}: {state}, {how}{}", self.time(record.at), prompt.unwrap_or_default())
        };
        (self.pick("Your consent", "Dit samtykke"), self.consent.iter().map(line).collect())
    }

    /// The words of the prompt that a consent record names, as they were: by their hash.
    fn words(&self, record: &ConsentRecord) -> Option<String> {
        let hash = record.terms.as_ref()?.text_sha256.as_ref()?;
        let prompt = self.prompts.iter().find(|prompt| prompt.text_sha256 == *hash)?;
        Some(prompt.text.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|text| !text.is_empty())
    }

    fn uses(&self) -> Section {
        let heading =
            self.pick("Who has had access, and why", "Hvem har haft adgang til optagelsen, og hvorfor");
        if self.uses.is_empty() {
            return (heading, vec![self.pick("Nobody so far.", "Ingen indtil nu.").to_owned()]);
        }
        let line = |one: &Use| {
            let action = match one.action {
                Action::Viewed => self.pick("details viewed", "oplysninger om optagelsen vist"),
                Action::Heard => self.pick("played", "afspillet"),
                Action::BrokenOff => self.pick(
                    "hand-out of a copy started but not completed",
                    "udlevering af en kopi påbegyndt, men ikke gennemført",
                ),
                Action::HandedOut => self.pick("copy handed out", "kopi udleveret"),
                Action::Imported => {
                    self.pick("imported from an earlier system", "overført fra et tidligere system")
                }
            };
            let purpose = match one.purpose {
                "training" => self.pick("training", "uddannelse"),
                "caller_request" => self.pick("request from the caller", "anmodning fra borgeren"),
                "administration" => self.pick("administration", "administration"),
                _ => self.pick("not stated", "ikke angivet"),
            };
            let staff = self.pick("a member of staff", "en medarbejder");
            let who = if self.owner.name_staff { one.actor.as_str() } else { staff };
            format!("{}: {action}, {who}; {}: {purpose}", self.time(one.at), self.pick("purpose", "formål"))
        };
        (heading, self.uses.iter().map(line).collect())
    }

    fn retention(&self) -> Section {
        let erased = self.pick(
            "All copies of the recording that the controller holds are erased no later than",
            "Alle den dataansvarliges kopier af optagelsen slettes senest den",
        );
        let lines = vec![
            format!("{erased} {}.", self.time(self.expires_at)),
            self.pick(
                "The copy you have received is yours to keep.",
                "Den kopi, du har fået udleveret, må du beholde.",
            )
            .to_owned(),
        ];
        (self.pick("Retention period", "Opbevaringsperiode"), lines)
    }

    fn recipients(&self) -> Section {
        let staff = self.pick(
            "Staff and managers of the controller who need it for training.",
            "Medarbejdere og ledere hos den dataansvarlige, som skal bruge optagelsen til uddannelse.",
        );
        let mut lines = vec![staff.to_owned()];
        match self.owner.recipients.as_str() {
            "" => lines.push(self.pick("Nobody else.", "Ingen andre.").to_owned()),
            others => lines.push(others.to_owned()),
        }
        (self.pick("Recipients", "Modtagere"), lines)
    }

    fn rights(&self) -> Section {
        let mut lines = vec![
            self.pick(
                "You may withdraw your consent at any time. The recording is then erased.",
                "Du kan til enhver tid trække dit samtykke tilbage. Så bliver optagelsen slettet.",
            ),
            self.pick(
                "You have the right of access, rectification, erasure and restriction of processing (GDPR Articles 15 to 18).",
                "Du har ret til indsigt, berigtigelse, sletning og begrænsning af behandlingen (databeskyttelsesforordningens artikel 15-18).",
            ),
        ]
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
        let authority = match self.owner.authority.as_str() {
            "" => self.pick("the supervisory authority", "tilsynsmyndigheden"),
            named => named,
        };
        lines.push(format!(
            "{} {authority}.",
            self.pick("You may lodge a complaint with", "Du kan klage til")
        ));
        (self.pick("Your rights", "Dine rettigheder"), lines)
    }

    fn controller(&self) -> Section {
        let made = format!(
            "{} {}.",
            self.pick("This cover sheet was made on", "Dette følgebrev er lavet den"),
            self.time(self.made_at)
        );
        let officer = &self.owner.data_protection_officer;
        let named = [
            (self.pick("Controller", "Dataansvarlig"), &self.owner.controller),
            (self.pick("Contact", "Kontakt"), &self.owner.contact),
            (self.pick("Data protection officer", "Databeskyttelsesrådgiver"), officer),
        ];
        let named = named.into_iter().filter(|(_, text)| !text.is_empty());
        let lines = named.map(|(what, text)| format!("{what}: {text}")).chain([made]).collect();
        (self.pick("Controller", "Dataansvarlig"), lines)
    }

    fn pick(&self, english: &'static str, danish: &'static str) -> &'static str {
        if self.language == Language::Danish { danish } else { english }
    }

    fn time(&self, at: WallTime) -> String {
        document::time(self.language, at, &self.owner.time_zone)
    }
}

fn length(ms: u64) -> String {
    let secs = ms / 1_000;
    format!("{}:{:02}:{:02}", secs / 3_600, secs / 60 % 60, secs % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use optag_core::call::{Evidence, Terms};

    fn sheet(language: Language, owner: &Owner, check: impl Fn(String, String)) {
        let at = WallTime::from_unix_micros(1_700_000_000_000_000);
        let consent = [ConsentRecord {
            state: ConsentState::Granted,
            how: ConsentHow::Key,
            at,
            prompt_version: Some("2026-1".into()),
            evidence: Evidence::Clock,
            terms: Some(Terms {
                department: "demo".into(),
                retention_days: 90,
                language: Some("da".into()),
                text_sha256: Some("ab".into()),
                audio_sha256: None,
                covers: Vec::new(),
            }),
        }];
        let prompt = |version: &str, text: &str, text_sha256: &str| Prompt {
            version: version.into(),
            language: "da".into(),
            text: text.into(),
            text_sha256: text_sha256.into(),
            audio_sha256: None,
            audio_file: None,
            covers: Vec::new(),
            keys: None,
        };
        // A version whose words were changed is not quoted.
        let prompts = [prompt("2026-1", "changed", "cd"), prompt("2026-2", "Press\n1 to be recorded.", "ab")];
        let heard = Use { at, actor: "Inger".into(), action: Action::Heard, purpose: "training" };
        let sheet = Sheet {
            language,
            id: CallId::from_bytes([7; 16]),
            department: "Citizen service",
            started_at: at,
            recorded_at: at,
            duration_ms: 3_725_000,
            caller_number: "+45 12 34 56 78",
            called_number: "70 10 10 10",
            caller_name: Some("<Ada>"),
            expires_at: at.plus_days(90),
            consent: &consent,
            prompts: &prompts,
            uses: &[heard],
            file: "recording.wav",
            own_voice_only: true,
            made_at: at,
            owner,
        };
        check(sheet.text(), sheet.html());
    }

    #[test]
    fn a_sheet_tells_what_articles_13_to_15_ask_for_in_both_languages() {
        let owner =
            Owner { controller: "A town".into(), authority: "Datatilsynet".into(), ..Owner::default() };
        sheet(Language::English, &owner, |text, html| {
            for part in [
                "internal training",
                "Article 6 (1) (a)",
                "2024-02-12",
                "1:02:05",
                "Nobody else",
                ": played, a member of staff",
                "purpose: training",
                "Datatilsynet",
                "A town",
                "withdraw",
                "announcement 2026-1",
                "only your own voice",
                "(da): “Press 1 to be recorded.”",
                "Citizen service",
            ] {
                assert!(text.contains(part), "{part}: {text}");
                assert!(html.contains(part), "{part}: {html}");
            }
            assert!(html.contains("&lt;Ada&gt;") && !html.contains("<Ada>"));
        });
        sheet(Language::Danish, &owner, |text, _| {
            for part in [
                "intern uddannelse",
                "samtykke givet",
                "afspillet",
                "Modtagere",
                "12. februar 2024 kl. ",
                "oplæst besked 2026-1",
                "berigtigelse, sletning og begrænsning af behandlingen",
                "Du kan klage til Datatilsynet",
            ] {
                assert!(text.contains(part), "{part}: {text}");
            }
        });
    }

    #[test]
    fn staff_are_named_only_where_the_owner_says_so() {
        sheet(Language::English, &Owner::default(), |text, _| assert!(!text.contains("Inger"), "{text}"));
        let naming = Owner { name_staff: true, ..Owner::default() };
        sheet(Language::English, &naming, |text, _| assert!(text.contains("Inger"), "{text}"));
    }
}
