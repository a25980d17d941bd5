//! The first user of an installation, the token of a demonstration, and what is noted of the rules for users.

use std::net::SocketAddr;

use crate::app::open::Opened;
use crate::app::server::Server;
use crate::auth::Role;
use crate::auth::tokens::NewToken;
use crate::http::audited::{AuditAction, AuditEntry};

impl Server {
    /// The address of a link that makes the first user, while nobody administers. `None`: somebody does.
    ///
    /// Errors: nobody can say.
    pub async fn first_link(&self) -> anyhow::Result<Option<String>> {
        let users = self.opened.users();
        let link = users.first_link(self.opened.tokens.administer().await?).await?;
        let api = format!("http://{}", reachable(self.api));
        Ok(link.map(|link| users.address_of(&link, &api)))
    }

    /// The data directory.
    pub fn data_dir(&self) -> &std::path::Path {
        &self.opened.config.data_dir
    }

    /// An admin token of this name; an older one of the same name becomes worthless.
    ///
    /// Errors: the index does not answer.
    pub async fn fresh_token(&self, name: &str) -> anyhow::Result<String> {
        let tokens = &self.opened.tokens;
        if tokens.list().await?.iter().any(|token| token.name == name) {
            tokens.revoke(name).await?;
        }
        Ok(tokens.create(&NewToken::of(name, Role::Admin)).await?)
    }
}

/// An address that a browser on this machine reaches.
fn reachable(api: SocketAddr) -> SocketAddr {
    match api {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => (std::net::Ipv4Addr::LOCALHOST, v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (std::net::Ipv6Addr::LOCALHOST, v6.port()).into(),
        other => other,
    }
}

/// A rule that is off is noted where it is looked for. A log that cannot be written refuses what it is for.
pub(super) fn audit_rules(opened: &Opened) {
    if opened.config.sign_in.four_eyes {
        return;
    }
    let entry = AuditEntry {
        at: opened.clock.wall(),
        actor: "configuration".into(),
        action: AuditAction::Access,
        purpose: None,
        recording: None,
        detail: Some("sign_in.four_eyes is off: administrators give rights alone".to_owned().into()),
    };
    if let Err(error) = opened.audit.append(&entry) {
        tracing::error!(%error, "cannot note in the audit log that sign_in.four_eyes is off");
    }
}
