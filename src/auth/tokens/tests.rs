//! Tokens on an index, beside it, and without it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use super::super::test_site::{HERE, NOW, Site};
use super::super::token::{PREFIX, hash};
use super::super::{BadRoles, Departments, Role, Roles};
use super::*;

fn new(name: &str, roles: &str, departments: Option<Departments>) -> NewToken {
    NewToken { departments, roles: roles.parse().unwrap(), ..NewToken::of(name, Role::Feed) }
}

#[tokio::test]
async fn a_token_is_shown_once_and_kept_only_as_its_hash() {
    let site = Site::new();
    let first = site.open();
    assert!(!first.administer().await.unwrap());
    let token = first.create(&NewToken::of("admin", Role::Admin)).await.unwrap();
    assert_eq!(token.len(), PREFIX.len() + 64);
    let again = site.open();
    assert!(again.administer().await.unwrap());
    assert_eq!(again.authenticate(&token, HERE).await, Ok(Actor::with_role("admin", Role::Admin)));
    site.knows(1).await;
    for (path, bytes) in files(&site) {
        let has = memchr::memmem::find(&bytes, &token.as_bytes()[PREFIX.len()..]).is_some();
        assert!(!has, "{}", path.display());
    }
    assert_eq!(fs::metadata(site.file("tokens.cache.json")).unwrap().mode() & 0o777, 0o600);
    for wrong in ["", "optag_00", &token[1..]] {
        assert_eq!(again.authenticate(wrong, HERE).await, Err(Refusal::Unknown), "{wrong}");
    }
}

