//! This node among the nodes of one index: its heartbeat, and what the registry says of the others. In: the answers of
//! the registry. Out: the other nodes, and whether what nodes share can be relied on now.
//!
//! It can while the index answers and all nodes hash names under one key. Otherwise whoever asks must ask each node
//! itself. The lease of a node counts by the database's clock.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::cluster::identity::{Identity, Peer};
use crate::index::{Beat, Index, IndexError, NodeRow, NodeState};
use crate::metrics;

/// Time between two heartbeats.
pub const BEAT: Duration = Duration::from_secs(2);
/// A node that was not heard for so long is silent: it ended, or it does not reach the database.
pub const LEASE: Duration = Duration::from_secs(10);
/// How long anything that a caller waits for waits for the database.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// What nodes share cannot be relied on now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the index that the nodes share does not answer, or the nodes have different master keys")]
pub struct Away;

/// What this node says of itself.
#[derive(Clone, Debug)]
pub struct Told {
    /// `host:port` where other nodes reach it; empty where they do not.
    pub address: String,
    /// Calls of two streams that its ports suffice for.
    pub capacity_calls: u32,
    /// Tells the key under which it hashes names from other keys.
    pub names_key: String,
}

/// A node as last heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Whom to ask.
    pub peer: Peer,
    /// Time since its last heartbeat, when the registry was last read.
    pub silent_for: Duration,
}

#[derive(Debug, Default)]
struct View {
    /// The others; as the file has them until the registry was read.
    others: Vec<Member>,
    answers: bool,
    /// Another node hashes under another key.
    keys_differ: bool,
    /// Rows of this node may be missing or left over.
    stale: bool,
}

/// The membership of this node; shared by reference.
#[derive(Debug)]
pub struct Membership {
    index: Index,
    identity: Identity,
    told: Told,
    view: Mutex<View>,
}

impl Membership {
    /// Of the node `identity`. Asks nobody.
    pub fn new(index: Index, identity: Identity, told: Told) -> Self {
        let others = identity.peers().into_iter();
        let others = others.map(|peer| Member { peer, silent_for: Duration::ZERO }).collect();
        let view = View { others, stale: true, ..View::default() };
        Self { index, identity, told, view: Mutex::new(view) }
    }

    /// The index that the nodes share.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The number of this node; 0 until the registry has given it one.
    pub fn number(&self) -> u16 {
        self.identity.number()
    }

    /// The other nodes that are not gone.
    pub fn others(&self) -> Vec<Member> {
        self.view().others.clone()
    }

    /// Whether this node can be asked by others.
    pub fn has_address(&self) -> bool {
        !self.told.address.is_empty()
    }

    /// Whether what nodes share can be relied on.
    ///
    /// Errors: it cannot.
    pub fn shared(&self) -> Result<(), Away> {
        let view = self.view();
        if view.answers && !view.keys_differ && self.identity.number() > 0 { Ok(()) } else { Err(Away) }
    }

    /// What is wrong; empty where nothing is.
    pub fn detail(&self) -> String {
        let view = self.view();
        let mut silent: Vec<_> = view.others.iter().filter(|one| one.silent_for > LEASE).collect();
        silent.sort_by_key(|one| one.peer.number);
        if !view.answers {
            "the registry of nodes does not answer: answers for calls of other nodes are refused".into()
        } else if view.keys_differ {
            "nodes have different master keys: they do not recognise each other's calls by name".into()
        } else if !view.others.is_empty() && self.told.address.is_empty() {
            "other nodes share this index, and [cluster] is not set: answers for their calls are refused"
                .into()
        } else if let Some(one) = silent.first() {
            format!("node {} is silent for {} s", one.peer.number, one.silent_for.as_secs())
        } else {
            String::new()
        }
    }

    /// Waits for an answer of the index, and remembers where there is none.
    ///
    /// Errors: what nodes share cannot be relied on.
    pub async fn ask<T>(&self, asked: impl Future<Output = Result<T, IndexError>>) -> Result<T, Away> {
        self.shared()?;
        self.wait(asked).await
    }

    async fn wait<T>(&self, asked: impl Future<Output = Result<T, IndexError>>) -> Result<T, Away> {
        let why = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer in {} s", PATIENCE.as_secs()),
        };
        let mut view = self.view();
        if std::mem::replace(&mut view.answers, false) {
            tracing::warn!(why, "the registry of nodes does not answer; other nodes are asked directly");
        }
        view.stale = true;
        Err(Away)
    }

    /// Whether this node's rows may be wrong, for which the answer is no until something fails again.
    pub fn take_stale(&self) -> bool {
        std::mem::take(&mut self.view().stale)
    }

    /// Says that this node's rows may be wrong.
    pub fn set_stale(&self) {
        self.view().stale = true;
    }

    /// Renews the lease, and learns of the others.
    ///
    /// Errors: the registry does not answer.
    pub async fn beat(&self, state: NodeState, calls: usize) -> Result<(), Away> {
        let beat = Beat {
            id: self.identity.id(),
            address: self.told.address.clone(),
            state,
            capacity_calls: self.told.capacity_calls,
            calls: u32::try_from(calls).unwrap_or(u32::MAX),
            names_key: self.told.names_key.clone(),
        };
        let (nodes, number) = self
            .wait(async {
                let wanted = Some(self.identity.number()).filter(|number| *number > 0);
                let known = self.index.beat(&beat).await?;
                let known = match known.is_empty() && state != NodeState::Gone {
                    // A first start, or a database that was put back to before it.
                    true => {
                        self.index.join(&beat, wanted).await?;
                        self.index.nodes().await?
                    }
                    false => known,
                };
                let number = known.iter().find(|node| node.beat.id == beat.id).map(|node| node.number);
                Ok((known, number.or(wanted).unwrap_or_default()))
            })
            .await?;
        self.learn(number, &beat, nodes);
        Ok(())
    }

    fn learn(&self, number: u16, beat: &Beat, nodes: Vec<NodeRow>) {
        metrics::nodes(nodes.iter().map(|node| match node.silent_for > LEASE {
            true => "silent",
            false => node.beat.state.name(),
        }));
        let others: Vec<_> = nodes.into_iter().filter(|node| node.beat.id != beat.id).collect();
        // A key that only a silent node has may be that of before a change.
        let heard = others.iter().filter(|node| node.silent_for <= LEASE);
        let keys_differ = heard.into_iter().any(|node| node.beat.names_key != beat.names_key);
        let member = |node: NodeRow| Member {
            peer: Peer { number: node.number, address: node.beat.address },
            silent_for: node.silent_for,
        };
        let others: Vec<Member> = others.into_iter().map(member).collect();
        let peers = others.iter().map(|one| one.peer.clone()).collect();
        // Once a node joins or leaves.
        if let Err(error) = self.identity.learn(number, peers) {
            tracing::warn!(%error, "cannot save node.json; after a restart without the database, fewer nodes are known");
        }
        let mut view = self.view();
        if keys_differ && !view.keys_differ {
            tracing::error!(
                "nodes that share this index have different master keys: give all of them the same one"
            );
        }
        if !view.answers {
            tracing::info!(number, others = others.len(), "registered as a node");
        }
        *view = View { others, answers: true, keys_differ, stale: view.stale };
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
