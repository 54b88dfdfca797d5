//! Where a JSON value ends, found while its bytes come in, and what is wrong with it in the
//! words of Go's `encoding/json`.

use thiserror::Error;

/// Objects and lists that may stand in one another. The deepest transaction a server takes
/// needs less than half of it.
pub const JSON_DEPTH_MAX: usize = 400;

/// Bytes that are no JSON.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum SyntaxError {
    #[error("invalid character {} {context}", quoted(*.found))]
    InvalidCharacter { found: u8, context: &'static str },
    #[error("exceeded max depth")]
    TooDeep,
    #[error("unexpected EOF")]
    EndsEarly,
}

/// What a piece of a body did to the value that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The value goes on behind this piece, or has not begun.
    More,
    /// The value ends after so many bytes of this piece.
    Ends(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    ObjectKey,
    ObjectValue,
    List,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    BeginValue,
    BeginValueOrEnd,
    BeginKey,
    BeginKeyOrEnd,
    EndValue,
    InString,
    InEscape,
    /// Inside `\u`, with so many digits to come.
    InHex(u8),
    AfterMinus,
    AfterZero,
    InDigits,
    AfterPoint,
    InFraction,
    AfterE,
    AfterESign,
    InExponent,
    /// Inside `true`, `false` or `null`, with so many letters read.
    InWord(&'static str, usize),
}

/// Reads values one after the other, a byte at a time.
#[derive(Debug)]
pub(crate) struct Scanner {
    state: State,
    frames: Vec<Frame>,
    begun: bool,
}

/// What one byte did.
enum Step {
    Goes,
    /// The value ended with this byte.
    EndsHere,
    /// The value ended before this byte, which belongs to what follows.
    EndedBefore,
}

impl Scanner {
    pub(crate) fn new() -> Self {
        Self { state: State::BeginValue, frames: Vec::new(), begun: false }
    }

    /// True once a value has begun that has not ended.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Reads on. After [`Progress::Ends`] the next call begins a new value.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> Result<Progress, SyntaxError> {
        for (at, byte) in piece.iter().enumerate() {
            match self.step(*byte)? {
                Step::Goes => {}
                Step::EndsHere => return Ok(self.ended(at + 1)),
                Step::EndedBefore => return Ok(self.ended(at)),
            }
        }
        Ok(Progress::More)
    }

    /// Says what the end of the body means: true when it ends a value (a bare number), false
    /// when there is none.
    pub(crate) fn finish(&mut self) -> Result<bool, SyntaxError> {
        if !self.begun {
            return Ok(false);
        }
        let number = matches!(
            self.state,
            State::AfterZero | State::InDigits | State::InFraction | State::InExponent
        );
        if self.frames.is_empty() && number {
            self.ended(0);
            return Ok(true);
        }
        Err(SyntaxError::EndsEarly)
    }

    fn ended(&mut self, at: usize) -> Progress {
        *self = Self::new();
        Progress::Ends(at)
    }

    fn step(&mut self, byte: u8) -> Result<Step, SyntaxError> {
        let is_space = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        match self.state {
            State::BeginValue if is_space => Ok(Step::Goes),
            State::BeginValue => self.begin_value(byte),
            State::BeginValueOrEnd if is_space => Ok(Step::Goes),
            State::BeginValueOrEnd if byte == b']' => Ok(self.close()),
            State::BeginValueOrEnd => self.begin_value(byte),
            State::BeginKey | State::BeginKeyOrEnd if is_space => Ok(Step::Goes),
            State::BeginKeyOrEnd if byte == b'}' => Ok(self.close()),
            State::BeginKey | State::BeginKeyOrEnd if byte == b'"' => self.goes(State::InString),
            State::BeginKey | State::BeginKeyOrEnd => {
                wrong(byte, "looking for beginning of object key string")
            }
            State::EndValue => self.after_value(byte, is_space),
            State::InString | State::InEscape | State::InHex(_) => self.in_string(byte),
            State::InWord(word, read) => self.in_word(word, read, byte),
            _ => self.in_number(byte, is_space),
        }
    }

    fn goes(&mut self, state: State) -> Result<Step, SyntaxError> {
        self.state = state;
        Ok(Step::Goes)
    }

    fn begin_value(&mut self, byte: u8) -> Result<Step, SyntaxError> {
        let next = match byte {
            b'{' => return self.open(Frame::ObjectKey, State::BeginKeyOrEnd),
            b'[' => return self.open(Frame::List, State::BeginValueOrEnd),
            b'"' => State::InString,
            b'-' => State::AfterMinus,
            b'0' => State::AfterZero,
            b'1'..=b'9' => State::InDigits,
            b't' => State::InWord("true", 1),
            b'f' => State::InWord("false", 1),
            b'n' => State::InWord("null", 1),
            _ => return wrong(byte, "looking for beginning of value"),
        };
        self.begun = true;
        self.goes(next)
    }

    fn open(&mut self, frame: Frame, state: State) -> Result<Step, SyntaxError> {
        if self.frames.len() == JSON_DEPTH_MAX {
            return Err(SyntaxError::TooDeep);
        }
        self.begun = true;
        self.frames.push(frame);
        self.goes(state)
    }

    fn close(&mut self) -> Step {
        self.frames.pop();
        self.value_ended()
    }

    /// A value is complete with this byte.
    fn value_ended(&mut self) -> Step {
        self.state = State::EndValue;
        if self.frames.is_empty() { Step::EndsHere } else { Step::Goes }
    }

    fn after_value(&mut self, byte: u8, is_space: bool) -> Result<Step, SyntaxError> {
        let Some(frame) = self.frames.last_mut() else { return Ok(Step::EndedBefore) };
        if is_space {
            return self.goes(State::EndValue);
        }
        match (*frame, byte) {
            (Frame::ObjectKey, b':') => {
                *frame = Frame::ObjectValue;
                self.goes(State::BeginValue)
            }
            (Frame::ObjectKey, _) => wrong(byte, "after object key"),
            (Frame::ObjectValue, b',') => {
                *frame = Frame::ObjectKey;
                self.goes(State::BeginKey)
            }
            (Frame::ObjectValue, b'}') | (Frame::List, b']') => Ok(self.close()),
            (Frame::ObjectValue, _) => wrong(byte, "after object key:value pair"),
            (Frame::List, b',') => self.goes(State::BeginValue),
            (Frame::List, _) => wrong(byte, "after array element"),
        }
    }

    fn in_string(&mut self, byte: u8) -> Result<Step, SyntaxError> {
        match (self.state, byte) {
            (State::InString, b'"') => Ok(self.value_ended()),
            (State::InString, b'\\') => self.goes(State::InEscape),
            (State::InString, 0..0x20) => wrong(byte, "in string literal"),
            (State::InString, _) => Ok(Step::Goes),
            (State::InEscape, b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => {
                self.goes(State::InString)
            }
            (State::InEscape, b'u') => self.goes(State::InHex(4)),
            (State::InEscape, _) => wrong(byte, "in string escape code"),
            (State::InHex(1), b) if b.is_ascii_hexdigit() => self.goes(State::InString),
            (State::InHex(left), b) if b.is_ascii_hexdigit() => self.goes(State::InHex(left - 1)),
            _ => wrong(byte, "in \\u hexadecimal character escape"),
        }
    }

    fn in_word(&mut self, word: &'static str, read: usize, byte: u8) -> Result<Step, SyntaxError> {
        if word.as_bytes()[read] != byte {
            return wrong(byte, expected_letter(word, read));
        }
        if read + 1 == word.len() {
            return Ok(self.value_ended());
        }
        self.goes(State::InWord(word, read + 1))
    }

    fn in_number(&mut self, byte: u8, is_space: bool) -> Result<Step, SyntaxError> {
        let is_digit = byte.is_ascii_digit();
        let is_e = matches!(byte, b'e' | b'E');
        match self.state {
            State::AfterMinus if byte == b'0' => self.goes(State::AfterZero),
            State::AfterMinus if is_digit => self.goes(State::InDigits),
            State::AfterMinus => wrong(byte, "in numeric literal"),
            State::InDigits if is_digit => Ok(Step::Goes),
            State::InDigits | State::AfterZero if byte == b'.' => self.goes(State::AfterPoint),
            State::InDigits | State::AfterZero | State::InFraction if is_e => {
                self.goes(State::AfterE)
            }
            State::AfterPoint if is_digit => self.goes(State::InFraction),
            State::AfterPoint => wrong(byte, "after decimal point in numeric literal"),
            State::InFraction | State::InExponent if is_digit => Ok(Step::Goes),
            State::AfterE if matches!(byte, b'+' | b'-') => self.goes(State::AfterESign),
            State::AfterE | State::AfterESign if is_digit => self.goes(State::InExponent),
            State::AfterE | State::AfterESign => wrong(byte, "in exponent of numeric literal"),
            _ => self.after_value(byte, is_space),
        }
    }
}

fn wrong(found: u8, context: &'static str) -> Result<Step, SyntaxError> {
    Err(SyntaxError::InvalidCharacter { found, context })
}

/// Names the letter of `word` that should have stood at `read`.
fn expected_letter(word: &str, read: usize) -> &'static str {
    match (word, read) {
        ("true", 1) => "in literal true (expecting 'r')",
        ("true", 2) => "in literal true (expecting 'u')",
        ("true", _) => "in literal true (expecting 'e')",
        ("false", 1) => "in literal false (expecting 'a')",
        ("false", 2) => "in literal false (expecting 'l')",
        ("false", 3) => "in literal false (expecting 's')",
        ("false", _) => "in literal false (expecting 'e')",
        ("null", 1) => "in literal null (expecting 'u')",
        _ => "in literal null (expecting 'l')",
    }
}

