//! Every metric of a Drystone member: its name, type, labels and buckets, and where it is counted.
//!
//! # What it is
//! [`TABLE`] is the one list of all families: those of etcd, under etcd's names and with etcd's
//! meaning, and Drystone's own under `drystone_`. A [`Registry`] holds the numbers of one server
//! and hands out the handles of the crate `metrics` for them; it takes nothing that is not in the
//! table. [`Registry::render`] writes all of it as Prometheus reads it, [`Scrape`] reads that
//! again, and [`page()`] is `docs/metrics.md`.
//!
//! # What it is not
//! It counts nothing by itself, has no global recorder and no thread. Several servers in one
//! process have a registry each.
//!
//! # The model
//! A *family* is a row of the table. A *series* is a family with values for its labels. Handles
//! are asked for once, when a server starts; from then on a count is one atomic addition, and a
//! histogram's three, with memory that never grows.
//!
//! # Example
//! ```
//! use drystone_metrics::Registry;
//!
//! let registry = Registry::new();
//! let granted = registry.counter("etcd_debugging_lease_granted_total", &[]);
//! granted.increment(2);
//! assert!(registry.render().contains("\netcd_debugging_lease_granted_total 2\n"));
//! ```
//!
//! # Invariants
//! * A family whose labels come from outside has a bounded number of series; what comes beyond is
//!   counted under `other`.
//! * What is rendered is sorted, by name and by labels, so that two scrapes can be compared.

mod bounds;
mod family;
mod histogram;
mod number;
mod page;
mod registry;
mod scrape;
mod table;

pub use bounds::Bounds;
pub use family::{Family, Here, Kind, Section};
pub use metrics::{Counter, Gauge, Histogram};
pub use page::page;
pub use registry::{Registry, SERIES_MAX};
pub use scrape::{BrokenScrape, Sample, Scrape, Scraped};
pub use table::{TABLE, find};
