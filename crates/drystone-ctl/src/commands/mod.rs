//! What each command does.

mod alarm;
mod endpoint;
mod kv;
mod lease;
mod member;
mod queue;
mod range;
mod txn;
mod watch;

use crate::cli::{self, Action};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::tree::GLOBAL;

/// The version of etcdctl whose behaviour this is.
const ETCDCTL_VERSION: &str = "3.7.1";
const API_VERSION: &str = "3.7";

pub(crate) async fn run(action: Action, context: &mut Context<'_>) -> Result<Exit, Failure> {
    match action {
        Action::Put => kv::put(context).await,
        Action::Get => kv::get(context).await,
        Action::Del => kv::del(context).await,
        Action::Compaction => kv::compaction(context).await,
        Action::Txn => txn::txn(context).await,
        Action::Watch => watch::watch(context).await,
        Action::LeaseGrant => lease::grant(context).await,
        Action::LeaseRevoke => lease::revoke(context).await,
        Action::LeaseTimeToLive => lease::time_to_live(context).await,
        Action::LeaseList => lease::list(context).await,
        Action::LeaseKeepAlive => lease::keep_alive(context).await,
        Action::Lock => queue::lock(context).await,
        Action::Elect => queue::elect(context).await,
        Action::MemberList => member::list(context).await,
        Action::MemberAdd => member::add(context).await,
        Action::MemberRemove => member::remove(context).await,
        Action::MemberUpdate => member::update(context).await,
        Action::MemberPromote => member::promote(context).await,
        Action::MoveLeader => member::move_leader(context).await,
        Action::AlarmList => alarm::list(context).await,
        Action::AlarmDisarm => alarm::disarm(context).await,
        Action::Defrag => endpoint::defrag(context).await,
        Action::EndpointStatus => endpoint::status(context).await,
        Action::EndpointHealth => endpoint::health(context).await,
        Action::EndpointHashKv => endpoint::hash_kv(context).await,
        Action::Version => {
            let own = env!("CARGO_PKG_VERSION");
            context.out(format!(
                "etcdctl version: {ETCDCTL_VERSION}\nAPI version: {API_VERSION}\n\
                 drystone version: {own}\n"
            ))?;
            Ok(Exit::SUCCESS)
        }
        Action::Options => {
            let flags = cli::list(GLOBAL);
            context.out(format!("Flags that every command takes:\n\n{flags}"))?;
            Ok(Exit::SUCCESS)
        }
        // Answered where the tree is at hand.
        Action::Help => Ok(Exit::SUCCESS),
    }
}
