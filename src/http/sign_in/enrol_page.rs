//! The page behind a one-time link, in Danish and in English. It needs no script. What comes from outside is escaped.

use super::page::{alert, frame};
use crate::auth::enrolment::Invitation;
use crate::auth::passwords::{PasswordFault, SHORTEST};
use crate::disclosure::sheet::Language;

/// What the user can mend, or why there is no form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The two passwords differ.
    NotTheSame,
    /// The password is not taken.
    Password(PasswordFault),
    /// The code is wrong.
    Code,
    /// The user name is not one.
    Name,
    /// The display name is not one.
    DisplayName,
    /// The user name is taken.
    NameTaken,
    /// Try again.
    Busy,
    /// The link is not good any more.
    Gone,
    /// Too many attempts.
    TooMany,
    /// The form came from elsewhere.
    Elsewhere,
    /// The index or the audit log does not answer.
    Away,
}

/// What was typed and is shown again: never a password or a code.
#[derive(Clone, Debug, Default)]
pub(super) struct Filled {
    pub name: String,
    pub display_name: String,
    pub everything: bool,
}

struct Texts {
    title: &'static str,
    intro: &'static str,
    name: &'static str,
    name_help: &'static str,
    display_name: &'static str,
    password: &'static str,
    password_help: String,
    again: &'static str,
    everything: &'static str,
    everything_help: &'static str,
    app: &'static str,
    app_help: &'static str,
    app_link: &'static str,
    secret: &'static str,
    code: &'static str,
    button: &'static str,
    done: &'static str,
    done_name: &'static str,
    codes: &'static str,
    codes_help: &'static str,
    sign_in: &'static str,
}

fn texts(language: Language) -> Texts {
    match language {
        Language::English => Texts {
            title: "Set your password",
            intro: "This link works once. Choose a password, and connect an authenticator app on your telephone.",
            name: "User name",
            name_help: "Letters and digits, for example your initials. You sign in with it, and the audit log shows it.",
            display_name: "Your name",
            password: "Password",
            password_help: format!(
                "At least {SHORTEST} characters. Four words that do not belong together are fine."
            ),
            again: "The same password again",
            everything: "I also listen to recordings myself",
            everything_help: "Only for an installation of one person. Otherwise leave it empty: an administrator makes the users and hears nothing.",
            app: "Authenticator app",
            app_help: "Scan the picture with the app, or type the secret into it. It is shown only here.",
            app_link: "Open the app on this device",
            secret: "Secret",
            code: "The six digits that the app shows now",
            button: "Save",
            done: "Your password is set",
            done_name: "Your user name is",
            codes: "Recovery codes",
            codes_help: "Each of them signs you in once in place of the app, if you lose your telephone. They are shown only now: keep them on paper.",
            sign_in: "Sign in",
        },
        Language::Danish => Texts {
            title: "Vælg din adgangskode",
            intro: "Linket virker én gang. Vælg en adgangskode, og forbind en godkendelsesapp på din telefon.",
            name: "Brugernavn",
            name_help: "Bogstaver og cifre, for eksempel dine initialer. Du logger ind med det, og det står i loggen.",
            display_name: "Dit navn",
            password: "Adgangskode",
            password_help: format!("Mindst {SHORTEST} tegn. Fire ord, som ikke hører sammen, er fint."),
            again: "Den samme adgangskode igen",
            everything: "Jeg lytter også selv til optagelser",
            everything_help: "Kun hvis du er alene om optageren. Ellers lad feltet stå tomt: En administrator opretter brugerne og hører intet.",
            app: "Godkendelsesapp",
            app_help: "Scan billedet med appen, eller skriv hemmeligheden i den. Den vises kun her.",
            app_link: "Åbn appen på denne enhed",
            secret: "Hemmelighed",
            code: "De seks cifre, som appen viser nu",
            button: "Gem",
            done: "Din adgangskode er valgt",
            done_name: "Dit brugernavn er",
            codes: "Gendannelseskoder",
            codes_help: "Hver af dem logger dig ind én gang i stedet for appen, hvis du mister din telefon. De vises kun nu: Gem dem på papir.",
            sign_in: "Log ind",
        },
    }
}

