//! Every route of the OpenAPI document, requested by every role, in every kind of department, with each purpose that it
//! may state, and with ids that were guessed.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Value, json};

use crate::auth::user::Rights;
use crate::auth::users::{By, NewUser};
use crate::http::access::{Actor, Departments, Permission, Role, Roles};
use crate::http::audited::{AuditAction, Purpose};
use crate::http::fakes::{Answer, Api, NAME, NUMBER, id};

/// What a route answers to an actor who is bound to other departments than that of the only recording and call.
#[derive(Clone, Copy, PartialEq)]
enum Elsewhere {
    /// It is about the actor alone.
    Same,
    /// 404, wherever: a token is signed in nowhere.
    NotSignedIn,
    /// 404 for all departments, as none waits; 403 for some: it is about the whole installation.
    NoneThere,
    /// 404, as for an id that does not exist.
    NotFound,
    /// A list without it.
    Without,
    /// 403: it is about the whole installation.
    Refused,
    /// 422: there is no such department.
    NoSuchDepartment,
}

struct Door {
    method: &'static str,
    path: &'static str,
    /// Any of these permissions; none: any token.
    needs: &'static [Permission],
    elsewhere: Elsewhere,
    body: Option<Value>,
}

/// Every route.
fn doors() -> Vec<Door> {
    use Elsewhere::{NoSuchDepartment, NoneThere, NotFound, NotSignedIn, Refused, Same, Without};
    use Permission::*;
    let stream = || json!({"label": "caller", "codec": "pcma", "source": {"ip": "127.0.0.1"}});
    let call =
        json!({"department": "demo", "caller_number": "1", "called_number": "2", "streams": [stream()]});
    let answer = json!({"answer": "no", "how": "system"});
    let named = json!({"answer": "no", "how": "system", "external_id": "x"});
    let hold = json!({"reason": "case", "lawful_basis": "x", "until": "2999-01-01T00:00:00Z"});
    let erasures = json!({"recordings": [id()], "reason": "asked"});
    let case = json!({"department": "demo", "asked": "erase", "told": {"number": NUMBER, "name": NAME}});
    let identity = json!({"revision": 3, "how": "called_back"});
    let told = json!({"revision": 3, "told": {"name": NAME}});
    let chosen = json!({"revision": 3, "recordings": [id()]});
    let extension = json!({"revision": 3, "reason": "many requests"});
    let decision = json!({"revision": 3, "decision": "erase"});
    let door = |method, path, needs, elsewhere, body| Door { method, path, needs, elsewhere, body };
    vec![
        door("get", "/api/v1/me", &[], Same, None),
        door("get", "/api/v1/sign-ins", &[], Same, None),
        door("get", "/api/v1/departments", &[], Without, None),
        door("delete", "/api/v1/sign-ins/{sign_in}", &[], NotSignedIn, None),
        door("get", "/api/v1/users", &[Administer], Refused, None),
        door(
            "post",
            "/api/v1/users",
            &[Administer],
            Refused,
            Some(json!({"name": "user{unique}", "roles": ["auditor"]})),
        ),
        door(
            "put",
            "/api/v1/users/{user}/roles",
            &[Administer],
            Refused,
            Some(json!({"roles": ["auditor"]})),
        ),
        door("post", "/api/v1/users/{user}/reset", &[Administer], Refused, None),
        door("post", "/api/v1/users/{user}/disable", &[Administer], Refused, None),
        door("post", "/api/v1/users/{user}/enable", &[Administer], Refused, None),
        door("get", "/api/v1/user-requests", &[Administer], Refused, None),
        door("post", "/api/v1/user-requests/{request}/confirm", &[Administer], NoneThere, None),
        door("delete", "/api/v1/user-requests/{request}", &[Administer], NoneThere, None),
        door("post", "/api/v1/calls", &[Calls], NoSuchDepartment, Some(call)),
        door("get", "/api/v1/calls", &[SeeCalls], Without, None),
        door("get", "/api/v1/calls/{id}", &[SeeCalls, Answer], NotFound, None),
        door("post", "/api/v1/calls/{id}/consent", &[Answer], NotFound, Some(answer)),
        door("post", "/api/v1/consents", &[Answer], Refused, Some(named)),
        door("post", "/api/v1/calls/{id}/withdraw", &[Withdraw], NotFound, Some(json!({}))),
        door(
            "post",
            "/api/v1/calls/{id}/transfer",
            &[Calls],
            NotFound,
            Some(json!({"department": "elsewhere"})),
        ),
        door("post", "/api/v1/calls/{id}/pause", &[Pause], NotFound, None),
        door("post", "/api/v1/calls/{id}/resume", &[Pause], NotFound, None),
        door("post", "/api/v1/calls/{id}/end", &[Calls], NotFound, None),
        door("post", "/api/v1/calls/{id}/streams", &[Calls], NotFound, Some(stream())),
        door("put", "/api/v1/calls/{id}/streams/{label}", &[Calls], NotFound, Some(stream())),
        door("delete", "/api/v1/calls/{id}/streams/{label}", &[Calls], NotFound, None),
        door("get", "/api/v1/recordings", &[Search], Without, None),
        door("get", "/api/v1/candidates?date=2026-11-24", &[Search], Without, None),
        door("get", "/api/v1/recordings/{id}", &[Search], NotFound, None),
        door("get", "/api/v1/recordings/{id}/audio", &[Listen], NotFound, None),
        door("get", "/api/v1/recordings/{id}/waveform", &[Listen], NotFound, None),
        door("get", "/api/v1/recordings/{id}/accesses", &[Search, Audit], NotFound, None),
        door("post", "/api/v1/recordings/{id}/handout", &[Export], NotFound, Some(json!({}))),
        door("post", "/api/v1/recordings/{id}/links", &[Export], NotFound, Some(json!({}))),
        door("delete", "/api/v1/recordings/{id}", &[Erase], NotFound, Some(json!({"reason": "asked"}))),
        door("post", "/api/v1/erasures", &[Erase], NotFound, Some(erasures)),
        door("get", "/api/v1/recordings/{id}/erasure/preview", &[Erase], NotFound, None),
        door("get", "/api/v1/recordings/{id}/erasure", &[Erase], NotFound, None),
        door("get", "/api/v1/recordings/{id}/erasure/receipt", &[Erase], NotFound, None),
        door("post", "/api/v1/cases", &[Cases], NoSuchDepartment, Some(case)),
        door("get", "/api/v1/cases", &[Cases, Audit], Without, None),
        door("get", "/api/v1/cases/{case}", &[Cases, Audit], NotFound, None),
        door("get", "/api/v1/cases/{case}/candidates", &[Cases], NotFound, None),
        door("get", "/api/v1/cases/{case}/preview", &[Cases], NotFound, None),
        door("get", "/api/v1/cases/{case}/letter", &[Cases], NotFound, None),
        door("get", "/api/v1/cases/{case}/recordings/{id}/sheet", &[Cases], NotFound, None),
        door("post", "/api/v1/cases/{case}/told", &[Cases], NotFound, Some(told)),
        door("post", "/api/v1/cases/{case}/identity", &[Cases], NotFound, Some(identity)),
        door("post", "/api/v1/cases/{case}/recordings", &[Cases], NotFound, Some(chosen)),
        door("post", "/api/v1/cases/{case}/extension", &[Cases], NotFound, Some(extension)),
        door("post", "/api/v1/cases/{case}/decision", &[Cases], NotFound, Some(decision)),
        door("post", "/api/v1/cases/{case}/carry-out", &[Cases], NotFound, Some(json!({"revision": 5}))),
        door("post", "/api/v1/cases/{case}/close", &[Cases], NotFound, Some(json!({"revision": 4}))),
        door("get", "/api/v1/cases/{case}/recordings/{id}/audio", &[Cases], NotFound, None),
        door("post", "/api/v1/cases/{case}/recordings/{id}/handout", &[Cases], NotFound, Some(json!({}))),
        door("post", "/api/v1/cases/{case}/recordings/{id}/links", &[Cases], NotFound, Some(json!({}))),
        door("delete", "/api/v1/cases/{case}/recordings/{id}/links", &[Cases], NotFound, None),
        door("put", "/api/v1/recordings/{id}/hold", &[Hold], NotFound, Some(hold)),
        door("delete", "/api/v1/recordings/{id}/hold", &[Hold], NotFound, None),
        door("get", "/api/v1/holds", &[Hold], Without, None),
        door("get", "/api/v1/retention/report", &[Report], Without, None),
        door("post", "/api/v1/retention/clock", &[Administer], Refused, None),
        door("get", "/api/v1/audit", &[Audit], Without, None),
        door("get", "/api/v1/audit/entries", &[Audit], Without, None),
        door("get", "/api/v1/audit/unusual", &[Audit], Without, None),
        door("get", "/api/v1/retention/ages", &[Report], Without, None),
        door("get", "/api/v1/health", &[Administer], Refused, None),
        door("post", "/api/v1/health/store", &[Administer], Refused, None),
        door("post", "/api/v1/admin/drain", &[Administer], Refused, None),
    ]
}

