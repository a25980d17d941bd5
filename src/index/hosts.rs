//! Servers of one PostgreSQL: splits an address with several hosts, as in libpq. In: the address. Out: one address
//! per host, in order. `database` finds out which of them accepts writes.
//!
//! Source: PostgreSQL 15 documentation, §34.1.1.2 Connection URIs, §34.1.1.3 Specifying Multiple Hosts.

/// Maximum number of hosts in one address.
const MOST: usize = 16;

/// One address for each host of `postgres://user@one:5432,two/name?target_session_attrs=read-write`. Only servers
/// that accept writes are used, so `target_session_attrs` may have no other value.
///
/// Errors: the problem, without anything that may be secret.
pub(super) fn addresses(address: &str) -> Result<Vec<String>, &'static str> {
    let (scheme, rest) = address.split_once("://").ok_or("scheme must be postgres or postgresql")?;
    if !matches!(scheme, "postgres" | "postgresql") {
        return Err("scheme must be postgres or postgresql");
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
    let at = if user.is_empty() { "" } else { "@" };
    let path = without_wanted(path)?;
    let hosts: Vec<&str> = hosts.split(',').collect();
    if hosts.len() > MOST || hosts.len() > 1 && hosts.iter().any(|host| host.is_empty()) {
        return Err("1 to 16 hosts are allowed, none empty");
    }
    Ok(hosts.into_iter().map(|host| format!("{scheme}://{user}{at}{host}{path}")).collect())
}

/// Path and parameters without `target_session_attrs`, which the driver does not support.
fn without_wanted(path: &str) -> Result<String, &'static str> {
    let Some((path, parameters)) = path.split_once('?') else { return Ok(path.to_owned()) };
    let mut kept = Vec::new();
    for parameter in parameters.split('&') {
        match parameter.split_once('=') {
            Some(("target_session_attrs", "read-write" | "primary")) => {}
            Some(("target_session_attrs", _)) => {
                return Err("target_session_attrs must be read-write or primary");
            }
            Some(("host" | "port", several)) if several.contains(',') => {
                return Err("several hosts must precede the path: postgres://user@one,two/name");
            }
            _ => kept.push(parameter),
        }
    }
    let mark = if kept.is_empty() { "" } else { "?" };
    Ok(format!("{path}{mark}{}", kept.join("&")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_an_address_with_all_else() {
        for (address, wanted) in [
            ("postgres://optag@db/optag", &["postgres://optag@db/optag"][..]),
            ("postgresql://db", &["postgresql://db"]),
            (
                "postgres://o:p%40w@one:5433,two,[::1]:5434/n?sslmode=verify-full&target_session_attrs=read-write",
                &[
                    "postgres://o:p%40w@one:5433/n?sslmode=verify-full",
                    "postgres://o:p%40w@two/n?sslmode=verify-full",
                    "postgres://o:p%40w@[::1]:5434/n?sslmode=verify-full",
                ],
            ),
            ("postgres://a,b?target_session_attrs=primary", &["postgres://a", "postgres://b"]),
            ("postgres://o@localhost/n?host=/run/pg", &["postgres://o@localhost/n?host=/run/pg"]),
        ] {
            assert_eq!(addresses(address).unwrap(), wanted, "{address}");
        }
        for wrong in [
            "mysql://a/b",
            "a,b",
            "postgres://a,,b/n",
            "postgres://a/n?target_session_attrs=any",
            "postgres://o@/n?host=a,b",
        ] {
            assert!(addresses(wrong).is_err(), "{wrong}");
        }
        assert!(addresses(&format!("postgres://{}/n", vec!["a"; 17].join(","))).is_err());
    }
}
