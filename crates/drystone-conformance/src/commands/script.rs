//! The text form of the command-line table.

/// A list of cases that run in order on one fresh cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// Its name: the file's.
    pub name: String,
    /// Why the story is only for clusters of one member, if it is.
    pub alone: Option<String>,
    /// The cases, in order.
    pub cases: Vec<Case>,
}

/// Commands whose transcripts are compared as one row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Case {
    /// Its name, unique in the story.
    pub name: String,
    /// Beginnings of etcd's versions that rightly answer otherwise, each with the reason.
    pub otherwise: Vec<(String, String)>,
    /// What is done.
    pub steps: Vec<Step>,
}

/// One line of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Runs a command to its end.
    Run {
        /// The words after `etcdctl`.
        words: Vec<String>,
        /// What it reads.
        stdin: Vec<u8>,
        /// Remembers the lease that it was granted under this name.
        lease: Option<String>,
        /// Its output has no order: the lines are sorted before they are compared.
        sorted: bool,
    },
    /// Starts a command and leaves it running.
    Start {
        /// The words after `etcdctl`.
        words: Vec<String>,
    },
    /// Reads the started command's output up to a line that holds this text, then ends it.
    Until {
        /// What the last line holds.
        text: String,
    },
}

/// A line that is not of the format.
#[derive(Debug, thiserror::Error)]
#[error("{story}:{line}: {what}")]
pub struct ScriptError {
    /// Which story.
    pub story: String,
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl Story {
    /// Reads a story. Each line is one of
    ///
    /// ```text
    /// # a remark
    /// alone reason       before the first case: only for clusters of one member
    /// == name            begins a case
    /// ~ 3.4 reason       etcd versions that begin with 3.4 rightly answer otherwise
    /// $ get a --prefix   runs etcdctl with these words; 'quotes' hold blanks and empty words,
    ///                    {L} stands for the lease remembered as L
    /// < text             a line of what the command before reads
    /// <repeat 9 xy       9 times xy, without a line's end
    /// <each 9 put k%d v  9 lines, %d counts from 0
    /// % endpoint health  as $, with the lines of the output sorted
    /// @L lease grant 9   as $, and remembers the lease as L
    /// & watch a --rev=2  starts a command in the background
    /// until END          reads its output up to a line with END, and ends it
    /// ```
    pub fn parse(name: &str, text: &str) -> Result<Story, ScriptError> {
        let mut story = Story { name: name.to_owned(), alone: None, cases: Vec::new() };
        for (n, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            story.line(line).map_err(|what| ScriptError {
                story: name.to_owned(),
                line: n + 1,
                what,
            })?;
        }
        Ok(story)
    }

    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        if let Some(name) = line.strip_prefix("== ") {
            if self.cases.iter().any(|case| case.name == name) {
                return Err("a case of this name exists");
            }
            self.cases.push(Case { name: name.to_owned(), ..Case::default() });
            return Ok(());
        }
        if let Some(reason) = line.strip_prefix("alone ") {
            self.alone = Some(reason.to_owned());
            return Ok(());
        }
        let case = self.cases.last_mut().ok_or("a line outside of a case")?;
        if let Some(rest) = line.strip_prefix("~ ") {
            let (version, reason) = rest.split_once(' ').ok_or("a version without a reason")?;
            case.otherwise.push((version.to_owned(), reason.to_owned()));
        } else if let Some(rest) = line.strip_prefix("$ ") {
            case.steps.push(run(rest, None, false));
        } else if let Some(rest) = line.strip_prefix("% ") {
            case.steps.push(run(rest, None, true));
        } else if let Some(rest) = line.strip_prefix('@') {
            let (lease, rest) = rest.split_once(' ').ok_or("a name without a command")?;
            case.steps.push(run(rest, Some(lease.to_owned()), false));
        } else if let Some(rest) = line.strip_prefix("& ") {
            case.steps.push(Step::Start { words: split(rest) });
        } else if let Some(text) = line.strip_prefix("until ") {
            case.steps.push(Step::Until { text: text.to_owned() });
        } else if let Some(rest) = line.strip_prefix('<') {
            let Some(Step::Run { stdin, .. }) = case.steps.last_mut() else {
                return Err("nothing to read this");
            };
            stdin.extend(input(rest)?);
        } else {
            return Err("unknown kind of line");
        }
        Ok(())
    }
}

fn run(words: &str, lease: Option<String>, sorted: bool) -> Step {
    Step::Run { words: split(words), stdin: Vec::new(), lease, sorted }
}

fn input(rest: &str) -> Result<Vec<u8>, &'static str> {
    let counted = |rest: &str| {
        let (count, text) = rest.split_once(' ')?;
        Some((count.parse::<usize>().ok()?, text.to_owned()))
    };
    if let Some(rest) = rest.strip_prefix("repeat ") {
        let (count, text) = counted(rest).ok_or("repeat COUNT TEXT")?;
        return Ok(text.repeat(count).into_bytes());
    }
    if let Some(rest) = rest.strip_prefix("each ") {
        let (count, text) = counted(rest).ok_or("each COUNT TEXT")?;
        let lines = (0..count).map(|n| text.replace("%d", &n.to_string()) + "\n");
        return Ok(lines.collect::<String>().into_bytes());
    }
    Ok(format!("{}\n", rest.strip_prefix(' ').unwrap_or(rest)).into_bytes())
}

/// Words as a shell would see them, with single quotes as the only special character.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}
