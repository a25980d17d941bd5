//! Texts of the pages about retention.

use crate::console::texts::texts;

texts! {
    /// Retention.
    RetentionTexts {
        recordings: "recordings", "optagelser";
        limit: "Nothing is kept longer than", "Intet opbevares længere end";
        days: "days", "dage";
        over: "are older than they may be. Make the report to see why.", "er ældre, end de må være. Lav rapporten for at se hvorfor.";
        none_over: "None is older than it may be, by the index.", "Ingen er ældre end tilladt ifølge registret.";
        report_make: "Make the report", "Lav rapporten";
        ages: "How old they are", "Alder";
        age: "Age", "Alder i dage";
        more_than: "More than", "Mere end";
        by_department: "By department", "Fordelt på afdelinger";
        department: "Department", "Afdeling";
        oldest: "Oldest, days", "Ældste, dage";
        none: "There are no recordings.", "Der er ingen optagelser.";
        expiries: "What is erased next", "Det, der slettes næste gang";
        none_expire: "Nothing expires in the next 14 days.", "Intet udløber inden for de næste 14 dage.";
        day: "Day", "Dag";
        report: "Retention report", "Rapport om opbevaring";
        being_made: "The report is being made.", "Rapporten er ved at blive lavet.";
        looked_at: "copies in the store were checked so far. You can leave this page: it goes on.",
            "kopier i lageret er kontrolleret indtil nu. Du kan forlade siden: Arbejdet fortsætter.";
        look_again: "Look again", "Se efter igen";
        back: "Back", "Tilbage";
        print: "Print", "Udskriv";
        clean: "Nothing is older than it may be, and everything could be checked.",
            "Intet er ældre, end det må være, og alt kunne kontrolleres.";
        not_clean: "Something is older than it may be, differs, or could not be checked.",
            "Noget er ældre, end det må være, afviger eller kunne ikke kontrolleres.";
        state_at: "State at", "Status pr.";
        made_at: "Made", "Lavet";
        grace: "Time allowed for erasing after expiry", "Tid til sletning efter udløb";
        part: "Part", "Del";
        checked: "Checked", "Kontrolleret";
        yes: "yes", "ja";
        no: "no", "nej";
        there: "There", "Antal";
        oldest_at: "Oldest", "Ældste";
        too_old: "Too old", "For gamle";
        amiss: "Other findings", "Andre fund";
        notes: "Remarks", "Bemærkninger (på engelsk)";
        held: "Kept longer by a legal hold", "Bevaret længere, fordi de er beskyttet mod sletning";
        until: "until", "indtil";
        part_index: "The index", "Registret";
        part_store: "Every copy in the store", "Alle kopier i lageret";
        part_both: "Index and store compared", "Register og lager sammenholdt";
        part_rules: "Rules of the bucket", "Lagerets regler for udløb";
        part_spool: "What waits on the disk", "Det, der venter på disken";
        part_log: "Deletion log", "Sletteloggen";
        part_clock: "Clock", "Uret";
    }
}
