//! The page with the form, in Danish and in English. It needs no script.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;

use crate::auth::settings::SignInSettings;
use crate::disclosure::sheet::Language;

/// Which form is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Name, password and code.
    Password,
    /// An access token.
    Token,
}

/// What the page tells besides its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// Nothing.
    None,
    /// The token admits nobody.
    Wrong,
    /// The token has expired.
    Expired,
    /// It may not be used from here.
    Network,
    /// It is a machine's.
    Machine,
    /// Too many attempts.
    TooMany,
    /// Name, password or code is wrong.
    WrongPassword,
    /// The user has no role.
    NoRole,
    /// Too many passwords are being checked.
    Busy,
    /// The index or the audit log does not answer.
    Away,
    /// The form came from elsewhere.
    Elsewhere,
}

struct Texts {
    lang: &'static str,
    title: &'static str,
    name: &'static str,
    password: &'static str,
    code: &'static str,
    code_help: &'static str,
    lost: &'static str,
    token: &'static str,
    token_help: &'static str,
    with_token: &'static str,
    with_password: &'static str,
    button: &'static str,
    message: &'static str,
}

fn texts(language: Language, message: Message) -> Texts {
    match language {
        Language::English => Texts {
            lang: "en",
            title: "Sign in",
            name: "User name",
            password: "Password",
            code: "Code",
            code_help: "The six digits that your authenticator app shows now, or one of your recovery codes.",
            lost: "Lost your password or your telephone? Your administrator can give you a new link.",
            token: "Access token",
            token_help: "Your administrator creates it with “optag token”.",
            with_token: "Sign in with an access token",
            with_password: "Sign in with user name and password",
            button: "Sign in",
            message: match message {
                Message::None => "",
                Message::Wrong => "This access token is not valid. Check that the whole token was copied.",
                Message::Expired => "This access token has expired. Ask your administrator for a new one.",
                Message::Network => "This access token may not be used from this address.",
                Message::Machine => "This token belongs to a machine. Machines do not sign in here.",
                Message::TooMany => "Too many attempts. Wait a minute and try again.",
                Message::WrongPassword => {
                    "User name, password or code is wrong. A code works once: wait for the next one before you try again."
                }
                Message::NoRole => {
                    "Your user has no role yet. Ask your administrator: somebody else may have to confirm it."
                }
                Message::Busy => "Many people are signing in at the moment. Try again shortly.",
                Message::Away => "You cannot be signed in at the moment. Try again shortly.",
                Message::Elsewhere => "The form did not come from this page. Try again.",
            },
        },
        Language::Danish => Texts {
            lang: "da",
            title: "Log ind",
            name: "Brugernavn",
            password: "Adgangskode",
            code: "Kode",
            code_help: "De seks cifre, som din godkendelsesapp viser nu, eller en af dine gendannelseskoder.",
            lost: "Har du mistet din adgangskode eller din telefon? Din administrator kan give dig et nyt link.",
            token: "Adgangsnøgle",
            token_help: "Din administrator opretter den med “optag token”.",
            with_token: "Log ind med en adgangsnøgle",
            with_password: "Log ind med brugernavn og adgangskode",
            button: "Log ind",
            message: match message {
                Message::None => "",
                Message::Wrong => "Adgangsnøglen er ikke gyldig. Kontrollér, at hele nøglen er kopieret.",
                Message::Expired => "Adgangsnøglen er udløbet. Bed din administrator om en ny.",
                Message::Network => "Adgangsnøglen må ikke bruges fra denne adresse.",
                Message::Machine => "Adgangsnøglen tilhører en maskine. Maskiner logger ikke ind her.",
                Message::TooMany => "For mange forsøg. Vent et minut, og prøv igen.",
                Message::WrongPassword => {
                    "Brugernavn, adgangskode eller kode er forkert. En kode virker kun én gang: Vent på den næste, før du prøver igen."
                }
                Message::NoRole => {
                    "Din bruger har endnu ingen rolle. Spørg din administrator: Det kan være, at en anden skal godkende den."
                }
                Message::Busy => "Mange logger ind lige nu. Prøv igen om lidt.",
                Message::Away => "Du kan ikke logges ind lige nu. Prøv igen om lidt.",
                Message::Elsewhere => "Formularen kom ikke fra denne side. Prøv igen.",
            },
        },
    }
}

/// For how long somebody stays signed in.
fn how_long(language: Language, settings: &SignInSettings) -> String {
    let (hours, minutes) = (settings.longest.as_secs() / 3_600, settings.idle.as_secs() / 60);
    match language {
        Language::English => format!(
            "You stay signed in for at most {hours} {}, and for {minutes} {} without use.",
            if hours == 1 { "hour" } else { "hours" },
            if minutes == 1 { "minute" } else { "minutes" }
        ),
        Language::Danish => format!(
            "Du er logget ind i højst {hours} {}, og i {minutes} {}, hvis siden ikke bruges.",
            if hours == 1 { "time" } else { "timer" },
            if minutes == 1 { "minut" } else { "minutter" }
        ),
    }
}

