//! Texts of the cases.

use crate::console::texts::texts;

texts! {
    /// Cases, from intake to closing.
    CasesTexts {
        case: "Case", "Sag";
        new_case: "New request", "Ny henvendelse";
        open_cases: "Open", "Åbne";
        closed_cases: "Closed", "Lukkede";
        which: "Which cases", "Hvilke sager";
        none_open: "No open cases.", "Ingen åbne sager.";
        none_closed: "No closed cases.", "Ingen lukkede sager.";
        next_page: "Next page", "Næste side";
        first_page: "First page", "Første side";
        number: "Case", "Sagsnummer";
        asked: "Asked for", "Ønske";
        department: "Department", "Afdeling";
        all_departments: "All departments", "Alle afdelinger";
        choose_department: "Choose a department", "Vælg en afdeling";
        caller: "Caller", "Borger";
        received: "Received", "Modtaget";
        due: "Answer no later than", "Besvares senest";
        next: "Next", "Næste trin";
        results: "Results", "Resultat";
        days_left: "days left", "dage tilbage";
        one_day_left: "1 day left", "1 dag tilbage";
        due_today: "today is the last day", "i dag er sidste dag";
        one_day_over: "1 day overdue", "1 dag over fristen";
        days_over: "days overdue", "dage over fristen";
        state_open: "Open", "Åben";
        state_decided: "Decided", "Afgjort";
        state_closed: "Closed", "Lukket";
        next_identity: "Check identity", "Kontrollér identitet";
        next_choose: "Choose recordings", "Vælg optagelser";
        next_decide: "Decide", "Træf afgørelse";
        next_erase: "Erasure is not complete", "Sletningen er ikke fuldført";
        next_hand_out: "Hand out", "Udlevér";
        next_close: "Answer and close", "Svar og luk sagen";
        asked_erase: "Erasure", "Sletning";
        asked_hand_out: "A copy of the recording", "Kopi af optagelsen";
        asked_access: "What is kept", "Indsigt uden kopi";
        decided_erase: "Erase", "Slet";
        decided_hand_out: "Hand out", "Udlevér";
        decided_refuse: "Refuse", "Afslag";
        called_back: "Called back on the number of the call", "Ringet op på det nummer, der blev ringet fra";
        knows_the_call: "Knows what only the caller can know", "Ved noget, som kun borgeren kan vide";
        digital_id: "National sign-in or secure post box", "MitID eller Digital Post";
        in_person: "In person, with a document", "Personligt fremmøde med legitimation";
        identity_other: "Otherwise", "På anden måde";
        not_yet: "Not checked yet", "Endnu ikke kontrolleret";
        ground_not_found: "There is no such recording", "Optagelsen findes ikke";
        ground_not_identified: "Identity could not be confirmed", "Identiteten kunne ikke bekræftes";
        ground_held: "The recording must be kept (legal hold)", "Optagelsen skal bevares (beskyttet mod sletning)";
        ground_taken_back: "The caller took the request back", "Borgeren har trukket henvendelsen tilbage";
        ground_other: "Another ground", "Anden grund";
        erased: "Erased. Every copy was verified as gone", "Slettet. Det er kontrolleret, at alle kopier er væk";
        erasing: "Erased for everybody. A copy in the store is still to be removed",
            "Slettet, så ingen kan få adgang. En kopi i lageret mangler endnu at blive fjernet";
        held: "Kept by a legal hold", "Beskyttet mod sletning";
        gone: "Had expired or was erased before", "Udløbet eller slettet i forvejen";
        handed_out: "Handed out completely", "Udleveret i sin helhed";
        handing_out: "Is being handed out", "Er ved at blive udleveret";
        broken_off: "The transfer was interrupted", "Overførslen blev afbrudt";
        link_open: "A link that has not been used", "Et link, der ikke er brugt endnu";
        link_expired: "The link ended unused", "Linket udløb ubrugt eller blev tilbagekaldt";
        failed: "Failed", "Mislykkedes";
        until: "until", "indtil";
        told: "What the caller said", "Det, borgeren har oplyst";
        told_change: "Correct", "Ret oplysningerne";
        done_told: "What the caller said is corrected.", "Oplysningerne er rettet.";
        told_number: "Number called from", "Ringet fra nummer";
        told_called: "Number called", "Ringet til nummer";
        told_name: "The caller's name", "Borgerens navn";
        told_date: "Day of the call", "Dato for opkaldet";
        told_time: "Time of day, local", "Klokkeslæt (lokal tid)";
        told_tolerance: "Plus or minus minutes", "Plus/minus minutter";
        told_note: "Where to answer, and what else was said", "Hvor der skal svares, og hvad der ellers er oplyst";
        told_help: "A number, a name or a day is enough. The last digits of a number and a misspelt name are found too.",
            "Et nummer, et navn eller en dato er nok. De sidste cifre af et nummer og et forkert stavet navn findes også.";
        opened: "Opened", "Oprettet";
        by: "by", "af";
        extended_because: "extended, because", "forlænget, fordi";
        extended: "extended by two months", "forlænget med to måneder";
        extend: "Extend the time limit", "Forlæng fristen";
        identity: "Identity", "Identitet";
        identity_how: "How was identity checked?", "Hvordan er identiteten kontrolleret?";
        identity_note: "Remark", "Bemærkning";
        identity_save: "Save", "Gem";
        identity_change: "Change", "Ret";
        identity_needed: "Choose how identity was checked.", "Vælg, hvordan identiteten er kontrolleret.";
        identity_note_needed: "Write how identity was checked.", "Skriv, hvordan identiteten er kontrolleret.";
        recordings: "Recordings", "Optagelser";
        none_chosen: "No recording is chosen.", "Der er ikke valgt nogen optagelse.";
        find: "Find and choose recordings", "Find og vælg optagelser";
        change_choice: "Change the choice", "Ret valget";
        listen_help: "Listen only to make sure that it is the recording that is meant. It is noted with the case's number, and the caller is told.",
            "Lyt kun for at sikre dig, at det er den rigtige optagelse. Det registreres med sagens nummer, og borgeren får det oplyst.";
        listen: "Listen to the recording of", "Lyt til optagelsen fra";
        began: "Began", "Begyndte";
        length: "Length", "Længde";
        audio: "Audio", "Lyd";
        result: "Result", "Resultat";
        decision: "Decision", "Afgørelse";
        decide_help: "What shall be done? The next page shows what goes and what stays before anything happens.",
            "Hvad skal der ske? Næste side viser, hvad der bliver slettet, og hvad der bevares, før der sker noget.";
        decide_not_yet: "Check identity and choose the recordings first. A refusal is possible without.",
            "Kontrollér først identiteten, og vælg optagelserne. Et afslag kan gives uden.";
        erase_ask: "Erase …", "Slet …";
        hand_out_ask: "Hand out …", "Udlevér …";
        refuse_ask: "Refuse …", "Giv afslag …";
        try_again: "Try again", "Prøv igen";
        look_again: "Look again", "Se efter igen";
        not_complete: "Not everything is done yet, so the case cannot be closed.",
            "Alt er ikke gjort endnu, så sagen kan ikke lukkes.";
        receipt: "Save receipt", "Gem kvittering";
        receipt_of: "of the erasure of", "for sletning af optagelsen fra";
        receipt_help: "The receipt is signed. Anybody can have it checked at", "Kvitteringen er underskrevet. Alle kan få den kontrolleret på";
        answer: "Answer to the caller", "Svar til borgeren";
        letter: "Letter in English", "Brev på dansk";
        letter_other: "Letter in Danish", "Brev på engelsk";
        letter_help: "The letter says what was decided and done, until now. Print it, or copy its text.",
            "Brevet fortæller, hvad der er afgjort og gjort indtil nu. Udskriv det, eller kopiér teksten.";
        close: "Close the case", "Luk sagen";
        close_help: "What the caller said, how identity was checked, reasons and the chosen recordings are erased. Number, dates, kind, decision and how many recordings came to which result stay. Save receipts and send the letter first.",
            "Det, borgeren har oplyst, identitetskontrollen, begrundelser og de valgte optagelser slettes. Nummer, datoer, ønske, afgørelse og antal optagelser med hvert resultat bevares. Gem kvitteringer, og send brevet først.";
        closed_help: "The case is closed. Nothing of what the caller said is kept.", "Sagen er lukket. Intet af det, borgeren oplyste, er gemt.";
        closed: "Closed", "Lukket";
        no_detail: "What the caller said is shown to those who answer callers.",
            "Det, borgeren har oplyst, vises kun for dem, der besvarer henvendelser.";
        done_open: "The case is opened.", "Sagen er oprettet.";
        done_identity: "Identity is noted.", "Identitetskontrollen er registreret.";
        done_choose: "The choice is saved.", "Valget er gemt.";
        done_extend: "The time limit is extended. Tell the caller, with the letter.", "Fristen er forlænget. Giv borgeren besked med brevet.";
        done_decide: "The decision is carried out. The results are below.", "Afgørelsen er udført. Resultaterne står nedenfor.";
        done_hand_out: "Handing out is decided. Make the copy or the link below.", "Udlevering er besluttet. Lav kopien eller linket nedenfor.";
        done_refuse: "The refusal is noted.", "Afslaget er registreret.";
        done_again: "It was tried again. The results are below.", "Der er prøvet igen. Resultaterne står nedenfor.";
        done_under_way: "It takes longer and goes on. Look again in a while for the results.",
            "Det tager længere tid og fortsætter. Se efter resultaterne om lidt.";
        no_result: "No result yet", "Intet resultat endnu";
        done_close: "The case is closed.", "Sagen er lukket.";
        done_revoke: "The link is revoked.", "Linket er tilbagekaldt.";
        changed: "Nothing was done: somebody else changed the case meanwhile. This is how it stands now.",
            "Intet blev gjort: En anden har ændret sagen imens. Sådan ser den ud nu.";
        not_now: "Nothing was done: this step is not possible any more, or not yet.",
            "Intet blev gjort: Trinet er ikke længere muligt eller ikke muligt endnu.";
        too_late: "The time limit can be extended once, and only within the first month.",
            "Fristen kan forlænges én gang og kun inden for den første måned.";
        wrong_fields: "Nothing was saved. Correct the marked fields.", "Intet blev gemt. Ret de markerede felter.";
        wrong_told: "Write a number, a name or a day.", "Skriv et nummer, et navn eller en dato.";
        wrong_text: "At most 200 characters on one line.", "Højst 200 tegn på én linje.";
        wrong_note: "At most 2000 characters.", "Højst 2000 tegn.";
        wrong_date: "This is not a day. Write it as 2026-11-24.", "Det er ikke en dato. Skriv den som 2026-11-24.";
        wrong_time: "This is not a time of day. Write it as 14:30.", "Det er ikke et klokkeslæt. Skriv det som 14:30.";
        wrong_time_alone: "A time of day needs its day.", "Et klokkeslæt kræver en dato.";
        wrong_tolerance: "0 to 720 minutes.", "0 til 720 minutter.";
        wrong_received: "A day of the last year, not after today.", "En dato inden for det seneste år, ikke efter i dag.";
        wrong_department: "Choose one of your departments.", "Vælg en af dine afdelinger.";
        wrong_value: "This value is not allowed.", "Værdien er ikke tilladt.";
        intake_help: "Take down what the caller says. The time limit of one month begins with the day of receipt.",
            "Skriv, hvad borgeren oplyser. Fristen på en måned løber fra den dag, henvendelsen er modtaget.";
        intake_save: "Open the case", "Opret sagen";
        cancel: "Cancel", "Annullér";
    }
}