/// The recording or call, and the case, that a request is about.
#[derive(Clone, Copy)]
struct Of<'a> {
    id: &'a str,
    case: &'a str,
}

impl Door {
    /// Whether its purpose is required.
    fn states_a_purpose(&self, document: &Value) -> bool {
        let path = self.path.split('?').next().unwrap();
        let parameters = document["paths"][path][self.method]["parameters"].as_array();
        parameters.is_some_and(|all| all.iter().any(|one| one["name"] == "purpose"))
    }

    /// Asks about the recording or call `of`.
    async fn ask(&self, api: &Api, document: &Value, actor: &Actor, purpose: &str, of: Of<'_>) -> Answer {
        let Of { id: of, case } = of;
        let mut path = self.path.replace("{id}", of).replace("{label}", "a").replace("{case}", case);
        path = path.replace("{user}", "ada");
        if self.states_a_purpose(document) {
            let and = if path.contains('?') { '&' } else { '?' };
            path = format!("{path}{and}purpose={purpose}");
        }
        let mut text = self.body.as_ref().map(ToString::to_string);
        let unique = api.fake.audited.lock().unwrap().len().to_string();
        text = text.map(|text| text.replace("{unique}", &unique));
        if self.path.contains("{label}") {
            text = text.map(|text| text.replace("\"caller\"", "\"a\""));
        }
        let body = text.map(|text| serde_json::from_str(&text.replace(&id().to_string(), of)).unwrap());
        let verb = Method::from_bytes(self.method.to_uppercase().as_bytes()).unwrap();
        api.as_actor(actor.clone(), verb, &path, body.as_ref()).await
    }

