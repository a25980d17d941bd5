//! Texts of the page that verifies receipts.

use crate::console::texts::texts;

texts! {
    /// Verifying receipts.
    VerifyTexts {
        title: "Verify a receipt", "Kontrollér en kvittering";
        help: "Did you get a receipt that the recording of your call was erased? Here you can have it checked: whether this recorder signed it, and whether it was changed since.",
            "Har du fået en kvittering for, at optagelsen af din samtale er slettet? Her kan du få den kontrolleret: om den er underskrevet af dette optagesystem, og om den er ændret siden.";
        file: "The receipt as a file", "Kvitteringen som fil";
        read: "The file is read. Press the button to verify it.", "Filen er læst. Tryk på knappen for at kontrollere den.";
        receipt: "Or its content: open the file in a text program, and paste everything here",
            "Eller indholdet: Åbn filen i et tekstprogram, og indsæt det hele her";
        verify: "Verify", "Kontrollér";
        nothing_kept: "What you send is not kept.", "Det, du sender, bliver ikke gemt.";
        empty: "Choose a file, or paste the receipt.", "Vælg en fil, eller indsæt kvitteringen.";
        none: "There is no receipt in this text, or there are more than 100. Paste the whole content of the file, from { to }.",
            "Der er ingen kvittering i teksten, eller der er flere end 100. Indsæt hele filens indhold, fra { til }.";
        too_large: "This is too large for a receipt: at most 64 kB.", "Det er for stort til at være en kvittering: højst 64 kB.";
        too_many: "Too many at once. Wait a moment and try again.", "For mange på én gang. Vent et øjeblik, og prøv igen.";
        away: "The receipt cannot be verified at the moment. Try again shortly.", "Kvitteringen kan ikke kontrolleres lige nu. Prøv igen om lidt.";
        number: "Receipt", "Kvittering";
        valid: "Genuine", "Ægte";
        valid_help: "This recorder signed the receipt, and it was not changed since. It confirms that the recording was erased, and that afterwards it was verified that no copy was left in the store.",
            "Kvitteringen er underskrevet af dette optagesystem og er ikke ændret siden. Den bekræfter, at optagelsen er slettet, og at det bagefter er kontrolleret, at der ikke var nogen kopi tilbage i lageret.";
        forged: "Not genuine", "Ikke ægte";
        forged_help: "The signature does not fit: the receipt was changed after it was signed, or never signed. It confirms nothing.",
            "Underskriften passer ikke: Kvitteringen er ændret, efter at den blev underskrevet, eller den er aldrig blevet underskrevet. Den bekræfter intet.";
        other_key: "Not from this recorder", "Ikke fra dette optagesystem";
        other_key_help: "Another installation signed the receipt. Ask there whether it is genuine.",
            "Kvitteringen er underskrevet af en anden installation. Spørg dér, om den er ægte.";
        no_receipt: "Not a receipt", "Ikke en kvittering";
        no_receipt_help: "This is not the receipt of an erasure.", "Det er ikke en kvittering for en sletning.";
        ordered: "Erasure ordered: nobody could listen from then on", "Sletning bestilt: Ingen kunne lytte fra da af";
        gone: "Verified that no copy was left", "Kontrolleret, at ingen kopi var tilbage";
        deleted: "Copies deleted in the store", "Kopier slettet i lageret";
        request: "Case", "Sagsnummer";
        recording: "Identifier of the recording", "Optagelsens id";
        accepted_missing: "Copies in the store had been removed by hand before.", "Kopier i lageret var fjernet manuelt i forvejen.";
    }
}