/// A byte as Go quotes it: one above ASCII stands for the character of that number.
fn quoted(byte: u8) -> String {
    let text = match byte {
        b'\'' => "\\'".to_owned(),
        b'"' => "\"".to_owned(),
        0x07 => "\\a".to_owned(),
        0x08 => "\\b".to_owned(),
        0x0b => "\\v".to_owned(),
        0x0c => "\\f".to_owned(),
        b'\t' | b'\n' | b'\r' | b'\\' => char::from(byte).escape_default().to_string(),
        // No-break space and soft hyphen are not printable in Go.
        0x80..=0xa0 | 0xad => format!("\\u{byte:04x}"),
        0..0x20 | 0x7f => format!("\\x{byte:02x}"),
        _ => char::from(byte).to_string(),
    };
    format!("'{text}'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &[u8]) -> Result<Progress, SyntaxError> {
        Scanner::new().feed(text)
    }

    fn refusal(text: &str) -> String {
        let mut scanner = Scanner::new();
        match scanner.feed(text.as_bytes()) {
            Err(error) => error.to_string(),
            Ok(_) => scanner.finish().expect_err("it is refused").to_string(),
        }
    }

    #[test]
    fn refusals_are_in_gos_words() {
        for (text, error) in [
            ("not json", "invalid character 'o' in literal null (expecting 'u')"),
            ("x", "invalid character 'x' looking for beginning of value"),
            ("{,}", "invalid character ',' looking for beginning of object key string"),
            ("{'a':1}", r"invalid character '\'' looking for beginning of object key string"),
            (r#"{"a" 1}"#, "invalid character '1' after object key"),
            (r#"{"a":1 "b":2}"#, "invalid character '\"' after object key:value pair"),
            (r#"{"a":[1 2]}"#, "invalid character '2' after array element"),
            (r#"{"a":"\x"}"#, "invalid character 'x' in string escape code"),
            (r#"{"a":"\u12g4"}"#, r"invalid character 'g' in \u hexadecimal character escape"),
            ("{\"a\":\"\n\"}", r"invalid character '\n' in string literal"),
            (r#"{"a":-x}"#, "invalid character 'x' in numeric literal"),
            (r#"{"a":1.x}"#, "invalid character 'x' after decimal point in numeric literal"),
            (r#"{"a":1ex}"#, "invalid character 'x' in exponent of numeric literal"),
            (r#"{"a":01}"#, "invalid character '1' after object key:value pair"),
            (r#"{"a":1,}"#, "invalid character '}' looking for beginning of object key string"),
            ("{\"a\":\u{e9}}", "invalid character 'Ã' looking for beginning of value"),
            ("tru ", "invalid character ' ' in literal true (expecting 'e')"),
            (r#"{"a":"#, "unexpected EOF"),
            (r#""a"#, "unexpected EOF"),
            ("-", "unexpected EOF"),
        ] {
            assert_eq!(refusal(text), error, "{text}");
        }
    }

    #[test]
    fn values_end_where_they_end() {
        for (text, end) in [
            ("{} {}", 2),
            (" [1,{\"a\":[]}] x", 13),
            ("12 ", 2),
            ("12{", 2),
            ("null1", 4),
            (r#""a\"b"c"#, 6),
            ("-0.5e+7,", 7),
        ] {
            assert_eq!(read(text.as_bytes()), Ok(Progress::Ends(end)), "{text}");
        }
        let mut scanner = Scanner::new();
        assert_eq!((scanner.feed(b" \n"), scanner.finish()), (Ok(Progress::More), Ok(false)));
        assert_eq!((scanner.feed(b" 12"), scanner.finish()), (Ok(Progress::More), Ok(true)));
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = |levels| [vec![b'['; levels], vec![b']'; levels]].concat();
        let end = 2 * JSON_DEPTH_MAX;
        assert_eq!(read(&deep(JSON_DEPTH_MAX)), Ok(Progress::Ends(end)));
        assert_eq!(read(&deep(JSON_DEPTH_MAX + 1)), Err(SyntaxError::TooDeep));
    }

    proptest! {
        /// A value is cut off at the same place and for the same reason, however it comes in;
        /// and what is taken for JSON is JSON to others too.
        #[test]
        fn pieces_make_no_difference(text in r#"[ \[\]{}:,"\\a0-9eE.+\-untrlfs]{0,40}"#, cut in 0..40usize) {
            let bytes = text.as_bytes();
            let cut = cut.min(bytes.len());
            let whole = read(bytes);
            let mut scanner = Scanner::new();
            let pieces = match scanner.feed(&bytes[..cut]) {
                Ok(Progress::More) => scanner.feed(&bytes[cut..]).map(|progress| match progress {
                    Progress::Ends(at) => Progress::Ends(at + cut),
                    Progress::More => Progress::More,
                }),
                other => other,
            };
            prop_assert_eq!(&pieces, &whole);
            if let Ok(Progress::Ends(end)) = whole {
                let value: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(&bytes[..end]);
                prop_assert!(value.is_ok(), "{:?}", &text[..end]);
            }
        }
    }
}
