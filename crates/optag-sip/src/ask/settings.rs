//! Settings of asking.

use std::collections::HashMap;
use std::time::Duration;

use crate::sip::uri::Uri;
use crate::siprec::settings::Config;
use optag_core::call::number::is_number;

/// How a call is sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendOn {
    /// The question is played as early media; the INVITE is then answered 302.
    Redirect,
    /// The INVITE is answered 200; the call is then sent on by REFER. A caller's side that does not allow REFER
    /// is asked as with [`SendOn::Redirect`].
    Refer,
}

/// Where a call goes on to: a SIP URI in which `{called}` stands for the number called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(String);

impl Target {
    /// Reads a target; `None` where it is no SIP URI.
    pub fn parse(text: &str) -> Option<Self> {
        let target = Self(text.trim().to_owned());
        let odd = |c: char| c.is_whitespace() || c.is_control() || "<>\"?".contains(c);
        let plain = !target.0.contains(odd);
        Uri::parse(&target.uri("1")).filter(|uri| uri.is_sip() && plain).map(|_| target)
    }

    /// The URI for a number; what cannot stand in one is escaped.
    ///
    /// Source: RFC 3261 §25.1 (`user`).
    pub fn uri(&self, called: &str) -> String {
        let mut user = String::new();
        for byte in called.bytes() {
            match byte {
                b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-' | b'.' | b'_' | b'*' => {
                    user.push(char::from(byte));
                }
                _ => user.push_str(&format!("%{byte:02X}")),
            }
        }
        self.0.replace("{called}", &user)
    }
}

/// Calls that are never asked, beside those that signalling marks as emergencies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unasked {
    /// Numbers and patterns (`116xxx`), called or calling.
    pub numbers: Vec<String>,
    /// Callers with numbers of at most so many digits are internal.
    pub internal_digits: usize,
}

impl Unasked {
    /// Whether calls between these two are never asked.
    pub fn has(&self, caller: &str, called: &str) -> bool {
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        let (caller_digits, called_digits) = (digits(caller), digits(called));
        let fits = |pattern: &str, number: &str| {
            let pattern: String = pattern.chars().filter(|c| c.is_ascii_digit() || *c == 'x').collect();
            pattern.len() == number.len()
                && pattern.bytes().zip(number.bytes()).all(|(one, other)| one == b'x' || one == other)
        };
        let listed =
            |number: &String| !number.is_empty() && self.numbers.iter().any(|pattern| fits(pattern, number));
        let internal = is_number(caller) && caller_digits.len() <= self.internal_digits;
        internal || listed(&caller_digits) || listed(&called_digits)
    }
}

/// A department whose callers are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedDepartment {
    /// Its id.
    pub id: String,
    /// Where its calls go on to.
    pub send_to: Target,
    /// Keys that choose another of its prompts, by index.
    pub languages: Vec<(char, usize)>,
    /// Version of the prompt that confirms a yes.
    pub confirm_yes: Option<String>,
    /// Version of the prompt that confirms a no.
    pub confirm_no: Option<String>,
}

/// Lengths of the prompts that can be played, by version.
pub type Prompts = HashMap<String, Duration>;

/// Settings of the asking server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it has in common with the recording server: clients and their profiles, credentials, departments, where
    /// numbers stand, addresses.
    pub sip: Config,
    /// The departments whose callers are asked.
    pub departments: Vec<AskedDepartment>,
    /// The prompts.
    pub prompts: Prompts,
    /// How calls are sent on.
    pub send_on: SendOn,
    /// Time to answer.
    pub answer: Duration,
    /// Loss above which a question was not heard. Units: percent.
    pub loss_percent: u32,
    /// Maximum number of callers who are asked at a time.
    pub max_asks: usize,
    /// Calls that are never asked.
    pub unasked: Unasked,
    /// Header field that carries the answer; empty for none.
    pub consent_header: String,
    /// Header field that carries an identifier of the call, in lower case.
    pub external_id_header: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_takes_the_number_called_and_nothing_else_of_it() {
        let target = Target::parse("sip:{called}@192.0.2.5:5060;transport=tcp").unwrap();
        assert_eq!(target.uri("+4570101010"), "sip:+4570101010@192.0.2.5:5060;transport=tcp");
        assert_eq!(target.uri("a@b>;x\r\n"), "sip:a%40b%3E%3Bx%0D%0A@192.0.2.5:5060;transport=tcp");
        for wrong in ["", "pbx", "tel:{called}", "sip:", "sip:{called}@h?x=y", "sip:a b@h", "<sip:a@h>"] {
            assert_eq!(Target::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn listed_emergency_and_internal_numbers_are_not_asked_and_anonymous_callers_are() {
        let numbers = ["112", "116xxx", "+45 70 10 10 10"].map(str::to_owned).to_vec();
        let unasked = Unasked { numbers, internal_digits: 4 };
        for (caller, called) in [
            ("4511223344", "112"),
            ("4511223344", "116117"),
            ("4570101010", "70201010"),
            ("8123", "70201010"),
        ] {
            assert!(unasked.has(caller, called), "{caller} {called}");
        }
        for (caller, called) in [("anonymous", "70201010"), ("", "70201010"), ("81234", "1127"), ("bob", "x")]
        {
            assert!(!unasked.has(caller, called), "{caller} {called}");
        }
    }
}
