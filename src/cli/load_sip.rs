//! The options of `optag load` that concern SIP. In: arguments. Out: a recording client.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use crate::load::client::Client;
use crate::load::feed::{Feed, Sip};
use crate::load::sip::link::Link;
use crate::load::sip::shape::Shape;
use crate::load::sip::{Identity, Target, Transport};

/// How the recorder of `--own` is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OwnSip {
    /// SIPREC over datagrams.
    Udp,
    /// SIPREC over connections.
    Tcp,
}

/// Options for SIP.
#[derive(Debug, Args)]
#[command(next_help_heading = "SIPREC")]
pub(super) struct SipArgs {
    /// With --own: announce calls by SIPREC instead of the API.
    #[arg(long, value_enum, requires = "own")]
    pub sip: Option<OwnSip>,
    /// SDP offer styles, used in turn; default: all but `delayed`.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SHAPE")]
    pub sip_shape: Vec<Shape>,
    /// User name for digest authentication.
    #[arg(long, value_name = "NAME", requires = "sip_password")]
    pub sip_user: Option<String>,
    /// Its password.
    #[arg(long, env = "OPTAG_SIP_PASSWORD", hide_env_values = true)]
    pub sip_password: Option<String>,
    /// PEM file of the authority that signed the server's certificate.
    #[arg(long, value_name = "FILE")]
    pub sip_ca_file: Option<PathBuf>,
    /// Our certificate, PEM, for servers that ask for one.
    #[arg(long, value_name = "FILE", requires = "sip_key")]
    pub sip_certificate: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, value_name = "FILE", requires = "sip_certificate")]
    pub sip_key: Option<PathBuf>,
    /// Number of sockets or connections shared by all sessions.
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub sip_connections: u8,
    /// The recorder's API, where the target is SIP: verifies, and tells how calls ended.
    #[arg(long, value_name = "URL", requires = "token")]
    pub api: Option<String>,
}

impl SipArgs {
    /// A client of `target`.
    ///
    /// Errors: it cannot be reached, or `target` is no address.
    pub(super) async fn feed(&self, target: &str, api: Option<Client>) -> anyhow::Result<Feed> {
        let target = Target::parse(target)?;
        let identity = Identity {
            credentials: self.sip_user.clone().zip(self.sip_password.clone()),
            ca_file: self.sip_ca_file.clone(),
            certificate: self.sip_certificate.clone().zip(self.sip_key.clone()),
        };
        let mut links = Vec::new();
        for _ in 0..self.sip_connections {
            links.push(Arc::new(Link::open(&target, &identity).await?));
        }
        let usual = || Shape::ALL.into_iter().filter(|shape| *shape != Shape::Delayed);
        let shapes = match self.sip_shape.is_empty() {
            // Only the sound that each side offers is decoded: an own offer names G.711 alone.
            true => usual().collect(),
            false => self.sip_shape.clone(),
        };
        let run = uuid::Uuid::now_v7().simple().to_string()[16..].to_owned();
        Ok(Feed::Sip(Arc::new(Sip { target, identity, shapes, links, api, run })))
    }

    /// Which address of a recorder of our own is called.
    pub(super) fn of_own(&self, udp: &str, tcp: &str) -> Option<String> {
        self.sip.map(|sip| match sip {
            OwnSip::Udp => format!("sip:{udp}"),
            OwnSip::Tcp => format!("sip:{tcp};transport={}", Transport::Tcp.name().to_ascii_lowercase()),
        })
    }
}
