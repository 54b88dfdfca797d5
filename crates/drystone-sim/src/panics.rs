//! What was said when somebody panicked.
//!
//! A panic of a member is a finding like any other. Its place is known to the panic hook alone,
//! which is one for the whole process: a program that looks for findings calls [`hear_panics`]
//! once, and every thread then keeps its own last words instead of printing them.

use std::any::Any;
use std::cell::RefCell;

thread_local! {
    static LAST: RefCell<Option<Words>> = const { RefCell::new(None) };
}

/// Where a panic came from, and what it said.
#[derive(Clone, Debug)]
struct Words {
    file: String,
    line: u32,
    text: String,
}

/// Lets panics be kept in place of being printed, in the whole process and for good.
pub fn hear_panics() {
    std::panic::set_hook(Box::new(|info| {
        let text = payload_text(info.payload());
        let (file, line) = info.location().map_or_else(
            || ("somewhere".to_owned(), 0),
            |location| (location.file().to_owned(), location.line()),
        );
        LAST.set(Some(Words { file, line, text }));
    }));
}

/// The panic that was just caught in this thread: its file, its line, and what it said.
pub(crate) fn caught(payload: &(dyn Any + Send)) -> String {
    match LAST.take() {
        Some(Words { file, line, text }) => format!("{}:{line}: {text}", short(&file)),
        None => format!("somewhere: {}", payload_text(payload)),
    }
}

/// A file's path from its crate on, which is the same on every machine.
fn short(file: &str) -> String {
    let from = file.split_once("crates/").map_or(file, |(_, rest)| rest);
    let parts: Vec<&str> = from.rsplit('/').take(4).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}

fn payload_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without words".to_owned())
}
