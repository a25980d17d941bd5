//! Users from their link to their last sign-in, and what takes two administrators.

use std::time::Instant;

use super::super::enrolment::{Choice, NotEnrolled};
use super::super::password_sign_in::{NotAdmitted, PasswordSignIns, Typed};
use super::super::passwords::PasswordFault;
use super::super::second_factor::{FactorKey, totp};
use super::super::sign_ins::{NotSignedIn, SignIns};
use super::super::test_site::{HERE, Site};
use super::super::tokens::{NewToken, TokenError};
use super::super::{Departments, Role};
use super::*;
use optag_core::locked::Secret;

const PASSWORD: &str = "fire gode heste";

struct People {
    site: Site,
    users: Users,
    passwords: PasswordSignIns,
    sign_ins: SignIns,
}

impl People {
    fn new() -> Self {
        Self::with(SignInSettings::default())
    }

    fn with(settings: SignInSettings) -> Self {
        let site = Site::new();
        let key = FactorKey::new(&Secret::copy_of(&[7; 32])).unwrap();
        let users = Users::new(site.index(), site.clock.clone(), settings.clone());
        let passwords = PasswordSignIns::new(site.index(), site.clock.clone(), key);
        let tokens = Arc::new(site.open());
        let sign_ins = SignIns::new(site.index(), tokens, site.clock.clone(), settings);
        Self { site, users, passwords, sign_ins }
    }

    /// The code that a telephone shows now.
    fn code(&self, secret: &str) -> String {
        let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
        let now_s = self.site.clock.wall().as_unix_micros() / 1_000_000;
        totp(secret.as_ref(), "x").generate(now_s as u64).to_string()
    }

    /// Uses a link; returns the secret of the telephone, and the recovery codes.
    async fn enrol(&self, link: &str, name: &str) -> Result<(String, Vec<String>), NotEnrolled> {
        let secret = self.passwords.invitation(link).await?.secret;
        let choice = Choice {
            name: name.to_owned(),
            display_name: "Ada Møller".into(),
            password: PASSWORD.into(),
            code: self.code(&secret),
            everything: false,
        };
        let ready = self.passwords.ready(link, &choice).await?;
        self.passwords.enrol(&ready).await?;
        Ok((secret, ready.recovery_codes))
    }

    async fn admit(&self, name: &str, password: &str, code: &str) -> Result<User, NotAdmitted> {
        // Long after the last one, so that no rate limit is in the way.
        let now = Instant::now() + std::time::Duration::from_secs(3_600);
        self.passwords.admit(Typed { name, password, code }, HERE, now).await
    }

    async fn add(&self, name: &str, roles: &str, by: &By) -> (UserLink, Option<UserRequest>) {
        let (_, link, request) = self.users.add(&new(name, roles), by).await.unwrap();
        (link, request)
    }
}

fn rights(roles: &str) -> Rights {
    let departments = Departments::only(["tax"]);
    let roles: super::super::Roles = roles.parse().unwrap();
    let of_all = roles.iter().any(Role::is_of_all);
    Rights::new(roles, Some(if of_all { Departments::All } else { departments })).unwrap()
}

fn new(name: &str, roles: &str) -> NewUser {
    NewUser { name: name.into(), display_name: String::new(), rights: rights(roles) }
}

fn root() -> By {
    By::LocalUser(Actor::with_role("local user root", Role::Admin))
}

fn administrator(name: &str) -> By {
    By::Actor(Actor::with_role(name, Role::Administrator))
}

