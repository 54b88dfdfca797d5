//! From JSON to a message, by Go's `protojson` with unknown fields dropped: what it takes, what
//! it refuses, and its words.

use crate::number;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value,
};
use std::collections::HashSet;
use thiserror::Error;

/// JSON that is no request of the kind that was expected. The place is a line and a column, both
/// from one.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum DecodeError {
    #[error("proto: syntax error (line {}:{}): unexpected token {token}", .at.0, .at.1)]
    UnexpectedToken { at: (usize, usize), token: String },
    #[error("proto: syntax error (line {}:{}): invalid {what} in string", .at.0, .at.1)]
    InvalidString { at: (usize, usize), what: &'static str },
    #[error("proto: (line {}:{}): duplicate field {name}", .at.0, .at.1)]
    DuplicateField { at: (usize, usize), name: String },
    #[error("proto: (line {}:{}): error parsing {name}, oneof {choice} is already set", .at.0, .at.1)]
    SecondChoice { at: (usize, usize), name: String, choice: String },
    #[error("proto: (line {}:{}): invalid value for {kind} field {field}: {token}", .at.0, .at.1)]
    InvalidValue { at: (usize, usize), kind: &'static str, field: String, token: String },
}

/// Bits behind the last byte are dropped, as Go drops them.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
const PADDED: GeneralPurposeConfig =
    LENIENT.with_decode_padding_mode(DecodePaddingMode::RequireCanonical);
const UNPADDED: GeneralPurposeConfig =
    LENIENT.with_decode_padding_mode(DecodePaddingMode::RequireNone);

/// Reads one JSON value as a message. `json` is a whole value, as [`crate::scan`] cuts it, so
/// that its nesting is bounded.
pub(crate) fn decode(
    input: &MessageDescriptor,
    json: &[u8],
) -> Result<DynamicMessage, DecodeError> {
    Cursor { json, at: 0 }.message(input)
}

/// A token: where it begins, and its bytes.
#[derive(Clone, Copy, Debug)]
struct Token<'a> {
    at: usize,
    raw: &'a [u8],
}

impl Token<'_> {
    fn first(&self) -> u8 {
        self.raw.first().copied().unwrap_or_default()
    }

    fn is(&self, text: &str) -> bool {
        self.raw == text.as_bytes()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(self.raw).into_owned()
    }
}

