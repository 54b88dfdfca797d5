use super::damaged_file;

#[test]
fn the_damaged_file_is_named() {
    for (text, file) in [
        (
            "Corruption: block checksum mismatch: stored = 1, computed = 2, type = 4  in \
             /d/000012.sst offset 0 size 53",
            Some("/d/000012.sst"),
        ),
        (
            "Corruption: Sst file size mismatch: /d/000009.sst. Size recorded in manifest 7",
            Some("/d/000009.sst"),
        ),
        ("Corruption: in file (/d/MANIFEST-000005)", Some("/d/MANIFEST-000005")),
        ("Corruption: no name", None),
    ] {
        assert_eq!(damaged_file(text).as_deref(), file, "{text}");
    }
}
