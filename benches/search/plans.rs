//! The statements that a search makes, as the driver logs them.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

/// Collects statements between [`Statements::begin`] and [`Statements::end`].
#[derive(Clone, Default)]
pub(crate) struct Statements {
    collected: Arc<Mutex<Option<Vec<String>>>>,
}

impl Statements {
    /// Listens from now on.
    pub(crate) fn collect() -> Self {
        let statements = Self::default();
        let _ = tracing::subscriber::set_global_default(statements.clone());
        statements
    }

    pub(crate) fn begin(&self) {
        *self.collected.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
    }

    /// Each statement once.
    pub(crate) fn end(&self) -> Vec<String> {
        let mut all =
            self.collected.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        let mut known = std::collections::HashSet::new();
        all.retain(|sql| known.insert(sql.clone()));
        all
    }
}

#[derive(Default)]
struct Logged {
    summary: String,
    statement: String,
}

impl Visit for Logged {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => self.summary = value.to_owned(),
            "db.statement" => self.statement = value.trim().to_owned(),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

impl Subscriber for Statements {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("sqlx::query")
    }

    fn event(&self, event: &Event<'_>) {
        let mut logged = Logged::default();
        event.record(&mut logged);
        let sql = if logged.statement.is_empty() { logged.summary } else { logged.statement };
        let mut collected = self.collected.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(collected) = collected.as_mut().filter(|_| sql.to_uppercase().starts_with("SELECT")) {
            collected.push(sql);
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}