#[tokio::test]
async fn a_user_sets_a_password_once_and_signs_in_with_it_and_a_code_that_works_once() {
    let people = People::new();
    let (link, request) = people.add("Ada", "listener", &root()).await;
    assert!(request.is_none());
    assert!(matches!(people.admit("ada", PASSWORD, "000000").await, Err(NotAdmitted::Wrong(Some(_)))));
    let (secret, _) = people.enrol(&link.secret, "").await.unwrap();
    assert!(matches!(people.enrol(&link.secret, "").await, Err(NotEnrolled::Gone)));
    let first = people.code(&secret);
    let replayed = people.admit("ada", PASSWORD, &first).await;
    assert!(matches!(replayed, Err(NotAdmitted::Wrong(Some(_)))), "it was used on the page of the link");
    people.site.clock.put_forward_min(1);
    let code = people.code(&secret);
    for (name, password, code) in [
        ("ada", "fire gode hest", code.as_str()),
        ("ada", PASSWORD, "000000"),
        ("ada", PASSWORD, ""),
        ("ole", PASSWORD, code.as_str()),
    ] {
        assert!(
            matches!(people.admit(name, password, code).await, Err(NotAdmitted::Wrong(_))),
            "{name} {code}"
        );
    }
    let user = people.admit(" ADA ", PASSWORD, &code).await.unwrap();
    let actor = user.actor().unwrap();
    assert_eq!((actor.name.as_str(), &actor.departments), ("ada", &Departments::only(["tax"])));
    assert!(matches!(people.admit("ada", PASSWORD, &code).await, Err(NotAdmitted::Wrong(_))), "replayed");
    assert!(people.users.named("ada").await.unwrap().used_at.is_some());
    // The database has neither the password nor what opens the codes.
    for entry in std::fs::read_dir(people.site.dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for text in [PASSWORD, &secret, &link.secret] {
            assert!(memchr::memmem::find(&bytes, text.as_bytes()).is_none());
        }
    }
}

#[tokio::test]
async fn a_recovery_code_stands_in_for_the_telephone_once() {
    let people = People::new();
    let (link, _) = people.add("ada", "listener", &root()).await;
    let (_, codes) = people.enrol(&link.secret, "").await.unwrap();
    people.admit("ada", PASSWORD, &codes[3].to_uppercase()).await.unwrap();
    assert!(matches!(people.admit("ada", PASSWORD, &codes[3]).await, Err(NotAdmitted::Wrong(_))));
    assert!(matches!(people.admit("ada", "wrong password", &codes[4]).await, Err(NotAdmitted::Wrong(_))));
    people.admit("ada", PASSWORD, &codes[4]).await.unwrap();
}

#[tokio::test]
async fn what_is_not_good_enough_leaves_the_link_as_it_was() {
    let people = People::new();
    let (link, _) = people.add("ada", "listener", &root()).await;
    let secret = people.passwords.invitation(&link.secret).await.unwrap().secret;
    assert_eq!(people.passwords.invitation(&link.secret).await.unwrap().secret, secret, "loaded again");
    let good = Choice {
        display_name: "Ada".into(),
        password: PASSWORD.into(),
        code: people.code(&secret),
        ..Choice::default()
    };
    let fault = async |choice: Choice| people.passwords.ready(&link.secret, &choice).await.err().unwrap();
    let short = fault(Choice { password: "kort".into(), ..good.clone() }).await;
    assert!(matches!(short, NotEnrolled::Password(PasswordFault::Short)));
    assert!(matches!(fault(Choice { code: "123".into(), ..good.clone() }).await, NotEnrolled::Code));
    assert!(matches!(fault(Choice { display_name: " ".into(), ..good.clone() }).await, NotEnrolled::Name(_)));
    let ready = people.passwords.ready(&link.secret, &good).await.unwrap();
    let again = people.passwords.ready(&link.secret, &good).await.unwrap();
    people.passwords.enrol(&ready).await.unwrap();
    assert!(matches!(people.passwords.enrol(&again).await, Err(NotEnrolled::Gone)), "of two at once, one");
    let (late, _) = people.add("ole", "listener", &root()).await;
    people.site.clock.put_forward(LINK_HOURS);
    assert!(matches!(people.enrol(&late.secret, "").await, Err(NotEnrolled::Gone)), "too old");
}

