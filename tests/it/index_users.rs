//! Users in the index, on each database that it can lie in: what is used once, is used once.

use optag::index::{
    Enrolment, Provided, ProviderLogout, SignInRow, TokenPut, TokenRow, UserPut, UserRequestRow, UserRow,
};
use optag_core::clock::WallTime;

use crate::index::on_each;

const NOW: WallTime = WallTime::from_unix_micros(1_700_000_000_000_000);

fn later(minutes: i64) -> WallTime {
    NOW.plus_micros(minutes * 60_000_000)
}

fn row(id: &str, name: &str) -> UserRow {
    UserRow {
        id: id.into(),
        name: name.into(),
        display_name: "Åse Møller".into(),
        roles: "listener".into(),
        departments: "\"all\"".into(),
        password: None,
        totp: None,
        totp_step: 0,
        epoch: 0,
        disabled: false,
        vouched_by: "root".into(),
        created_at: NOW,
        used_at: None,
        subject: None,
        confirmed_roles: None,
        confirmed_departments: None,
    }
}

fn enrolment(step: i64) -> Enrolment {
    Enrolment {
        display_name: "Åse".into(),
        password: "$argon2id$".into(),
        totp: "sealed".into(),
        totp_step: step,
        recovery_sha256: vec!["a".into(), "b".into()],
    }
}

#[tokio::test]
async fn a_link_a_code_and_a_time_step_are_used_once_by_whoever_is_first() {
    on_each(async |index| {
        assert_eq!(index.put_user(&row("1", "åse"), 10).await.unwrap(), UserPut::Done);
        assert_eq!(index.put_user(&row("2", "åse"), 10).await.unwrap(), UserPut::NameTaken);
        assert_eq!(index.put_user(&row("2", "ole"), 1).await.unwrap(), UserPut::TooMany);
        index.reset_user("1", "root", "old", later(60)).await.unwrap();
        index.reset_user("1", "ada", "link", later(60)).await.unwrap();
        assert_eq!(index.user_link("old", NOW).await.unwrap(), None, "there is a newer one");
        assert_eq!(index.user_link("link", NOW).await.unwrap(), Some(Some("1".into())));
        assert_eq!(index.user_link("link", later(60)).await.unwrap(), None, "it is too old");
        let set = enrolment(7);
        let uses = (0..4).map(|_| index.enrol_user("link", "1", &set, NOW));
        let used = futures::future::join_all(uses).await;
        assert_eq!(used.into_iter().filter(|one| *one.as_ref().unwrap()).count(), 1);
        let user = index.user_named("åse").await.unwrap().unwrap();
        assert_eq!((user.vouched_by.as_str(), user.totp_step, user.epoch), ("ada", 7, 3));
        assert_eq!(index.recovery_codes_left("1").await.unwrap(), 2);
        let steps = (0..4).map(|_| index.use_totp_step("1", 8));
        let used = futures::future::join_all(steps).await;
        assert_eq!(used.into_iter().filter(|one| *one.as_ref().unwrap()).count(), 1);
        assert!(!index.use_totp_step("1", 7).await.unwrap(), "an earlier one");
        assert!(index.use_totp_step("1", 9).await.unwrap());
        assert!(index.use_recovery_code("1", "a").await.unwrap());
        assert!(!index.use_recovery_code("1", "a").await.unwrap());
        index.set_user_disabled("1", true).await.unwrap();
        assert!(index.user("1").await.unwrap().unwrap().disabled);
    })
    .await;
}

#[tokio::test]
async fn there_is_one_first_user_and_a_name_belongs_to_a_user_or_a_token() {
    on_each(async |index| {
        let token = TokenRow {
            name: "pbx".into(),
            sha256: "t".into(),
            roles: "feed".into(),
            departments: "\"all\"".into(),
            networks: String::new(),
            created_at: NOW,
            expires_at: None,
            used_at: None,
        };
        assert_eq!(index.put_token(&token, 10).await.unwrap(), TokenPut::Done);
        for link in ["a", "b"] {
            index.put_first_link(link, NOW, later(60)).await.unwrap();
        }
        let (set, taken) = (enrolment(1), row("0", "pbx"));
        let first = index.enrol_first_user("a", &taken, &set, NOW).await.unwrap();
        assert_eq!(first, Some(UserPut::NameTaken), "the link stays");
        let (one, other) = (row("1", "ada"), row("2", "mallory"));
        assert_eq!(index.enrol_first_user("a", &one, &set, NOW).await.unwrap(), Some(UserPut::Done));
        assert_eq!(index.enrol_first_user("b", &other, &set, NOW).await.unwrap(), None);
        assert_eq!(index.users().await.unwrap().len(), 1);
        let named = TokenRow { name: "ada".into(), sha256: "u".into(), ..token };
        assert_eq!(index.put_token(&named, 10).await.unwrap(), TokenPut::NameTaken);
    })
    .await;
}

