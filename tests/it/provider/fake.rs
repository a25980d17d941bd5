//! An OpenID Connect provider that does as it is told, also what none may do: its answers, its tokens, its keys.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use aws_lc_rs::{digest, hmac};
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

pub(super) const CLIENT: &str = "optag";
pub(super) const SECRET: &str = "a secret of the client";

/// What the provider does besides what it should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mood {
    #[default]
    Good,
    /// Answers 503.
    Broken,
    /// Sends a body without end.
    Huge,
    /// Sends the head of an answer and then nothing.
    Silent,
    /// Sends the recorder elsewhere.
    Elsewhere,
    /// Answers with a page.
    Html,
}

/// What is changed of a token: header and claims.
pub(super) type Change = Arc<dyn Fn(&mut Value, &mut Value) + Send + Sync>;

/// How a token is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Signing {
    #[default]
    Own,
    /// With a key that the provider does not publish, under the name of one that it does.
    Forged,
    /// Not at all.
    None,
    /// With the secret of the client.
    Secret,
}

pub(super) struct Acts {
    pub discovery: Mood,
    pub keys: Mood,
    pub token: Mood,
    pub user_info: Mood,
    pub change: Change,
    pub signing: Signing,
    /// What the description says besides.
    pub description: Value,
    /// The claims of whoever signs in next.
    pub person: Value,
    /// Claims that only UserInfo tells.
    pub told_beside: Value,
    /// Number of the key that signs, and those that are published.
    pub signs: usize,
    pub published: Vec<usize>,
    /// How often the keys were read.
    pub read: usize,
    pub down: bool,
}

impl Default for Acts {
    fn default() -> Self {
        Self {
            discovery: Mood::Good,
            keys: Mood::Good,
            token: Mood::Good,
            user_info: Mood::Good,
            change: Arc::new(|_, _| {}),
            signing: Signing::Own,
            description: json!({}),
            person: json!({}),
            told_beside: json!({}),
            signs: 0,
            published: vec![0],
            read: 0,
            down: false,
        }
    }
}

struct Code {
    nonce: String,
    challenge: String,
    person: Value,
}

/// The provider.
pub(super) struct Fake {
    pub issuer: String,
    acts: Mutex<Acts>,
    codes: Mutex<HashMap<String, Code>>,
    keys: Vec<EcdsaKeyPair>,
}

pub(super) fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

fn coded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

impl Fake {
    pub(super) async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at: SocketAddr = listener.local_addr().unwrap();
        let key = || EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let fake = Arc::new(Self {
            issuer: format!("http://{at}/realms/city"),
            acts: Mutex::default(),
            codes: Mutex::default(),
            keys: (0..4).map(|_| key()).collect(),
        });
        let router = Router::new()
            .route("/realms/city/.well-known/openid-configuration", get(describe))
            .route("/realms/city/keys", get(keys))
            .route("/realms/city/authorize", get(authorize))
            .route("/realms/city/token", post(token))
            .route("/realms/city/me", get(user_info))
            .with_state(Arc::clone(&fake));
        tokio::spawn(async move { axum::serve(listener, router).await });
        fake
    }

    pub(super) fn acts(&self) -> MutexGuard<'_, Acts> {
        self.acts.lock().unwrap()
    }

    /// A token with these claims.
    pub(super) fn signed(&self, mut header: Value, mut claims: Value) -> String {
        let (signs, signing, change) = {
            let acts = self.acts();
            (acts.signs, acts.signing, Arc::clone(&acts.change))
        };
        header["kid"] = json!(format!("key-{signs}"));
        header["alg"] = json!(match signing {
            Signing::Own | Signing::Forged => "ES256",
            Signing::None => "none",
            Signing::Secret => "HS256",
        });
        change(&mut header, &mut claims);
        let text = format!("{}.{}", coded(&header), coded(&claims));
        let by =
            |key: &EcdsaKeyPair| key.sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref().to_vec();
        let signature = match signing {
            Signing::Own => by(&self.keys[signs]),
            Signing::Forged => by(&self.keys[3]),
            Signing::None => Vec::new(),
            Signing::Secret => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
                hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
            }
        };
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A logout token, before anything is changed of it.
    pub(super) fn notice(&self, jti: &str, of: &Value) -> Value {
        let mut claims = json!({
            "iss": self.issuer, "aud": CLIENT, "iat": now_s(), "exp": now_s() + 120, "jti": jti,
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        });
        claims.as_object_mut().unwrap().extend(of.as_object().unwrap().clone());
        claims
    }
}

