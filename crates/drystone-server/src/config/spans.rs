//! What the flags of distributed tracing mean.

use super::values::Values;

/// Where spans of calls go, and of which calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracing {
    /// Host and port of a collector that takes OTLP over gRPC, in clear.
    pub address: String,
    /// What this server calls itself.
    pub service_name: String,
    /// What sets it apart from others of that name; empty is nothing.
    pub instance_id: String,
    /// Of so many calls in a million that are in no trace yet, spans are made.
    pub samples_per_million: u32,
}

/// Tracing, where it is asked for.
pub(super) fn tracing(values: &Values) -> Option<Tracing> {
    values.bool("enable-distributed-tracing").then(|| Tracing {
        address: values.text("distributed-tracing-address").to_owned(),
        service_name: values.text("distributed-tracing-service-name").to_owned(),
        instance_id: values.text("distributed-tracing-instance-id").to_owned(),
        // The check has left no other rate.
        samples_per_million: u32::try_from(values.int("distributed-tracing-sampling-rate"))
            .unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Parsed, parse};

    fn tracing_of(words: &[&str]) -> Result<Option<Tracing>, String> {
        let words = words.iter().map(|word| (*word).to_owned());
        match parse(words, []) {
            Ok(Parsed::Run { config, .. }) => Ok(config.tracing),
            Ok(Parsed::Print(text)) => panic!("{text}"),
            Err(error) => Err(error.message),
        }
    }

    #[test]
    fn tracing_is_off_until_it_is_asked_for_and_its_rate_is_bounded() {
        let rate = |rate: &str| format!("--distributed-tracing-sampling-rate={rate}");
        assert_eq!(tracing_of(&[&rate("-1")]), Ok(None));
        let on = "--enable-distributed-tracing";
        let tracing = tracing_of(&[on, &rate("1000000")]).unwrap().unwrap();
        let expected = Tracing {
            address: "localhost:4317".into(),
            service_name: "etcd".into(),
            instance_id: String::new(),
            samples_per_million: 1_000_000,
        };
        assert_eq!(tracing, expected);
        let old = "--experimental-distributed-tracing-instance-id=i";
        assert_eq!(tracing_of(&[on, old]).unwrap().unwrap().instance_id, "i");
        assert!(tracing_of(&[on, &rate("-1")]).unwrap_err().contains("must be positive"));
        let most = "tracing sampling rate must be less than 1000000";
        assert!(tracing_of(&[on, &rate("1000001")]).unwrap_err().contains(most));
    }
}
