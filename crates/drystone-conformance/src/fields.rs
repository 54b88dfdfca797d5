//! Every field of every request, and the cases that exercise it.
//!
//! The fields come from the compiled descriptors, the cases from `testdata/fields.txt`; tests
//! hold one against the other, so that a field nobody exercises is noticed.

use prost::Message as _;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use std::collections::BTreeMap;

/// The table of cases.
const TABLE: &str = include_str!("../testdata/fields.txt");
/// What stands for the field of a request that has none.
const NONE: &str = "-";

/// A field of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Field {
    /// `Service/Method`.
    pub call: String,
    /// Its name, those of messages in messages joined by dots; `-` where there is none.
    pub path: String,
}

/// A field and the cases that exercise it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exercise {
    /// The field.
    pub field: Field,
    /// Names of cases.
    pub cases: Vec<&'static str>,
}

/// The fields that have cases, in the order of the table.
pub fn exercises() -> Vec<Exercise> {
    let lines = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let exercise = |line: &'static str| {
        let (call, rest) = line.split_once(' ')?;
        let (path, cases) = rest.split_once(": ")?;
        let field = Field { call: call.to_owned(), path: path.to_owned() };
        Some(Exercise { field, cases: cases.split("; ").collect() })
    };
    lines.filter_map(exercise).collect()
}

/// Every field of every request, from the descriptors. A message that is some call's request by
/// itself is not opened inside another: its fields are that call's.
pub fn fields() -> Vec<Field> {
    let files = FileDescriptorSet::decode(drystone_api::FILE_DESCRIPTOR_SET)
        .expect("the descriptors are compiled in");
    let mut messages = BTreeMap::new();
    let mut calls = Vec::new();
    for file in &files.file {
        for message in &file.message_type {
            messages.insert(format!(".{}.{}", file.package(), message.name()), message);
        }
        for service in &file.service {
            calls.extend(service.method.iter().map(|method| {
                (format!("{}/{}", service.name(), method.name()), method.input_type().to_owned())
            }));
        }
    }
    let requests: Vec<String> = calls.iter().map(|(_, input)| input.clone()).collect();
    let mut fields = Vec::new();
    for (call, input) in calls {
        let mut paths = Vec::new();
        if let Some(message) = messages.get(&input) {
            open(&messages, &requests, message, "", &mut paths);
        }
        if paths.is_empty() {
            paths.push(NONE.to_owned());
        }
        fields.extend(paths.into_iter().map(|path| Field { call: call.clone(), path }));
    }
    fields
}

fn open(
    messages: &BTreeMap<String, &DescriptorProto>,
    requests: &[String],
    message: &DescriptorProto,
    before: &str,
    paths: &mut Vec<String>,
) {
    for field in &message.field {
        let path = format!("{before}{}", field.name());
        match inside(messages, requests, field) {
            Some(message) if !message.field.is_empty() => {
                open(messages, requests, message, &format!("{path}."), paths);
            }
            _ => paths.push(path),
        }
    }
}

/// The message that a field holds, if its fields are to be told by themselves.
fn inside<'a>(
    messages: &BTreeMap<String, &'a DescriptorProto>,
    requests: &[String],
    field: &FieldDescriptorProto,
) -> Option<&'a DescriptorProto> {
    let name = field.type_name();
    let is_open = field.r#type() == Type::Message && !requests.iter().any(|held| held == name);
    if is_open { messages.get(name).copied() } else { None }
}

#[cfg(test)]
mod tests;