#[tokio::test]
async fn known_addresses_are_few_and_requests_end() {
    on_each(async |index| {
        index.put_user(&row("1", "ada"), 10).await.unwrap();
        for n in 0..25 {
            index.user_signed_in("1", &format!("{n}"), later(n)).await.unwrap();
        }
        index.user_signed_in("1", "10", later(30)).await.unwrap();
        assert!(index.user_was_at("1", "10", NOW).await.unwrap());
        assert!(!index.user_was_at("1", "3", NOW).await.unwrap(), "20 are kept");
        assert!(!index.user_was_at("1", "24", later(24)).await.unwrap(), "too long ago");
        assert!(!index.user_was_at("2", "10", NOW).await.unwrap());
        let request = |id: &str, at: WallTime| UserRequestRow {
            id: id.into(),
            kind: "roles".into(),
            user_id: "1".into(),
            roles: "listener".into(),
            departments: "\"all\"".into(),
            asked_by: "ada".into(),
            asked_at: at,
            expires_at: at.plus_micros(60_000_000),
        };
        assert!(index.put_user_request(&request("a", NOW), 1).await.unwrap());
        assert!(index.put_user_request(&request("b", NOW), 1).await.unwrap(), "in place of the earlier one");
        let other = UserRequestRow { user_id: "2".into(), ..request("c", NOW) };
        assert!(!index.put_user_request(&other, 1).await.unwrap());
        let waiting = index.user_requests(NOW).await.unwrap();
        assert_eq!(waiting, [request("b", NOW)]);
        assert!(index.user_requests(later(1)).await.unwrap().is_empty());
        assert!(index.drop_user_request("b").await.unwrap() && !index.drop_user_request("b").await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn what_a_provider_says_counts_for_its_subject_and_its_notices_end_what_they_name() {
    on_each(async |index| {
        let of = |subject: &str| Some(subject.to_owned());
        let ada = UserRow { subject: of("a"), ..row("1", "ada") };
        assert_eq!(index.put_user(&ada, 10).await.unwrap(), UserPut::Done);
        let twin = UserRow { subject: of("a"), ..row("2", "ole") };
        assert_eq!(index.put_user(&twin, 10).await.unwrap(), UserPut::NameTaken, "the subject is one user");
        let ole = UserRow { subject: of("b"), ..row("2", "ole") };
        assert_eq!(index.put_user(&ole, 10).await.unwrap(), UserPut::Done);
        assert_eq!(index.put_user(&row("3", "eva"), 10).await.unwrap(), UserPut::Done);
        assert_eq!(index.user_of_subject("a").await.unwrap(), Some(ada));
        assert_eq!(index.user_of_subject("c").await.unwrap(), None);

        index.set_confirmed("1", "administrator,listener", "\"all\"").await.unwrap();
        let mut set = Provided {
            display_name: "Ada".into(),
            roles: "administrator".into(),
            departments: "\"all\"".into(),
            keeps_confirmed: true,
            signed_in_at: Some(NOW),
        };
        index.set_provided("1", &set).await.unwrap();
        (set.keeps_confirmed, set.signed_in_at) = (false, None);
        let user = index.user("1").await.unwrap().unwrap();
        assert_eq!(user.confirmed_roles.as_deref(), Some("administrator,listener"));
        index.set_provided("1", &set).await.unwrap();
        let user = index.user("1").await.unwrap().unwrap();
        assert_eq!(
            (user.confirmed_roles, user.used_at, user.roles.as_str()),
            (None, Some(NOW), "administrator")
        );

        let uses = (0..4).map(|_| index.use_once("x", NOW, later(1)));
        let used = futures::future::join_all(uses).await;
        assert_eq!(used.into_iter().filter(|one| *one.as_ref().unwrap()).count(), 1);
        assert!(index.use_once("x", later(2), later(3)).await.unwrap(), "it was forgotten");

        let sign_in = async |id: &str, user: &str, sid: Option<&str>| {
            let row = SignInRow {
                sha256: format!("secret {id}"),
                id: id.into(),
                token_sha256: format!("user {user} 0"),
                provider_sid: sid.map(str::to_owned),
                id_token: None,
                created_at: NOW,
                used_at: NOW,
                expires_at: later(60),
            };
            index.put_sign_in(&row, later(-30), 20).await.unwrap();
        };
        sign_in("11", "1", Some("s1")).await;
        sign_in("12", "1", Some("s2")).await;
        sign_in("13", "1", None).await;
        sign_in("21", "2", Some("s3")).await;
        sign_in("31", "3", None).await;
        let left = async || {
            let mut left = Vec::new();
            for id in ["11", "12", "13", "21", "31"] {
                let found = index.sign_in(&format!("secret {id}")).await.unwrap();
                left.extend(found.map(|row| row.id));
            }
            left.join(" ")
        };
        let notice = async |id: &str, sid: Option<&str>, subject: Option<&str>| {
            let [sid, subject] = [sid, subject].map(|text| text.map(str::to_owned));
            let logout = ProviderLogout { id: id.into(), sid, subject, at: later(1), expires_at: later(9) };
            let ended = index.provider_logout(&logout, NOW).await.unwrap();
            assert_eq!(index.provider_logout(&logout, NOW).await.unwrap(), None, "it counts once");
            ended.unwrap()
        };
        assert_eq!(notice("n1", Some("s9"), None).await, Vec::<String>::new());
        assert_eq!(notice("n2", Some("s3"), Some("a")).await, ["ada"], "the one whose session is not known");
        assert_eq!(left().await, "11 12 21 31");
        assert_eq!(notice("n3", Some("s1"), None).await, ["ada"]);
        assert_eq!(left().await, "12 21 31");
        assert_eq!(notice("n4", None, Some("b")).await, ["ole"]);
        assert_eq!(left().await, "12 31", "never a user of ours");

        let out = async |sid: Option<&str>, subject: &str, at: i64| {
            index.has_logged_out(sid, subject, later(at)).await.unwrap()
        };
        assert!(out(Some("s1"), "a", 5).await, "a session that has ended stays so");
        assert!(!out(Some("s2"), "a", 0).await && !out(Some("s3"), "b", 2).await);
        assert!(out(Some("s2"), "b", 0).await && out(None, "b", 1).await && !out(None, "b", 2).await);
        assert!(out(None, "a", 0).await && !out(None, "a", 2).await && !out(None, "c", 0).await);
    })
    .await;
}
