//! The `[cluster]` section: from raw to checked.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::cluster::tls::NodeTlsFiles;
use crate::config::error::ConfigError;
use crate::config::raw::RawCluster;
use crate::config::values::wrong;
use crate::index::IndexPlace;

/// How other nodes reach this one, and this one them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// Where requests of other nodes are listened to.
    pub listen: SocketAddr,
    /// `host:port` by which other nodes reach it; the certificate names the host.
    pub address: String,
    /// Certificate, key and authority.
    pub files: NodeTlsFiles,
    /// Ports on which other nodes listen, to which alone connections may go.
    pub peer_ports: Vec<u16>,
}

/// Checks the section; none where it is not set.
pub(super) fn check(raw: RawCluster, index: &IndexPlace) -> Result<Option<ClusterConfig>, ConfigError> {
    if raw.listen.is_empty() {
        return match raw == RawCluster::default() {
            true => Ok(None),
            false => Err(wrong("cluster.listen", "required with any other setting of [cluster]")),
        };
    }
    if matches!(index, IndexPlace::Sqlite(_)) {
        return Err(wrong("cluster.listen", "empty unless index.postgres is set: nodes share an index"));
    }
    let listen: SocketAddr = raw
        .listen
        .parse()
        .map_err(|_| wrong("cluster.listen", "expected address:port, such as 10.0.0.1:7946"))?;
    let address = match raw.address.as_str() {
        "" if listen.ip().is_unspecified() => {
            return Err(wrong("cluster.address", "required where cluster.listen is 0.0.0.0 or [::]"));
        }
        "" => raw.listen.clone(),
        text => text.to_owned(),
    };
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse());
    let Some(Ok(port)) = port.filter(|port| *port != Ok(0)) else {
        return Err(wrong("cluster.address", "host:port, such as node1.example:7946"));
    };
    let files = [
        ("cluster.certificate_file", &raw.certificate_file),
        ("cluster.key_file", &raw.key_file),
        ("cluster.ca_file", &raw.ca_file),
    ];
    if let Some((key, _)) = files.iter().find(|(_, file)| file.is_empty()) {
        return Err(wrong(key, "required with cluster.listen: nodes ask each other over TLS"));
    }
    let [certificate, key, ca] = files.map(|(_, file)| PathBuf::from(file));
    let ports = raw.peer_ports.split(',').map(str::trim).filter(|port| !port.is_empty());
    let ports: Result<Vec<u16>, _> = ports.map(str::parse).collect();
    let mut peer_ports = ports.map_err(|_| wrong("cluster.peer_ports", "ports with commas, or empty"))?;
    if peer_ports.is_empty() {
        peer_ports.push(port);
    }
    Ok(Some(ClusterConfig { listen, address, files: NodeTlsFiles { certificate, key, ca }, peer_ports }))
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const WHOLE: &str = "[index]\npostgres = 'postgres://db/optag'\n[cluster]\nlisten = '10.0.0.1:7946'\n\
                         certificate_file = 'c'\nkey_file = 'k'\nca_file = 'a'\n";

    #[test]
    fn a_node_is_reached_where_it_listens_unless_it_says_otherwise() {
        let cluster = |text: &str| Config::parse(text, []).unwrap().cluster;
        assert_eq!(cluster(""), None);
        let usual = cluster(WHOLE).unwrap();
        assert_eq!((usual.address.as_str(), &*usual.peer_ports), ("10.0.0.1:7946", &[7946][..]));
        let told = format!("{WHOLE}address = 'node1.example:7000'\npeer_ports = '7000, 7001'");
        let told = cluster(&told).unwrap();
        assert_eq!((told.address.as_str(), &*told.peer_ports), ("node1.example:7000", &[7000, 7001][..]));
    }

    #[test]
    fn what_would_leave_nodes_apart_or_in_the_clear_is_refused_with_its_key() {
        for (text, key) in [
            (WHOLE.replace("postgres = 'postgres://db/optag'", ""), "cluster.listen"),
            (WHOLE.replace("10.0.0.1:7946", "10.0.0.1"), "cluster.listen"),
            (WHOLE.replace("listen = '10.0.0.1:7946'", ""), "cluster.listen"),
            (WHOLE.replace("10.0.0.1:7946", "0.0.0.0:7946"), "cluster.address"),
            (format!("{WHOLE}address = 'node1'"), "cluster.address"),
            (format!("{WHOLE}address = ':7946'"), "cluster.address"),
            (WHOLE.replace("certificate_file = 'c'", ""), "cluster.certificate_file"),
            (WHOLE.replace("key_file = 'k'", ""), "cluster.key_file"),
            (WHOLE.replace("ca_file = 'a'", ""), "cluster.ca_file"),
            (format!("{WHOLE}peer_ports = 'all'"), "cluster.peer_ports"),
        ] {
            let error = Config::parse(&text, []).unwrap_err().to_string();
            assert!(error.contains(key), "{text}: {error}");
        }
    }
}