/// An answer in a mood; `good` is the one that should be given.
fn in_mood(mood: Mood, good: Value) -> Response {
    match mood {
        Mood::Good => Json(good).into_response(),
        Mood::Broken => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Mood::Huge => {
            let endless =
                futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 65_536])));
            ([("content-type", "application/json")], Body::from_stream(endless)).into_response()
        }
        Mood::Silent => {
            let silent = futures::stream::once(async {
                tokio::time::sleep(Duration::from_secs(600)).await;
                Ok::<_, std::io::Error>(Bytes::new())
            });
            ([("content-type", "application/json")], Body::from_stream(silent)).into_response()
        }
        Mood::Elsewhere => Redirect::temporary("http://192.0.2.1/").into_response(),
        Mood::Html => ([("content-type", "text/html")], "<h1>Welcome</h1>").into_response(),
    }
}

async fn describe(State(fake): State<Arc<Fake>>) -> Response {
    let (issuer, acts) = (&fake.issuer, fake.acts());
    let mood = if acts.down { Mood::Broken } else { acts.discovery };
    let mut good = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/me"),
        "jwks_uri": format!("{issuer}/keys"),
        "end_session_endpoint": format!("{issuer}/end"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "backchannel_logout_supported": true,
    });
    good.as_object_mut().unwrap().extend(acts.description.as_object().unwrap().clone());
    in_mood(mood, good)
}

async fn keys(State(fake): State<Arc<Fake>>) -> Response {
    let mut acts = fake.acts();
    acts.read += 1;
    let key = |number: &usize| {
        let point = fake.keys[*number].public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..65]));
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": format!("key-{number}"), "x": x, "y": y})
    };
    let all: Vec<Value> = acts.published.iter().map(key).collect();
    let mood = if acts.down { Mood::Broken } else { acts.keys };
    in_mood(mood, json!({"keys": all}))
}

/// Signs in whoever comes, and sends them back.
async fn authorize(State(fake): State<Arc<Fake>>, Query(asked): Query<HashMap<String, String>>) -> Redirect {
    assert_eq!((asked["response_type"].as_str(), asked["client_id"].as_str()), ("code", CLIENT));
    assert_eq!(asked["code_challenge_method"], "S256");
    assert!(asked["scope"].split(' ').any(|scope| scope == "openid"));
    let code = format!("code-{}", &asked["state"][..16]);
    let person = fake.acts().person.clone();
    let kept = Code { nonce: asked["nonce"].clone(), challenge: asked["code_challenge"].clone(), person };
    fake.codes.lock().unwrap().insert(code.clone(), kept);
    let mut back = url::Url::parse(&asked["redirect_uri"]).unwrap();
    back.query_pairs_mut()
        .append_pair("code", &code)
        .append_pair("state", &asked["state"])
        .append_pair("iss", &fake.issuer);
    Redirect::to(back.as_str())
}

/// Gives the tokens for a code, once, to whoever shows the secret and what belongs to the challenge.
async fn token(
    State(fake): State<Arc<Fake>>,
    headers: HeaderMap,
    Form(asked): Form<HashMap<String, String>>,
) -> Response {
    let mood = if fake.acts().down { Mood::Broken } else { fake.acts().token };
    let refused = |why: &str| (StatusCode::BAD_REQUEST, Json(json!({"error": why}))).into_response();
    let client = format!("{CLIENT}:{}", SECRET.replace(' ', "+"));
    if headers.get("authorization").unwrap() != &format!("Basic {}", STANDARD.encode(client)) {
        return refused("invalid_client");
    }
    let Some(code) = fake.codes.lock().unwrap().remove(&asked["code"]) else {
        return refused("invalid_grant");
    };
    let challenge = digest::digest(&digest::SHA256, asked["code_verifier"].as_bytes());
    if URL_SAFE_NO_PAD.encode(challenge) != code.challenge {
        return refused("invalid_grant");
    }
    let mut claims = json!({
        "iss": fake.issuer, "aud": CLIENT, "iat": now_s(), "exp": now_s() + 300, "nonce": code.nonce,
    });
    claims.as_object_mut().unwrap().extend(code.person.as_object().unwrap().clone());
    let id_token = fake.signed(json!({"typ": "JWT"}), claims);
    in_mood(mood, json!({"access_token": "of the person", "token_type": "Bearer", "id_token": id_token}))
}

async fn user_info(State(fake): State<Arc<Fake>>, headers: HeaderMap) -> Response {
    assert_eq!(headers["authorization"], "Bearer of the person");
    let acts = fake.acts();
    in_mood(acts.user_info, acts.told_beside.clone())
}
