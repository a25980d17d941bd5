//! Employees who object to being recorded, in calls in progress. In: what feeds say of who takes part. Out: streams of which
//! nothing is kept, durably before the feed has its answer. Part of [`Recorder`].

use crate::recorder::*;
use optag_core::call::Participant;
use optag_core::clock::WallTime;
use optag_sip::objections::{Objecting, Objections};

impl Recorder {
    /// Who objects in a call that asks to be admitted.
    pub(super) fn objecting(&self, call: &NewCall) -> (Arc<Objections>, Objecting) {
        let objections = self.settings.objections.now();
        let streams = call.streams.iter().map(|stream| (stream.label.as_str(), stream.role));
        let mut participants = call.context.participants.clone();
        let speaks = |stream: &NewStream| Some(speaking(&stream.label, stream.speaker.clone()?));
        participants.extend(call.streams.iter().filter_map(speaks));
        let objecting = objections.among(&participants, call.called_number.reveal(), streams);
        (objections, objecting)
    }

    /// A feed has told anew who takes part.
    pub(super) async fn participants(
        &self,
        view: &CallView,
        context: &CallContext,
    ) -> Result<(), ControlError> {
        if context.participants.is_empty() {
            return Ok(());
        }
        let objections = self.settings.objections.now();
        let streams = view.streams.iter().map(|stream| (stream.label.as_str(), stream.role));
        let now = objections.among(&context.participants, "", streams);
        let mut changed = false;
        let now = self.live_calls.change_objecting(view.id, |before| {
            changed = *before != now;
            *before = now;
        });
        if changed { self.withhold(view, &objections, &now).await } else { Ok(()) }
    }

    /// Somebody else speaks in a stream.
    pub(super) async fn speaker(
        &self,
        id: CallId,
        stream: u8,
        speaker: Private<String>,
    ) -> Result<CallView, ControlError> {
        let view = self.live_calls.get(id).filter(|view| view.outcome.is_none());
        let view = view.ok_or(ControlError::NoSuchCall(id))?;
        let Some(known) = view.streams.get(usize::from(stream)) else { return Ok(view) };
        let objections = self.settings.objections.now();
        let one = std::iter::once((known.label.as_str(), known.role));
        let found = objections.among(&[speaking(&known.label, speaker)], "", one);
        let now = self.live_calls.change_objecting(id, |all| {
            all.forget(&known.label);
            all.join(found);
        });
        self.withhold(&view, &objections, &now).await?;
        Ok(view)
    }

    /// Whether nothing is kept of a stream that joins.
    pub(super) fn joins(&self, id: CallId, stream: &NewStream) -> bool {
        let objections = self.settings.objections.now();
        let one = std::iter::once((stream.label.as_str(), stream.role));
        let speaker = stream.speaker.clone().map(|speaker| speaking(&stream.label, speaker));
        let found = speaker.map(|speaker| objections.among(&[speaker], "", one)).unwrap_or_default();
        let all = self.live_calls.change_objecting(id, |all| all.join(found));
        objections.withholds(&all, &stream.label, stream.role)
    }

    async fn withhold(
        &self,
        view: &CallView,
        objections: &Objections,
        objecting: &Objecting,
    ) -> Result<(), ControlError> {
        let streams: Vec<bool> = view
            .streams
            .iter()
            .map(|stream| objections.withholds(objecting, &stream.label, stream.role))
            .collect();
        tracing::info!(
            call = %view.id,
            streams = streams.iter().filter(|withheld| **withheld).count(),
            "streams are withheld, as an employee who takes part objects to being recorded"
        );
        self.send_command(view.id, Command::Withhold { streams }).await?;
        if durable(&self.spool).await { Ok(()) } else { Err(ControlError::NotDurable) }
    }
}

/// Who speaks in a stream, as a feed says it with the stream.
fn speaking(label: &str, speaker: Private<String>) -> Participant {
    Participant {
        addresses: vec![speaker],
        name: None,
        labels: vec![label.to_owned()],
        joined_at: WallTime::default(),
        left_at: None,
        held: Vec::new(),
    }
}
