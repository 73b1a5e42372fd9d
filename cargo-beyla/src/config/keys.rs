//! The keys: what they are called in files and in the environment.

/// A key.
#[derive(Debug)]
pub(super) struct Key {
    /// Its path in a file.
    pub(super) path: &'static str,
    /// Its variables, the first that is set counts. `OTEL_EBPF_...` of OBI stands for `BEYLA_...`.
    pub(super) variables: &'static [&'static str],
}

macro_rules! keys {
    ($($name:ident = $path:literal $($variable:literal)*;)*) => {
        $(pub(super) const $name: Key = Key { path: $path, variables: &[$($variable),*] };)*
        /// All that mean something here.
        pub(super) const ALL: &[Key] = &[$($name),*];
    };
}

keys! {
    // Ours.
    SLOWEST = "cargo_beyla.slowest";
    EXPLAIN = "cargo_beyla.explain";
    OVERHEAD_BUDGET = "cargo_beyla.overhead_budget";
    TLS = "cargo_beyla.tls";
    BLOCK_THRESHOLD = "cargo_beyla.block_threshold";
    MAX_REQUESTS = "cargo_beyla.max_requests";
    ROUTES = "cargo_beyla.routes";
    LISTEN_TIMEOUT = "cargo_beyla.listen_timeout";
    DURATION = "cargo_beyla.duration";
    EXEC = "cargo_beyla.exec";
    BUDGETS = "cargo_beyla.budgets";
    TEST_GROUPS = "cargo_beyla.test_groups";
    JAEGER = "cargo_beyla.jaeger";
    OTLP = "cargo_beyla.otlp";
    PROMETHEUS = "cargo_beyla.prometheus";
    // Beyla's.
    OPEN_PORT = "open_port" "BEYLA_OPEN_PORT";
    EXECUTABLE_NAME = "executable_name" "BEYLA_EXECUTABLE_NAME";
    // As OBI calls it.
    EXECUTABLE_PATH = "executable_path" "BEYLA_EXECUTABLE_PATH";
    SERVICE_NAME = "service_name" "OTEL_SERVICE_NAME" "BEYLA_SERVICE_NAME";
    SERVICE_NAMESPACE = "service_namespace" "BEYLA_SERVICE_NAMESPACE";
    LOG_LEVEL = "log_level" "BEYLA_LOG_LEVEL";
    TRACE_PRINTER = "trace_printer" "BEYLA_TRACE_PRINTER";
    TRACK_REQUEST_HEADERS = "ebpf.track_request_headers" "BEYLA_BPF_TRACK_REQUEST_HEADERS";
    PROMETHEUS_PORT = "prometheus_export.port" "BEYLA_PROMETHEUS_PORT";
    PROMETHEUS_PATH = "prometheus_export.path" "BEYLA_PROMETHEUS_PATH";
    // Their variables are OpenTelemetry's, which have rules of their own.
    TRACES_ENDPOINT = "otel_traces_export.endpoint";
    TRACES_PROTOCOL = "otel_traces_export.protocol";
    SAMPLER = "otel_traces_export.sampler.name";
    SAMPLER_ARGUMENT = "otel_traces_export.sampler.arg";
    METRICS_ENDPOINT = "otel_metrics_export.endpoint";
    METRICS_PROTOCOL = "otel_metrics_export.protocol";
    METRICS_INTERVAL = "otel_metrics_export.interval" "BEYLA_METRICS_INTERVAL";
    CLOUD_SUBMIT = "grafana.otlp.cloud_submit" "GRAFANA_CLOUD_SUBMIT";
    CLOUD_ZONE = "grafana.otlp.cloud_zone" "GRAFANA_CLOUD_ZONE";
    CLOUD_INSTANCE_ID = "grafana.otlp.cloud_instance_id" "GRAFANA_CLOUD_INSTANCE_ID";
    CLOUD_API_KEY = "grafana.otlp.cloud_api_key" "GRAFANA_CLOUD_API_KEY";
    ROUTES_PATTERNS = "routes.patterns";
    ROUTES_IGNORED = "routes.ignored_patterns";
    ROUTES_IGNORE_MODE = "routes.ignore_mode";
    ROUTES_UNMATCHED = "routes.unmatched";
    ATTRIBUTES_SELECT = "attributes.select";
    FILTER_APPLICATION = "filter.application";
}

/// The section of our own keys; in a manifest they may also stand outside of it.
pub(super) const OWN: &str = "cargo_beyla";