#[tokio::test]
async fn a_change_of_a_user_counts_for_who_is_signed_in() {
    let people = People::new();
    let (link, _) = people.add("ada", "listener", &root()).await;
    people.enrol(&link.secret, "").await.unwrap();
    let ada = people.users.named("ada").await.unwrap();
    let (_, cookie) = people.sign_ins.open_for(&ada).await.unwrap();
    let (_, other) = people.sign_ins.open_for(&ada).await.unwrap();
    let who = people.sign_ins.who(&cookie, HERE).await.unwrap();
    assert_eq!(people.sign_ins.own(&who).await.unwrap().len(), 2);
    people.users.set_rights("ada", &rights("contact"), &root()).await.unwrap();
    let now = people.sign_ins.who(&cookie, HERE).await.unwrap().actor;
    assert!(now.allows(super::super::Permission::Erase) && !now.allows(super::super::Permission::Listen));
    people.users.set_disabled("ada", true).await.unwrap();
    for cookie in [&cookie, &other] {
        assert!(matches!(people.sign_ins.who(cookie, HERE).await, Err(NotSignedIn::Ended)));
    }
    assert!(people.sign_ins.open_for(&ada).await.is_err());
    people.site.clock.put_forward_min(1);
    assert!(matches!(people.admit("ada", PASSWORD, "").await, Err(NotAdmitted::Wrong(_))));
    people.users.set_disabled("ada", false).await.unwrap();
    assert!(people.sign_ins.who(&cookie, HERE).await.is_err(), "what ended stays ended");
    let (_, again) = people.sign_ins.open_for(&ada).await.unwrap();
    people.users.reset("ada", &root()).await.unwrap().unwrap();
    assert!(people.sign_ins.who(&again, HERE).await.is_err());
    assert!(matches!(people.admit("ada", PASSWORD, "").await, Err(NotAdmitted::Wrong(_))));
}

#[tokio::test]
async fn idle_and_longest_time_are_those_of_the_settings() {
    let minutes = |minutes: u64| std::time::Duration::from_secs(60 * minutes);
    let settings = SignInSettings { idle: minutes(5), longest: minutes(60), ..SignInSettings::default() };
    let people = People::with(settings);
    let (link, _) = people.add("ada", "listener", &root()).await;
    people.enrol(&link.secret, "").await.unwrap();
    let ada = people.users.named("ada").await.unwrap();
    let (_, idle) = people.sign_ins.open_for(&ada).await.unwrap();
    let (_, used) = people.sign_ins.open_for(&ada).await.unwrap();
    for _ in 0..14 {
        people.site.clock.put_forward_min(4);
        people.sign_ins.who(&used, HERE).await.unwrap();
    }
    assert!(people.sign_ins.who(&idle, HERE).await.is_err());
    people.site.clock.put_forward_min(4);
    assert!(people.sign_ins.who(&used, HERE).await.is_err());
}

#[tokio::test]
async fn the_first_user_is_made_by_one_link_while_nobody_administers() {
    let people = People::new();
    let one = people.users.first_link(false).await.unwrap().unwrap();
    let other = people.users.first_link(false).await.unwrap().unwrap();
    assert!(matches!(people.enrol(&one.secret, "1").await, Err(NotEnrolled::Name(BadUser::Name))));
    people.enrol(&one.secret, "Boss").await.unwrap();
    assert!(matches!(people.enrol(&other.secret, "mallory").await, Err(NotEnrolled::Gone)));
    let boss = people.users.named("boss").await.unwrap();
    assert_eq!((boss.rights.roles_text().as_str(), boss.enrolled), ("administrator", true));
    assert!(people.users.first_link(false).await.unwrap().is_none());
    let fresh = People::new();
    assert!(fresh.users.first_link(true).await.unwrap().is_none(), "a token administers");
    let link = fresh.users.first_link(false).await.unwrap().unwrap();
    let (own, _) = fresh.add("root", "administrator", &root()).await;
    fresh.enrol(&own.secret, "").await.unwrap();
    assert!(matches!(fresh.enrol(&link.secret, "mallory").await, Err(NotEnrolled::Gone)), "somebody does");
}

#[tokio::test]
async fn a_name_is_one_persons_or_one_machines() {
    let people = People::new();
    let tokens = people.site.open();
    tokens.create(&NewToken::of("pbx", Role::Feed)).await.unwrap();
    people.add("ada", "listener", &root()).await;
    for taken in ["pbx", "ada", "ADA"] {
        assert!(matches!(people.users.add(&new(taken, "auditor"), &root()).await, Err(UserError::NameTaken)));
    }
    let token = tokens.create(&NewToken::of("ada", Role::Feed)).await;
    assert!(matches!(token, Err(TokenError::NameTaken)));
}

