//! Texts of the page about the state of the recorder.

use crate::console::texts::texts;

texts! {
    /// The state of the recorder.
    HealthTexts {
        all_well: "Everything works.", "Alt virker.";
        degraded: "Calls are still recorded, but something does not work.", "Opkald optages stadig, men noget virker ikke.";
        not_recording: "New calls are not recorded.", "Nye opkald bliver ikke optaget.";
        calls: "calls in progress on this node", "igangværende opkald på denne node";
        look_again: "Look again", "Se efter igen";
        parts: "Parts", "Dele";
        part: "Part", "Del";
        state: "State", "Tilstand";
        meaning: "What it means", "Hvad det betyder";
        works: "works", "virker";
        fails: "does not work", "virker ikke";
        accepting: "Room for calls", "Plads til opkald";
        accepting_fails: "The recorder is full or is being stopped, so new calls are not recorded. The calls themselves go on.",
            "Optagesystemet er fyldt op eller ved at blive standset, så nye opkald bliver ikke optaget. Selve opkaldene fortsætter.";
        spool: "Disk", "Disk";
        spool_fails: "The disk is full or takes nothing, so new calls are not recorded. Make room, or replace the disk.",
            "Disken er fuld eller kan ikke skrives til, så nye opkald bliver ikke optaget. Skaf plads, eller udskift disken.";
        store: "Store", "Lager";
        store_fails: "The store does not answer or refuses. Recordings wait on the disk until it takes them. Look at its address, credentials and rights.",
            "Lageret svarer ikke eller afviser. Optagelser venter på disken, til det tager imod dem. Se på adresse, adgangsnøgler og rettigheder.";
        index: "Index", "Register";
        index_fails: "The database does not answer. Calls are recorded, but nothing can be found, played or erased until it does.",
            "Databasen svarer ikke. Opkald optages, men intet kan findes, afspilles eller slettes, før den gør.";
        delivery: "Delivery to the store", "Aflevering til lageret";
        delivery_fails: "Some recordings fail again and again. They are kept on the disk.",
            "Nogle optagelser kan gentagne gange ikke afleveres. De bevares på disken.";
        deletion_log: "Deletion log", "Slettelog";
        deletion_log_fails: "Entries are missing, as after a restored backup. Nothing is served, so that nothing erased comes back.",
            "Der mangler logposter, som efter gendannelse fra en backup. Intet vises, så intet slettet vender tilbage.";
        bucket_rules: "Rules of the bucket", "Lagerets regler for udløb";
        bucket_rules_fails: "The rule that removes what is too old is missing or was changed. The recorder still erases by itself.",
            "Reglen, der fjerner det, som er for gammelt, mangler eller er ændret. Optagesystemet sletter stadig selv.";
        clock: "Clock", "Ur";
        clock_fails: "The clock jumped or differs from the others. Set it right, and confirm it.",
            "Uret er sprunget eller afviger fra de andre. Stil det, og bekræft det.";
        expiry: "Erasure by age", "Sletning efter alder";
        expiry_fails: "Recordings whose time is up are withheld and not erased until the clock is confirmed.",
            "Optagelser, hvis frist er udløbet, holdes tilbage og slettes først, når uret er bekræftet.";
        nodes: "Nodes", "Noder";
        nodes_fail: "Another node is silent. Requests about its calls are not answered until it is back or declared lost.",
            "En anden node er tavs. Forespørgsler om dens opkald besvares ikke, før den er tilbage eller erklæret tabt.";
        started: "Start", "Opstart";
        started_fails: "The recorder is still reading what it had on its disk.", "Optagesystemet læser stadig det, det havde på sin disk.";
        test_help: "The test writes a small object, reads it, and removes it again.",
            "Testen skriver et lille objekt, læser det og fjerner det igen.";
        test: "Test the store", "Test lageret";
        testing: "Testing.", "Tester.";
        test_passed: "The store works: an object was written, read and removed.", "Lageret virker: Et objekt er skrevet, læst og fjernet.";
        test_failed: "The store failed the test.", "Lageret bestod ikke testen.";
        feeds: "Telephone systems over HTTP", "Telefonsystemer over HTTP";
        no_feeds: "No token announces calls over HTTP.", "Ingen adgangsnøgle bruges til at melde opkald over HTTP.";
        token: "Access token", "Adgangsnøgle";
        last_used: "Last used", "Sidst brugt";
        never: "never", "aldrig";
        expires: "Expires", "Udløber";
        node: "Node", "Node";
        calls_of_node: "Calls / room for", "Opkald / plads til";
        version: "Version", "Version";
        silent: "Last heard, seconds ago", "Sidst hørt, sekunder siden";
        ready: "takes calls", "tager imod opkald";
        draining: "takes no new calls", "tager ikke imod nye opkald";
        starting: "is starting", "starter";
        outcomes: "Calls of the last 24 hours", "Opkald i det seneste døgn";
        outcomes_unknown: "Not known while the database does not answer.", "Kendes ikke, så længe databasen ikke svarer.";
        no_calls: "No calls ended.", "Ingen opkald er afsluttet.";
        department: "Department", "Afdeling";
        outcome: "How they ended, and why audio is missing", "Hvordan de endte, og hvorfor lyd mangler";
        count: "Calls", "Antal";
        recorded: "Recorded", "Optaget";
        recorded_partly: "Recorded in part", "Delvist optaget";
        refused: "The caller said no", "Borgeren sagde nej";
        no_answer: "The caller did not answer the question", "Borgeren svarede ikke på spørgsmålet";
        withdrawn: "The caller withdrew the yes", "Borgeren trak sit ja tilbage";
        not_selected: "The department is not recorded", "Afdelingen optages ikke";
        no_audio: "Yes, but no audio", "Ja, men ingen lyd";
        lost: "Audio was lost", "Lyd gik tabt";
        no_packets: "Nothing arrived: look at the telephone system's address for this recorder, and at firewalls.",
            "Intet kom frem: Se på telefonsystemets adresse for optagesystemet og på firewalls.";
        nothing_accepted: "What arrived was refused: wrong sender, key or audio format.",
            "Det, der kom, blev afvist: forkert afsender, nøgle eller lydformat.";
        only_while_closed: "Audio came only before the yes or while paused.", "Der kom kun lyd før samtykket eller under en pause.";
        restart: "The recorder stopped, and the call could not go on.", "Optagesystemet standsede, og opkaldet kunne ikke fortsætte.";
        lost_spool: "The disk was full or failed.", "Disken var fuld eller fejlede.";
        damaged: "What was on the disk cannot be read.", "Det, der lå på disken, kan ikke læses.";
        fault: "An error in the recorder.", "En fejl i optagesystemet.";
    }
}