/// Keys of Beyla and of OBI that have no meaning for one process on a developer's machine.
pub(super) const WITHOUT_MEANING: &[&str] = &[
    "attributes.drop_metric_unresolved_ips",
    "attributes.extra_group_attributes",
    "attributes.host_id",
    "attributes.instance_id",
    "attributes.kubernetes",
    "attributes.metadata_retry",
    "attributes.metric_span_names_limit",
    "attributes.rename_unresolved_hosts",
    "attributes.rename_unresolved_hosts_incoming",
    "attributes.rename_unresolved_hosts_outgoing",
    "asserts",
    "channel_buffer_len",
    "channel_send_timeout",
    "channel_send_timeout_panic",
    "discovery",
    "ebpf.batch_length",
    "ebpf.batch_timeout",
    "ebpf.bpf_debug",
    "ebpf.bpf_fs_base_dir",
    "ebpf.bpf_fs_path",
    "ebpf.buffer_sizes",
    "ebpf.context_propagation",
    "ebpf.couchbase_db_cache_size",
    "ebpf.disable_black_box_cp",
    "ebpf.dns_request_timeout",
    "ebpf.enable_context_propagation",
    "ebpf.enable_traffic_control",
    "ebpf.force_bpf_map_reader",
    "ebpf.heuristic_sql_detect",
    "ebpf.high_request_volume",
    "ebpf.http_request_timeout",
    "ebpf.instrument_cuda",
    "ebpf.instrument_gpu",
    "ebpf.kafka_topic_uuid_cache_size",
    "ebpf.log_enricher",
    "ebpf.maps_config",
    "ebpf.max_transaction_time",
    "ebpf.mongo_requests_cache_size",
    "ebpf.mysql_prepared_statements_cache_size",
    "ebpf.override_bpfloop_enabled",
    "ebpf.payload_extraction",
    "ebpf.postgres_prepared_statements_cache_size",
    "ebpf.protocol_debug_print",
    "ebpf.redis_db_cache",
    "ebpf.stats_wakeup_data_bytes",
    "ebpf.traffic_control_backend",
    "ebpf.traffic_control_context_propagation",
    "ebpf.traffic_control_l7_context_propagation",
    "ebpf.wakeup_len",
    "enforce_sys_caps",
    "filter.network",
    "health_check",
    "injector",
    "internal_metrics",
    "java",
    "javaagent",
    "language_agents",
    "log_config",
    "log_format",
    "meter_provider",
    "metrics",
    "name_resolver",
    "network",
    "nodejs",
    "noop",
    "otel_metrics_export.allow_service_graph_self_references",
    "otel_metrics_export.buckets",
    "otel_metrics_export.extra_resource_attributes",
    "otel_metrics_export.extra_resource_labels",
    "otel_metrics_export.extra_span_resource_attributes",
    "otel_metrics_export.features",
    "otel_metrics_export.histogram_aggregation",
    "otel_metrics_export.insecure_skip_verify",
    "otel_metrics_export.instrumentations",
    "otel_metrics_export.otel_sdk_log_level",
    "otel_metrics_export.reporters_cache_len",
    "otel_metrics_export.ttl",
    "otel_traces_export.backoff_initial_interval",
    "otel_traces_export.backoff_max_elapsed_time",
    "otel_traces_export.backoff_max_interval",
    "otel_traces_export.batch_timeout",
    "otel_traces_export.insecure_skip_verify",
    "otel_traces_export.instrumentations",
    "otel_traces_export.max_export_batch_size",
    "otel_traces_export.max_queue_size",
    "otel_traces_export.otel_sdk_log_level",
    "otel_traces_export.reporters_cache_len",
    "print_traces",
    "profile_port",
    "prometheus_export.allow_service_graph_self_references",
    "prometheus_export.buckets",
    "prometheus_export.disable_build_info",
    "prometheus_export.extra_resource_attributes",
    "prometheus_export.extra_resource_labels",
    "prometheus_export.extra_span_resource_attributes",
    "prometheus_export.features",
    "prometheus_export.instrumentations",
    "prometheus_export.service_cache_size",
    "prometheus_export.ttl",
    "routes.max_path_segment_cardinality",
    "routes.wildcard_char",
    "shutdown_timeout",
    "stats",
    "topology",
    "tracer_provider",
    "traces_receiver",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_within_another() {
        let paths = || ALL.iter().map(|key| key.path).chain(WITHOUT_MEANING.iter().copied());
        for one in paths() {
            for other in paths().filter(|other| !std::ptr::eq(*other, one)) {
                let within = other.strip_prefix(one).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
                assert!(!within, "{other} is within {one}");
            }
        }
    }
}
