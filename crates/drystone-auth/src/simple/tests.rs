//! Tokens against a table that is searched naively.

use super::*;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_word_has_sixteen_letters_of_both_cases() {
    assert_eq!(random_word([0; WORD_LETTERS]), "a".repeat(16));
    assert_eq!(random_word([u32::MAX; WORD_LETTERS]), "Z".repeat(16));
    let random = std::array::from_fn(|n| 0x9e37_79b9_u32.rotate_left(n.try_into().unwrap()));
    let word = random_word(random);
    assert_eq!(token_index(&format!("{word}.44")), Some(44));
}

#[test]
fn what_is_no_token_has_no_index() {
    for text in ["", ".", "abc.4", "hsuEZDJyIutCAcuV", "hsuEZDJyIutCAcuV.", "hsuEZDJyIutCAcuV.x"] {
        assert_eq!(token_index(text), None, "{text}");
    }
    for text in
        ["hsuEZDJyIutCAcuV.+4", "hsuEZDJyIutCAcuV.99999999999999999999", "hsuEZDJyIutCAc.V.1"]
    {
        assert_eq!(token_index(text), None, "{text}");
    }
    assert_eq!(token_index("hsuEZDJyIutCAcuV.44"), Some(44));
}

#[test]
fn a_token_in_use_does_not_end() {
    let mut tokens = SimpleTokens::new(10 * SECOND, 8);
    tokens.assign("t".into(), "u".into(), Duration::ZERO);
    for step in 1..20 {
        assert_eq!(tokens.user("t", step * 9 * SECOND), Some("u"));
    }
    assert_eq!(tokens.user("t", (19 * 9 + 10) * SECOND), None);
    assert!(tokens.is_empty());
}

#[test]
fn a_full_table_gives_up_the_token_that_ends_first() {
    let mut tokens = SimpleTokens::new(10 * SECOND, 2);
    tokens.assign("a".into(), "u".into(), Duration::ZERO);
    tokens.assign("b".into(), "u".into(), SECOND);
    assert!(tokens.user("a", 2 * SECOND).is_some());
    tokens.assign("c".into(), "u".into(), 3 * SECOND);
    assert_eq!(tokens.len(), 2);
    assert_eq!(tokens.user("b", 3 * SECOND), None);
    assert!(tokens.user("a", 3 * SECOND).is_some() && tokens.user("c", 3 * SECOND).is_some());
}

#[test]
fn debug_output_has_no_token() {
    let mut tokens = SimpleTokens::new(SECOND, 8);
    tokens.assign("hsuEZDJyIutCAcuV.44".into(), "u".into(), Duration::ZERO);
    assert!(!format!("{tokens:?}").contains("hsuEZ"));
}

#[derive(Clone, Debug)]
enum Step {
    Assign(u8, u8),
    Use(u8),
    Invalidate(u8),
    Clear,
    Wait(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..12u8, 0..3u8).prop_map(|(token, user)| Step::Assign(token, user)),
        4 => (0..12u8).prop_map(Step::Use),
        1 => (0..3u8).prop_map(Step::Invalidate),
        1 => Just(Step::Clear),
        2 => (0..6u8).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn tokens_are_those_of_a_naive_table(steps in prop::collection::vec(step(), 0..80)) {
        let mut tokens = SimpleTokens::new(10 * SECOND, usize::MAX);
        let mut naive: Vec<(String, String, Duration)> = Vec::new();
        let mut now = Duration::ZERO;
        for step in steps {
            naive.retain(|(_, _, used)| *used + 10 * SECOND > now);
            match step {
                Step::Assign(token, user) => {
                    let (token, user) = (format!("t{token}"), format!("u{user}"));
                    naive.retain(|(known, _, _)| *known != token);
                    naive.push((token.clone(), user.clone(), now));
                    tokens.assign(token, user, now);
                }
                Step::Use(token) => {
                    let token = format!("t{token}");
                    let found = naive.iter_mut().find(|(known, _, _)| *known == token);
                    let expected = found.map(|(_, user, used)| {
                        *used = now;
                        user.clone()
                    });
                    prop_assert_eq!(tokens.user(&token, now), expected.as_deref());
                }
                Step::Invalidate(user) => {
                    let user = format!("u{user}");
                    naive.retain(|(_, known, _)| *known != user);
                    tokens.invalidate_user(&user);
                }
                Step::Clear => {
                    naive.clear();
                    tokens.clear();
                }
                Step::Wait(seconds) => now += u32::from(seconds) * SECOND,
            }
            prop_assert_eq!(tokens.ends.len(), tokens.tokens.len());
        }
    }
}
