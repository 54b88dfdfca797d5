//! What each command does.

mod alarm;
mod auth;
mod endpoint;
mod kv;
mod lease;
mod member;
mod queue;
mod range;
mod role;
mod txn;
mod user;
mod watch;

pub(crate) use range::prefix_end;

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
        Action::AuthEnable => auth::enable(context).await,
        Action::AuthDisable => auth::disable(context).await,
        Action::AuthStatus => auth::status(context).await,
        Action::UserAdd => user::add(context).await,
        Action::UserDelete => user::delete(context).await,
        Action::UserGet => user::get(context).await,
        Action::UserList => user::list(context).await,
        Action::UserPasswd => user::passwd(context).await,
        Action::UserGrantRole => user::grant_role(context).await,
        Action::UserRevokeRole => user::revoke_role(context).await,
        Action::RoleAdd => role::add(context).await,
        Action::RoleDelete => role::delete(context).await,
        Action::RoleGet => role::get(context).await,
        Action::RoleList => role::list(context).await,
        Action::RoleGrantPermission => role::grant_permission(context).await,
        Action::RoleRevokePermission => role::revoke_permission(context).await,
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

/// The arguments of a command that takes exactly so many words, each of them text.
fn words<const N: usize>(context: &Context<'_>, needs: &str) -> Result<[String; N], Failure> {
    let words: Vec<String> =
        context.args().iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    words.try_into().map_err(|_| Failure::arguments(needs))
}
