//! Texts of the audit log.

use crate::console::texts::texts;

texts! {
    /// The audit log.
    AuditTexts {
        unusual: "Unusual listening", "Usædvanlig gennemlytning";
        to_search: "Search the log", "Søg i loggen";
        actor: "Who", "Hvem";
        action: "What", "Hvad";
        purpose: "Purpose", "Formål";
        any: "All", "Alle";
        from: "From day", "Fra dag";
        to: "To day (included)", "Til dag (medregnet)";
        recording_id: "Recording (whole id)", "Optagelse (hele id'et)";
        detail_has: "Detail contains", "Detaljer indeholder";
        search: "Search", "Søg";
        wrong_day: "This is not a day. Write it as 2026-11-24.", "Det er ikke en dato. Skriv den som 2026-11-24.";
        wrong_id: "This is not the id of a recording.", "Det er ikke id'et på en optagelse.";
        wrong_value: "This value is not allowed.", "Værdien er ikke tilladt.";
        not_searched: "Nothing was searched. Correct the marked field.", "Der blev ikke søgt. Ret det markerede felt.";
        none_found: "No entries fit.", "Ingen logposter passer.";
        number: "No.", "Nr.";
        at: "When", "Hvornår";
        recording: "Recording", "Optagelse";
        detail: "Detail", "Detaljer";
        pages: "Pages of the result", "Resultatsider";
        newest: "Newest", "Nyeste";
        older: "Older", "Ældre";
        intact: "The log is unchanged.", "Loggen er uændret.";
        entries: "Entries", "Logposter";
        checkpoints: "signed checkpoints compared", "underskrevne kontrolpunkter sammenlignet";
        broken: "The log was changed.", "Loggen er ændret.";
        broken_help: "An entry does not follow from the one before, or signed entries are missing. What comes after that place is not shown. Tell whoever is responsible, and keep the files as they are.",
            "En logpost passer ikke med den foregående, eller underskrevne logposter mangler. Det, der følger efter stedet, vises ikke. Giv den ansvarlige besked, og bevar filerne, som de er.";
        unusual_help: "What is worth asking about. It proves nothing: there may be a good reason. Looked at are the last",
            "Det, der er værd at spørge til. Det beviser intet: Der kan være en god grund. Der er set på de seneste";
        days: "days", "dage";
        rule_volume: "On one day more than 20 recordings, and more than three times what the person usually hears.",
            "På én dag mere end 20 optagelser og mere end tre gange det, personen plejer at høre.";
        rule_hours: "Between 22:00 and 06:00.", "Mellem kl. 22 og kl. 6.";
        rule_own_name: "The caller has the listener's own name.", "Borgeren har samme navn som den, der lytter.";
        rule_same_caller: "Three or more recordings of one caller, other than for that caller's request.",
            "Tre eller flere optagelser af samme borger, når det ikke skyldes borgerens henvendelse.";
        nothing_unusual: "Nothing unusual.", "Intet usædvanligt.";
        what: "What is unusual", "Hvad er usædvanligt";
        last: "Last", "Senest";
        found_volume: "Recordings on one day", "Optagelser på én dag";
        found_hours: "Recordings heard at night", "Optagelser hørt om natten";
        found_own_name: "Recordings of callers with the own name", "Optagelser af borgere med eget navn";
        found_same_caller: "Recordings of one caller", "Optagelser af samme borger";
        usually: "usually", "plejer";
        playback: "Listening", "Gennemlytning";
        view: "Page of a recording", "Visning af en optagelse";
        search_action: "Search in recordings", "Søgning i optagelser";
        export: "Export", "Eksport";
        hand_out: "Hand-out", "Udlevering";
        link: "Hand-out link made", "Link til udlevering oprettet";
        preview: "Preview of an erasure", "Forhåndsvisning af en sletning";
        erase: "Erasure", "Sletning";
        import: "Import", "Import";
        case: "Case", "Sag";
        hold: "Legal hold", "Beskyttelse mod sletning";
        report: "Retention report", "Rapport om opbevaring";
        read_audit: "Audit log read", "Opslag i loggen";
        control: "Call paused, resumed or withdrawn", "Opkald sat på pause, genoptaget eller trukket tilbage";
        access: "Users and rights", "Brugere og rettigheder";
        sign_in: "Sign-in", "Login";
        sign_out: "Sign-out", "Logud";
        sign_in_failed: "Failed sign-in", "Mislykket login";
        sign_in_refused: "Sign-in refused", "Afvist login";
        refused: "Access refused", "Adgang afvist";
        not_served: "The one before was not served", "Den foregående blev ikke gennemført";
        broken_off: "The one before was interrupted", "Den foregående blev afbrudt";
        confirm_clock: "Clock confirmed", "Ur bekræftet";
        replay_deletions: "Deletion log repaired", "Sletteloggen repareret";
        drain: "Recorder stopped", "Optagesystemet standset";
        test_store: "Test of the store", "Test af lageret";
        other: "Other", "Andet";
    }
}
