//! A call as tests use it: two streams, with speech and keys sent without blocking the runtime.

use serde_json::Value;

use crate::phone::{Leg, talk, voice};
use crate::server::{Server, call_request};

/// A call in progress with its two streams, µ-law.
pub(crate) struct Conversation {
    pub id: String,
    legs: Option<Vec<Leg>>,
}

impl Conversation {
    /// Announces a call to a department.
    pub(crate) async fn admit(server: &Server, department: &str) -> Self {
        Self::admit_as(server, call_request(department, "pcmu")).await
    }

    /// Announces a call by this request.
    pub(crate) async fn admit_as(server: &Server, request: Value) -> Self {
        let (status, admitted) = server.ask("POST", "/api/v1/calls", Some(request)).await;
        assert_eq!(status, 201, "{admitted}");
        let legs = vec![Leg::new(&admitted, 0, 0, 0x1111), Leg::new(&admitted, 1, 0, 0x2222)];
        Self { id: admitted["id"].as_str().unwrap().to_owned(), legs: Some(legs) }
    }

    /// Both speak.
    pub(crate) async fn speak(&mut self, caller: Vec<i16>, employee: Vec<i16>) {
        self.on_legs(move |legs| talk(legs, &[&caller, &employee])).await;
    }

    /// The caller presses keys.
    pub(crate) async fn press(&mut self, keys: &'static str) {
        self.on_legs(move |legs| keys.chars().for_each(|key| legs[0].key(key))).await;
    }

    /// Sends a request about the call.
    pub(crate) async fn ask(&self, server: &Server, what: &str, body: Option<Value>) -> (u16, Value) {
        server.ask("POST", &format!("/api/v1/calls/{}/{what}", self.id), body).await
    }

    /// Ends the call; returns the name of its outcome.
    pub(crate) async fn end(self, server: &Server) -> String {
        let (status, view) = self.ask(server, "end", None).await;
        assert_eq!(status, 200, "{view}");
        view["outcome"]["outcome"].as_str().unwrap().to_owned()
    }

    async fn on_legs(&mut self, work: impl FnOnce(&mut Vec<Leg>) + Send + 'static) {
        let mut legs = self.legs.take().unwrap();
        let legs = tokio::task::spawn_blocking(move || {
            work(&mut legs);
            legs
        });
        self.legs = Some(legs.await.unwrap());
    }
}

/// A call with consent in which both speak this long, with voices `seed` and the next; its id.
pub(crate) async fn recorded(server: &Server, seed: u32, ms: usize) -> String {
    let mut call = Conversation::admit(server, "demo").await;
    call.press("1").await;
    call.speak(voice(seed, ms), voice(seed + 1, ms)).await;
    let id = call.id.clone();
    assert_eq!(call.end(server).await, "recorded");
    server.recording(&id).await;
    id
}

/// Samples of a 16-bit WAV of the recorder, one list per channel.
pub(crate) fn wav_channels(wav: &[u8]) -> Vec<Vec<i16>> {
    assert_eq!((&wav[..4], &wav[8..12]), (&b"RIFF"[..], &b"WAVE"[..]));
    let channels = usize::from(u16::from_le_bytes([wav[22], wav[23]]));
    let samples: Vec<i16> =
        wav[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    (0..channels).map(|n| samples.iter().skip(n).step_by(channels).copied().collect()).collect()
}
