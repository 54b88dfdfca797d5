//! The compiled descriptors against `testdata/facts.txt`.
//!
//! Both sides are brought into one form, a set of lines such as
//! `field etcdserverpb.Compare.version = 4 int64 single in target_union`, and compared as sets,
//! so that a missing item shows as well as one too many.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet,
};

const TABLE: &str = include_str!("../../testdata/facts.txt");

type Lines = BTreeSet<String>;

#[test]
fn descriptors_and_facts_agree() {
    let facts = facts(TABLE);
    let descriptors = descriptors();
    assert!(facts.len() > 600, "the table is far too small: {}", facts.len());
    let missing: Vec<&String> = facts.difference(&descriptors).collect();
    let excess: Vec<&String> = descriptors.difference(&facts).collect();
    assert!(missing.is_empty() && excess.is_empty(), "missing {missing:#?}\nexcess {excess:#?}");
}

#[test]
fn a_changed_fact_is_noticed() {
    let descriptors = descriptors();
    for (from, to) in [
        ("revision int64=3; raft_term uint64=4", "revision int64=3; raft_term uint64=5"),
        ("grantedTTL int64=4", "grantedTtl int64=4"),
        ("LESS=2", "LESS=3"),
        ("rpc KV/RangeStream server-stream", "rpc KV/RangeStream unary"),
        ("lease int64=8 {target_union}", "lease int64=8"),
        ("RangeResponse: header ResponseHeader=1; ", "RangeResponse: "),
        ("EmptyResponse: (empty)\n", ""),
        ("roles repeated string=3", "roles string=3"),
    ] {
        let changed = TABLE.replacen(from, to, 1);
        assert_ne!(changed, TABLE, "{from} is not in the table");
        assert_ne!(facts(&changed), descriptors, "{to}");
    }
}

fn field_line(message: &str, name: &str, number: i32, shape: &str) -> String {
    format!("field {message}.{name} = {number} {shape}")
}

// ---- from the table -------------------------------------------------------------------------

const SCALARS: &[&str] = &["bool", "bytes", "int64", "string", "uint32", "uint64"];

fn facts(table: &str) -> Lines {
    let names = declared(table);
    let mut lines = Lines::new();
    let mut package = "";
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (head, rest) = line.split_once(' ').unwrap();
        match head {
            "package" => {
                let (name, syntax) = rest.split_once(' ').unwrap();
                package = name;
                lines.insert(format!("package {name} {syntax}"));
            }
            "enum" => {
                let (name, values) = rest.split_once(": ").unwrap();
                for value in values.split(", ") {
                    let (value, number) = value.split_once('=').unwrap();
                    lines.insert(format!("value {package}.{name}.{value} = {number}"));
                }
            }
            "rpc" => {
                let (method, shape) = rest.split_once(' ').unwrap();
                let words: Vec<&str> = shape.split(' ').collect();
                let [kind, request, "->", response] = words[..] else { panic!("{line}") };
                let request = resolve(&names, package, request);
                let response = resolve(&names, package, response);
                lines.insert(format!("rpc {package}.{method} {kind} {request} -> {response}"));
            }
            "reserved" => {
                let words: Vec<&str> = rest.split(' ').collect();
                let [message, number, name] = words[..] else { panic!("{line}") };
                lines.insert(format!("reserved {package}.{message} {number}"));
                lines.insert(format!("reserved {package}.{message} {name}"));
            }
            _ => message_facts(&mut lines, &names, package, line),
        }
    }
    lines
}

fn message_facts(lines: &mut Lines, names: &BTreeSet<String>, package: &str, line: &str) {
    let (name, fields) = line.split_once(": ").unwrap();
    let message = format!("{package}.{name}");
    lines.insert(format!("message {message}"));
    for field in fields.split("; ").filter(|field| *field != "(empty)") {
        let (field, oneof) = match field.split_once(" {") {
            Some((field, oneof)) => (field, oneof.strip_suffix('}')),
            None => (field, None),
        };
        let (words, number) = field.split_once('=').unwrap();
        let words: Vec<&str> = words.split(' ').collect();
        let (name, label, kind) = match words[..] {
            [name, kind] => (name, "single", kind),
            [name, label, kind] => (name, label, kind),
            _ => panic!("{line}"),
        };
        let kind = match kind.strip_prefix("map<").and_then(|kind| kind.strip_suffix('>')) {
            Some(kinds) => {
                let (key, value) = kinds.split_once(',').unwrap();
                format!("map<{key},{}>", resolve(names, package, value))
            }
            None => resolve(names, package, kind),
        };
        let mut shape = format!("{kind} {label}");
        if let Some(oneof) = oneof {
            shape.push_str(&format!(" in {oneof}"));
        }
        lines.insert(field_line(&message, name, number.parse().unwrap(), &shape));
    }
}

