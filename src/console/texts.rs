//! The texts of the pages: a table for each part, both languages on one line, so that neither can lack one. The compiler
//! finds texts that no page shows.

use crate::disclosure::sheet::Language;

/// Declares a table: `key: "English", "Danish";`.
macro_rules! texts {
    ($(#[$doc:meta])* $name:ident { $($key:ident: $english:literal, $danish:literal;)* }) => {
        $(#[$doc])*
        pub(in crate::console) struct $name {
            $(pub(in crate::console) $key: &'static str,)*
        }

        impl $name {
            const ENGLISH: Self = Self { $($key: $english,)* };
            const DANISH: Self = Self { $($key: $danish,)* };

            /// The texts in a language.
            pub(in crate::console) const fn of(language: $crate::disclosure::sheet::Language) -> &'static Self {
                match language {
                    $crate::disclosure::sheet::Language::English => &Self::ENGLISH,
                    $crate::disclosure::sheet::Language::Danish => &Self::DANISH,
                }
            }

            /// Every key with its texts.
            #[cfg(test)]
            pub(in crate::console) const ALL: &'static [(&'static str, &'static str, &'static str)] =
                &[$((stringify!($key), $english, $danish),)*];
        }
    };
}
pub(in crate::console) use texts;

texts! {
    /// What stands around every page, and errors.
    FrameTexts {
        skip: "Skip to content", "Gå til indholdet";
        navigation: "Pages", "Sider";
        recordings: "Recordings", "Optagelser";
        requests: "Requests from callers", "Borgerhenvendelser";
        calls: "Calls", "Opkald";
        audit: "Audit log", "Log";
        retention: "Retention", "Opbevaring";
        health: "Health", "Drift";
        sign_out: "Sign out", "Log ud";
        theme: "Colours", "Farver";
        theme_auto: "Auto", "Auto";
        theme_light: "Light", "Lys";
        theme_dark: "Dark", "Mørk";
        to_start: "Go to the start page", "Gå til forsiden";
        detail: "Details", "Detaljer (på engelsk)";
        no_pages: "No pages", "Ingen sider";
        no_pages_for: "There are no pages for your roles:", "Der er ingen sider til dine roller:";
        signed_out: "You are signed out", "Du er logget ud";
        signed_out_help: "Sign in again to go on.", "Log ind igen for at fortsætte.";
        forbidden: "You do not have access", "Du har ikke adgang";
        forbidden_help: "Your roles do not allow this, or the page was opened too long ago. Open the page again. Ask your administrator if you need access.",
            "Dine roller giver ikke adgang til dette, eller siden har været åben for længe. Åbn siden igen. Spørg din administrator, hvis du har brug for adgang.";
        not_found: "Not found", "Ikke fundet";
        not_found_help: "There is nothing at this address, or it is in a department that you have no access to.",
            "Der er intet på denne adresse, eller det hører til en afdeling, som du ikke har adgang til.";
        wrong_way: "This address cannot be opened", "Adressen kan ikke åbnes";
        wrong_way_help: "It only takes a form of another page. Open that page and try again.",
            "Den modtager kun en formular fra en anden side. Åbn den side, og prøv igen.";
        conflict: "Not possible right now", "Ikke muligt lige nu";
        conflict_help: "It is not ready yet, it is under a legal hold, or somebody else changed it. Open the page again.",
            "Det er ikke klar endnu, det er beskyttet mod sletning, eller en anden har ændret det. Åbn siden igen.";
        gone: "Erased", "Slettet";
        gone_help: "The recording was erased or its time is up. Nobody can listen to it any more.",
            "Optagelsen er slettet, eller dens frist er udløbet. Ingen kan længere høre den.";
        too_large: "Too large", "For stor";
        too_large_help: "What was sent is larger than this page takes.", "Det, der blev sendt, er større, end siden kan modtage.";
        too_many: "Too many requests", "For mange forespørgsler";
        too_many_help: "Wait a moment and try again.", "Vent et øjeblik, og prøv igen.";
        away: "The recorder does not answer", "Optagesystemet svarer ikke";
        away_help: "Nothing was shown or changed. Try again shortly. If it goes on, tell your administrator.",
            "Intet blev vist eller ændret. Prøv igen om lidt. Kontakt din administrator, hvis det fortsætter.";
        unclear: "The request was not understood", "Forespørgslen blev ikke forstået";
        unclear_help: "Something in the address or the form is wrong. Go back and correct it.",
            "Noget i adressen eller formularen er forkert. Gå tilbage, og ret det.";
        failed: "Something went wrong", "Noget gik galt";
        failed_help: "The recorder could not do this. Tell your administrator if it happens again.",
            "Optagesystemet kunne ikke gøre dette. Kontakt din administrator, hvis det sker igen.";
    }
}

/// The name of a language, in itself.
pub(in crate::console) const fn own_name(language: Language) -> &'static str {
    match language {
        Language::Danish => "Dansk",
        Language::English => "English",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::audit::AuditTexts;
    use crate::console::calls::CallsTexts;
    use crate::console::cases::{CasesTexts, HandingTexts, StepsTexts};
    use crate::console::health::HealthTexts;
    use crate::console::recording::{EraseTexts, RecordingTexts};
    use crate::console::recordings::RecordingsTexts;
    use crate::console::retention::RetentionTexts;
    use crate::console::verify::VerifyTexts;

    /// Texts that are the same word in both languages.
    const SAME: &[&str] =
        &["Administration", "Disk", "Import", "Node", "Version", "Auto", "Balance", "Id", "Position"];

    #[test]
    fn every_text_is_there_in_both_languages() {
        let cases = [CasesTexts::ALL, HandingTexts::ALL, StepsTexts::ALL, EraseTexts::ALL, AuditTexts::ALL];
        let oversight = [RetentionTexts::ALL, HealthTexts::ALL];
        let others =
            [CallsTexts::ALL, FrameTexts::ALL, RecordingTexts::ALL, RecordingsTexts::ALL, VerifyTexts::ALL];
        for table in cases.into_iter().chain(others).chain(oversight) {
            for (key, english, danish) in table {
                assert!(!english.trim().is_empty() && !danish.trim().is_empty(), "{key}");
                assert!(english.trim() == *english && danish.trim() == *danish, "{key}");
                assert!(english != danish || SAME.contains(english), "{key} is not translated");
            }
        }
    }
}