texts! {
    /// Choosing recordings and deciding.
    StepsTexts {
        choose_title: "Choose the recordings", "Vælg optagelser";
        choose: "Choose", "Vælg";
        choose_help: "Choose all that are meant; what is not ticked is not part of the case. You can listen before you decide.",
            "Vælg alle dem, henvendelsen gælder. Det, der ikke er valgt, indgår ikke i sagen. Du kan lytte, før du træffer afgørelse.";
        choose_now: "Save the choice", "Gem valget";
        chosen_before: "chosen before", "valgt tidligere";
        fit: "Fit", "Match";
        caller: "Caller", "Ringer fra";
        called: "Called", "Ringer til";
        found: "recordings may be meant", "optagelser kan være de rigtige";
        one_found: "1 recording may be meant", "1 optagelse kan være den rigtige";
        nobody: "No recording fits.", "Ingen optagelser passer.";
        best_only: "The best are shown:", "De bedste vises:";
        too_many: "There are more than could be compared: give a time or a smaller tolerance.",
            "Der er flere, end der kunne sammenlignes: Angiv et klokkeslæt eller en mindre margen.";
        try_other: "Search by something else", "Søg efter noget andet";
        try_other_help: "What the caller said stays as it is in the case.", "Det, borgeren har oplyst, bevares uændret i sagen.";
        find_again: "Search", "Søg";
        as_told: "Search by what was said", "Søg efter det oplyste";
        number_same: "same number", "samme nummer";
        number_ending: "same last digits", "samme sidste cifre";
        number_off: "one digit of the number differs", "ét ciffer i nummeret afviger";
        number_unknown: "number not known", "nummeret er ukendt";
        called_same: "this number was called", "der blev ringet til dette nummer";
        called_ending: "same last digits of the called number", "samme sidste cifre i nummeret, der blev ringet til";
        called_off: "one digit of the called number differs", "ét ciffer i nummeret, der blev ringet til, afviger";
        called_unknown: "called number not known", "nummeret, der blev ringet til, er ukendt";
        name_exact: "same name", "samme navn";
        name_near: "similar name", "navnet ligner";
        name_unknown: "name not known", "navnet er ukendt";
        time_within: "in progress at that time", "i gang på det tidspunkt";
        time_near: "near that time", "tæt på det tidspunkt";
        erase_title: "Erase the chosen recordings", "Slet de valgte optagelser";
        erase_help: "This cannot be undone.", "Det kan ikke fortrydes.";
        erase_now: "Erase now", "Slet nu";
        goes: "What goes", "Det bliver slettet";
        stays: "What stays", "Det bevares";
        stays_case: "The case, until you close it, and afterwards its number, dates and decision.",
            "Sagen, indtil du lukker den, og derefter dens nummer, datoer og afgørelse.";
        stays_log: "That there was a recording, who heard it and that it was erased, in the audit log, and a signed receipt without numbers or names.",
            "At der var en optagelse, hvem der har hørt den, og at den er slettet, står i loggen. Desuden en underskrevet kvittering uden numre og navne.";
        stays_others: "Copies that were handed out before.", "Kopier, der er udleveret tidligere.";
        held_until: "A legal hold keeps it. It will not be erased before", "Den er beskyttet mod sletning. Den bliver ikke slettet før";
        state_unknown: "There is no such recording any more.", "Optagelsen findes ikke længere.";
        state_erased: "It is erased already.", "Den er allerede slettet.";
        state_live: "The call is in progress. End it first.", "Samtalen er i gang. Afslut den først.";
        store_away: "The store does not answer. Nobody can listen any more at once; its copies are removed as soon as it answers.",
            "Lageret svarer ikke. Ingen kan længere lytte; kopierne fjernes, så snart lageret svarer.";
        copies: "copies in the store", "kopier i lageret";
        copies_by_name: "By name", "Navne";
        kind_object: "file", "fil";
        kind_marker: "delete marker", "slettemarkering";
        kind_upload: "unfinished upload", "ufærdig overførsel";
        spool_key: "The audio that this recorder still has on its disk", "Lyden, som optagesystemet stadig har på sin disk";
        index_row: "Number, name and times of the call in the index", "Opkaldets nummer, navn og tidspunkter i registret";
        busy: "Working. You can leave this page: it goes on.", "Arbejder. Du kan forlade siden: Arbejdet fortsætter.";
        hand_out_title: "Hand out the chosen recordings", "Udlevér de valgte optagelser";
        hand_out_help: "Nothing is erased. Afterwards you make a file or a link for each recording. The cover sheet tells the caller who heard it.",
            "Intet bliver slettet. Derefter laver du en fil eller et link for hver optagelse. Følgebrevet fortæller borgeren, hvem der har hørt den.";
        hand_out_now: "Hand out", "Udlevér";
        refuse_title: "Refuse the request", "Giv afslag";
        refuse_help: "Nothing is erased or handed out. The letter tells the caller the ground, and where to complain.",
            "Intet bliver slettet eller udleveret. Brevet fortæller borgeren grunden, og hvor der kan klages.";
        refuse_now: "Refuse", "Giv afslag";
        ground: "Ground", "Grund";
        choose_ground: "Choose a ground", "Vælg en grund";
        ground_needed: "Choose a ground.", "Vælg en grund.";
        refuse_reason: "Reason, as the caller shall read it", "Begrundelse, som borgeren skal læse den";
        reason_wrong: "Write a reason of at most 2000 characters.", "Skriv en begrundelse på højst 2000 tegn.";
        extend_help: "The time limit becomes three months from receipt. The caller must be told within the first month, and why.",
            "Fristen bliver tre måneder fra modtagelsen. Borgeren skal have besked inden for den første måned og vide hvorfor.";
        extend_reason: "Why is more time needed?", "Hvorfor er der brug for mere tid?";
    }
}

