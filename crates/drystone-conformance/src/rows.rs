//! The gRPC table: sequences of calls whose answers are known from etcd 3.7, run on a fresh
//! member of each program.
//!
//! A row's expectation is what etcd 3.7.1 answered; Drystone must answer exactly that. The etcd
//! at hand must too, unless the row says that its version rightly answers otherwise.

mod auth;
mod cluster;
mod downgrade;
mod kv;
mod lease;
mod list;
mod lock;
mod membership;
mod render;
mod session;
mod txn;
mod watch;

pub use session::{Session, WatchStream};

pub(crate) use render::range as render_range;
pub(crate) use session::{delete_to, op, put, range, range_to, txn};

use crate::harness::{Cluster, HarnessError, Launch, Program};
use futures::future::BoxFuture;

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name, unique in the table.
    pub name: &'static str,
    /// Beginnings of etcd's versions that rightly answer otherwise, each with the reason.
    pub otherwise: &'static [(&'static str, &'static str)],
    /// What etcd 3.7.1 answers, a line a call.
    pub expected: &'static str,
    /// The calls.
    pub run: for<'a> fn(&'a mut Session) -> BoxFuture<'a, ()>,
}

impl Row {
    /// The expectation as lines.
    pub fn expected_lines(&self) -> Vec<String> {
        let lines = self.expected.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.map(str::to_owned).collect()
    }

    /// Runs the calls on a fresh member; their answers, a line a call.
    pub async fn answers(&self, program: &Program) -> Result<Vec<String>, HarnessError> {
        let mut cluster = Cluster::start(program, &Launch::of(1)).await?;
        let mut session = Session::new(&cluster);
        (self.run)(&mut session).await;
        let mut lines = session.finish();
        if let Some(status) = cluster.member_mut(0).ended() {
            lines.push(format!("the member ended: {status}"));
            lines.push(cluster.logs());
        }
        Ok(lines)
    }
}

/// Writes rows as: name, versions that differ, expectation, calls.
macro_rules! rows {
    ($($name:literal, $otherwise:expr, $expected:literal, |$session:ident| $calls:block)*) => {
        &[$($crate::rows::Row {
            name: $name,
            otherwise: $otherwise,
            expected: $expected,
            run: |$session| Box::pin(async move { $calls }),
        }),*]
    };
}
pub(crate) use rows;

/// Every row of the table.
pub fn all() -> Vec<&'static Row> {
    let tables = [
        kv::ROWS,
        list::ROWS,
        txn::ROWS,
        watch::ROWS,
        lease::ROWS,
        lock::ROWS,
        cluster::ROWS,
        membership::ROWS,
        downgrade::ROWS,
        auth::ROWS,
    ];
    tables.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
