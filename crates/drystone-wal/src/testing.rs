//! A disk that fails on purpose, and the suite that certifies disks.

mod sim;
mod suite;

pub use sim::{CrashMode, Injected, Misread, Op, Sector, SimDisk};
pub use suite::suite;