    /// A case about the recording, as far as this route wants it to be; nobody learns of what led there.
    async fn case(&self, api: &Api) -> String {
        if !self.path.contains("{case}") {
            return String::new();
        }
        let (audited, erased) =
            (api.fake.audited.lock().unwrap().len(), api.fake.erased.lock().unwrap().len());
        let opened =
            json!({"department": "demo", "asked": "erase", "told": {"number": NUMBER, "name": NAME}});
        let number = api.post("/api/v1/cases", &opened).await.json()["number"].as_str().unwrap().to_owned();
        let end = self.path.rsplit('/').next().unwrap();
        let decision = match end {
            "carry-out" => Some(json!({"revision": 3, "decision": "erase"})),
            "handout" | "links" => Some(json!({"revision": 3, "decision": "hand_out"})),
            "close" => Some(json!({"revision": 3, "decision": "refuse", "ground": "not_found"})),
            _ => None,
        };
        let before = [
            ("identity", Some(json!({"revision": 1, "how": "called_back"}))),
            ("recordings", Some(json!({"revision": 2, "recordings": [id()]}))),
            ("decision", decision),
        ];
        for (step, body) in before {
            let Some(body) = body else { continue };
            let answer = api.post(&format!("/api/v1/cases/{number}/{step}"), &body).await;
            assert_eq!(answer.status, 200, "{step}: {}", String::from_utf8_lossy(&answer.bytes));
        }
        api.fake.audited.lock().unwrap().truncate(audited);
        api.fake.erased.lock().unwrap().truncate(erased);
        number
    }

    fn admits(&self, role: Role) -> bool {
        self.needs.is_empty() || self.needs.iter().any(|one| role.allows(*one))
    }
}

/// Purposes that a role may state; a role without any is refused whatever it states.
fn purposes(role: Role) -> Vec<&'static str> {
    let purposes: Vec<_> = role.purposes().iter().map(|one| one.name()).collect();
    if purposes.is_empty() { vec!["training"] } else { purposes }
}

