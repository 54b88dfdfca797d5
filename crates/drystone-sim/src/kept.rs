//! A failing plan as a file: what was found, and all that is needed to find it again.

use crate::attempt::Finding;
use crate::plan::Plan;
use serde::{Deserialize, Serialize};

/// Letters that a name takes from a rule, at most.
const RULE_CHARS_MAX: usize = 40;

/// A plan that did not run clean when it was kept.
///
/// Kept as JSON. Fields that this program does not know are passed over, and settings that a
/// file lacks are those of `Knobs::default`, so that a plan outlives changes of the simulator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The seed that it was found with; the plan's own may be another since it was made small.
    #[serde(default)]
    pub seed: u64,
    /// What was found then.
    pub found: Finding,
    /// The fault that was planted, if one was.
    #[serde(default)]
    pub planted: Option<String>,
    /// What was run.
    pub plan: Plan,
}

impl Kept {
    /// The name of its file: judge, rule and seed, in letters that every file system takes.
    #[must_use]
    pub fn file_name(&self) -> String {
        let rule: String = slug(&self.found.rule).chars().take(RULE_CHARS_MAX).collect();
        let judge = slug(&self.found.judge);
        format!("{judge}-{}-{}.json", rule.trim_end_matches('-'), self.seed)
    }

    /// The file's text.
    ///
    /// # Errors
    /// None that is known: every plan can be written.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// The text is no kept plan.
    pub fn from_json(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }
}

fn slug(text: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let dashed: String = text.chars().map(letter).collect();
    dashed.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}
