use super::*;

#[test]
fn every_story_is_well_formed_and_has_cases() {
    let stories = stories().unwrap();
    assert!(stories.iter().all(|story| !story.cases.is_empty()));
    for case in stories.iter().flat_map(|story| &story.cases) {
        assert!(!case.steps.is_empty(), "{} has no steps", case.name);
    }
}

#[test]
fn the_format_reads_as_documented() {
    let text = "== one\n~ 3.4 because\n$ put '' 'a b'\n< x\n<repeat 3 y\n@L lease grant 9\n\
                & watch a\nuntil END\n";
    let story = Story::parse("s", text).unwrap();
    let case = &story.cases[0];
    assert_eq!(case.otherwise, [("3.4".to_owned(), "because".to_owned())]);
    let Step::Run { words, stdin, .. } = &case.steps[0] else { panic!("a command comes first") };
    assert_eq!(words, &["put", "", "a b"]);
    assert_eq!(stdin, b"x\nyyy");
    assert!(matches!(&case.steps[1], Step::Run { lease: Some(name), .. } if name == "L"));
    assert_eq!(case.steps.len(), 4);
}

#[test]
fn a_bad_line_is_named() {
    let error = Story::parse("s", "== one\n\n? what").unwrap_err();
    assert_eq!(error.to_string(), "s:3: unknown kind of line");
    assert!(Story::parse("s", "$ put").is_err());
}
