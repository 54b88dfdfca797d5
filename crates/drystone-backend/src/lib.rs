//! The contract between Drystone's cores and whatever keeps their bytes.

mod batch;
mod error;
mod store;
mod table;

pub use batch::{Batch, Change};
pub use error::BackendError;
pub use store::{Backend, KeyBounds, Read, Size, Visit};
pub use table::Table;
