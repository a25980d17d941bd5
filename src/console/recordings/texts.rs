//! Texts of the list of recordings.

use crate::console::texts::texts;

texts! {
    /// The list of recordings.
    RecordingsTexts {
        box_label: "Number or name", "Nummer eller navn";
        box_help: "A number, its last digits (at least 4), a name or a part of one, or both. Misspelt names are found too.",
            "Et nummer, de sidste cifre (mindst 4), et navn eller en del af det, eller begge dele. Stavefejl i navne findes også.";
        department: "Department", "Afdeling";
        all_departments: "All departments", "Alle afdelinger";
        from: "From day", "Fra dag";
        to: "To day (included)", "Til dag (medregnet)";
        purpose: "Purpose", "Formål";
        training: "Training", "Uddannelse";
        caller_request: "Request from the caller", "Anmodning fra borgeren";
        administration: "Administration", "Administration";
        search: "Search", "Søg";
        quick: "Usual days", "Hurtige valg";
        today: "Today", "I dag";
        yesterday: "Yesterday", "I går";
        last_7_days: "Last 7 days", "Seneste 7 dage";
        last_30_days: "Last 30 days", "Seneste 30 dage";
        all_days: "All days", "Alle dage";
        wrong_day: "This is not a day. Write it as 2026-11-24.", "Det er ikke en dato. Skriv den som 2026-11-24.";
        wrong_order: "The last day is before the first.", "Den sidste dag ligger før den første.";
        not_searched: "Nothing was searched. Correct the marked field.", "Der blev ikke søgt. Ret det markerede felt.";
        failed: "The search failed, so no recordings are shown.", "Søgningen mislykkedes, så der vises ingen optagelser.";
        none_found: "Nothing found.", "Der blev ikke fundet noget.";
        none_help: "Try fewer letters, the last four digits, or more days.",
            "Prøv med færre bogstaver, de sidste fire cifre eller flere dage.";
        similar: "Nothing matches exactly.", "Intet passer præcist.";
        similar_help: "These are similar, the most similar first:", "Disse ligner, de mest lignende først:";
        similar_truncated: "There are more than could be compared: choose fewer days.",
            "Der er flere, end der kunne sammenlignes: vælg færre dage.";
        found: "recordings", "optagelser";
        one_found: "1 recording", "1 optagelse";
        more_than: "More than", "Mere end";
        from_the_first: "the first", "den første";
        until_now: "now", "nu";
        began: "Began", "Begyndte";
        caller: "Caller", "Ringer fra";
        caller_name: "Name", "Navn";
        called: "Called", "Ringer til";
        length: "Length", "Længde";
        audio: "Audio", "Lyd";
        whole: "complete", "komplet";
        not_whole: "parts missing", "dele mangler";
        pages: "Pages of the result", "Resultatsider";
        first_page: "First page", "Første side";
        next_page: "Next page", "Næste side";
        last_page: "This is the last page.", "Dette er den sidste side.";
    }
}
