//! Every route of the OpenAPI document, requested by every role with each purpose that it may state.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Value, json};

use crate::http::access::{Permission, Role};
use crate::http::fakes::{Api, id};

/// Method, path, required permission (`None`: any token), and a valid body.
fn doors() -> Vec<(&'static str, &'static str, Option<Permission>, Option<Value>)> {
    use Permission::{Answer, Calls, Erase, Export, Listen, Oversee, Report, Search};
    let stream = json!({"label": "caller", "codec": "pcma", "source": {"ip": "127.0.0.1"}});
    let call = json!({"department": "demo", "caller_number": "1", "called_number": "2", "streams": [stream.clone()]});
    let answer = json!({"answer": "no", "how": "system"});
    let named = json!({"answer": "no", "how": "system", "external_id": "x"});
    let hold = json!({"reason": "case", "lawful_basis": "x", "until": "2999-01-01T00:00:00Z"});
    let erasures = json!({"recordings": [id()], "reason": "asked"});
    vec![
        ("get", "/api/v1/me", None, None),
        ("post", "/api/v1/calls", Some(Calls), Some(call)),
        ("get", "/api/v1/calls", Some(Calls), None),
        ("get", "/api/v1/calls/{id}", Some(Answer), None),
        ("post", "/api/v1/calls/{id}/consent", Some(Answer), Some(answer)),
        ("post", "/api/v1/consents", Some(Answer), Some(named)),
        ("post", "/api/v1/calls/{id}/withdraw", Some(Answer), Some(json!({}))),
        ("post", "/api/v1/calls/{id}/transfer", Some(Calls), Some(json!({"department": "demo"}))),
        ("post", "/api/v1/calls/{id}/pause", Some(Calls), None),
        ("post", "/api/v1/calls/{id}/resume", Some(Calls), None),
        ("post", "/api/v1/calls/{id}/end", Some(Calls), None),
        ("post", "/api/v1/calls/{id}/streams", Some(Calls), Some(stream.clone())),
        ("put", "/api/v1/calls/{id}/streams/{label}", Some(Calls), Some(stream)),
        ("delete", "/api/v1/calls/{id}/streams/{label}", Some(Calls), None),
        ("get", "/api/v1/recordings", Some(Search), None),
        ("get", "/api/v1/candidates", Some(Search), None),
        ("get", "/api/v1/recordings/{id}", Some(Search), None),
        ("get", "/api/v1/recordings/{id}/audio", Some(Listen), None),
        ("post", "/api/v1/recordings/{id}/handout", Some(Export), Some(json!({}))),
        ("post", "/api/v1/recordings/{id}/links", Some(Export), Some(json!({}))),
        ("delete", "/api/v1/recordings/{id}", Some(Erase), Some(json!({"reason": "asked"}))),
        ("post", "/api/v1/erasures", Some(Erase), Some(erasures)),
        ("get", "/api/v1/recordings/{id}/erasure/preview", Some(Erase), None),
        ("get", "/api/v1/recordings/{id}/erasure", Some(Erase), None),
        ("put", "/api/v1/recordings/{id}/hold", Some(Oversee), Some(hold)),
        ("delete", "/api/v1/recordings/{id}/hold", Some(Oversee), None),
        ("get", "/api/v1/holds", Some(Oversee), None),
        ("get", "/api/v1/retention/report", Some(Report), None),
        ("post", "/api/v1/retention/clock", Some(Oversee), None),
        ("get", "/api/v1/audit", Some(Oversee), None),
        ("post", "/api/v1/admin/drain", Some(Oversee), None),
    ]
}

/// Paths whose purpose is required.
fn states_a_purpose(document: &Value, method: &str, path: &str) -> bool {
    let parameters = document["paths"][path][method]["parameters"].as_array();
    parameters.is_some_and(|all| all.iter().any(|one| one["name"] == "purpose"))
}

#[tokio::test]
async fn every_route_opens_to_the_roles_that_hold_its_permission_and_to_no_other() {
    let api = Api::new();
    let document = api.get("/api/openapi.json").await.json();
    for (method, path, needed, body) in doors() {
        for (name, role) in Role::ALL {
            let may = needed.is_none_or(|needed| role.allows(needed));
            let purposes: Vec<&str> = role.purposes().iter().map(|one| one.name()).collect();
            // A role without purposes is refused whatever it states.
            let purposes = if purposes.is_empty() { vec!["training"] } else { purposes };
            for purpose in purposes {
                let mut asked = path.replace("{id}", &id().to_string()).replace("{label}", "caller");
                if states_a_purpose(&document, method, path) {
                    asked = format!("{asked}?purpose={purpose}");
                }
                let verb = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let status = api.as_role(role, verb, &asked, body.as_ref()).await.status.as_u16();
                assert_eq!(status == 403, !may, "{name} {method} {path} ({purpose}): {status}");
                assert_ne!(status, 401, "{name} {method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn no_route_is_missing_from_the_matrix() {
    let api = Api::new();
    let document = api.get("/api/openapi.json").await.json();
    let methods = ["get", "put", "post", "delete", "patch", "head", "options"];
    let paths = document["paths"].as_object().unwrap().iter();
    let all: BTreeSet<(String, String)> = paths
        .flat_map(|(path, item)| {
            let known = methods.iter().filter(|method| item.get(**method).is_some());
            known.map(|method| ((*method).to_owned(), path.clone())).collect::<Vec<_>>()
        })
        .collect();
    let listed = doors().into_iter().map(|(method, path, ..)| (method.to_owned(), path.to_owned())).collect();
    assert_eq!(all, listed);
}

#[tokio::test]
async fn a_purpose_that_a_role_may_not_state_is_refused_wherever_one_is_asked_for() {
    let api = Api::new();
    let document = api.get("/api/openapi.json").await.json();
    for (method, path, needed, body) in doors() {
        let Some(needed) = needed.filter(|_| states_a_purpose(&document, method, path)) else { continue };
        for (name, role) in Role::ALL.into_iter().filter(|(_, role)| role.allows(needed)) {
            let every = ["training", "caller_request", "administration"];
            for purpose in
                every.into_iter().filter(|one| role.purposes().iter().all(|may| may.name() != *one))
            {
                let asked = path.replace("{id}", &id().to_string());
                let verb = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let answer =
                    api.as_role(role, verb, &format!("{asked}?purpose={purpose}"), body.as_ref()).await;
                assert_eq!(answer.status, 403, "{name} {method} {path} ({purpose})");
            }
        }
    }
}