/// A page in which nothing but `main` is from outside, and that must be escaped.
pub(super) fn frame(language: Language, title: &str, elsewhere: Option<&str>, main: &str) -> String {
    let (lang, (other, name)) = match language {
        Language::English => ("en", ("da", "Dansk")),
        Language::Danish => ("da", ("en", "English")),
    };
    let link = elsewhere.map_or_else(String::new, |address| {
        format!("<a class=\"language\" href=\"{address}lang={other}\" hreflang=\"{other}\" lang=\"{other}\">{name}</a>")
    });
    format!(
        "<!doctype html>\n<html lang=\"{lang}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title} – optag</title>\
         <link rel=\"stylesheet\" href=\"/console/style.css\"></head><body><header><h1>optag</h1>{link}</header>\
         <main><h2>{title}</h2>{main}</main></body></html>\n"
    )
}

/// A message as the browser reads it out at once; nothing without one.
pub(super) fn alert(text: &str) -> String {
    match text {
        "" => String::new(),
        text => format!("<p id=\"message\" class=\"bad\" role=\"alert\">{text}</p>"),
    }
}

/// The page. Nothing from outside is part of it.
pub(super) fn page(language: Language, form: Form, message: Message, settings: &SignInSettings) -> String {
    let texts = texts(language, message);
    let Texts { lang, title, button, .. } = texts;
    let (fields, help, (address, instead)) = match form {
        Form::Token => (
            format!(
                "<label>{}<input name=\"secret\" type=\"password\" autocomplete=\"current-password\" required autofocus \
                 aria-describedby=\"help\"></label>",
                texts.token
            ),
            texts.token_help,
            ("/sign-in?", texts.with_password),
        ),
        Form::Password => (
            format!(
                "<label>{}<input name=\"name\" autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" \
                 required autofocus></label>\
                 <label>{}<input name=\"password\" type=\"password\" autocomplete=\"current-password\" required></label>\
                 <label>{}<input name=\"code\" autocomplete=\"one-time-code\" autocapitalize=\"none\" spellcheck=\"false\" \
                 required aria-describedby=\"code-help\"></label>",
                texts.name, texts.password, texts.code
            ),
            texts.lost,
            ("/sign-in?with=token&amp;", texts.with_token),
        ),
    };
    let code_help = match form {
        Form::Password => format!("<p id=\"code-help\">{}</p>", texts.code_help),
        Form::Token => String::new(),
    };
    let elsewhere = if form == Form::Token { "/sign-in?with=token&amp;" } else { "/sign-in?" };
    let main = format!(
        "{}<form method=\"post\" action=\"/sign-in\"><input type=\"hidden\" name=\"lang\" value=\"{lang}\">{fields}\
         <button>{button}</button></form>{code_help}<p id=\"help\">{help} {}</p>\
         <p><a href=\"{address}lang={lang}\">{instead}</a></p>",
        alert(texts.message),
        how_long(language, settings)
    );
    frame(language, title, Some(elsewhere), &main)
}

/// The language that is asked for, else the first of the browser's that there is.
pub(super) fn language(asked: Option<&str>, headers: &HeaderMap) -> Language {
    let known = |name: &str| match name.trim().get(..2) {
        Some("da") => Some(Language::Danish),
        Some("en") => Some(Language::English),
        _ => None,
    };
    let accepted = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    asked.and_then(known).or_else(|| accepted.split(',').find_map(known)).unwrap_or(Language::English)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_in_the_readers_language_and_has_no_script() {
        let accepting = |text: &str| HeaderMap::from_iter([(ACCEPT_LANGUAGE, text.parse().unwrap())]);
        assert_eq!(language(None, &accepting("de-DE, da;q=0.8, en;q=0.5")), Language::Danish);
        assert_eq!(language(None, &accepting("en-GB,en;q=0.9")), Language::English);
        assert_eq!(language(Some("da"), &accepting("en")), Language::Danish);
        assert_eq!(language(Some("x"), &HeaderMap::new()), Language::English);
        let all = [
            Message::Wrong,
            Message::Expired,
            Message::Network,
            Message::Machine,
            Message::TooMany,
            Message::WrongPassword,
            Message::NoRole,
            Message::Busy,
            Message::Away,
            Message::Elsewhere,
        ];
        let settings = SignInSettings::default();
        for language in [Language::English, Language::Danish] {
            assert!(!page(language, Form::Token, Message::None, &settings).contains("role=\"alert\""));
            let mut seen = std::collections::HashSet::new();
            for message in all {
                let text = page(language, Form::Password, message, &settings);
                assert!(text.contains("role=\"alert\"") && !text.contains("<script"), "{message:?}");
                assert!(seen.insert(text));
            }
        }
    }
}