#[tokio::test]
async fn an_administrator_hears_nothing_without_a_second_one() {
    let people = People::new();
    for name in ["ada", "ole"] {
        let (link, _) = people.add(name, "administrator", &root()).await;
        people.enrol(&link.secret, "").await.unwrap();
    }
    let (ada, ole) = (administrator("ada"), administrator("ole"));
    let asked = people.users.set_rights("ada", &rights("admin"), &ada).await.unwrap().unwrap();
    assert_eq!(people.users.named("ada").await.unwrap().rights, rights("administrator"));
    // Neither herself, nor a user whose password she could set.
    let refused = async |by: &By| people.users.confirmable(&asked.id, by).await;
    assert!(matches!(refused(&ada).await, Err(UserError::NotSecond)));
    let (link, puppet) = people.add("puppet", "administrator", &ada).await;
    let puppet = puppet.expect("it waits");
    people.enrol(&link.secret, "").await.unwrap();
    let waiting = people.users.named("puppet").await.unwrap();
    assert!(waiting.actor().is_none() && people.sign_ins.open_for(&waiting).await.is_err());
    let by = people.users.confirmable(&puppet.id, &ole).await.unwrap();
    people.users.confirm(&by, &ole).await.unwrap();
    assert!(people.users.named("puppet").await.unwrap().actor().is_some());
    assert!(matches!(refused(&administrator("puppet")).await, Err(UserError::NotSecond)), "it is ada's");
    people.users.reset("puppet", &administrator("puppet")).await.unwrap().unwrap();
    assert!(matches!(refused(&administrator("puppet")).await, Err(UserError::NotSecond)), "it still is");
    // A second one, once.
    let request = refused(&ole).await.unwrap();
    people.users.confirm(&request, &ole).await.unwrap();
    assert_eq!(people.users.named("ada").await.unwrap().rights, rights("admin"));
    assert!(matches!(people.users.confirm(&request, &ole).await, Err(UserError::NoSuchRequest)));
}

#[tokio::test]
async fn the_password_of_who_hears_recordings_is_not_set_anew_by_one_alone() {
    let people = People::new();
    let (link, _) = people.add("listener", "listener", &root()).await;
    people.enrol(&link.secret, "").await.unwrap();
    let (ada, ole) = (administrator("ada"), administrator("ole"));
    let asked = people.users.reset("listener", &ada).await.unwrap().unwrap_err();
    assert!(people.users.named("listener").await.unwrap().enrolled, "nothing has changed");
    assert!(matches!(people.users.confirmable(&asked.id, &ada).await, Err(UserError::NotSecond)));
    let request = people.users.confirmable(&asked.id, &ole).await.unwrap();
    let link = people.users.confirm(&request, &ole).await.unwrap().expect("the second one has the link");
    people.enrol(&link.secret, "").await.unwrap();
    // Who hears nothing is reset at once, and hears nothing by the same administrator's word.
    people.add("auditor", "auditor", &root()).await;
    people.users.reset("auditor", &ada).await.unwrap().unwrap();
    assert!(people.users.set_rights("auditor", &rights("listener"), &ada).await.unwrap().is_some());
    assert!(people.users.set_rights("auditor", &rights("listener"), &ole).await.unwrap().is_none());
}

#[tokio::test]
async fn a_request_ends_by_time_by_denial_and_by_a_later_one() {
    let people = People::new();
    people.add("ada", "administrator", &root()).await;
    let ada = administrator("ada");
    let ask =
        async |roles: &str| people.users.set_rights("ada", &rights(roles), &ada).await.unwrap().unwrap();
    let first = ask("admin").await;
    let second = ask("administrator,listener").await;
    let all = people.users.requests().await.unwrap();
    assert_eq!(all.iter().map(|one| &one.id).collect::<Vec<_>>(), [&second.id]);
    assert_ne!(first.id, second.id);
    people.users.deny(&second.id).await.unwrap();
    assert!(matches!(people.users.deny(&second.id).await, Err(UserError::NoSuchRequest)));
    let third = ask("admin").await;
    people.site.clock.put_forward(REQUEST_HOURS);
    let late = people.users.confirmable(&third.id, &administrator("ole")).await;
    assert!(matches!(late, Err(UserError::NoSuchRequest)));
}

#[tokio::test]
async fn where_four_eyes_are_off_and_on_the_machine_itself_one_word_is_enough() {
    let people = People::with(SignInSettings { four_eyes: false, ..SignInSettings::default() });
    people.add("ada", "administrator", &root()).await;
    assert!(people.users.set_rights("ada", &rights("admin"), &administrator("ada")).await.unwrap().is_none());
    assert_eq!(people.users.named("ada").await.unwrap().rights, rights("admin"));
    let strict = People::new();
    let (_, request) = strict.add("ada", "admin", &root()).await;
    assert!(request.is_none());
}