/// Full names of all messages and enums of the table.
fn declared(table: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut package = "";
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        if let Some(rest) = line.strip_prefix("package ") {
            package = rest.split(' ').next().unwrap();
        } else if let Some((name, _)) = line.strip_prefix("enum ").unwrap_or(line).split_once(": ")
        {
            names.insert(format!("{package}.{name}"));
        }
    }
    names
}

fn resolve(names: &BTreeSet<String>, package: &str, kind: &str) -> String {
    let near = format!("{package}.{kind}");
    if SCALARS.contains(&kind) || names.contains(kind) && !names.contains(&near) {
        return kind.to_owned();
    }
    assert!(names.contains(&near), "the table names {kind} in {package} but does not declare it");
    near
}

// ---- from the descriptors -------------------------------------------------------------------

fn descriptors() -> Lines {
    let set = FileDescriptorSet::decode(drystone_api::FILE_DESCRIPTOR_SET).unwrap();
    let mut lines = Lines::new();
    for file in &set.file {
        let package = file.package();
        let syntax = file.syntax.as_deref().unwrap_or("proto2");
        lines.insert(format!("package {package} {syntax}"));
        for message in &file.message_type {
            message_lines(&mut lines, syntax, package, message);
        }
        for enumeration in &file.enum_type {
            enum_lines(&mut lines, package, enumeration);
        }
        service_lines(&mut lines, file);
    }
    lines
}

fn service_lines(lines: &mut Lines, file: &FileDescriptorProto) {
    let package = file.package();
    for service in &file.service {
        for method in &service.method {
            let kind = match (method.client_streaming(), method.server_streaming()) {
                (false, false) => "unary",
                (false, true) => "server-stream",
                (true, false) => "client-stream",
                (true, true) => "bidi",
            };
            lines.insert(format!(
                "rpc {package}.{}/{} {kind} {} -> {}",
                service.name(),
                method.name(),
                method.input_type().trim_start_matches('.'),
                method.output_type().trim_start_matches('.'),
            ));
        }
    }
}

fn message_lines(lines: &mut Lines, syntax: &str, parent: &str, message: &DescriptorProto) {
    let name = format!("{parent}.{}", message.name());
    lines.insert(format!("message {name}"));
    let is_entry =
        |nested: &DescriptorProto| nested.options.as_ref().is_some_and(|o| o.map_entry());
    let maps: BTreeMap<String, &DescriptorProto> = message
        .nested_type
        .iter()
        .filter(|nested| is_entry(nested))
        .map(|nested| (format!(".{name}.{}", nested.name()), nested))
        .collect();
    for field in &message.field {
        let mut shape = match maps.get(field.type_name()) {
            Some(entry) => {
                format!("map<{},{}> single", kind(&entry.field[0]), kind(&entry.field[1]))
            }
            None => format!("{} {}", kind(field), label(syntax, field)),
        };
        if let Some(at) = field.oneof_index {
            let oneof = &message.oneof_decl[usize::try_from(at).unwrap()];
            shape.push_str(&format!(" in {}", oneof.name()));
        }
        lines.insert(field_line(&name, field.name(), field.number(), &shape));
    }
    for range in &message.reserved_range {
        for number in range.start()..range.end() {
            lines.insert(format!("reserved {name} {number}"));
        }
    }
    for reserved in &message.reserved_name {
        lines.insert(format!("reserved {name} {reserved}"));
    }
    for nested in message.nested_type.iter().filter(|nested| !is_entry(nested)) {
        message_lines(lines, syntax, &name, nested);
    }
    for enumeration in &message.enum_type {
        enum_lines(lines, &name, enumeration);
    }
}

fn enum_lines(lines: &mut Lines, parent: &str, enumeration: &EnumDescriptorProto) {
    for value in &enumeration.value {
        let name = format!("{parent}.{}.{}", enumeration.name(), value.name());
        lines.insert(format!("value {name} = {}", value.number()));
    }
}

/// Descriptors call a field optional in both syntaxes; only in proto2, or where proto3 says so,
/// is absence told apart from zero.
fn label(syntax: &str, field: &FieldDescriptorProto) -> &'static str {
    match field.label() {
        Label::Repeated => "repeated",
        Label::Required => "required",
        Label::Optional if syntax == "proto2" || field.proto3_optional() => "optional",
        Label::Optional => "single",
    }
}

fn kind(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Bool => "bool".to_owned(),
        Type::Bytes => "bytes".to_owned(),
        Type::Int64 => "int64".to_owned(),
        Type::String => "string".to_owned(),
        Type::Uint32 => "uint32".to_owned(),
        Type::Uint64 => "uint64".to_owned(),
        Type::Message | Type::Enum => field.type_name().trim_start_matches('.').to_owned(),
        other => panic!("{other:?} occurs nowhere in etcd's API"),
    }
}
