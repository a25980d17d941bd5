//! The `[sign_in.oidc]` section, checked: the provider, and who of its people may do what here.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;
use zeroize::Zeroizing;

use crate::auth::{Departments, Roles};
use optag_core::private::Private;

/// Where on this recorder the provider sends people back to.
pub const CALLBACK: &str = "/sign-in/oidc/callback";
/// Where the provider tells that somebody signed out.
pub const BACK_CHANNEL: &str = "/sign-in/oidc/back-channel-logout";

/// An OpenID Connect provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderSettings {
    /// Its identifier, exactly as it stands in its tokens.
    pub issuer: String,
    /// As whom the recorder is registered there.
    pub client_id: String,
    /// File with the secret of the registration. `None`: there is none, PKCE alone shows who asks.
    pub client_secret_file: Option<PathBuf>,
    /// Its name, for people.
    pub name: String,
    /// What is asked for, besides `openid`.
    pub scopes: Vec<String>,
    /// The claim with a person's user name.
    pub user_claim: String,
    /// Claims with groups or roles. `a.b` is `b` within `a`.
    pub group_claims: Vec<String>,
    /// What each group may do. Whoever is in none gets in nowhere.
    pub mappings: Vec<Mapping>,
    /// By how much the clocks may differ.
    pub leeway: Duration,
    /// CA certificates that its certificate must chain to. `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// Proxy on the way to it.
    pub proxy: Option<Private<String>>,
    /// Whether it is reached without TLS.
    pub allow_http: bool,
}

/// What the members of a group may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The group, or role, exactly as in the claim.
    pub group: String,
    /// What for.
    pub roles: Roles,
    /// Where.
    pub departments: MappedDepartments,
}

/// The departments of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappedDepartments {
    /// These.
    Fixed(Departments),
    /// Those whose ids this claim has.
    Claim(String),
}

impl ProviderSettings {
    /// The secret of the registration, read each time, so that it can be replaced. `None`: there is none.
    ///
    /// Errors: the file cannot be read, is empty, or may be read by others.
    pub fn client_secret(&self) -> io::Result<Option<Zeroizing<String>>> {
        self.client_secret_file.as_deref().map(secret).transpose()
    }

    /// The port of the issuer.
    pub fn port(&self) -> Option<u16> {
        Url::parse(&self.issuer).ok()?.port_or_known_default()
    }

    /// Ports that the provider, or the proxy on the way to it, may be connected at. Parts of a provider that are elsewhere are
    /// at the port of HTTPS.
    pub fn ports(&self) -> Vec<u16> {
        let of = |text: &str| Url::parse(text).ok()?.port_or_known_default();
        match &self.proxy {
            Some(proxy) => of(proxy.reveal()).into_iter().collect(),
            None => self.port().into_iter().chain([443]).collect(),
        }
    }
}

/// A secret of one line.
fn secret(path: &Path) -> io::Result<Zeroizing<String>> {
    let mode = std::fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(io::Error::other(format!(
            "other users may read it (mode {:04o}): chmod 600 {}",
            mode & 0o7777,
            path.display()
        )));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path)?);
    match text.trim() {
        "" => Err(io::Error::other("it is empty")),
        secret => Ok(Zeroizing::new(secret.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_where_nobody_else_can() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        std::fs::write(&path, " s3cret\n").unwrap();
        for readable in [0o640, 0o604, 0o644] {
            mode(readable);
            assert!(secret(&path).unwrap_err().to_string().contains("chmod 600"));
        }
        mode(0o600);
        assert_eq!(*secret(&path).unwrap(), "s3cret");
        std::fs::write(&path, "\n").unwrap();
        assert!(secret(&path).is_err() && secret(&dir.path().join("none")).is_err());
    }
}
