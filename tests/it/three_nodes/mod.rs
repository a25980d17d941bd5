//! Three recorders on one PostgreSQL and one S3 behind a Kamailio dispatcher, each on a host of its own (`network`), with
//! calls by SIPREC through Kamailio. `NODES_CALLS` sets the number of calls, `NODES_SEED` the seed.

mod asking;
mod calling;
mod everything_at_once;
mod faults;
pub(crate) mod network;
mod notes;
mod plan;
mod rolling_restart;
mod site;
mod talking;
mod verdict;

use network::Network;

/// Runs a test within a network of its own, which it is given; skips it where there can be none.
fn in_network<F: Future<Output = ()>>(test: impl FnOnce(Network) -> F + Send) {
    let missing = crate::kamailio::missing_of(&["kamailio"]);
    if !missing.is_empty() {
        println!("skipped: not installed: {}", missing.join(", "));
        return;
    }
    let network = match Network::new() {
        Ok(network) => network,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    let (hub, of_workers) = (network.hub.clone(), network.hub.clone());
    hub.within(move || {
        // Some of the tasks block, and the store is served by others.
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(8).enable_all().on_thread_start(move || of_workers.enter());
        runtime.build().unwrap().block_on(test(network));
    });
}

/// A setting of the run, a number in the environment.
fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}