texts! {
    /// Handing out.
    HandingTexts {
        make: "File or link", "Fil eller link";
        sheet: "Cover sheet", "Følgebrev";
        revoke: "Revoke the link", "Tilbagekald linket";
        help: "The caller gets one package: the recording and a cover sheet with what is known of it.",
            "Borgeren får én pakke: optagelsen og et følgebrev med det, der vides om den.";
        format: "Audio format", "Lydformat";
        wav: "WAV (plays anywhere)", "WAV (kan afspilles overalt)";
        opus: "Opus (as stored, smaller)", "Opus (som gemt, mindre)";
        language: "Language of the cover sheet", "Følgebrevets sprog";
        own_voice: "Only the caller's own voice", "Kun borgerens egen stemme";
        no_own_voice: "The caller's voice is not separate in this recording.", "Borgerens stemme ligger ikke for sig i denne optagelse.";
        file: "As a file", "Som fil";
        file_help: "You save the package and pass it on. With a passphrase it is encrypted (age); give the passphrase to the caller another way.",
            "Du gemmer pakken og giver den videre. Med en adgangssætning bliver den krypteret (age); giv borgeren adgangssætningen ad en anden vej.";
        passphrase: "Passphrase (at least 12 characters, or empty)", "Adgangssætning (mindst 12 tegn eller tom)";
        passphrase_short: "At least 12 characters.", "Mindst 12 tegn.";
        download: "Save the file", "Gem filen";
        downloading: "The file is being made. Look at the case afterwards: it says whether all of it was sent.",
            "Filen bliver lavet. Se på sagen bagefter: Den viser, om det hele blev sendt.";
        link: "As a link", "Som link";
        link_help: "The caller opens the link without signing in and downloads the package, once. A link that was made before and not used is revoked.",
            "Borgeren åbner linket uden at logge ind og henter pakken én gang. Et tidligere link, der ikke er brugt, bliver tilbagekaldt.";
        hours: "The link works for", "Linket virker i";
        hours_24: "1 day", "1 døgn";
        hours_72: "3 days", "3 døgn";
        hours_168: "7 days", "7 døgn";
        hours_336: "14 days", "14 døgn";
        make_link: "Make the link", "Lav linket";
        link_made: "The link works once, until", "Linket virker én gang, indtil";
        link_once: "Copy it now: it cannot be shown again later. Whoever opens it first gets the recording.",
            "Kopiér det nu: Det kan ikke vises igen senere. Den, der åbner det først, får optagelsen.";
        link_not_shown: "A link is shown only right after it was made. Make a new one if you need it.",
            "Et link vises kun, lige efter at det er lavet. Lav et nyt, hvis du har brug for det.";
        copy: "Copy", "Kopiér";
        copied: "Copied.", "Kopieret.";
        no_links: "Links cannot be made: the administrator has to name the address at which callers reach this recorder (disclosure.public_url). Hand the recording out as a file.",
            "Der kan ikke laves links: Administratoren skal angive den adresse, som borgere kan nå optagesystemet på (disclosure.public_url). Udlevér optagelsen som fil.";
        back: "Back to the case", "Tilbage til sagen";
    }
}
