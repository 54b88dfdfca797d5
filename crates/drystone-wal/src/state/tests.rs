use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Push { back: u64, raise: u64 },
    Compact { share: u64 },
    Restart { ahead: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0u64..4, 0u64..2).prop_map(|(back, raise)| Step::Push { back, raise }),
        1 => (0u64..=4).prop_map(|share| Step::Compact { share }),
        1 => (0u64..3).prop_map(|ahead| Step::Restart { ahead }),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    /// The runs answer as a plain list of terms does.
    #[test]
    fn terms_agree_with_a_list(steps in steps()) {
        let mut state = LogState::default();
        let mut start = (0u64, 0u64);
        let mut list: Vec<u64> = Vec::new();
        let mut term = 1;
        for step in steps {
            match step {
                Step::Push { back, raise } => {
                    term += raise;
                    let keep = list.len() - usize::try_from(back).unwrap().min(list.len());
                    list.truncate(keep);
                    list.push(term);
                    let index = LogIndex(start.0 + list.len() as u64);
                    prop_assert_eq!(state.check_entry(index, Term(term)), Ok(()));
                    state.push(index, Term(term));
                }
                Step::Compact { share } => {
                    let drop = list.len() * usize::try_from(share).unwrap() / 4;
                    if drop > 0 {
                        start = (start.0 + drop as u64, list[drop - 1]);
                        list.drain(..drop);
                    }
                    let mark = Marker { index: LogIndex(start.0), term: Term(start.1) };
                    prop_assert_eq!(state.compact(mark), Ok(()));
                }
                Step::Restart { ahead } => {
                    start = (start.0 + list.len() as u64 + ahead, term);
                    list.clear();
                    let mark = Marker { index: LogIndex(start.0), term: Term(start.1) };
                    prop_assert_eq!(state.restart(mark), Ok(()));
                }
            }
            prop_assert_eq!(state.term(LogIndex(start.0)), Some(Term(start.1)));
            for (n, term) in list.iter().enumerate() {
                let index = LogIndex(start.0 + 1 + n as u64);
                prop_assert_eq!(state.term(index), Some(Term(*term)));
            }
            prop_assert_eq!(state.term(LogIndex(start.0 + 1 + list.len() as u64)), None);
        }
    }
}

#[test]
fn entries_that_do_not_continue_the_log_are_refused() {
    let mut state = LogState::default();
    assert!(state.check_entry(LogIndex(2), Term(1)).is_err(), "a gap");
    state.push(LogIndex(1), Term(3));
    assert!(state.check_entry(LogIndex(2), Term(2)).is_err(), "a lower term");
    assert!(state.check_entry(LogIndex(1), Term(2)).is_ok(), "a replacement");
    state.compact(Marker { index: LogIndex(1), term: Term(3) }).unwrap();
    assert!(state.check_entry(LogIndex(1), Term(3)).is_err(), "before the start");
}

#[test]
fn a_base_reads_back() {
    let base = Base {
        hard_state: HardState { term: Term(7), vote: MemberId(3), commit: LogIndex(9) },
        start: Marker { index: LogIndex(4), term: Term(2) },
        last: Marker { index: LogIndex(11), term: Term(7) },
        conf: Bytes::from_static(b"voters"),
    };
    let mut payload = base.head().to_vec();
    payload.extend_from_slice(&base.conf);
    assert_eq!(Base::decode(base.last, &Bytes::from(payload)), Some(base));
    assert_eq!(Base::decode(Marker::default(), &Bytes::from_static(&[0; 39])), None);
}
