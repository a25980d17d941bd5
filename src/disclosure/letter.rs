//! The letter to a caller: what was decided on a request, what was done, and what may be done against it. Pure; as text and
//! HTML, in English and Danish.
//!
//! Source: GDPR Article 12 (3), (4): action taken, time limit, reasons for not taking action, complaint and judicial remedy;
//! Article 19 is not touched, as recordings have no other recipients than those of the cover sheet.

use super::document::{self, Section};
use super::owner::Owner;
use super::sheet::Language;
use optag_core::clock::WallTime;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Erasure.
    Erase,
    /// A copy.
    HandOut,
    /// What is known.
    Access,
}

/// Why nothing is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such recording.
    NotFound,
    /// The caller's identity could not be confirmed.
    NotIdentified,
    /// A legal hold.
    Held,
    /// The request was taken back.
    TakenBack,
    /// Another one.
    Other,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Nothing so far; with the new time limit and the reason, if it was extended.
    None,
    /// The recordings are erased.
    Erase,
    /// The recordings are handed out.
    HandOut,
    /// Nothing is done.
    Refuse(Refusal, Option<&'a str>),
}

/// What became of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// Nothing so far.
    Nothing,
    /// Every copy was verified as deleted, then.
    Erased(WallTime),
    /// The order is durable; nothing of it can be heard any more.
    Erasing,
    /// A legal hold keeps it.
    Held,
    /// There was none any more.
    Gone,
    /// The copy is with the caller.
    HandedOut(WallTime),
    /// A link is with the caller.
    LinkSent,
    /// Not handed out so far.
    NotHandedOut,
    /// It could not be erased yet.
    Failed,
}

/// A recording in a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The department's name.
    pub department: String,
    /// When the call began.
    pub started_at: WallTime,
    /// What became of its recording.
    pub became: Became,
}

/// The content of a letter.
#[derive(Clone, Debug)]
pub struct Letter<'a> {
    /// Language.
    pub language: Language,
    /// Number of the case.
    pub number: &'a str,
    /// The caller's name, if it was told.
    pub name: Option<&'a str>,
    /// Day of receipt.
    pub received_on: jiff::civil::Date,
    /// Last day of the time limit.
    pub due_on: jiff::civil::Date,
    /// Why the time limit was extended.
    pub extended: Option<&'a str>,
    /// What was asked for.
    pub request: Request,
    /// What was decided.
    pub answer: Answer<'a>,
    /// The recordings.
    pub recordings: &'a [Line],
    /// When the letter is made.
    pub made_at: WallTime,
    /// The controller.
    pub owner: &'a Owner,
}

