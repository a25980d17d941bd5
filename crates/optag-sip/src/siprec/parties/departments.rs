//! Addresses of parties, compared by their numbers, and the departments that they reach.
//!
//! In: an address as equipment writes it. Out: its number or user, a key by which two spellings of
//! it meet, the department. Not here: where addresses stand (`parties`).

use crate::sip::header::split_list;
use crate::sip::uri::{NameAddr, Uri};
use optag_core::call::Department;
use optag_core::call::number::{in_full, is_number, normalise};

/// The departments, found by the numbers that reach them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Departments {
    /// All of them.
    pub all: Vec<Department>,
    /// The country whose numbers are written without a code, for example `45`.
    pub country_code: String,
    /// Takes calls that no number decides; `None` leaves them unrecorded.
    pub otherwise: Option<String>,
}

impl Departments {
    /// The department that `text`, a number, address or id, stands for.
    pub fn named(&self, text: &str) -> Option<&Department> {
        let user = user_of(text);
        if user.is_empty() {
            return None;
        }
        let number = is_number(&user).then(|| normalise(&user, &self.country_code)).flatten();
        let same = |written: &String| match &number {
            Some(number) => {
                normalise(written, &self.country_code).as_ref() == Some(number)
                    || is_pattern_of(written, &user)
            }
            None => written.eq_ignore_ascii_case(&user),
        };
        let by_id = self.all.iter().find(|department| department.id == user);
        by_id.or_else(|| self.all.iter().find(|department| department.numbers.iter().any(same)))
    }

    /// What two spellings of an address have in common: its number with the country's code, or its
    /// user. The host is left out: border controllers write their own. Empty where there is neither.
    pub fn key(&self, text: &str) -> String {
        let user = user_of(text);
        let number = is_number(&user).then(|| normalise(&user, &self.country_code)).flatten();
        number.unwrap_or_else(|| user.to_lowercase())
    }
}

/// Whether `written` is a pattern such as `81xx` that the extension `user` fits.
pub(crate) fn is_pattern_of(written: &str, user: &str) -> bool {
    let fits = |(one, other): (u8, u8)| other.is_ascii_digit() && (one == other || one == b'x');
    written.contains('x')
        && written.bytes().all(|byte| byte.is_ascii_digit() || byte == b'x')
        && written.len() == user.len()
        && written.bytes().zip(user.bytes()).all(fits)
}

/// The number or user in an address of any form; a local number with its context.
pub fn user_of(text: &str) -> String {
    let text = split_list(text).into_iter().next().unwrap_or_default();
    if let Some(uri) = Uri::parse(text).filter(Uri::is_telephony) {
        return in_context(&uri);
    }
    if let Some(read) = NameAddr::parse(text)
        && (read.uri.is_telephony() || !read.uri.user.is_empty())
    {
        return in_context(&read.uri);
    }
    let bare = text.trim_matches(['<', '>', ' ', '"']);
    bare.split(['@', ';', '?']).next().unwrap_or_default().trim().to_owned()
}

fn in_context(uri: &Uri) -> String {
    let user = uri.user_text();
    let context = match uri.scheme.as_str() {
        "tel" => uri.text.split_once(';').map(|(_, context)| context),
        _ => uri.user.split_once(';').map(|(_, context)| context),
    };
    context.map_or_else(|| user.clone(), |context| in_full(&format!("{user};{context}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use optag_core::call::ConsentKeys;

    #[test]
    fn numbers_extensions_patterns_and_user_names_reach_a_department_and_look_alikes_do_not() {
        let department = |id: &str, numbers: &[&str]| Department {
            id: id.into(),
            name: id.into(),
            numbers: numbers.iter().map(|number| (*number).to_owned()).collect(),
            record: true,
            retention_days: 90,
            keys: ConsentKeys::default(),
            consent_timeout: std::time::Duration::from_secs(30),
            prompts: Default::default(),
            asked_before: false,
        };
        let all = vec![department("tax", &["+45 70 10 20 30", "81xx", "agent7"]), department("7", &["4711"])];
        let departments = Departments { all, country_code: "45".into(), otherwise: None };
        let named = |text: &str| departments.named(text).map(|department| department.id.as_str());
        for text in
            ["sip:8142@h", "sip:Agent7@h", "tel:70102030", "\"A\" <sip:004570102030@h>", "tax", "sip:tax@h"]
        {
            assert_eq!(named(text), Some("tax"), "{text}");
        }
        assert_eq!([named("sip:4711@h"), named("7")], [Some("7"); 2]);
        for text in
            ["sip:81420000@h", "sip:8x42@h", "agent4711", "tel:70102030;phone-context=+46", "", "sip:h"]
        {
            assert_eq!(named(text), None, "{text}");
        }
        assert_eq!(
            departments.key("sip:70102030@a;user=phone"),
            departments.key("<tel:+45-70-10-20-30>;x=1")
        );
        assert_ne!(departments.key("sip:agent7@a"), departments.key("sip:sales7@a"));
    }
}
