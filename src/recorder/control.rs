//! Control of a call in progress. In: a [`Control`]. Out: the state of the call once the change is in effect and durable.
//! Part of [`Recorder`]; admission is not here.

use crate::recorder::*;
use optag_core::call::Answer;
use optag_media::fact::StreamIndex;

impl Recorder {
    pub(super) async fn try_control(&self, id: CallId, control: Control) -> Result<CallView, ControlError> {
        if let Control::AddStream(stream) = control {
            return self.add_stream(id, *stream).await;
        }
        let control = match control {
            Control::Describe(context) => return self.describe(id, context).await,
            Control::Speaker { stream, speaker } => return self.speaker(id, stream, speaker).await,
            control => control,
        };
        if matches!(control, Control::Answer { answer: Answer::Yes, .. }) {
            self.give_standing_no(id).await?;
        }
        let withdraws = matches!(control, Control::Withdraw { .. });
        let moves_to = match &control {
            Control::Transfer { department, .. } => Some(self.department(id, department)?),
            _ => None,
        };
        let opened = match &moves_to {
            Some(department) if department.record => self.open_late(id, department).await?,
            _ => false,
        };
        let commanded = self.command(id, control).await;
        if commanded.is_err() && opened {
            self.forget_in_spool(id).await;
        }
        let state = match commanded {
            Err(ControlError::NoSuchCall(_) | ControlError::Consent(ConsentError::Ended)) if withdraws => {
                return self.withdraw_ended(id).await;
            }
            commanded => commanded?,
        };
        if let Some(department) = moves_to {
            self.live_calls.set_department(id, &department.id);
        }
        if !durable(&self.spool).await {
            return Err(ControlError::NotDurable);
        }
        if state.consent == ConsentState::Withdrawn {
            self.erasure.withdraw_in_call(id).await.map_err(|_| ControlError::NotDurable)?;
        }
        self.live_calls.set_consent(id, state.consent);
        self.live_calls.set_paused(id, state.paused);
        self.live_calls.get(id).ok_or(ControlError::NoSuchCall(id))
    }

    /// Stores additional data of a call. Nothing is stored of a call that must not be recorded.
    async fn describe(&self, id: CallId, context: Box<CallContext>) -> Result<CallView, ControlError> {
        let view = self.live_calls.get(id).filter(|view| view.outcome.is_none());
        let view = view.ok_or(ControlError::NoSuchCall(id))?;
        let names: Vec<String> = names_in(&context.links).collect();
        self.live_calls.name(id, &names);
        if let Some(shared) = &self.shared {
            shared.enter(id, &names).await;
        }
        self.participants(&view, &context).await?;
        if matches!(view.consent, ConsentState::Asked | ConsentState::Granted) {
            let record = SpoolRecord { call: id, body: Body::Described(context) };
            if self.spool.append(vec![record]).is_err() || !durable(&self.spool).await {
                return Err(ControlError::NotDurable);
            }
        }
        if view.consent == ConsentState::Asked {
            // By an identifier that it has only now.
            self.answer_pending(id, &names).await?;
            return self.live_calls.get(id).ok_or(ControlError::NoSuchCall(id));
        }
        Ok(view)
    }

    /// Opens a port and adds the stream; both are durable on return.
    async fn add_stream(&self, id: CallId, stream: NewStream) -> Result<CallView, ControlError> {
        // One at a time per call, so that the streams are shown in the order of its channels.
        let _turn = self.joining.lock(id).await;
        let view = self.live_calls.get(id).filter(|view| view.outcome.is_none());
        let view = view.ok_or(ControlError::NoSuchCall(id))?;
        if view.streams.len() >= limit::STREAMS_PER_CALL {
            let most = limit::STREAMS_PER_CALL;
            return Err(ControlError::BadStream(format!(
                "the call has {most} streams, and none may be added"
            )));
        }
        if view.streams.iter().any(|known| known.label == stream.label) {
            return Err(ControlError::BadStream(format!(
                "a stream of the call is `{}` already",
                stream.label
            )));
        }
        if stream.media.formats.is_empty() {
            return Err(ControlError::BadStream(format!("stream `{}` has no codec", stream.label)));
        }
        if self.live_calls.client(id).is_some_and(|client| !self.has_share(&client, 1)) {
            return Err(ControlError::Quota);
        }
        let bound = self.ports.bind([!stream.media.rtcp.mux], self.clock.mono());
        let sockets = bound.ok().and_then(|mut all| all.pop()).ok_or(ControlError::PortsUsedUp)?;
        let address = self.advertised(sockets.port());
        let facts = StreamFacts { label: stream.label.clone(), role: stream.role };
        let withheld = self.joins(id, &stream);
        let plan = JoiningStream { facts: facts.clone(), plan: stream_plan(stream, withheld), sockets };
        let (reply, answer) = oneshot::channel();
        self.engine.join(id, plan, Box::new(move |result| drop(reply.send(result))));
        match answer.await {
            Ok(Ok(_)) => {}
            Ok(Err(EngineError::NoSuchCall)) => return Err(ControlError::NoSuchCall(id)),
            Ok(Err(error @ EngineError::NoMoreStreams)) => {
                return Err(ControlError::BadStream(error.to_string()));
            }
            Ok(Err(_)) | Err(_) => return Err(ControlError::NotDurable),
        }
        self.live_calls.joined(id, &facts, address);
        if !durable(&self.spool).await {
            return Err(ControlError::NotDurable);
        }
        self.live_calls.get(id).ok_or(ControlError::NoSuchCall(id))
    }

