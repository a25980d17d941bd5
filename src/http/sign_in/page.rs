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
    /// An attempt by the provider is over, or was used.
    Stale,
    /// The provider signed nobody in.
    Declined,
    /// The provider does not answer.
    ProviderAway,
    /// What the provider says cannot be taken.
    Invalid,
    /// The person's groups give nothing here.
    NoMapping,
    /// The person's groups give different roles in different departments.
    Mixed,
    /// The provider left the person's groups out.
    GroupsLeftOut,
    /// The user is disabled.
    Disabled,
    /// The rights wait for a second administrator.
    Waits,
    /// Signed out at the provider meanwhile.
    LoggedOut,
    /// There is no such way to sign in.
    NotThisWay,
}

/// How people can sign in.
pub(super) struct Ways<'a> {
    /// The settings.
    pub settings: &'a SignInSettings,
    /// The provider's name, and whether it answers.
    pub provider: Option<(&'a str, bool)>,
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
                Message::Stale => {
                    "This sign-in was begun more than ten minutes ago, in another browser, or has been used. Begin again."
                }
                Message::Declined => {
                    "The sign-in service did not sign you in. Try again, or ask those who run it."
                }
                Message::ProviderAway => {
                    "The sign-in service does not answer at the moment. Try again shortly."
                }
                Message::Invalid => {
                    "The answer of the sign-in service could not be verified. Try again; if it goes on, tell your administrator."
                }
                Message::NoMapping => {
                    "You were recognised, but none of your groups gives access here. Ask your administrator which group you need."
                }
                Message::Mixed => {
                    "You were recognised, but your groups give different roles in different departments. That is not possible here: ask your administrator."
                }
                Message::GroupsLeftOut => {
                    "You were recognised, but you are in so many groups that they were not sent here. Ask your administrator."
                }
                Message::Disabled => "Your user is disabled. Ask your administrator.",
                Message::Waits => "Another administrator must confirm your access before you can sign in.",
                Message::LoggedOut => "You have been signed out meanwhile. Sign in again.",
                Message::NotThisWay => "You cannot sign in this way here.",
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
                Message::Stale => {
                    "Du begyndte at logge ind for mere end ti minutter siden eller i en anden browser, eller svaret er allerede brugt. Begynd forfra."
                }
                Message::Declined => {
                    "Login-tjenesten loggede dig ikke ind. Prøv igen, eller spørg dem, der driver den."
                }
                Message::ProviderAway => "Login-tjenesten svarer ikke lige nu. Prøv igen om lidt.",
                Message::Invalid => {
                    "Svaret fra login-tjenesten kunne ikke bekræftes. Prøv igen, og sig det til din administrator, hvis det fortsætter."
                }
                Message::NoMapping => {
                    "Du er genkendt, men ingen af dine grupper giver adgang her. Spørg din administrator, hvilken gruppe du skal være i."
                }
                Message::Mixed => {
                    "Du er genkendt, men dine grupper giver forskellige roller i forskellige afdelinger. Det kan ikke lade sig gøre her: Spørg din administrator."
                }
                Message::GroupsLeftOut => {
                    "Du er genkendt, men du er med i så mange grupper, at de ikke er sendt med hertil. Spørg din administrator."
                }
                Message::Disabled => "Din bruger er spærret. Spørg din administrator.",
                Message::Waits => "En anden administrator skal godkende din adgang, før du kan logge ind.",
                Message::LoggedOut => "Du er blevet logget ud i mellemtiden. Log ind igen.",
                Message::NotThisWay => "Du kan ikke logge ind på den måde her.",
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
pub(super) fn page(language: Language, form: Form, message: Message, ways: &Ways<'_>) -> String {
    let texts = texts(language, message);
    let local = if ways.settings.local { local(&texts, form) } else { String::new() };
    let provider = ways.provider.filter(|_| form == Form::Password || !ways.settings.local);
    let provider = provider.map(|(name, up)| by_provider(language, name, up, message)).unwrap_or_default();
    let elsewhere = if form == Form::Token { "/sign-in?with=token&amp;" } else { "/sign-in?" };
    let main =
        format!("{}{provider}{local}<p>{}</p>", alert(texts.message), how_long(language, ways.settings));
    frame(language, texts.title, Some(elsewhere), &main)
}

/// The way by the provider: a link, as the browser leaves this site. While it is away, that is said.
fn by_provider(language: Language, name: &str, up: bool, message: Message) -> String {
    let (lang, go, away) = match language {
        Language::English => (
            "en",
            format!("Sign in with {name}"),
            format!(
                "{name} does not answer at the moment. Whoever is signed in stays signed in; nobody can sign in with it until it answers again."
            ),
        ),
        Language::Danish => (
            "da",
            format!("Log ind med {name}"),
            format!(
                "{name} svarer ikke lige nu. Den, der er logget ind, forbliver logget ind, men ingen kan logge ind på den måde, før der er svar igen."
            ),
        ),
    };
    let told = message == Message::ProviderAway;
    let away = if up || told { String::new() } else { format!("<p id=\"away\" role=\"status\">{away}</p>") };
    format!("{away}<p><a class=\"button\" href=\"/sign-in/oidc?lang={lang}\">{go}</a></p>")
}

/// The forms for whoever is known here alone.
fn local(texts: &Texts, form: Form) -> String {
    let Texts { lang, button, .. } = texts;
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
    format!(
        "<form method=\"post\" action=\"/sign-in\"><input type=\"hidden\" name=\"lang\" value=\"{lang}\">{fields}\
         <button>{button}</button></form>{code_help}<p id=\"help\">{help}</p>\
         <p><a href=\"{address}lang={lang}\">{instead}</a></p>"
    )
}

/// A page from which the browser goes on by itself, and by a link. `address` is escaped here.
pub(super) fn going_on(language: Language, title: &str, text: &str, link: &str, address: &str) -> String {
    let address = address.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let main =
        format!("<p role=\"status\">{text}</p><p><a class=\"button\" href=\"{address}\">{link}</a></p>");
    let page = frame(language, title, None, &main);
    page.replacen("</head>", &format!("<meta http-equiv=\"refresh\" content=\"0;url={address}\"></head>"), 1)
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
            Message::Stale,
            Message::Declined,
            Message::ProviderAway,
            Message::Invalid,
            Message::NoMapping,
            Message::Mixed,
            Message::GroupsLeftOut,
            Message::Disabled,
            Message::Waits,
            Message::LoggedOut,
            Message::NotThisWay,
        ];
        let settings = SignInSettings::default();
        let ways = Ways { settings: &settings, provider: None };
        for language in [Language::English, Language::Danish] {
            assert!(!page(language, Form::Token, Message::None, &ways).contains("role=\"alert\""));
            let mut seen = std::collections::HashSet::new();
            for message in all {
                let text = page(language, Form::Password, message, &ways);
                assert!(text.contains("role=\"alert\"") && !text.contains("<script"), "{message:?}");
                assert!(seen.insert(text));
            }
        }
    }

    #[test]
    fn the_provider_stands_beside_the_form_or_alone_and_its_absence_is_said() {
        let mut settings = SignInSettings::default();
        let shown = |settings: &SignInSettings, form, up| {
            let ways = Ways { settings, provider: Some(("City login", up)) };
            page(Language::English, form, Message::None, &ways)
        };
        let both = shown(&settings, Form::Password, true);
        assert!(
            both.contains("href=\"/sign-in/oidc?lang=en\">Sign in with City login<")
                && both.contains("<form")
        );
        assert!(!both.contains("id=\"away\""));
        assert!(shown(&settings, Form::Password, false).contains("City login does not answer"));
        assert!(!shown(&settings, Form::Token, true).contains("/sign-in/oidc"));
        settings.local = false;
        let alone = shown(&settings, Form::Token, true);
        assert!(alone.contains("/sign-in/oidc") && !alone.contains("<form"));
        let on = going_on(Language::Danish, "t", "x", "y", "https://a.example/?a=1&b=\"<");
        assert!(on.contains("content=\"0;url=https://a.example/?a=1&amp;b=&quot;&lt;\""), "{on}");
    }
}
