//! The suite that certifies implementations of [`Backend`].
//!
//! An implementation writes a [`Fixture`] and calls [`suite`] from a test:
//!
//! ```
//! use drystone_backend::testing::{Fixture, suite};
//! use drystone_backend::{Backend, MemBackend};
//! use std::path::{Path, PathBuf};
//!
//! struct Mem(MemBackend, PathBuf);
//!
//! impl Fixture for Mem {
//!     fn store(&self) -> &dyn Backend {
//!         &self.0
//!     }
//!     fn crash(&mut self) {
//!         self.0 = self.0.crash(1);
//!     }
//!     fn scratch(&self) -> PathBuf {
//!         self.1.clone()
//!     }
//!     fn open_checkpoint(&self, dir: &Path) -> Box<dyn Backend> {
//!         Box::new(MemBackend::open_checkpoint(dir).unwrap())
//!     }
//! }
//!
//! # use std::sync::atomic::{AtomicUsize, Ordering};
//! # static COUNT: AtomicUsize = AtomicUsize::new(0);
//! # let base = std::env::temp_dir().join(format!("drystone-backend-doc-{}", std::process::id()));
//! # let scratch = || {
//! #     let dir = base.join(COUNT.fetch_add(1, Ordering::Relaxed).to_string());
//! #     std::fs::create_dir_all(&dir).unwrap();
//! #     dir
//! # };
//! // `scratch()` makes an empty directory.
//! suite(&|| Box::new(Mem(MemBackend::new(), scratch())), 8);
//! # std::fs::remove_dir_all(&base).unwrap();
//! ```
//!
//! [`kill_rounds`] is the second half: it kills writers of a [`Victim`] at random moments and
//! holds what they leave against the same twin. An implementation on disk runs [`write_on`] in a
//! process of its own and ends it with a signal.

mod cases;
mod kills;
mod twin;

pub use kills::{Victim, kill_rounds, write_on};

use crate::Backend;
use std::path::{Path, PathBuf};

/// One store under test, with the means to hurt it.
pub trait Fixture {
    /// The running store.
    fn store(&self) -> &dyn Backend;

    /// Cuts the power at once and opens the store again: whatever was not flushed may be gone,
    /// and should be gone at least in part if the implementation can arrange it. Also repairs
    /// what [`Fixture::break_disk`] broke. No view is held while this is called.
    fn crash(&mut self);

    /// Makes the next flush of the store fail, and maybe writes before it. False when the
    /// implementation cannot arrange that; what hangs on it is then skipped.
    fn break_disk(&mut self) -> bool {
        false
    }

    /// An existing directory for checkpoints, of this fixture alone.
    fn scratch(&self) -> PathBuf;

    /// Opens what [`Backend::checkpoint`] left in `dir`.
    fn open_checkpoint(&self, dir: &Path) -> Box<dyn Backend>;
}

/// Makes a fixture with a new, empty store.
pub type Make<'a> = dyn Fn() -> Box<dyn Fixture> + 'a;

/// Runs everything against stores from `make`: each rule of the contract by itself, then
/// `random_cases` random histories against a naive twin.
///
/// # Panics
/// When the implementation breaks the contract; the message names the rule.
pub fn suite(make: &Make<'_>, random_cases: u32) {
    for case in cases::ALL {
        case(&mut *make());
    }
    twin::random_histories(make, random_cases);
}