    async fn command(&self, id: CallId, control: Control) -> Result<CallState, ControlError> {
        let command = match control {
            Control::Answer { answer, how, prompt_version, evidence } => {
                Command::Answer { answer, how, prompt_version, evidence }
            }
            Control::Withdraw { how, evidence } => Command::Withdraw { how, evidence },
            Control::Transfer { department, prompt_version, evidence } => {
                let to = Box::new(self.department(id, &department)?.question());
                Command::Transfer { to, prompt_version, evidence }
            }
            Control::Pause => Command::Pause,
            Control::Resume => Command::Resume,
            Control::End => Command::End,
            Control::DropStream { stream } => Command::DropStream { stream: StreamIndex(stream) },
            Control::AddStream(_) => return Err(ControlError::Unsupported("add a stream in this way")),
            Control::Describe(_) => return Err(ControlError::Unsupported("describe a call to the engine")),
            Control::Speaker { .. } => return Err(ControlError::Unsupported("tell the engine who speaks")),
            Control::Renegotiate { stream, media } => {
                Command::Renegotiate { stream: StreamIndex(stream), media }
            }
        };
        self.send_command(id, command).await
    }

    /// Hands a command to the engine, which carries it out in its next pass.
    pub(super) async fn send_command(&self, id: CallId, command: Command) -> Result<CallState, ControlError> {
        let (reply, answer) = oneshot::channel();
        self.engine.control(id, command, Box::new(move |result| drop(reply.send(result))));
        match answer.await {
            Ok(Ok(state)) => Ok(state),
            Ok(Err(EngineError::Consent(error))) => Err(ControlError::Consent(error)),
            Ok(Err(EngineError::NoSuchCall)) => Err(ControlError::NoSuchCall(id)),
            Ok(Err(_)) | Err(_) => Err(ControlError::NotDurable),
        }
    }

    /// The department of this name, among those that there were when the call was admitted.
    fn department(&self, call: CallId, name: &str) -> Result<Department, ControlError> {
        let all = self.live_calls.departments(call).unwrap_or_else(|| self.settings.departments.now());
        department(&all, name).cloned().ok_or_else(|| ControlError::UnknownDepartment(name.to_owned()))
    }

    /// Opens a call in the spool that no department has recorded so far, as one of `department`'s, so that a
    /// yes can be recorded. True: it was opened now.
    async fn open_late(&self, id: CallId, department: &Department) -> Result<bool, ControlError> {
        let Some(mut facts) = self.live_calls.unopened(id) else { return Ok(false) };
        facts.department.clone_from(&department.id);
        facts.retention_days = department.retention_days;
        // The engine saves the call itself in its next pass.
        self.open_in_spool(&facts, None).await.map_err(|_| ControlError::NotDurable)?;
        self.live_calls.set_opened(id);
        Ok(true)
    }

    /// A withdrawal shortly after the call's end: all copies of the recording are erased.
    pub(super) async fn withdraw_ended(&self, id: CallId) -> Result<CallView, ControlError> {
        let view = self.live_calls.get(id).ok_or(ControlError::NoSuchCall(id))?;
        if view.consent == ConsentState::Granted || view.outcome.is_some_and(Outcome::is_recorded) {
            self.erasure.order(id, Cause::Withdrawal).await.map_err(|_| ControlError::NotDurable)?;
            self.live_calls.withdrawn_ended(id);
            let erasure = Arc::clone(&self.erasure);
            // The sweeper retries whatever cannot be reached now.
            tokio::spawn(async move { drop(erasure.complete(id, Cause::Withdrawal).await) });
        }
        self.live_calls.get(id).ok_or(ControlError::NoSuchCall(id))
    }
}