fn files(site: &Site) -> Vec<(PathBuf, Vec<u8>)> {
    let all = fs::read_dir(site.dir.path()).unwrap().map(|entry| entry.unwrap().path());
    all.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[tokio::test]
async fn a_token_made_or_revoked_elsewhere_holds_once_it_is_looked_for() {
    let site = Site::new();
    let (server, command) = (site.open(), Tokens::beside(site.index(), site.clock.clone()));
    assert_eq!(server.authenticate("optag_", HERE).await, Err(Refusal::Unknown));
    let token = command.create(&NewToken::of("pbx", Role::Feed)).await.unwrap();
    let becomes = async |admitted: bool| {
        // As long as what was known is taken as it is.
        while server.authenticate(&token, HERE).await.is_ok() != admitted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    becomes(true).await;
    command.revoke("pbx").await.unwrap();
    becomes(false).await;
    assert_eq!(server.authenticate(&token, HERE).await, Err(Refusal::Unknown));
    assert!(matches!(command.revoke("pbx").await, Err(TokenError::NoSuchToken)));
}

#[tokio::test]
async fn what_is_not_described_properly_is_no_token() {
    let site = Site::new();
    let tokens = site.open();
    tokens.create(&NewToken::of("a", Role::Feed)).await.unwrap();
    assert!(matches!(tokens.create(&NewToken::of("a", Role::Agent)).await, Err(TokenError::NameTaken)));
    let bad = async |new: NewToken| match tokens.create(&new).await {
        Err(TokenError::Bad(bad)) => bad,
        made => panic!("{new:?}: {made:?}"),
    };
    assert_eq!(bad(NewToken::of("", Role::Feed)).await, BadToken::Name);
    assert_eq!(bad(NewToken::of("a\nb", Role::Feed)).await, BadToken::Name);
    for role in ["listener", "contact", "supervisor", "auditor,listener"] {
        assert_eq!(bad(new("b", role, None)).await, BadToken::NoDepartments, "{role}");
    }
    let none = Some(Departments::only::<&str>([]));
    assert_eq!(bad(new("b", "auditor", none)).await, BadToken::NoDepartments);
    for role in ["admin", "administrator", "administrator,listener"] {
        assert_eq!(bad(new("b", role, Some(Departments::only(["tax"])))).await, BadToken::OfAll, "{role}");
    }
    let from = |network: &str| NewToken { networks: vec![network.into()], ..NewToken::of("b", Role::Feed) };
    assert_eq!(bad(from("192.0.2.0/33")).await, BadToken::Network("192.0.2.0/33".into()));
    let over = NewToken { expires_at: Some(NOW), ..NewToken::of("b", Role::Feed) };
    assert_eq!(bad(over).await, BadToken::Expired);
    assert_eq!(tokens.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_token_is_bound_by_its_departments_networks_and_time_and_its_use_is_seen() {
    let site = Site::new();
    let tokens = site.open();
    let bound = NewToken {
        networks: vec!["192.0.2.0/24".into(), "2001:db8::/32".into()],
        expires_at: Some(NOW.plus_micros(3 * HOUR_US)),
        ..new("ada", "listener,contact", Some(Departments::only(["tax", "care"])))
    };
    let token = tokens.create(&bound).await.unwrap();
    let there: IpAddr = "192.0.2.7".parse().unwrap();
    assert_eq!(tokens.authenticate(&token, HERE).await, Err(Refusal::Network));
    for address in [there, "2001:db8::1".parse().unwrap(), "::ffff:192.0.2.7".parse().unwrap()] {
        let actor = tokens.authenticate(&token, address).await.unwrap();
        assert_eq!(actor.departments, Departments::only(["care", "tax"]));
        assert_eq!(actor.roles, Roles::new([Role::Listener, Role::Contact]).unwrap());
    }
    let used = async |at: WallTime| {
        while tokens.list().await.unwrap()[0].used_at != Some(at) {
            tokio::task::yield_now().await;
        }
    };
    used(NOW).await;
    site.clock.put_forward(2);
    tokens.authenticate(&token, there).await.unwrap();
    used(NOW.plus_micros(2 * HOUR_US)).await;
    site.clock.put_forward(1);
    assert_eq!(tokens.authenticate(&token, there).await, Err(Refusal::Expired));
}

#[tokio::test]
async fn without_the_index_machines_go_on_for_a_day_and_nobody_else_does() {
    let site = Site::new();
    let tokens = site.open();
    let feed = tokens.create(&NewToken::of("pbx", Role::Feed)).await.unwrap();
    let admin = tokens.create(&NewToken::of("ada", Role::Admin)).await.unwrap();
    let bound = Some(Departments::only(["tax"]));
    let listener = tokens.create(&new("ole", "listener", bound)).await.unwrap();
    tokens.authenticate(&feed, HERE).await.unwrap();
    site.knows(3).await;
    // Started anew, so that there is nothing but the file.
    let away = site.away();
    site.clock.put_forward(KNOWN_FOR_HOURS - 1);
    assert_eq!(away.authenticate(&feed, HERE).await, Ok(Actor::with_role("pbx", Role::Feed)));
    let limited = away.authenticate(&admin, HERE).await.unwrap();
    assert!(limited.is_unverified() && limited.allows(Permission::Calls));
    for permission in [Permission::Listen, Permission::Erase, Permission::Audit, Permission::Administer] {
        assert!(!limited.allows(permission), "{permission:?}");
    }
    assert_eq!(away.authenticate(&listener, HERE).await, Err(Refusal::Unverified));
    assert_eq!(away.authenticate("optag_other", HERE).await, Err(Refusal::Unverified), "it may be new");
    site.clock.put_forward(1);
    assert_eq!(away.authenticate(&feed, HERE).await, Err(Refusal::Unverified));
    assert!(away.create(&NewToken::of("b", Role::Feed)).await.is_err());
    // The index is back: all of them may do all of it again.
    let back = site.open();
    assert!(!back.authenticate(&admin, HERE).await.unwrap().is_unverified());
    back.authenticate(&listener, HERE).await.unwrap();
}

/// A file as 0.2.0 wrote it.
fn earlier(tokens: &[(&str, &str)]) -> String {
    let one = |(name, role): &(&str, &str)| {
        let sha256 = hash(name);
        format!(
            r#"{{"name":"{name}","role":"{role}","sha256":"{sha256}","created_at":"2026-01-01T00:00:00Z"}}"#
        )
    };
    format!("[{}]", tokens.iter().map(one).collect::<Vec<_>>().join(","))
}

fn write_private(path: &std::path::Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn the_file_of_an_earlier_version_is_taken_over_once_and_a_backup_of_it_revives_nothing() {
    let site = Site::new();
    let path = site.file("tokens.json");
    let text = earlier(&[("ada", "admin"), ("eo", "erasure-officer")]);
    write_private(&path, &text);
    // While the index is away, the file counts.
    let away = site.away();
    assert!(away.authenticate("ada", HERE).await.unwrap().is_unverified());
    assert!(path.exists());

    let tokens = site.open();
    assert!(tokens.administer().await.unwrap());
    assert_eq!(tokens.authenticate("ada", HERE).await, Ok(Actor::with_role("ada", Role::Admin)));
    assert_eq!(tokens.authenticate("eo", HERE).await, Ok(Actor::with_role("eo", Role::Contact)));
    assert!(!path.exists() && site.file("tokens.json.taken-over").exists());
    tokens.revoke("eo").await.unwrap();
    write_private(&path, &text);
    let again = site.open();
    assert_eq!(again.authenticate("eo", HERE).await, Err(Refusal::Unknown));
    assert_eq!(again.list().await.unwrap().len(), 1);
    assert!(!path.exists());

    // Another node's file: its names may be the same, its tokens are not.
    let other = format!(
        "[{}]",
        earlier(&[("other", "feed")]).trim_matches(['[', ']']).replace("\"other\"", "\"ada\"")
    );
    write_private(&path, &other);
    let both = site.open();
    let actor = both.authenticate("other", HERE).await.unwrap();
    assert!(actor.name.starts_with("ada (") && both.authenticate("ada", HERE).await.is_ok(), "{actor:?}");
}

#[tokio::test]
async fn a_file_that_others_may_read_or_that_is_broken_stops_the_start() {
    let site = Site::new();
    let path = site.file("tokens.json");
    write_private(&path, &earlier(&[("ada", "admin")]));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let opened = || Tokens::open(site.index(), &path, site.clock.clone()).err();
    assert!(matches!(opened(), Some(TokenError::File(TokenFileError::TooOpen { .. }))));
    for broken in ["[]x", r#"[{"name":"x","sha256":"","created_at":"2026-01-01T00:00:00Z"}]"#] {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, broken).unwrap();
        assert!(matches!(opened(), Some(TokenError::File(TokenFileError::Malformed { .. }))), "{broken}");
    }
    assert!(matches!("".parse::<Roles>(), Err(BadRoles::None)));
}

#[tokio::test]
async fn a_lost_index_gets_back_what_was_known_and_an_old_memory_gives_nothing() {
    let site = Site::new();
    let tokens = site.open();
    let token = tokens.create(&NewToken::of("pbx", Role::Feed)).await.unwrap();
    tokens.authenticate(&token, HERE).await.unwrap();
    site.knows(1).await;
    drop(tokens);
    let lose = || {
        for name in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
            let _ = fs::remove_file(site.file(name));
        }
    };
    lose();
    assert!(site.open().authenticate(&token, HERE).await.is_ok());
    lose();
    site.clock.put_forward(KNOWN_FOR_HOURS);
    assert_eq!(site.open().authenticate(&token, HERE).await, Err(Refusal::Unknown));
}
