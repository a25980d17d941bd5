//! The page with the form, in Danish and in English. It needs no script.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;

use crate::disclosure::sheet::Language;

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
    /// The index or the audit log does not answer.
    Away,
    /// The form came from elsewhere.
    Elsewhere,
}

struct Texts {
    lang: &'static str,
    title: &'static str,
    token: &'static str,
    help: &'static str,
    button: &'static str,
    other: (&'static str, &'static str),
    message: &'static str,
}

fn texts(language: Language, message: Message) -> Texts {
    match language {
        Language::English => Texts {
            lang: "en",
            title: "Sign in",
            token: "Access token",
            help: "Your administrator creates it with “optag token”. You stay signed in for at most 10 hours, and for 30 minutes without use.",
            button: "Sign in",
            other: ("da", "Dansk"),
            message: match message {
                Message::None => "",
                Message::Wrong => "This access token is not valid. Check that the whole token was copied.",
                Message::Expired => "This access token has expired. Ask your administrator for a new one.",
                Message::Network => "This access token may not be used from this address.",
                Message::Machine => "This token belongs to a machine. Machines do not sign in here.",
                Message::TooMany => "Too many attempts. Wait a moment and try again.",
                Message::Away => "You cannot be signed in at the moment. Try again shortly.",
                Message::Elsewhere => "The form did not come from this page. Try again.",
            },
        },
        Language::Danish => Texts {
            lang: "da",
            title: "Log ind",
            token: "Adgangsnøgle",
            help: "Din administrator opretter den med “optag token”. Du er logget ind i højst 10 timer, og i 30 minutter, hvis siden ikke bruges.",
            button: "Log ind",
            other: ("en", "English"),
            message: match message {
                Message::None => "",
                Message::Wrong => "Adgangsnøglen er ikke gyldig. Kontrollér, at hele nøglen er kopieret.",
                Message::Expired => "Adgangsnøglen er udløbet. Bed din administrator om en ny.",
                Message::Network => "Adgangsnøglen må ikke bruges fra denne adresse.",
                Message::Machine => "Adgangsnøglen tilhører en maskine. Maskiner logger ikke ind her.",
                Message::TooMany => "For mange forsøg. Vent et øjeblik, og prøv igen.",
                Message::Away => "Du kan ikke logges ind lige nu. Prøv igen om lidt.",
                Message::Elsewhere => "Formularen kom ikke fra denne side. Prøv igen.",
            },
        },
    }
}

/// The page. Nothing from outside is part of it.
pub(super) fn page(language: Language, message: Message) -> String {
    let Texts { lang, title, token, help, button, other: (other, name), message } = texts(language, message);
    let alert = match message {
        "" => String::new(),
        text => format!("<p id=\"message\" class=\"bad\" role=\"alert\">{text}</p>"),
    };
    format!(
        "<!doctype html>\n<html lang=\"{lang}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title} – optag</title>\
         <link rel=\"stylesheet\" href=\"/console/style.css\"></head><body><header><h1>optag</h1>\
         <a class=\"language\" href=\"/sign-in?lang={other}\" hreflang=\"{other}\" lang=\"{other}\">{name}</a></header>\
         <main><h2>{title}</h2>{alert}<form method=\"post\" action=\"/sign-in\">\
         <input type=\"hidden\" name=\"lang\" value=\"{lang}\">\
         <label>{token}<input name=\"secret\" type=\"password\" autocomplete=\"current-password\" required autofocus \
         aria-describedby=\"help\"></label><button>{button}</button></form><p id=\"help\">{help}</p></main></body></html>\n"
    )
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
            Message::Away,
            Message::Elsewhere,
        ];
        for language in [Language::English, Language::Danish] {
            assert!(!page(language, Message::None).contains("role=\"alert\""));
            let mut seen = std::collections::HashSet::new();
            for message in all {
                let text = page(language, message);
                assert!(text.contains("role=\"alert\"") && !text.contains("<script"), "{message:?}");
                assert!(seen.insert(text));
            }
        }
    }
}