struct Cursor<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Line and column of a byte, both from one; columns count characters.
    fn place(&self, at: usize) -> (usize, usize) {
        let before = String::from_utf8_lossy(&self.json[..at]);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    fn unexpected(&self, token: Token<'_>) -> DecodeError {
        DecodeError::UnexpectedToken { at: self.place(token.at), token: token.text() }
    }

    fn peek(&self) -> u8 {
        self.json.get(self.at).copied().unwrap_or_default()
    }

    /// Passes over what only stands between values; the scanner has checked their order.
    fn skip_gap(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\r' | b'\n' | b',' | b':') {
            self.at += 1;
        }
    }

    /// The next token. At the end it is empty.
    fn next(&mut self) -> Token<'a> {
        self.skip_gap();
        let start = self.at;
        let rest = &self.json[start..];
        let length = match self.peek() {
            b'"' => string_length(rest),
            b'{' | b'}' | b'[' | b']' => 1,
            _ => rest
                .iter()
                .position(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' | b']' | b'}'))
                .unwrap_or(rest.len()),
        };
        self.at += length;
        Token { at: start, raw: &rest[..length] }
    }

    /// Passes over one whole value. Its strings must be sound all the same.
    fn skip_value(&mut self) -> Result<(), DecodeError> {
        let mut depth = 0_usize;
        loop {
            let token = self.next();
            match token.first() {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                b'"' => drop(self.string(token)?),
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// What a string token says.
    fn string(&self, token: Token<'_>) -> Result<String, DecodeError> {
        serde_json::from_slice(token.raw).map_err(|_| {
            let what = match std::str::from_utf8(token.raw) {
                Ok(_) => "escape code",
                Err(_) => "UTF-8",
            };
            DecodeError::InvalidString { at: self.place(token.at), what }
        })
    }

    fn message(&mut self, kind: &MessageDescriptor) -> Result<DynamicMessage, DecodeError> {
        let open = self.next();
        if !open.is("{") {
            return Err(self.unexpected(open));
        }
        let mut message = DynamicMessage::new(kind.clone());
        let mut seen = HashSet::new();
        let mut chosen = HashSet::new();
        loop {
            let token = self.next();
            if token.is("}") {
                return Ok(message);
            }
            let name = self.string(token)?;
            let field = kind.get_field_by_json_name(&name);
            let Some(field) = field.or_else(|| kind.get_field_by_name(&name)) else {
                self.skip_value()?;
                continue;
            };
            if !seen.insert(field.number()) {
                let at = self.place(token.at);
                return Err(DecodeError::DuplicateField { at, name: token.text() });
            }
            self.skip_gap();
            // Only `null` begins so: the scanner has seen it.
            if self.peek() == b'n' {
                self.next();
                continue;
            }
            if let Some(choice) = field.containing_oneof()
                && !chosen.insert(choice.full_name().to_owned())
            {
                return Err(DecodeError::SecondChoice {
                    at: self.place(token.at),
                    name: token.text(),
                    choice: choice.full_name().to_owned(),
                });
            }
            if let Some(value) = self.field(&field)? {
                message.set_field(&field, value);
            }
        }
    }

    /// The value of a field; none when it is an unknown name of an enum.
    fn field(&mut self, field: &FieldDescriptor) -> Result<Option<Value>, DecodeError> {
        if !field.is_list() {
            return self.single(field);
        }
        let open = self.next();
        if !open.is("[") {
            return Err(self.unexpected(open));
        }
        let mut values = Vec::new();
        loop {
            self.skip_gap();
            if self.peek() == b']' {
                self.next();
                return Ok(Some(Value::List(values)));
            }
            values.extend(self.single(field)?);
        }
    }

    fn single(&mut self, field: &FieldDescriptor) -> Result<Option<Value>, DecodeError> {
        let kind = field.kind();
        if let Kind::Message(message) = &kind {
            return Ok(Some(Value::Message(self.message(message)?)));
        }
        let token = self.next();
        let text = match token.first() {
            b'"' => Some(self.string(token)?),
            _ => None,
        };
        scalar(&kind, token, text).ok_or_else(|| DecodeError::InvalidValue {
            at: self.place(token.at),
            kind: kind_name(&kind),
            field: field.json_name().to_owned(),
            token: token.text(),
        })
    }
}

/// Bytes of the string that `rest` begins with, quotes included.
fn string_length(rest: &[u8]) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A value that is no message. `text` is what the token says when it is a string. None is a
/// refusal; an unknown name of an enum is `Some(None)`.
#[expect(clippy::option_option, reason = "refused, dropped and taken are three things")]
fn scalar(kind: &Kind, token: Token<'_>, text: Option<String>) -> Option<Option<Value>> {
    let value = match kind {
        Kind::Bool if token.is("true") => Value::Bool(true),
        Kind::Bool if token.is("false") => Value::Bool(false),
        Kind::String => Value::String(text?),
        Kind::Bytes => Value::Bytes(bytes_of(&text?)?),
        Kind::Enum(names) => return enum_number(names, token, text.as_deref()),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            Value::I32(i32::try_from(integer(token, text.as_deref())?).ok()?)
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            Value::I64(i64::try_from(integer(token, text.as_deref())?).ok()?)
        }
        Kind::Uint32 | Kind::Fixed32 => {
            Value::U32(u32::try_from(integer(token, text.as_deref())?).ok()?)
        }
        Kind::Uint64 | Kind::Fixed64 => {
            Value::U64(u64::try_from(integer(token, text.as_deref())?).ok()?)
        }
        // No request of etcd has floats; a message is read by its caller.
        Kind::Float | Kind::Double | Kind::Message(_) | Kind::Bool => return None,
    };
    Some(Some(value))
}

fn integer(token: Token<'_>, text: Option<&str>) -> Option<i128> {
    match text {
        Some(text) => number::is_number(text).then(|| number::integer(text))?,
        None if matches!(token.first(), b'-' | b'0'..=b'9') => {
            number::integer(std::str::from_utf8(token.raw).ok()?)
        }
        None => None,
    }
}

#[expect(clippy::option_option, reason = "refused, dropped and taken are three things")]
fn enum_number(
    names: &EnumDescriptor,
    token: Token<'_>,
    text: Option<&str>,
) -> Option<Option<Value>> {
    match text {
        Some(name) => {
            Some(names.get_value_by_name(name).map(|value| Value::EnumNumber(value.number())))
        }
        None => {
            let value = i32::try_from(integer(token, None)?).ok()?;
            Some(Some(Value::EnumNumber(value)))
        }
    }
}

/// Base64 of either alphabet, padded or not; line breaks do not count.
fn bytes_of(text: &str) -> Option<Bytes> {
    let alphabet =
        if text.contains(['-', '_']) { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
    let padding = if text.len().is_multiple_of(4) { PADDED } else { UNPADDED };
    let engine = GeneralPurpose::new(alphabet, padding);
    let decoded = if text.contains(['\r', '\n']) {
        engine.decode(text.replace(['\r', '\n'], ""))
    } else {
        engine.decode(text)
    };
    decoded.ok().map(Bytes::from)
}

fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Double => "double",
        Kind::Float => "float",
        Kind::Int32 => "int32",
        Kind::Int64 => "int64",
        Kind::Uint32 => "uint32",
        Kind::Uint64 => "uint64",
        Kind::Sint32 => "sint32",
        Kind::Sint64 => "sint64",
        Kind::Fixed32 => "fixed32",
        Kind::Fixed64 => "fixed64",
        Kind::Sfixed32 => "sfixed32",
        Kind::Sfixed64 => "sfixed64",
        Kind::Bool => "bool",
        Kind::String => "string",
        Kind::Bytes => "bytes",
        Kind::Message(_) => "message",
        Kind::Enum(_) => "enum",
    }
}

#[cfg(test)]
mod tests;