fn words(language: Language, fault: Fault) -> &'static str {
    use PasswordFault::{Common, Long, Short};
    match (language, fault) {
        (Language::English, fault) => match fault {
            Fault::NotTheSame => "The two passwords are not the same.",
            Fault::Password(Short) => "The password is too short: choose at least 12 characters.",
            Fault::Password(Long) => "The password is too long: choose at most 200 characters.",
            Fault::Password(Common) => {
                "This password is easy to guess: it is a common one, or little more than your user name. Choose another."
            }
            Fault::Code => {
                "The code is not right. Wait for the next one in the app, and check that the clock of the telephone is right."
            }
            Fault::Name => {
                "Choose a user name of 2 to 64 letters, digits, dots or hyphens that begins with a letter."
            }
            Fault::DisplayName => "Write your name, with at most 200 characters.",
            Fault::NameTaken => "Somebody else has this user name. Choose another.",
            Fault::Busy => "Many people are signing in at the moment. Try again shortly.",
            Fault::Gone => {
                "This link is not valid: it was used, or it is too old. Ask your administrator for a new one."
            }
            Fault::TooMany => "Too many attempts. Wait a minute and try again.",
            Fault::Elsewhere => "The form did not come from this page. Open the link again.",
            Fault::Away => "Nothing can be saved at the moment. Try again shortly.",
        },
        (Language::Danish, fault) => match fault {
            Fault::NotTheSame => "De to adgangskoder er ikke ens.",
            Fault::Password(Short) => "Adgangskoden er for kort: Vælg mindst 12 tegn.",
            Fault::Password(Long) => "Adgangskoden er for lang: Vælg højst 200 tegn.",
            Fault::Password(Common) => {
                "Adgangskoden er let at gætte: Den er almindelig, eller næsten kun dit brugernavn. Vælg en anden."
            }
            Fault::Code => {
                "Koden er ikke rigtig. Vent på den næste i appen, og kontrollér, at telefonens ur går rigtigt."
            }
            Fault::Name => {
                "Vælg et brugernavn på 2 til 64 bogstaver, cifre, punktummer eller bindestreger, som begynder med et bogstav."
            }
            Fault::DisplayName => "Skriv dit navn med højst 200 tegn.",
            Fault::NameTaken => "En anden har dette brugernavn. Vælg et andet.",
            Fault::Busy => "Mange logger ind lige nu. Prøv igen om lidt.",
            Fault::Gone => {
                "Linket er ikke gyldigt: Det er brugt, eller det er for gammelt. Bed din administrator om et nyt."
            }
            Fault::TooMany => "For mange forsøg. Vent et minut, og prøv igen.",
            Fault::Elsewhere => "Formularen kom ikke fra denne side. Åbn linket igen.",
            Fault::Away => "Der kan ikke gemmes noget lige nu. Prøv igen om lidt.",
        },
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A page with a message and no form.
pub(super) fn gone(language: Language, fault: Fault) -> String {
    frame(language, texts(language).title, None, &alert(words(language, fault)))
}

/// The form.
pub(super) fn form(
    language: Language,
    link: &str,
    invitation: &Invitation,
    filled: &Filled,
    fault: Option<Fault>,
) -> String {
    let texts = texts(language);
    let lang = if language == Language::Danish { "da" } else { "en" };
    let link = escape(link);
    let (user, name) = match &invitation.user {
        Some(user) => (
            format!("<p>{}: <strong><bdi>{}</bdi></strong></p>", texts.name, escape(&user.name)),
            user.name.as_str(),
        ),
        None => (
            format!(
                "<label>{}<input name=\"name\" value=\"{}\" autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" \
                 required aria-describedby=\"name-help\"></label><p id=\"name-help\">{}</p>",
                texts.name,
                escape(&filled.name),
                texts.name_help
            ),
            "administrator",
        ),
    };
    let everything = match &invitation.user {
        Some(_) => String::new(),
        None => format!(
            "<label class=\"check\"><input type=\"checkbox\" name=\"everything\"{} aria-describedby=\"everything-help\">{}</label>\
             <p id=\"everything-help\">{}</p>",
            if filled.everything { " checked" } else { "" },
            texts.everything,
            texts.everything_help
        ),
    };
    let main = format!(
        "{}<p>{}</p><form class=\"enrol\" method=\"post\" action=\"/enrol/{link}\">\
         <input type=\"hidden\" name=\"lang\" value=\"{lang}\">{user}\
         <label>{}<input name=\"display_name\" value=\"{}\" autocomplete=\"name\" required></label>\
         <label>{}<input name=\"password\" type=\"password\" autocomplete=\"new-password\" minlength=\"{SHORTEST}\" required \
         aria-describedby=\"password-help\"></label><p id=\"password-help\">{}</p>\
         <label>{}<input name=\"again\" type=\"password\" autocomplete=\"new-password\" required></label>\
         <h3>{}</h3><p>{}</p>{}<p>{}: <code id=\"secret\">{}</code></p><p><a href=\"{}\">{}</a></p>\
         <label>{}<input name=\"code\" inputmode=\"numeric\" autocomplete=\"one-time-code\" required></label>{everything}\
         <button>{}</button></form>",
        alert(fault.map_or("", |fault| words(language, fault))),
        texts.intro,
        texts.display_name,
        escape(&filled.display_name),
        texts.password,
        texts.password_help,
        texts.again,
        texts.app,
        texts.app_help,
        picture(invitation, name, texts.app),
        texts.secret,
        in_fours(&invitation.secret),
        escape(&invitation.otpauth(name)),
        texts.app_link,
        texts.code,
        texts.button,
    );
    frame(language, texts.title, Some(&format!("/enrol/{link}?")), &main)
}

/// What is shown once it is set.
pub(super) fn done(language: Language, name: &str, codes: &[String]) -> String {
    let texts = texts(language);
    let lang = if language == Language::Danish { "da" } else { "en" };
    let items: String = codes.iter().map(|code| format!("<li><code>{}</code></li>", escape(code))).collect();
    let main = format!(
        "<p>{} <strong><bdi>{}</bdi></strong>.</p><h3>{}</h3><p>{}</p><ol id=\"codes\">{items}</ol>\
         <p><a href=\"/sign-in?lang={lang}\">{}</a></p>",
        texts.done_name,
        escape(name),
        texts.codes,
        texts.codes_help,
        texts.sign_in
    );
    frame(language, texts.done, None, &main)
}

/// A secret as it is typed.
fn in_fours(secret: &str) -> String {
    let letters: Vec<char> = secret.chars().collect();
    letters.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

/// The QR code with the quiet zone of four modules around it, black on white in every theme. Source: ISO/IEC 18004 §6.3.8.
fn picture(invitation: &Invitation, name: &str, label: &str) -> String {
    let Some((width, rows)) = invitation.qr(name) else { return String::new() };
    let size = width + 8;
    let mut path = String::new();
    for (y, row) in rows.iter().enumerate() {
        row.iter().for_each(|x| path.push_str(&format!("M{} {}h1v1h-1z", x + 4, y + 4)));
    }
    format!(
        "<svg id=\"qr\" role=\"img\" aria-label=\"{label}\" width=\"240\" height=\"240\" viewBox=\"0 0 {size} {size}\" \
         shape-rendering=\"crispEdges\"><rect width=\"{size}\" height=\"{size}\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\"/></svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_words_of_its_own_in_both_languages() {
        use PasswordFault::{Common, Long, Short};
        let faults = [
            Fault::NotTheSame,
            Fault::Password(Short),
            Fault::Password(Long),
            Fault::Password(Common),
            Fault::Code,
            Fault::Name,
            Fault::DisplayName,
            Fault::NameTaken,
            Fault::Busy,
            Fault::Gone,
            Fault::TooMany,
            Fault::Elsewhere,
            Fault::Away,
        ];
        let mut seen = std::collections::HashSet::new();
        for language in [Language::English, Language::Danish] {
            assert!(faults.iter().all(|fault| seen.insert(gone(language, *fault))));
        }
        assert!(words(Language::English, Fault::Password(Short)).contains(&SHORTEST.to_string()));
        assert!(words(Language::Danish, Fault::Password(Short)).contains(&SHORTEST.to_string()));
        assert_eq!(in_fours("ABCDEFGHI"), "ABCD EFGH I");
    }
}
