//! Marks on rare branches and planted faults.
//!
//! # What it is
//! Two macros for the code of a member, and what a simulator needs on the other side.
//! [`mark!`] says that a rare branch was taken; a long simulation in which a mark stays at zero
//! has a blind spot. [`planted!`] asks whether a fault is to be made here on purpose; a simulation
//! that does not find one it was given is not worth running.
//!
//! # What it is not
//! It is no metric and no failpoint of a server: without `--cfg drystone_sim` both macros compile
//! to nothing, and nothing can be switched on.
//!
//! # The model
//! A simulation runs in one thread, so both live in the thread: [`take_marks`] gives the counts
//! since the last call, [`plant`] chooses the one fault that is made from now on. Names are
//! `crate.what`, in lower case with underscores; `drystone-sim` keeps the tables of both, and its
//! tests hold them against the sources.
//!
//! # Example
//! ```
//! fn read(cached: bool) -> u32 {
//!     if !cached {
//!         drystone_probe::mark!("example.cache_missed");
//!     }
//!     if drystone_probe::planted!("example.off_by_one") { 2 } else { 1 }
//! }
//!
//! assert_eq!(read(false), 1);
//! # if !drystone_probe::ACTIVE {
//! assert!(drystone_probe::take_marks().is_empty(), "it counts in a simulation only");
//! # }
//! ```

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// True when marks are counted and faults can be planted: built with `--cfg drystone_sim`.
pub const ACTIVE: bool = cfg!(drystone_sim);

thread_local! {
    static MARKS: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
    static PLANTED: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Counts one passage of a branch, in a simulation.
#[macro_export]
macro_rules! mark {
    ($name:literal) => {
        if $crate::ACTIVE {
            $crate::count($name);
        }
    };
}

/// True when the fault of this name is planted, in a simulation; otherwise false, at no cost.
#[macro_export]
macro_rules! planted {
    ($name:literal) => {
        $crate::ACTIVE && $crate::is_planted($name)
    };
}

/// Counts a mark of this thread. Use [`mark!`].
pub fn count(name: &'static str) {
    MARKS.with_borrow_mut(|marks| *marks.entry(name).or_default() += 1);
}

/// The marks that this thread passed since the last call, each with how often.
#[must_use]
pub fn take_marks() -> BTreeMap<&'static str, u64> {
    MARKS.take()
}

/// Plants the fault of this name in this thread, or none, in place of the one before.
pub fn plant(fault: Option<&'static str>) {
    PLANTED.set(fault);
}

/// Whether the fault of this name is planted in this thread. Use [`planted!`].
#[must_use]
pub fn is_planted(name: &str) -> bool {
    PLANTED.get() == Some(name)
}
