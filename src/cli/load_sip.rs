//! SIP options of `optag load`. In: arguments. Out: a recording client.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use crate::load::client::Client;
use crate::load::feed::{Feed, Sip};
use crate::load::sip::link::Link;
use crate::load::sip::shape::Shape;
use crate::load::sip::{Identity, Target, Transport};

/// Transport to the recorder of `--own`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OwnSip {
    /// SIPREC over UDP.
    Udp,
    /// SIPREC over TCP.
    Tcp,
}

/// SIP options.
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
    /// Password for digest authentication.
    #[arg(long, env = "OPTAG_SIP_PASSWORD", hide_env_values = true)]
    pub sip_password: Option<String>,
    /// PEM file of the certificate authority of the server.
    #[arg(long, value_name = "FILE")]
    pub sip_ca_file: Option<PathBuf>,
    /// Client certificate, PEM, for servers that request one.
    #[arg(long, value_name = "FILE", requires = "sip_key")]
    pub sip_certificate: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, value_name = "FILE", requires = "sip_certificate")]
    pub sip_key: Option<PathBuf>,
    /// Number of sockets or connections shared by all sessions.
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub sip_connections: u8,
    /// The recorder's API, if the target is SIP: for --verify and the outcomes of calls.
    #[arg(long, value_name = "URL", requires = "token")]
    pub api: Option<String>,
}

impl SipArgs {
    /// A client of `target`.
    ///
    /// Errors: unreachable or invalid target.
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
            // Only the audio that each side offers is decoded: an own offer contains G.711 only.
            true => usual().collect(),
            false => self.sip_shape.clone(),
        };
        let run = uuid::Uuid::now_v7().simple().to_string()[16..].to_owned();
        Ok(Feed::Sip(Arc::new(Sip { target, identity, shapes, links, api, run })))
    }

    /// Address of our own recorder that is called.
    pub(super) fn of_own(&self, udp: &str, tcp: &str) -> Option<String> {
        self.sip.map(|sip| match sip {
            OwnSip::Udp => format!("sip:{udp}"),
            OwnSip::Tcp => format!("sip:{tcp};transport={}", Transport::Tcp.name().to_ascii_lowercase()),
        })
    }
}
