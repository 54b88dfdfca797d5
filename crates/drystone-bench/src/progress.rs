//! A line on the terminal that shows that something is happening.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::load::Recorder;

const TICK: Duration = Duration::from_millis(200);

/// Shows a recorder's count until it is dropped; shows nothing where standard error is no
/// terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    task: tokio::task::JoinHandle<()>,
}

impl Progress {
    pub(crate) fn start(what: &str, total: u64, recorder: Arc<Recorder>) -> Progress {
        // Draws on standard error, and only on a terminal.
        let bar = match total {
            u64::MAX => ProgressBar::new_spinner(),
            total => ProgressBar::new(total),
        };
        let template = match total {
            u64::MAX => "{msg} {elapsed} {pos}",
            _ => "{msg} {elapsed} {wide_bar} {pos}/{len}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        let shown = bar.clone();
        let task = tokio::spawn(async move {
            while !shown.is_hidden() {
                shown.set_position(recorder.done.load(Ordering::Relaxed));
                tokio::time::sleep(TICK).await;
            }
        });
        Progress { bar, task }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}
