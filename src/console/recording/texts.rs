//! Texts of a recording's page.

use crate::console::texts::texts;

texts! {
    /// A recording.
    RecordingTexts {
        recording: "Recording", "Optagelse";
        not_ready: "Not ready yet", "Ikke klar endnu";
        not_ready_help: "The call is still in progress, or its recording is on its way to the store. This takes a few seconds after the call.",
            "Samtalen er stadig i gang, eller optagelsen er på vej til lageret. Det tager få sekunder efter samtalen.";
        look_again: "Look again", "Se efter igen";
        no_listening: "Your roles do not allow you to listen.", "Dine roller giver ikke adgang til at lytte.";
        facts: "The call", "Samtalen";
        department: "Department", "Afdeling";
        caller: "Caller", "Ringer fra";
        other_calls: "All calls with this number", "Alle samtaler med dette nummer";
        called: "Called", "Ringer til";
        began: "Began", "Begyndte";
        ended: "Ended", "Sluttede";
        length: "Length", "Længde";
        expires: "Erased no later than", "Slettes senest";
        external: "Identifier at the feed", "Id hos telefonsystemet";
        purpose: "Purpose", "Formål";
        id: "Id", "Id";
        consent: "Consent", "Samtykke";
        the_caller_heard: "The caller heard", "Borgeren hørte";
        prompt_gone: "The caller heard a prompt whose words are no longer in the configuration:",
            "Borgeren hørte en besked, hvis ordlyd ikke længere findes i opsætningen:";
        granted: "Yes", "Ja";
        refused: "No", "Nej";
        asked: "Asked", "Spurgt";
        withdrawn: "Withdrawn", "Trukket tilbage";
        not_asked: "Not asked", "Ikke spurgt";
        by_key: "the caller pressed", "borgeren trykkede";
        by_system: "told by the telephone system", "meddelt af telefonsystemet";
        by_staff: "told by a member of staff", "meddelt af en medarbejder";
        by_timeout: "no answer in time", "intet svar inden fristen";
        by_end: "the call ended without an answer", "samtalen sluttede uden svar";
        by_transfer: "the call was transferred", "samtalen blev stillet om";
        by_import: "given in an earlier system", "givet i et tidligere system";
        missing: "What is missing", "Hvad mangler";
        nothing_missing: "Nothing is missing.", "Intet mangler.";
        not_whole: "The recording is not complete.", "Optagelsen er ikke komplet.";
        more_gaps: "More", "Flere";
        gaps_left: "Not listed:", "Ikke vist:";
        gap_lost: "lost on the network", "tabt på netværket";
        gap_held: "the telephone sent nothing (on hold)", "telefonen sendte intet (parkeret)";
        gap_paused: "paused", "på pause";
        gap_restart: "the recorder was restarted", "optagesystemet blev genstartet";
        gap_no_media: "nothing was received", "intet blev modtaget";
        gap_spool: "the disk took nothing", "disken kunne ikke modtage mere";
        gap_key_tones: "key tones were cut out", "tastetoner er klippet ud";
        gap_late: "arrived too late", "kom for sent";
        gap_refused: "refused: wrong source or key", "afvist: forkert kilde eller nøgle";
        gap_unknown_type: "unknown audio format", "ukendt lydformat";
        gap_fault: "an error in the recorder", "en fejl i optagesystemet";
        who_listened: "Who listened", "Hvem har lyttet";
        nobody_listened: "Nobody has listened.", "Ingen har lyttet.";
        who_viewed: "Who opened the page", "Hvem har åbnet siden";
        earlier: "Earlier", "Tidligere";
        heard: "listened", "lyttede";
        handed_out: "handed out or exported it", "udleverede eller eksporterede den";
        broken_off: "began to hand it out, which was interrupted", "begyndte at udlevere den, men blev afbrudt";
        imported: "imported it", "importerede den";
        viewed: "opened the page", "åbnede siden";
        player: "Player", "Afspiller";
        before_the_yes: "Before the yes", "Før samtykket";
        never_recorded: "never recorded", "aldrig optaget";
        lane_caller: "Caller", "Borger";
        lane_employee: "Employee", "Medarbejder";
        lane_mixed: "Both", "Begge";
        lane_other: "Other", "Anden";
        position: "Position", "Position";
        position_of: "of", "af";
        play: "Play", "Afspil";
        stop: "Pause", "Stop";
        back_10: "−10 s", "10 s tilbage";
        on_10: "+10 s", "10 s frem";
        speed: "Speed", "Hastighed";
        skip_silence: "Skip silence", "Spring stilhed over";
        link_here: "Link to this moment", "Link til dette sted";
        linked: "The address of this moment was copied:", "Adressen på dette sted er kopieret:";
        mute: "Mute", "Slå fra";
        solo: "Only", "Kun";
        balance: "Balance", "Balance";
        loop_span: "Repeat a part", "Gentag en del";
        loop_from: "Repeat from here", "Gentag herfra";
        loop_to: "Repeat to here", "Gentag hertil";
        loop_off: "Do not repeat", "Gentag ikke";
        looping: "Repeats", "Gentager";
        keys: "Keys", "Taster";
        keys_help: "While the player has the focus: Space or K plays and stops, ← and → go 5 seconds, J and L go 10 seconds, Home goes to the beginning.",
            "Når afspilleren har fokus: Mellemrum eller K afspiller og stopper, ← og → går 5 sekunder, J og L går 10 sekunder, Home går til begyndelsen.";
        play_failed: "The audio cannot be played. Open the page again.", "Lyden kan ikke afspilles. Åbn siden igen.";
        no_waveform: "The waveform cannot be shown.", "Lydbilledet kan ikke vises.";
        audited: "That you listen is noted, with the purpose", "Det registreres, at du lytter, med formålet";
    }
}

texts! {
    /// Erasing a recording outside of a case.
    EraseTexts {
        ask: "Erase this recording …", "Slet denne optagelse …";
        title: "Erase the recording", "Slet optagelsen";
        help: "If a caller asks for it, open a case instead: it keeps the time limit and makes the letter.",
            "Er det en borger, der beder om det, så opret en sag i stedet: Den holder styr på fristen og laver brevet.";
        reason: "Reason, for the audit log", "Begrundelse, til loggen";
        reason_wrong: "Write a reason of at most 200 characters.", "Skriv en begrundelse på højst 200 tegn.";
        request: "Reference number, for the receipt (optional)", "Journalnummer, til kvitteringen (valgfrit)";
        request_wrong: "Letters, digits and -_/. with a digit among them, no names.", "Bogstaver, cifre og -_/. med mindst ét ciffer, ingen navne.";
        kept: "Nothing was erased: a legal hold keeps the recording, or the call is in progress.",
            "Intet blev slettet: Optagelsen er beskyttet mod sletning, eller samtalen er i gang.";
        cancel: "Cancel", "Annullér";
        erased: "Erasure", "Sletning";
        back: "To the recordings", "Til optagelserne";
    }
}
