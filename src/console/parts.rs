//! Small parts of pages.

use maud::{Markup, html};

/// Longest name that is shown at once. Units: characters.
const NAME_CHARS: usize = 40;

/// A text from outside, such as a name: isolated, so that its direction changes nothing around it; a long one is shortened,
/// with the whole where it is pointed at or opened.
pub(super) fn name(text: &str) -> Markup {
    let shown = shown(text);
    if text.chars().nth(NAME_CHARS).is_none() {
        return html! { bdi { (shown) } };
    }
    let short: String = shown.chars().take(NAME_CHARS - 1).collect();
    html! { details.name { summary { bdi { (short) "…" } } bdi { (shown) } } }
}

/// A text without marks that reorder or hide what stands around it. They are told from what a name may contain: joiners
/// stay.
fn shown(text: &str) -> String {
    let hides = |c: &char| {
        c.is_control()
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}' | '\u{feff}')
    };
    text.chars().filter(|c| !hides(c)).collect()
}

/// A field of a form: its label, what is wrong with it, and the control, which has the id `id`, and
/// `aria-describedby=[wrong_id(…)]` where something is wrong.
pub(super) fn field(id: &str, label: &str, wrong: Option<&str>, control: &Markup) -> Markup {
    html! {
        div.field.wrong[wrong.is_some()] {
            label for=(id) { (label) }
            (control)
            @if let Some(wrong) = wrong { p.bad id={ (id) "-wrong" } { (wrong) } }
        }
    }
}

/// A line of text in a form; the first that is wrong gets the focus.
pub(super) fn input(id: &str, kind: &str, value: &str, wrong: Option<&str>) -> Markup {
    html! {
        input type=(kind) id=(id) name=(id) value=(value) maxlength=[(kind == "text").then_some("200")] autocomplete="off"
            autofocus[wrong.is_some()] aria-invalid=[wrong.map(|_| "true")] aria-describedby=[wrong_id(id, wrong)];
    }
}

/// Several lines of text in a form.
pub(super) fn lines(id: &str, value: &str, wrong: Option<&str>) -> Markup {
    html! {
        textarea id=(id) name=(id) rows="3" cols="50" maxlength="2000" autocomplete="off"
            autofocus[wrong.is_some()] aria-invalid=[wrong.map(|_| "true")] aria-describedby=[wrong_id(id, wrong)] { (value) }
    }
}

/// One of several values in a form; the first of them is none where `nothing` names it.
pub(super) fn select(
    id: &str,
    nothing: Option<&str>,
    values: &[(&str, &str)],
    chosen: &str,
    wrong: Option<&str>,
) -> Markup {
    html! {
        select id=(id) name=(id) autofocus[wrong.is_some()] aria-invalid=[wrong.map(|_| "true")]
            aria-describedby=[wrong_id(id, wrong)]
        {
            @if let Some(nothing) = nothing { option value="" { (nothing) } }
            @for (value, name) in values { option value=(value) selected[*value == chosen] { (name) } }
        }
    }
}

/// The id of what is said of a wrong field.
pub(super) fn wrong_id(id: &str, wrong: Option<&str>) -> Option<String> {
    wrong.map(|_| format!("{id}-wrong"))
}

/// A length: `4:07`, `1:02:07`.
pub(super) fn length(ms: u64) -> String {
    let s = ms.saturating_add(500) / 1_000;
    let (h, min, s) = (s / 3_600, s / 60 % 60, s % 60);
    if h > 0 { format!("{h}:{min:02}:{s:02}") } else { format!("{min}:{s:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_text_and_change_nothing_around_them() {
        for (text, shown) in [
            ("<script>alert(1)</script>", "<bdi>&lt;script&gt;alert(1)&lt;/script&gt;</bdi>"),
            ("\u{202e}nesnaH", "<bdi>nesnaH</bdi>"),
            ("a\" onclick=\"x", "<bdi>a&quot; onclick=&quot;x</bdi>"),
            ("e\u{301}\u{301}\u{301}", "<bdi>e\u{301}\u{301}\u{301}</bdi>"),
            ("\u{0646}\u{200c}\u{0647}", "<bdi>\u{0646}\u{200c}\u{0647}</bdi>"),
        ] {
            assert_eq!(name(text).into_string(), shown);
        }
        let long = name(&"æ".repeat(200)).into_string();
        assert!(long.starts_with("<details class=\"name\"><summary><bdi>æ"), "{long}");
        assert_eq!(long.matches('æ').count(), 39 + 200);
    }

    #[test]
    fn a_length_is_told_in_hours_only_where_there_are_some() {
        assert_eq!([length(0), length(59_600), length(3_727_000)], ["0:00", "1:00", "1:02:07"]);
    }
}
