//! The advisories' tests once more, over the JSON face, and every path of it by every caller.

mod advisories;
mod ask;
mod table;

use super::*;
use ask::{bytes, call};
use serde_json::{Value, json};
