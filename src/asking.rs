//! Asking callers, for the SIP side: ports and media of a leg, prompts, and where answers are kept.
//!
//! In: what [`Server`](optag_sip::ask::server::Server) wants done. Out: legs of the announcer, answers kept for the
//! recordings of their calls, outcomes counted. Not here: what is asked and what counts (`optag_sip::ask::machine`).

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::config::Config;
use crate::http::{Services, give_by_name};
use crate::metrics;
use crate::prompts::audio;
use optag_core::call::{GivenAnswer, Prompt};
use optag_core::clock::Clock;
use optag_core::private::Private;
use optag_media::announce::announcer::Announcer;
use optag_media::announce::audio::PromptAudio;
use optag_media::announce::{LegPlan, Order};
use optag_media::net::port_pool::PortPool;
use optag_sip::ask::outcome::Outcome;
use optag_sip::ask::port::{AskId, NewLeg};
use optag_sip::ask::service::Host;
use optag_sip::ask::settings::Prompts;

/// Prompts that can be played, by version.
pub type Audio = HashMap<String, Arc<PromptAudio>>;

/// The recorder as asking sees it.
pub struct Asking {
    /// RTP ports, shared with recordings.
    pub ports: PortPool,
    /// Plays prompts.
    pub announcer: Arc<Announcer>,
    /// Address that callers' sides are told to send to.
    pub advertised_ip: IpAddr,
    /// Prompts.
    pub audio: RwLock<Arc<Audio>>,
    /// Keeps answers, on whichever node.
    pub services: Services,
    /// Dates sockets.
    pub clock: Arc<dyn Clock>,
}

impl Asking {
    /// Takes other prompts for what is played from now on.
    pub fn change(&self, audio: Audio) {
        *self.audio.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(audio);
    }
}

impl Host for Asking {
    fn open(&self, id: AskId, leg: NewLeg) -> Option<SocketAddr> {
        let sockets = self.ports.bind([!leg.media.rtcp.mux], self.clock.mono()).ok()?.pop()?;
        let address = SocketAddr::new(self.advertised_ip, sockets.port());
        let NewLeg { media, to, to_sender, payload_type, codec, key } = leg;
        let plan = LegPlan { media, to, to_sender, payload_type, codec, key, sockets };
        self.announcer.order(Order::Open(id, Box::new(plan))).ok().map(|()| address)
    }

    fn play(&self, id: AskId, clip: u32, version: &str) -> bool {
        let all = Arc::clone(&self.audio.read().unwrap_or_else(PoisonError::into_inner));
        let audio = all.get(version).cloned();
        audio.is_some_and(|audio| self.announcer.order(Order::Play(id, clip, audio)).is_ok())
    }

    fn quiet(&self, id: AskId) {
        // A leg whose order is not taken is closed with its ask, which has its own deadline.
        let _ = self.announcer.order(Order::Quiet(id));
    }

    fn close(&self, id: AskId) {
        if self.announcer.order(Order::Close(id)).is_err() {
            tracing::error!("the announcer is overloaded: a leg stays open");
        }
    }

    fn keep(&self, name: Private<String>, answer: GivenAnswer) -> BoxFuture<'static, bool> {
        let services = self.services.clone();
        async move {
            match give_by_name(&services, name, answer.into()).await {
                Ok(_) => true,
                Err(problem) => {
                    tracing::warn!(reason = %problem.detail, "a caller's answer is not kept; the call goes on unrecorded");
                    false
                }
            }
        }
        .boxed()
    }

    fn ended(&self, outcome: Outcome, own_delay: Duration) {
        metrics::ask_ended(outcome, own_delay);
    }
}

/// The prompts that callers may hear, decoded and encoded. Takes a while.
///
/// Errors: the first prompt that cannot be read.
pub fn load(config: &Config) -> anyhow::Result<Audio> {
    let asked = |id: &str| config.ask.departments.iter().any(|asked| asked.id == id);
    let questions = config.departments.iter().filter(|one| asked(&one.id)).flat_map(|one| &one.prompts);
    let confirmations: BTreeSet<&String> =
        config.ask.departments.iter().flat_map(|one| one.confirm_yes.iter().chain(&one.confirm_no)).collect();
    let confirming = config.prompts.iter().filter(|prompt| confirmations.contains(&prompt.version));
    let mut all = Audio::new();
    for Prompt { version, audio_file, .. } in questions.chain(confirming) {
        if let Some(file) = audio_file.as_deref().filter(|_| !all.contains_key(version)) {
            all.insert(version.clone(), Arc::new(PromptAudio::new(&audio::read(file)?)?));
        }
    }
    Ok(all)
}

/// Their lengths.
pub fn lengths(audio: &Audio) -> Prompts {
    audio.iter().map(|(version, audio)| (version.clone(), audio.lasts())).collect()
}
