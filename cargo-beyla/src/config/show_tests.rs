use super::*;
use crate::config::settings::tests::Given;

#[test]
fn nothing_is_set() {
    insta::assert_snapshot!(show(&Given::default().settings().unwrap()));
}

#[test]
fn much_is_set_and_secrets_are_masked() {
    let given = Given {
        flags: &[
            "--slowest",
            "3",
            "--otlp",
            "https://me:glc_pw@collector.example/?token=glc_query",
            "--otlp-header",
            "x-key=glc_flag",
            "--exec",
            "curl a\ncurl b",
        ],
        variables: &[
            ("BEYLA_OPEN_PORT", "8080,9000-9100"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=glc_header"),
            ("OTEL_RESOURCE_ATTRIBUTES", "team=shop,service.name=api"),
        ],
        yaml: "routes: {patterns: ['/users/{id}', '/files/*']}\nfilter: {application: {url.path: {match: '/a*'}}}\n\
               grafana: {otlp: {cloud_zone: z, cloud_instance_id: 1, cloud_api_key: glc_key}}",
        package: "[package.metadata.beyla]\nexplain = true\nprometheus = ':9400'",
        ..Given::default()
    };
    let shown = show(&given.settings().unwrap());
    assert!(!shown.contains("glc_"), "{shown}");
    insta::assert_snapshot!(shown);
}
