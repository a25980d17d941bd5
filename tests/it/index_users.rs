//! Users in the index, on each database that it can lie in: what is used once, is used once.

use optag::index::{Enrolment, TokenPut, TokenRow, UserPut, UserRequestRow, UserRow};
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
