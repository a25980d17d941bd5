//! Texts of calls in progress.

use crate::console::texts::texts;

texts! {
    /// Calls in progress.
    CallsTexts {
        in_progress: "calls in progress", "igangværende opkald";
        nodes_missing: "Calls of these nodes are missing, as they do not answer:",
            "Opkald fra disse noder mangler, da de ikke svarer:";
        newest_only: "Only the newest are shown:", "Kun de nyeste vises:";
        refresh: "Refresh", "Opdatér";
        not_up_to_date: "The list is not up to date: the recorder does not answer.",
            "Listen er ikke opdateret: optagesystemet svarer ikke.";
        began: "Began", "Begyndte";
        caller: "Caller → called", "Ringer fra → til";
        department: "Department", "Afdeling";
        consent: "Consent", "Samtykke";
        packets: "Packets received", "Modtagne pakker";
        steps: "Steps", "Handlinger";
        granted: "Yes, recorded", "Ja, optages";
        refused: "No", "Nej";
        asked: "Asked", "Spurgt";
        withdrawn: "Withdrawn", "Trukket tilbage";
        not_asked: "Not asked", "Ikke spurgt";
        paused: "paused", "på pause";
        leg_caller: "Caller", "Borger";
        leg_employee: "Employee", "Medarbejder";
        nothing_arrives: "nothing arrives", "intet modtages";
        lost: "lost", "tabt";
        late: "late", "forsinket";
        pause: "Pause", "Sæt på pause";
        resume: "Go on recording", "Genoptag optagelsen";
        withdraw: "Caller withdraws", "Borgeren fortryder";
        says_yes: "Caller says yes", "Borgeren siger ja";
        says_no: "Caller says no", "Borgeren siger nej";
        pause_title: "Pause the recording", "Sæt optagelsen på pause";
        pause_help: "Nothing is recorded until somebody goes on with it. What was recorded before stays. The pause is marked in the recording.",
            "Intet optages, før nogen genoptager. Det, der er optaget indtil nu, bevares. Pausen fremgår af optagelsen.";
        withdraw_title: "The caller withdraws consent", "Borgeren trækker sit samtykke tilbage";
        withdraw_help: "Recording ends at once, and all of it that was recorded in this call is erased. This cannot be undone. The call itself goes on. That consent was withdrawn, by whom and why, stays in the audit log.",
            "Optagelsen stopper straks, og alt, hvad der er optaget af samtalen, slettes. Det kan ikke fortrydes. Selve samtalen fortsætter. At samtykket er trukket tilbage, af hvem og hvorfor, bevares i loggen.";
        withdraw_now: "Erase the recording", "Slet optagelsen";
        cancel: "Cancel", "Annullér";
        reason: "Reason", "Begrundelse";
        reason_needed: "Write a reason.", "Skriv en begrundelse.";
        reason_wrong: "At most 200 characters.", "Højst 200 tegn.";
        done_pause: "The recording is paused.", "Optagelsen er sat på pause.";
        done_resume: "The recording goes on.", "Optagelsen er genoptaget.";
        done_withdraw: "Consent is withdrawn, and the recording is erased.", "Samtykket er trukket tilbage, og optagelsen er slettet.";
        done_answer: "The answer is noted.", "Svaret er registreret.";
        done_kept: "No call of this name is in progress. The answer is kept for a few minutes, for when it comes.",
            "Der er ikke noget opkald med det id lige nu. Svaret gemmes i nogle minutter, til opkaldet kommer.";
        by_name: "Pass on an answer by the call's identifier", "Registrér et svar ud fra opkaldets id";
        name_kind: "Kind of identifier", "Type id";
        kind_external: "Identifier at the feed", "Id hos telefonsystemet";
        name: "Identifier", "Id";
    }
}
