//! What letters and cover sheets have in common: a title and headings with lines, as text and as HTML; dates in words.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::sheet::Language;
use optag_core::clock::WallTime;

/// A heading with its lines.
pub(super) type Section = (&'static str, Vec<String>);

/// Month names in Danish dates.
const DANISH_MONTHS: [&str; 12] = [
    "januar",
    "februar",
    "marts",
    "april",
    "maj",
    "juni",
    "juli",
    "august",
    "september",
    "oktober",
    "november",
    "december",
];

/// As plain text.
pub(super) fn text(title: &str, sections: &[Section]) -> String {
    let mut text = format!("{title}\n{}\n", "=".repeat(title.chars().count()));
    for (heading, lines) in sections {
        text.push_str(&format!("\n{heading}\n"));
        lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    text
}

/// As a self-contained HTML page.
pub(super) fn html(language: Language, title: &str, sections: &[Section]) -> String {
    let lang = if language == Language::Danish { "da" } else { "en" };
    let mut html = format!(
        "<!doctype html>\n<html lang=\"{lang}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{0}</title>\n\
         <style>body{{font:16px/1.5 sans-serif;max-width:44em;margin:2em auto;padding:0 1em}}\
         h2{{font-size:1.1em;margin-bottom:.2em}}p{{margin:.2em 0}}</style></head><body><main>\n<h1>{0}</h1>\n",
        escape(title)
    );
    for (heading, lines) in sections {
        html.push_str(&format!("<h2>{}</h2>\n", escape(heading)));
        lines.iter().for_each(|line| html.push_str(&format!("<p>{}</p>\n", escape(line))));
    }
    html.push_str("</main></body></html>\n");
    html
}

/// A time in a zone, in the words of a language.
pub(super) fn time(language: Language, at: WallTime, zone: &TimeZone) -> String {
    let at = at.timestamp().to_zoned_datetime(zone.clone());
    match language {
        Language::English => at.strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
        Language::Danish => {
            let day = day(language, at.date());
            at.strftime(&format!("{day} kl. %H.%M.%S %Z")).to_string()
        }
    }
}

/// A day in the words of a language.
pub(super) fn day(language: Language, day: Date) -> String {
    match language {
        Language::English => day.to_string(),
        Language::Danish => {
            let month = DANISH_MONTHS.get((day.month() - 1) as usize).unwrap_or(&"");
            format!("{}. {month} {}", day.day(), day.year())
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
