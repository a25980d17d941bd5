//! Who a node is, across restarts and without the database: an id drawn at its first start, its number, and the nodes
//! that it last knew. In: the file `node.json` of the data directory. Out: the same, durable after each change.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use optag_core::hex::hex;
use optag_files::atomic_file::replace_json;

/// Another node, as far as it must be known to ask it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its number.
    pub number: u16,
    /// `host:port` where it is reached; empty where it is not.
    pub address: String,
}

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Known {
    id: String,
    number: u16,
    peers: Vec<Peer>,
}

/// The identity of this node.
#[derive(Debug)]
pub struct Identity {
    path: PathBuf,
    known: Mutex<Known>,
}

impl Identity {
    /// Reads `node.json`, or draws an id and writes it there.
    ///
    /// Errors: the file cannot be read or written, or is damaged.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join("node.json");
        let known = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut drawn = [0; 16];
                aws_lc_rs::rand::fill(&mut drawn).map_err(|_| io::Error::other("no random numbers"))?;
                let known = Known { id: hex(&drawn), ..Known::default() };
                replace_json(&path, &known)?;
                known
            }
            Err(error) => return Err(error),
        };
        Ok(Self { path, known: Mutex::new(known) })
    }

    /// Its id.
    pub fn id(&self) -> String {
        self.known().id.clone()
    }

    /// Its number; 0 until the registry has given it one.
    pub fn number(&self) -> u16 {
        self.known().number
    }

    /// The other nodes that were known last.
    pub fn peers(&self) -> Vec<Peer> {
        self.known().peers.clone()
    }

    /// Keeps what the registry said. Blocks where that is new.
    ///
    /// Errors: of the disk; it is known to this process all the same.
    pub fn learn(&self, number: u16, peers: Vec<Peer>) -> io::Result<()> {
        let mut known = self.known();
        if (known.number, &known.peers) == (number, &peers) {
            return Ok(());
        }
        known.number = number;
        known.peers = peers;
        replace_json(&self.path, &*known)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_the_same_after_a_restart_and_knows_whom_it_knew() {
        let dir = tempfile::tempdir().unwrap();
        let first = Identity::open(dir.path()).unwrap();
        assert_eq!((first.id().len(), first.number(), first.peers()), (32, 0, vec![]));
        let peers = vec![Peer { number: 2, address: "b.example:7946".into() }];
        first.learn(1, peers.clone()).unwrap();
        let again = Identity::open(dir.path()).unwrap();
        assert_eq!((again.id(), again.number(), again.peers()), (first.id(), 1, peers));
        assert_ne!(Identity::open(tempfile::tempdir().unwrap().path()).unwrap().id(), first.id());
    }
}
