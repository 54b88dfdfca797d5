//! A YAML file as the values it holds, with plain words read as etcd's YAML library reads them.
//!
//! The grammar is a library's. What it reports is put together here, because the file comes from
//! outside: depth is bounded, and so is what aliases make of a small file.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// How deep values may lie in each other. etcd's file has four levels.
const DEPTH_MAX: usize = 32;
/// How many values a file may hold, those counted that an alias repeats.
const NODES_MAX: usize = 10_000;

/// A value of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    /// A number, as JSON writes it.
    Number(String),
    Text(String),
    List(Vec<Node>),
    /// Keys as they stand, in their order.
    Map(Vec<(String, Node)>),
}

impl Node {
    fn count(&self) -> usize {
        match self {
            Self::List(items) => items.iter().map(Self::count).sum::<usize>() + 1,
            Self::Map(items) => items.iter().map(|(_, node)| node.count()).sum::<usize>() + 1,
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => 1,
        }
    }
}

/// Reads the first document of a file; an empty file is null.
///
/// # Errors
/// Where the file is no YAML, and why.
pub(super) fn read(text: &str) -> Result<Node, String> {
    let mut reader =
        Reader { events: Parser::new_from_str(text), line: 0, nodes: 0, anchors: BTreeMap::new() };
    loop {
        match reader.next()? {
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
            Event::StreamEnd | Event::DocumentEnd => return Ok(Node::Null),
            event => return reader.node(event, 0),
        }
    }
}

struct Reader<'a, P: Iterator<Item = Result<(Event<'a>, saphyr_parser::Span), ScanError>>> {
    events: P,
    line: usize,
    nodes: usize,
    anchors: BTreeMap<usize, Node>,
}

impl<'a, P: Iterator<Item = Result<(Event<'a>, saphyr_parser::Span), ScanError>>> Reader<'a, P> {
    fn next(&mut self) -> Result<Event<'a>, String> {
        match self.events.next() {
            Some(Ok((event, span))) => {
                self.line = span.start.line();
                Ok(event)
            }
            Some(Err(error)) => Err(format!("line {}: {}", error.marker().line(), error.info())),
            None => Ok(Event::StreamEnd),
        }
    }

    fn fail<T>(&self, reason: &str) -> Result<T, String> {
        Err(format!("line {}: {reason}", self.line))
    }

    fn spend(&mut self, nodes: usize) -> Result<(), String> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES_MAX {
            return self.fail("the document holds too many values");
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, depth: usize) -> Result<Node, String> {
        if depth > DEPTH_MAX {
            return self.fail("values lie too deep in each other");
        }
        self.spend(1)?;
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (self.scalar(&text, style, tag.as_deref())?, anchor)
            }
            Event::SequenceStart(anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.map(depth)?, anchor),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return self.fail("unknown anchor referenced");
                };
                self.spend(node.count())?;
                (node, 0)
            }
            _ => return self.fail("a value is missing"),
        };
        if anchor > 0 {
            self.spend(node.count())?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Node, String> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(Node::List(items)),
                event => items.push(self.node(event, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Node, String> {
        let mut items = Vec::new();
        loop {
            let key = match self.next()? {
                Event::MappingEnd => return Ok(Node::Map(items)),
                Event::Scalar(text, _, _, _) if text == "<<" => {
                    return self.fail("merge keys (<<) are not understood; write the keys out");
                }
                Event::Scalar(text, _, _, _) => text.into_owned(),
                _ => return self.fail("a key must be a plain word"),
            };
            let event = self.next()?;
            items.push((key, self.node(event, depth + 1)?));
        }
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Node, String> {
        let tag = tag.map(|tag| (tag.is_yaml_core_schema(), tag.suffix.as_str()));
        match tag {
            None if style == ScalarStyle::Plain => Ok(resolve(text)),
            None | Some((true, "str")) => Ok(Node::Text(text.to_owned())),
            Some((true, "int" | "float" | "bool" | "null")) => Ok(resolve(text)),
            Some((_, suffix)) => self.fail(&format!("the tag {suffix:?} is not understood")),
        }
    }
}

/// What a plain word means. This is YAML 1.1, as in etcd: `yes` and `on` are true.
fn resolve(text: &str) -> Node {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Node::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Node::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Node::Bool(false);
        }
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return Node::Text(text.to_owned());
    }
    let plain: Cow<'_, str> =
        if text.contains('_') { text.replace('_', "").into() } else { text.into() };
    if let Ok(number) = super::numbers::parse_int(&plain) {
        return Node::Number(number.to_string());
    }
    if let Ok(number) = super::numbers::parse_uint(&plain) {
        return Node::Number(number.to_string());
    }
    let is_float = plain.bytes().all(|c| c.is_ascii_digit() || b"+-.eE".contains(&c));
    match plain.parse::<f64>() {
        Ok(number) if is_float && number.is_finite() => Node::Number(number.to_string()),
        _ => Node::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map(text: &str) -> Vec<(String, Node)> {
        match read(text) {
            Ok(Node::Map(items)) => items,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn plain_words_mean_what_they_mean_to_etcd() {
        for (word, node) in [
            ("yes", Node::Bool(true)),
            ("off", Node::Bool(false)),
            ("~", Node::Null),
            ("", Node::Null),
            ("0x10", Node::Number("16".to_owned())),
            ("1_000", Node::Number("1000".to_owned())),
            ("-5", Node::Number("-5".to_owned())),
            ("1.5", Node::Number("1.5".to_owned())),
            ("99999999999999999999", Node::Number("100000000000000000000".to_owned())),
            ("10m", Node::Text("10m".to_owned())),
            ("127.0.0.1", Node::Text("127.0.0.1".to_owned())),
            ("'5'", Node::Text("5".to_owned())),
            ("!!str 5", Node::Text("5".to_owned())),
            ("http://a:1,http://b:2", Node::Text("http://a:1,http://b:2".to_owned())),
        ] {
            assert_eq!(map(&format!("key: {word}")), [("key".to_owned(), node)], "{word}");
        }
        assert_eq!(read("# nothing\n"), Ok(Node::Null));
        assert_eq!(map("a: &x [1]\nb: *x")[1].1, Node::List(vec![Node::Number("1".to_owned())]));
    }

    #[test]
    fn what_is_no_yaml_says_where() {
        for text in ["a: 1\nb: [", "a: b: c", "a: \"x", "? [a]\n: b", "<<: 1", "a: !!binary x"] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with("line "), "{text}: {error}");
        }
    }

    #[test]
    fn neither_depth_nor_aliases_grow_without_bound() {
        assert!(read(&"[".repeat(5_000)).is_err());
        assert!(read(&"{a: ".repeat(5_000)).is_err());
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..30 {
            let below = format!("*a{},", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
        }
        assert!(read(&bomb).unwrap_err().ends_with("too many values"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-a:\\[\\]{},&*!|>'\"#%?~ \t\n0-9.]{0,200}") {
            let _ = read(&text);
        }

        #[test]
        fn no_characters_make_it_panic(text in "\\PC{0,100}") {
            let _ = read(&text);
        }
    }
}
