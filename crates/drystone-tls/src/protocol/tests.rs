//! Words that are taken and words that are not.

use super::*;

fn chosen(min: &str, max: &str, suites: &[&str]) -> Result<Chosen, String> {
    let settings = Settings {
        version_min: min.parse().map_err(|error: Error| error.to_string())?,
        version_max: (!max.is_empty())
            .then(|| max.parse())
            .transpose()
            .map_err(|error: Error| error.to_string())?,
        suites: suites.iter().map(|&name| name.to_owned()).collect(),
        ..Settings::default()
    };
    Chosen::of(&settings).map_err(|error| error.to_string())
}

fn suites_of_tls12(chosen: &Chosen) -> Vec<CipherSuite> {
    let all = chosen.provider.cipher_suites.iter();
    all.filter(|suite| matches!(suite, SupportedCipherSuite::Tls12(_)))
        .map(SupportedCipherSuite::suite)
        .collect()
}

#[test]
fn versions_are_said_in_etcds_words() {
    for word in ["", "TLS1.1", "tls1.2", "1.2"] {
        assert_eq!(
            word.parse::<Version>().unwrap_err().to_string(),
            format!("unexpected TLS version {word:?} (must be one of: TLS1.2, TLS1.3)")
        );
    }
    assert_eq!(
        chosen("TLS1.3", "TLS1.2", &[]).unwrap_err(),
        "min version (TLS1.3) is greater than max version (TLS1.2)"
    );
    let count = |min, max| chosen(min, max, &[]).unwrap().versions.len();
    assert_eq!((count("TLS1.2", ""), count("TLS1.2", "TLS1.2"), count("TLS1.3", "")), (2, 1, 1));
}

#[test]
fn suites_are_chosen_for_tls_1_2_alone() {
    let one = chosen("TLS1.2", "", &["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]).unwrap();
    assert_eq!(suites_of_tls12(&one), [CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]);
    assert_eq!(one.provider.cipher_suites.len(), 4, "and the three of TLS 1.3");
    let short = chosen("TLS1.2", "", &["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"]).unwrap();
    assert_eq!(suites_of_tls12(&short), [CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256]);
    assert_eq!(
        chosen("TLS1.3", "", &["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]).unwrap_err(),
        "cipher suites cannot be configured when only TLS1.3 is enabled"
    );
    assert_eq!(
        chosen("TLS1.2", "", &["TLS_NONE"]).unwrap_err(),
        "unexpected TLS cipher suite \"TLS_NONE\""
    );
}

#[test]
fn weak_suites_are_taken_by_name_and_never_served_ghsa_5x4g_q5rc_36jp() {
    let all: Vec<String> = WEAK.iter().map(|rest| format!("{PREFIX}{rest}")).collect();
    let names: Vec<&str> = all.iter().map(String::as_str).collect();
    let only_weak = chosen("TLS1.2", "", &names).unwrap();
    assert_eq!(only_weak.weak, all);
    assert_eq!(only_weak.versions, [&TLS13], "TLS 1.2 has no suite left");
    assert!(chosen("TLS1.2", "TLS1.2", &names).unwrap_err().contains("is served"));
    // And by default: forward secrecy and authenticated ciphers only.
    for suite in suites_of_tls12(&chosen("TLS1.2", "", &[]).unwrap()) {
        let name = format!("{suite:?}");
        assert!(name.starts_with("TLS_ECDHE_"), "{name}");
        assert!(name.contains("_GCM_") || name.contains("_POLY1305"), "{name}");
    }
}
