//! An error with all of its causes, in one line. An error's own text often omits the reason ("builder error",
//! "error sending request"), which is further down its chain.

use std::error::Error;

/// The error and its causes, outermost first, joined by `: `. A cause already contained in the preceding text
/// is omitted, and so are line breaks.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = one_line(&error.to_string());
    let mut next = error.source();
    while let Some(cause) = next {
        let said = one_line(&cause.to_string());
        if !said.is_empty() && !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the request failed")]
    struct Outer(#[source] Middle);

    #[derive(Debug, thiserror::Error)]
    #[error("cannot\nconnect: {0}")]
    struct Middle(#[source] std::io::Error);

    #[test]
    fn every_cause_is_named_once_and_in_one_line() {
        let refused = std::io::Error::other("connection refused");
        assert_eq!(causes(&Outer(Middle(refused))), "the request failed: cannot connect: connection refused");
    }
}
