//! Counts responses by method and status code. In: each response as it is sent. Out: bounded label values.

/// Methods that are counted apart. Source: IANA, Session Initiation Protocol (SIP) Parameters.
const METHODS: [&str; 14] = [
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "REGISTER",
    "PRACK",
    "SUBSCRIBE",
    "NOTIFY",
    "PUBLISH",
    "INFO",
    "REFER",
    "MESSAGE",
    "UPDATE",
];
/// Status codes that are counted apart: those that are sent.
const CODES: [u16; 29] = [
    100, 180, 183, 200, 202, 302, 400, 401, 403, 404, 405, 406, 408, 415, 416, 420, 422, 481, 482, 484, 487,
    488, 491, 500, 501, 503, 505, 513, 603,
];
/// Label of all others.
const OTHER: &str = "other";

/// How many responses were sent, by method and status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseCounts([[u64; CODES.len() + 1]; METHODS.len() + 1]);

impl Default for ResponseCounts {
    fn default() -> Self {
        Self([[0; CODES.len() + 1]; METHODS.len() + 1])
    }
}

impl ResponseCounts {
    /// Counts a response.
    pub fn add(&mut self, method: &str, code: u16) {
        let method = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len());
        let code = CODES.iter().position(|known| *known == code).unwrap_or(CODES.len());
        let count = &mut self.0[method][code];
        *count += 1;
    }

    /// Method, code and number of those that were sent at all.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, String, u64)> + '_ {
        let methods = METHODS.into_iter().chain([OTHER]).zip(&self.0);
        methods.flat_map(|(method, counts)| {
            let codes = CODES.iter().map(u16::to_string).chain([OTHER.to_owned()]).zip(counts);
            codes.filter(|(_, count)| **count > 0).map(move |(code, &count)| (method, code, count))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_client_sends_there_is_a_bounded_number_of_labels() {
        let mut counts = ResponseCounts::default();
        counts.add("INVITE", 200);
        counts.add("INVITE", 200);
        counts.add("invite", 488);
        counts.add("\u{1b}[2J", 777);
        let counted: Vec<_> = counts.iter().collect();
        assert_eq!(
            counted,
            [
                ("INVITE", "200".to_owned(), 2),
                ("other", "488".to_owned(), 1),
                ("other", "other".to_owned(), 1)
            ]
        );
    }
}