impl Letter<'_> {
    /// As plain text.
    pub fn text(&self) -> String {
        document::text(self.title(), &self.sections())
    }

    /// As a self-contained HTML page.
    pub fn html(&self) -> String {
        document::html(self.language, self.title(), &self.sections())
    }

    fn title(&self) -> &'static str {
        self.pick("Answer to your request", "Svar på din henvendelse")
    }

    fn sections(&self) -> Vec<Section> {
        let mut all = vec![self.about(), self.decision()];
        if !self.recordings.is_empty() && !matches!(self.answer, Answer::None) {
            all.push(self.lines());
        }
        all.extend([self.rights(), self.controller()]);
        all
    }

    fn about(&self) -> Section {
        let asked = match self.request {
            Request::Erase => self.pick(
                "You asked us to erase the recording of your call.",
                "Du har bedt os om at slette optagelsen af din samtale.",
            ),
            Request::HandOut => self.pick(
                "You asked us for a copy of the recording of your call.",
                "Du har bedt os om en kopi af optagelsen af din samtale.",
            ),
            Request::Access => self.pick(
                "You asked us what we know of your recorded calls.",
                "Du har bedt om indsigt i optagelser af dine samtaler.",
            ),
        };
        let mut lines = Vec::new();
        lines.extend(self.name.map(|name| format!("{} {name}", self.pick("To", "Til"))));
        lines.push(asked.to_owned());
        lines.push(format!(
            "{} {}.",
            self.pick("We received your request on", "Vi modtog din henvendelse den"),
            self.day(self.received_on)
        ));
        lines.push(format!("{} {}", self.pick("Case number:", "Sagsnummer:"), self.number));
        (self.pick("Your request", "Din henvendelse"), lines)
    }

    fn decision(&self) -> Section {
        let mut lines = Vec::new();
        match self.answer {
            Answer::None => lines.push(format!(
                "{} {}.",
                self.pick("You will have an answer no later than", "Du får svar senest den"),
                self.day(self.due_on)
            )),
            Answer::Erase => lines.push(
                self.pick(
                    "We erase the recordings below. No recording can be heard from the moment it is ordered to be erased.",
                    "Vi sletter optagelserne nedenfor. En optagelse kan ikke høres, fra det øjeblik sletningen er bestilt.",
                )
                .to_owned(),
            ),
            Answer::HandOut => lines.push(
                self.pick(
                    "You receive a copy of the recordings below, with a cover sheet for each.",
                    "Du får en kopi af optagelserne nedenfor med et følgebrev til hver.",
                )
                .to_owned(),
            ),
            Answer::Refuse(refusal, reason) => {
                lines.push(self.refusal(refusal).to_owned());
                lines.extend(reason.map(str::to_owned));
            }
        }
        if let (Some(reason), Answer::None) = (self.extended, self.answer) {
            lines.push(format!(
                "{} {reason}",
                self.pick(
                    "We need more time than the usual month, because:",
                    "Vi har brug for mere tid end den sædvanlige måned, fordi:",
                )
            ));
        }
        (self.pick("Our answer", "Vores svar"), lines)
    }

    fn refusal(&self, refusal: Refusal) -> &'static str {
        match refusal {
            Refusal::NotFound => self.pick(
                "We have no recording of a call as you describe it. Recordings are erased after at most 90 days.",
                "Vi har ingen optagelse af en samtale som den, du beskriver. Optagelser slettes senest efter 90 dage.",
            ),
            Refusal::NotIdentified => self.pick(
                "We could not confirm that you are the person who was recorded. You are welcome to write to us again with more information.",
                "Vi har ikke kunnet bekræfte, at det er dig, der er optaget. Du er velkommen til at skrive igen med flere oplysninger.",
            ),
            Refusal::Held => self.pick(
                "We must keep the recording for now, because it is needed for a legal claim or required by law.",
                "Vi skal beholde optagelsen indtil videre, fordi den er nødvendig for et retskrav eller skal gemmes efter loven.",
            ),
            Refusal::TakenBack => self.pick(
                "You took your request back, so we have done nothing.",
                "Du har trukket din henvendelse tilbage, så vi har ikke foretaget os noget.",
            ),
            Refusal::Other => self.pick(
                "We cannot do what you ask for. The reason is:",
                "Vi kan ikke imødekomme din henvendelse. Begrundelsen er:",
            ),
        }
    }

    fn lines(&self) -> Section {
        let line = |one: &Line| {
            let became = match one.became {
                Became::Nothing => self.pick("nothing done yet", "endnu ikke behandlet").to_owned(),
                Became::Erased(at) => format!(
                    "{} {}",
                    self.pick(
                        "erased; that no copy is left was verified on",
                        "slettet; kontrolleret, at ingen kopi er tilbage, den"
                    ),
                    self.time(at)
                ),
                Became::Erasing => self
                    .pick(
                        "is being erased and can no longer be heard",
                        "er ved at blive slettet og kan ikke længere høres",
                    )
                    .to_owned(),
                Became::Held => self
                    .pick(
                        "not erased: it is needed for a legal claim or required by law",
                        "ikke slettet: den er nødvendig for et retskrav eller skal gemmes efter loven",
                    )
                    .to_owned(),
                Became::Gone => self.pick("had been erased before", "var allerede slettet").to_owned(),
                Became::HandedOut(at) => {
                    format!("{} {}", self.pick("handed out on", "udleveret den"), self.time(at))
                }
                Became::LinkSent => self
                    .pick(
                        "ready for you through a link that works once",
                        "klar til dig gennem et link, der virker én gang",
                    )
                    .to_owned(),
                Became::NotHandedOut => self.pick("not handed out yet", "endnu ikke udleveret").to_owned(),
                Became::Failed => self.pick("could not be erased yet", "kunne endnu ikke slettes").to_owned(),
            };
            format!("{}, {}: {became}", self.time(one.started_at), one.department)
        };
        (self.pick("The recordings", "Optagelserne"), self.recordings.iter().map(line).collect())
    }

    fn rights(&self) -> Section {
        let authority = match self.owner.authority.as_str() {
            "" => self.pick("the supervisory authority", "tilsynsmyndigheden"),
            named => named,
        };
        let mut lines = Vec::new();
        if matches!(self.answer, Answer::Erase) && !self.owner.public_url.is_empty() {
            lines.push(format!(
                "{} {}/verify",
                self.pick(
                    "You may ask us for a signed receipt of each erasure. Anyone can check it at",
                    "Du kan bede os om en underskrevet kvittering for hver sletning. Alle kan kontrollere den på",
                ),
                self.owner.public_url
            ));
        }
        lines.push(format!(
            "{} {authority}. {}",
            self.pick("You may lodge a complaint with", "Du kan klage til"),
            self.pick("You may also go to court.", "Du kan også gå til domstolene.")
        ));
        (self.pick("If you disagree", "Hvis du er uenig"), lines)
    }

    fn controller(&self) -> Section {
        let officer = &self.owner.data_protection_officer;
        let named = [
            (self.pick("Controller", "Dataansvarlig"), &self.owner.controller),
            (self.pick("Contact", "Kontakt"), &self.owner.contact),
            (self.pick("Data protection officer", "Databeskyttelsesrådgiver"), officer),
        ];
        let made = format!("{} {}.", self.pick("Written on", "Skrevet den"), self.time(self.made_at));
        let named = named.into_iter().filter(|(_, text)| !text.is_empty());
        let lines = named.map(|(what, text)| format!("{what}: {text}")).chain([made]).collect();
        (self.pick("From", "Fra"), lines)
    }

    fn pick(&self, english: &'static str, danish: &'static str) -> &'static str {
        if self.language == Language::Danish { danish } else { english }
    }

    fn time(&self, at: WallTime) -> String {
        document::time(self.language, at, &self.owner.time_zone)
    }

    fn day(&self, day: jiff::civil::Date) -> String {
        document::day(self.language, day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(language: Language, answer: Answer<'_>, became: Became) -> String {
        let at = WallTime::from_unix_micros(1_700_000_000_000_000);
        let owner = Owner {
            authority: "Datatilsynet".into(),
            public_url: "https://calls.example".into(),
            ..Owner::default()
        };
        let recordings = [Line { department: "Borgerservice".into(), started_at: at, became }];
        let letter = Letter {
            language,
            number: "2026-0042",
            name: Some("<Ada>"),
            received_on: "2026-11-24".parse().unwrap(),
            due_on: "2026-12-24".parse().unwrap(),
            extended: None,
            request: Request::Erase,
            answer,
            recordings: &recordings,
            made_at: at,
            owner: &owner,
        };
        let html = letter.html();
        assert!(html.contains("&lt;Ada&gt;") && !html.contains("<Ada>"));
        letter.text()
    }

    #[test]
    fn a_letter_tells_what_was_done_and_what_may_be_done_against_it() {
        let at = WallTime::from_unix_micros(1_700_000_000_000_000);
        let english = letter(Language::English, Answer::Erase, Became::Erased(at));
        for part in ["2026-0042", "2026-11-24", "Borgerservice: erased", "/verify", "Datatilsynet", "court"] {
            assert!(english.contains(part), "{part}: {english}");
        }
        let danish = letter(Language::Danish, Answer::Erase, Became::Erased(at));
        for part in
            ["24. november 2026", "Borgerservice: slettet", "Du kan klage til Datatilsynet", "domstolene"]
        {
            assert!(danish.contains(part), "{part}: {danish}");
        }
    }

    #[test]
    fn what_was_not_done_is_not_said_to_be() {
        for became in [Became::Nothing, Became::Erasing, Became::Held, Became::Failed] {
            let text = letter(Language::English, Answer::Erase, became);
            assert!(!text.contains(": erased;"), "{became:?}: {text}");
        }
        for became in [Became::NotHandedOut, Became::LinkSent] {
            let text = letter(Language::Danish, Answer::HandOut, became);
            assert!(!text.contains(": udleveret den"), "{became:?}: {text}");
        }
    }

    #[test]
    fn a_refusal_has_its_reason() {
        let refusals =
            [Refusal::NotFound, Refusal::NotIdentified, Refusal::Held, Refusal::TakenBack, Refusal::Other];
        for language in [Language::English, Language::Danish] {
            let mut seen = std::collections::HashSet::new();
            for refusal in refusals {
                let text = letter(language, Answer::Refuse(refusal, Some("because")), Became::Nothing);
                assert!(text.contains("because") && seen.insert(text));
            }
        }
    }
}