/// With a user whom the routes are about.
async fn with_a_user() -> Api {
    let api = Api::new();
    let rights = Rights::new(Roles::one(Role::Auditor), None).unwrap();
    let new = NewUser { name: "ada".into(), display_name: String::new(), rights };
    api.users.add(&new, &By::LocalUser(Actor::with_role("root", Role::Admin))).await.unwrap();
    api
}

fn actor(role: Role, departments: Departments) -> Actor {
    Actor { departments, ..Actor::with_role("test", role) }
}

#[tokio::test]
async fn every_route_opens_to_the_roles_that_hold_its_permission_and_to_no_other() {
    let api = with_a_user().await;
    let document = api.get("/api/openapi.json").await.json();
    let real = id().to_string();
    for door in doors() {
        let case = door.case(&api).await;
        let of = Of { id: &real, case: &case };
        for (name, role) in Role::ALL {
            for departments in [Departments::All, Departments::only(["demo", "elsewhere"])] {
                let refuses = [Elsewhere::Refused, Elsewhere::NoneThere].contains(&door.elsewhere);
                let bound = !departments.are_all() && refuses;
                let may = door.admits(role) && !bound;
                let actor = actor(role, departments);
                for purpose in purposes(role) {
                    let answer = door.ask(&api, &document, &actor, purpose, of).await;
                    let status = answer.status.as_u16();
                    let asked = format!("{name} {} {} ({purpose}): {status}", door.method, door.path);
                    assert_eq!(status == 403, !may, "{asked}");
                    assert_ne!(status, 401, "{asked}");
                    let none = [Elsewhere::NotSignedIn, Elsewhere::NoneThere].contains(&door.elsewhere);
                    assert_eq!(status == 404, none && may, "{asked}");
                    assert!(
                        status < 400 || status == 404 || !may,
                        "{asked} {}",
                        String::from_utf8_lossy(&answer.bytes)
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_of_another_department_is_answered_like_what_does_not_exist() {
    let api = Api::new();
    let document = api.get("/api/openapi.json").await.json();
    let (real, guessed) = (id().to_string(), "01890a5d-ac96-774b-bcce-b302099a0000");
    for door in doors() {
        let case = door.case(&api).await;
        let of = Of { id: &real, case: &case };
        let none = Of { id: guessed, case: "1999-0001" };
        for (name, role) in Role::ALL.into_iter().filter(|(_, role)| door.admits(*role)) {
            let actor = actor(role, Departments::only(["elsewhere", "nowhere"]));
            for purpose in purposes(role) {
                let answer = door.ask(&api, &document, &actor, purpose, of).await;
                let text = String::from_utf8_lossy(&answer.bytes).into_owned();
                let status = answer.status.as_u16();
                let asked = format!("{name} {} {} ({purpose}): {status} {text}", door.method, door.path);
                match door.elsewhere {
                    Elsewhere::NotSignedIn => assert_eq!(status, 404, "{asked}"),
                    Elsewhere::Same => assert_eq!(status, 200, "{asked}"),
                    Elsewhere::Refused | Elsewhere::NoneThere => assert_eq!(status, 403, "{asked}"),
                    Elsewhere::NoSuchDepartment => assert_eq!(status, 422, "{asked}"),
                    Elsewhere::Without => {
                        assert_eq!(status, 200, "{asked}");
                        assert!(!text.contains(&real), "{asked}");
                        assert!(!text.contains("\"number\":"), "{asked}");
                    }
                    Elsewhere::NotFound => {
                        let none = door.ask(&api, &document, &actor, purpose, none).await;
                        assert_eq!(none.status, answer.status, "{asked}");
                        let none = String::from_utf8_lossy(&none.bytes).replace(guessed, &real);
                        assert_eq!(none, text, "{asked}");
                        // Several at a time are listed with what became of each.
                        assert!(status == 404 || text.contains("no such recording"), "{asked}");
                    }
                }
                assert!(!text.contains(NUMBER) && !text.contains(NAME), "{asked}");
            }
        }
    }
    assert!(api.fake.admitted.lock().unwrap().is_empty(), "a call was admitted");
    assert!(api.fake.controls.lock().unwrap().is_empty(), "a call was controlled");
    assert!(api.fake.erased.lock().unwrap().is_empty(), "a recording was erased");
    assert!(api.fake.opened.lock().unwrap().is_empty(), "audio was opened");
    assert!(api.fake.drained.lock().unwrap().is_empty(), "the recorder was drained");
    let audited = api.fake.audited.lock().unwrap();
    let about = audited.iter().filter(|entry| entry.recording.is_some());
    let actions: Vec<_> = about.map(|entry| entry.action).collect();
    assert!(!actions.is_empty(), "nobody knows that someone tried");
    assert!(actions.iter().all(|action| *action == AuditAction::Refused), "{actions:?}");
}

#[tokio::test]
async fn what_is_searched_for_is_bound_before_the_index_is_asked() {
    let api = Api::new();
    let actor = actor(Role::Contact, Departments::only(["elsewhere"]));
    for path in ["/api/v1/recordings?", "/api/v1/candidates?date=2026-11-24&"] {
        let path = format!("{path}department=demo&purpose=caller_request");
        assert_eq!(api.as_actor(actor.clone(), Method::GET, &path, None).await.status, 200);
    }
    assert_eq!(api.fake.searches.lock().unwrap()[0].within, actor.departments);
    assert_eq!(api.fake.wanted.lock().unwrap()[0].within, actor.departments);
    let all = json!({"caller_number": NUMBER, "reason": "asked"});
    let answer = api.as_actor(actor, Method::POST, "/api/v1/erasures", Some(&all)).await;
    assert_eq!(answer.json(), json!({"erasures": []}));
}

#[tokio::test]
async fn a_purpose_belongs_to_the_role_that_permits_the_act() {
    let api = Api::new();
    let both = Actor { roles: "listener,contact".parse().unwrap(), ..Actor::with_role("test", Role::Admin) };
    let one = format!("/api/v1/recordings/{}", id());
    let ask = async |path: String| api.as_actor(both.clone(), Method::GET, &path, None).await;
    assert_eq!(ask(format!("{one}/audio?purpose=training")).await.status, 200);
    ask(format!("{one}/audio?purpose=caller_request")).await.problem(403);
    assert_eq!(ask(format!("{one}/audio?export=true&purpose=caller_request")).await.status, 200);
    ask(format!("{one}/audio?export=true&purpose=training")).await.problem(403);
    assert_eq!(both.purposes(), [Purpose::Training, Purpose::CallerRequest, Purpose::Administration]);
}

#[tokio::test]
async fn who_asks_learns_what_they_may_and_where_and_whether_the_pages_are_for_them() {
    let api = Api::new();
    let me = async |actor: Actor| api.as_actor(actor, Method::GET, "/api/v1/me", None).await.json();
    let told = me(actor(Role::Listener, Departments::only(["tax"]))).await;
    assert_eq!(told["roles"], json!(["listener"]));
    assert_eq!(told["departments"], json!(["tax"]));
    assert_eq!((&told["pages"], &told["purposes"]), (&json!(true), &json!(["training"])));
    for role in [Role::Feed, Role::Agent] {
        let told = me(actor(role, Departments::All)).await;
        assert_eq!((&told["pages"], &told["departments"]), (&json!(false), &json!("all")));
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
    let path = |door: &Door| door.path.split('?').next().unwrap().to_owned();
    let listed = doors().iter().map(|door| (door.method.to_owned(), path(door))).collect();
    assert_eq!(all, listed);
}

#[tokio::test]
async fn a_purpose_that_a_role_may_not_state_is_refused_wherever_one_is_asked_for() {
    let api = Api::new();
    let document = api.get("/api/openapi.json").await.json();
    let real = id().to_string();
    let of = Of { id: &real, case: "" };
    for door in doors().into_iter().filter(|door| door.states_a_purpose(&document)) {
        for (name, role) in Role::ALL.into_iter().filter(|(_, role)| door.admits(*role)) {
            let may = purposes(role);
            for purpose in Purpose::NAMES.into_iter().filter(|one| !may.contains(one)) {
                let actor = Actor::with_role("test", role);
                let answer = door.ask(&api, &document, &actor, purpose, of).await;
                assert_eq!(answer.status, 403, "{name} {} {} ({purpose})", door.method, door.path);
            }
        }
    }
}
