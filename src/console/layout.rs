//! The document around every page: head, navigation by what somebody may do, language, theme, signing out.

use maud::{DOCTYPE, Markup, html};

use super::choices::{LANGUAGES, Theme, code};
use super::me::Me;
use super::navigation::{entries, is_of};
use super::texts::{FrameTexts, own_name};
use crate::disclosure::sheet::Language;

/// What the document shows of reader and place.
pub(super) struct Shell<'a> {
    /// The reader's language.
    pub language: Language,
    /// The colours.
    pub theme: Theme,
    /// Who is signed in.
    pub me: Option<&'a Me>,
    /// The page's address, to which a choice leads back.
    pub place: &'a str,
}

/// A whole document.
pub(super) fn page(shell: &Shell<'_>, title: &str, scripts: &[&str], content: &Markup) -> Markup {
    let text = FrameTexts::of(shell.language);
    let theme = Some(shell.theme.name()).filter(|name| *name != Theme::Auto.name());
    html! {
        (DOCTYPE)
        html lang=(code(shell.language)) data-theme=[theme] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " – optag" }
                link rel="icon" href="/console/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/console/style.css";
                script type="module" src="/console/forms.js" {}
                @for script in scripts { script type="module" src={ "/console/" (script) ".js" } {} }
            }
            body {
                a.skip href="#content" { (text.skip) }
                header {
                    a.brand href="/" { "optag" }
                    @if let Some(me) = shell.me { (navigation(me, shell.place, text)) }
                    div.choices {
                        (languages(shell))
                        (themes(shell, text))
                        @if let Some(me) = shell.me {
                            form method="post" action="/sign-out" {
                                button { (text.sign_out) " (" bdi { (me.name) } ")" }
                            }
                        }
                    }
                }
                main id="content" tabindex="-1" {
                    h1 { (title) }
                    (content)
                }
            }
        }
    }
}

fn navigation(me: &Me, place: &str, text: &FrameTexts) -> Markup {
    html! {
        nav aria-label=(text.navigation) {
            ul {
                @for entry in entries(me) {
                    li { a href=(entry.path) aria-current=[is_of(entry, place).then_some("page")] { ((entry.text)(text)) } }
                }
            }
        }
    }
}

fn languages(shell: &Shell<'_>) -> Markup {
    html! {
        form method="post" action="/choose" {
            input type="hidden" name="back" value=(shell.place);
            @for language in LANGUAGES.into_iter().filter(|language| *language != shell.language) {
                button name="language" value=(code(language)) lang=(code(language)) {
                    (own_name(language))
                }
            }
        }
    }
}

fn themes(shell: &Shell<'_>, text: &FrameTexts) -> Markup {
    let name = |theme: Theme| match theme {
        Theme::Auto => text.theme_auto,
        Theme::Light => text.theme_light,
        Theme::Dark => text.theme_dark,
    };
    html! {
        form method="post" action="/choose" {
            input type="hidden" name="back" value=(shell.place);
            div.joined role="group" aria-label=(text.theme) {
                @for theme in Theme::ALL {
                    button name="theme" value=(theme.name()) aria-pressed=(theme == shell.theme) { (name(theme)) }
                }
            }
        }
    }
}
