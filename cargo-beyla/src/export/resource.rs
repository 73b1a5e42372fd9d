//! What the telemetry is of, in OpenTelemetry's words.

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource as ResourceMessage;

use super::key_value::{number, text};
use super::settings::Resource;
use crate::report::run_info::{RunInfo, Traced};

/// The name by which we go.
const NAME: &str = "cargo-beyla";

/// What it is that measures.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: NAME.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// What the telemetry of a run is of.
pub(super) fn resource(resource: &Resource, run: &RunInfo) -> ResourceMessage {
    let host = host_name();
    let mut attributes = vec![
        text("service.name", &resource.service_name),
        text("service.instance.id", format!("{host}:{}", run.pid().unwrap_or_else(std::process::id))),
        text("telemetry.sdk.name", NAME),
        text("telemetry.sdk.version", &run.version),
        text("telemetry.sdk.language", "rust"),
        text("telemetry.distro.name", NAME),
        text("telemetry.distro.version", &run.version),
        text("host.name", host),
        text("os.type", "linux"),
    ];
    if let Traced::Server { pid, executable, .. } = &run.traced {
        attributes.push(number("process.pid", (*pid).into()));
        attributes.push(text("process.executable.path", executable.to_string_lossy()));
        if executable.file_name().is_some() {
            attributes.push(text("process.executable.name", run.name()));
        }
    }
    for (key, value) in &resource.attributes {
        attributes.retain(|attribute| attribute.key != *key);
        attributes.push(text(key, value));
    }
    ResourceMessage { attributes, ..ResourceMessage::default() }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    use super::*;
    use crate::report::fixtures;

    #[test]
    fn what_the_user_says_wins() {
        let run = RunInfo {
            version: "0.1.0".into(),
            traced: Traced::Server { pid: 42, executable: "/target/debug/server".into(), within: Vec::new() },
            started_unix_ns: 0,
            started_monotonic_ns: 0,
            capture: "socket".into(),
            architecture: None,
            trace_seed: None,
        };
        let attributes = vec![("host.name".into(), "mine".into()), ("team".into(), "a".into())];
        let resource = resource(&Resource { service_name: "shop".into(), attributes }, &run);
        let get = |key: &str| {
            let mut found = resource.attributes.iter().filter(|attribute| attribute.key == key);
            let value = found.next().and_then(|found| found.value.clone()).and_then(|value| value.value);
            assert!(found.next().is_none(), "{key}");
            value
        };
        let text = |text: &str| Some(Value::StringValue(text.into()));
        assert_eq!(get("service.name"), text("shop"));
        assert_eq!(get("host.name"), text("mine"));
        assert_eq!(get("team"), text("a"));
        assert_eq!(get("process.executable.name"), text("server"));
        assert_eq!(get("process.pid"), Some(Value::IntValue(42)));
    }

    #[test]
    fn of_tests_no_process_is_told() {
        let resource =
            resource(&Resource { service_name: "shop".into(), attributes: vec![] }, &fixtures::run_of_tests());
        let has = |key: &str| resource.attributes.iter().any(|attribute| attribute.key.starts_with(key));
        assert!(has("service.instance.id") && has("host.name") && !has("process."));
    }
}
