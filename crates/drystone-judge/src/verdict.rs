//! What the judges found.

use std::fmt;

/// How many violations a [`Verdict`] keeps; further ones are only counted.
pub const VIOLATIONS_MAX: usize = 64;

/// One thing in a history that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Who found it: `witness`, `watches` or `leases`.
    pub judge: &'static str,
    /// The rule that is broken, by its name in the table of the crate's README.
    pub rule: &'static str,
    /// What was seen, and what should have been.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.judge, self.rule, self.text)
    }
}

/// All that was found, in the order of finding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    violations: Vec<Violation>,
    left_out: usize,
}

impl Verdict {
    /// True when nothing is wrong as far as the judges can see.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// The first [`VIOLATIONS_MAX`] violations.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// How many more there were.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// True when some violation broke `rule`.
    #[must_use]
    pub fn breaks(&self, rule: &str) -> bool {
        self.violations.iter().any(|violation| violation.rule == rule)
    }

    /// Adds a violation. The text is only made when there is room for it.
    pub fn add(&mut self, judge: &'static str, rule: &'static str, text: fmt::Arguments<'_>) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { judge, rule, text: text.to_string() });
        } else {
            self.left_out += 1;
        }
    }

    /// Adds what another verdict holds.
    pub fn extend(&mut self, other: Verdict) {
        self.left_out += other.left_out;
        for violation in other.violations {
            if self.violations.len() < VIOLATIONS_MAX {
                self.violations.push(violation);
            } else {
                self.left_out += 1;
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in &self.violations {
            writeln!(f, "{violation}")?;
        }
        if self.left_out > 0 {
            writeln!(f, "and {} more", self.left_out)?;
        }
        Ok(())
    }
}
