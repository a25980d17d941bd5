//! Response to a digest challenge. In: WWW-Authenticate fields. Out: the Authorization field.
//!
//! Source: RFC 7616 §3.4, RFC 8760 §2 (SHA-256 first), RFC 2617 for servers without qop.

use aws_lc_rs::digest;
use md5::{Digest as _, Md5};

use optag_core::hex::hex;

/// The Authorization field for a request, for the strongest supported challenge.
pub fn authorization(
    challenges: &[&str],
    (user, password): (&str, &str),
    method: &str,
    uri: &str,
    nonce_of_ours: &str,
) -> Option<String> {
    let strength = |challenge: &&&str| match algorithm(challenge) {
        "SHA-256" => 2,
        "MD5" => 1,
        _ => 0,
    };
    let challenge = challenges.iter().filter(|challenge| strength(challenge) > 0).max_by_key(strength)?;
    let algorithm = algorithm(challenge);
    let hash = |text: String| match algorithm {
        "SHA-256" => hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref()),
        _ => hex(&Md5::digest(text.as_bytes())),
    };
    let realm = parameter(challenge, "realm")?;
    let nonce = parameter(challenge, "nonce")?;
    let ours = hash(format!("{user}:{realm}:{password}"));
    let request = hash(format!("{method}:{uri}"));
    let with_qop = parameter(challenge, "qop").is_some_and(|qop| qop.split(',').any(|q| q.trim() == "auth"));
    let (response, qop) = match with_qop {
        true => (
            hash(format!("{ours}:{nonce}:00000001:{nonce_of_ours}:auth:{request}")),
            format!(", qop=auth, nc=00000001, cnonce=\"{nonce_of_ours}\""),
        ),
        false => (hash(format!("{ours}:{nonce}:{request}")), String::new()),
    };
    let opaque = parameter(challenge, "opaque").map(|opaque| format!(", opaque=\"{opaque}\""));
    Some(format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
         algorithm={algorithm}, response=\"{response}\"{qop}{}",
        opaque.unwrap_or_default()
    ))
}

fn algorithm(challenge: &str) -> &'static str {
    match parameter(challenge, "algorithm").map(str::to_ascii_uppercase).as_deref() {
        None | Some("MD5") => "MD5",
        Some("SHA-256") => "SHA-256",
        Some(_) => "",
    }
}

/// A parameter of a challenge, without its quotes.
fn parameter<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let rest = challenge.trim().strip_prefix("Digest")?;
    let mut quoted = false;
    let parts = rest.split(move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    parts.into_iter().find_map(|part| {
        let (key, value) = part.trim().split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7616 §3.9.1, including its method and URI.
    #[test]
    fn the_example_of_the_standard_comes_out() {
        let head = "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", \
            nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
            opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\", algorithm=";
        let (md5, sha) = (format!("{head}MD5"), format!("{head}SHA-256"));
        let nonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let login = ("Mufasa", "Circle of Life");
        let path = "/dir/index.html";
        let only_md5 = authorization(&[&md5], login, "GET", path, nonce).unwrap();
        assert!(only_md5.contains("response=\"8ca523f5e9506fed4657c9700eebdbec\""), "{only_md5}");
        let best = authorization(&[&md5, &sha], login, "GET", path, nonce).unwrap();
        let expect = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";
        assert!(best.contains(expect) && best.contains("opaque="), "{best}");
        assert_eq!(authorization(&["Digest realm=\"r\", algorithm=X"], login, "GET", path, nonce), None);
    }
}
