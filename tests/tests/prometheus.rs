//! Metrics as a real Prometheus takes them, held against the report and against what the client sent.

use std::collections::{BTreeMap, HashMap};

use beyla_tests::both::both_ways;
use beyla_tests::prometheus::{Prometheus, metrics_port, promtool_is_content, scrape};
use beyla_tests::report::Report;
use beyla_tests::run::{Capture, LATENCY_LAB, Run};
use beyla_tests::wait::{LONG, poll};

/// What the client sends: path, how often, and the route and the status code that it then counts under.
const SENT: [(&str, usize, &str, &str); 5] = [
    ("/fast", 150, "/fast", "200"),
    ("/users/7", 120, "/users/{id}", "200"),
    ("/sleep?ms=30", 40, "/sleep", "200"),
    ("/status/503", 25, "/status/{id}", "503"),
    ("/nowhere", 5, "/nowhere", "404"),
];

const DURATION: &str = "http_server_request_duration_seconds";

fn counts(prometheus: &Prometheus) -> BTreeMap<(String, String), u64> {
    let samples = prometheus.query(&format!("sum by (http_route, http_response_status_code) ({DURATION}_count)"));
    let count = samples.into_iter().map(|sample| {
        let labels = (sample.label("http_route").to_owned(), sample.label("http_response_status_code").to_owned());
        (labels, sample.value as u64)
    });
    count.collect()
}

/// The 99th percentile of the requests of a route, as they stand in the report: of 100, the 99th.
fn p99(report: &Report, route: &str) -> f64 {
    let mut totals: Vec<u64> =
        report.requests.iter().filter(|request| request.route == route).map(|request| request.total_ns).collect();
    totals.sort_unstable();
    let exact = totals[(totals.len() * 99).div_ceil(100) - 1] as f64;
    let told = report.routes.iter().find(|row| row.route == route).and_then(|row| row.total_ns.as_ref());
    let told = told.expect("there were complete requests").p99;
    // Three digits are told.
    assert!((told / exact - 1.0).abs() < 0.002, "{route}: {told} is told of {exact}");
    exact / 1e9
}

/// The bucket, from and to, that a value falls into.
fn bucket(bounds: &[f64], value: f64) -> (f64, f64) {
    let at = bounds.partition_point(|bound| *bound < value);
    (at.checked_sub(1).map_or(f64::NEG_INFINITY, |below| bounds[below]), bounds[at])
}

#[test]
fn scraped_by_prometheus() {
    both_ways(|capture| {
        let flags = ["--prometheus", "127.0.0.1:0", "--service-name", "shop"];
        let run = Run::of(LATENCY_LAB, capture).flags(flags).start();
        let port = metrics_port(&run);
        let prometheus = Prometheus::start(port);
        let mut client = run.connect();
        for (path, requests, ..) in SENT {
            for _ in 0..requests {
                client.get(path);
            }
        }
        drop(client);
        let expected: BTreeMap<_, _> = SENT
            .iter()
            .map(|(_, requests, route, status)| (((*route).to_owned(), (*status).to_owned()), *requests as u64))
            .collect();
        let mut seen = BTreeMap::new();
        let complete = poll(LONG, || {
            seen = counts(&prometheus);
            (seen == expected).then_some(())
        });
        assert!(complete.is_some(), "{seen:#?}\n{}", prometheus.log());

        let quantiles =
            prometheus.query(&format!("histogram_quantile(0.99, sum by (le, http_route) ({DURATION}_bucket))"));
        let quantiles: HashMap<_, _> =
            quantiles.iter().map(|sample| (sample.label("http_route").to_owned(), sample.value)).collect();
        let mut bounds: Vec<f64> = prometheus
            .query(&format!("count by (le) ({DURATION}_bucket)"))
            .iter()
            .map(|sample| sample.label("le").parse().expect("a bound"))
            .collect();
        bounds.sort_unstable_by(f64::total_cmp);
        let sum = prometheus.value(&format!("sum({DURATION}_sum)"));
        let phases = prometheus.query("sum by (cargo_beyla_phase) (cargo_beyla_request_phase_duration_seconds_count)");
        let joined = prometheus.query(&format!(
            "sum by (service_name) ({DURATION}_count * on (job, instance) group_left (service_name) target_info)"
        ));
        assert!(prometheus.value("process_cpu_time_seconds_total{cpu_mode=\"user\"}") >= 0.0);
        assert!(prometheus.value("process_memory_usage_bytes") > 100_000.0);
        promtool_is_content(&scrape(port, "text/plain"));

        let finished = run.let_go();
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        let report = finished.report();
        for (_, _, route, _) in SENT {
            let quantile = quantiles[route];
            let (from, to) = bucket(&bounds, p99(&report, route));
            assert!(from <= quantile && quantile <= to, "{route}: {quantile} s is not from {from} to {to}");
        }
        let total = report.requests.iter().map(|request| request.total_ns as f64).sum::<f64>() / 1e9;
        assert!((sum / total - 1.0).abs() < 1e-6, "{sum} is not {total}");
        let mut phases: Vec<_> =
            phases.iter().map(|sample| (sample.label("cargo_beyla_phase"), sample.value)).collect();
        phases.sort_unstable_by_key(|(phase, _)| *phase);
        let all = report.requests.len() as f64;
        assert_eq!(phases, ["handle", "queue", "receive", "respond"].map(|phase| (phase, all)));
        let [shop] = &joined[..] else { panic!("{joined:#?}") };
        assert_eq!((shop.label("service_name"), shop.value), ("shop", all));
        report
    });
}

#[test]
fn exemplars_lead_to_traces() {
    both_ways(|capture| {
        let receiver = beyla_tests::receiver::Receiver::start();
        let flags = ["--prometheus", "127.0.0.1:0", "--jaeger", &receiver.address.to_string()];
        let run = Run::of(LATENCY_LAB, capture).flags(flags).start();
        let port = metrics_port(&run);
        let prometheus = Prometheus::start(port);
        let mut client = run.connect();
        for _ in 0..20 {
            client.get("/fast");
            client.get("/sleep?ms=20");
        }
        drop(client);
        let mut exemplars = Vec::new();
        let found = poll(LONG, || {
            exemplars = prometheus.exemplars(&format!("{DURATION}_bucket"));
            (exemplars.len() >= 2).then_some(())
        });
        assert!(found.is_some(), "{exemplars:#?}\n{}", prometheus.log());
        assert!(!scrape(port, "text/plain").contains(" # {"), "the older format has none");
        assert!(scrape(port, "application/openmetrics-text").contains(" # {trace_id=\""));
        let report = run.stop();
        for exemplar in exemplars {
            let (trace, span) = (exemplar.label("trace_id"), exemplar.label("span_id"));
            let is_it = |id: &Option<String>, of: &str| id.as_deref() == Some(of);
            let request = report.requests.iter().find(|r| is_it(&r.trace_id, trace) && is_it(&r.span_id, span));
            let request = request.unwrap_or_else(|| panic!("no such request: {exemplar:#?}"));
            let seconds = request.total_ns as f64 / 1e9;
            assert!((exemplar.value / seconds - 1.0).abs() < 1e-9, "{exemplar:#?} {request:#?}");
        }
        report
    });
}

/// Names and values as they should not be: each character of ASCII and some others in both, names that collide with
/// each other and with labels of ours, and what a generator thinks of.
fn hostile_attributes(seed: u64) -> String {
    let percent_encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
    let mut state = seed;
    let mut random = |below: usize| {
        // Knuth's generator, whose upper bits are good.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut pairs: Vec<(String, String)> = [
        ("team.name", "a"),
        ("team_name", "b"),
        ("9lives", "x"),
        ("le", "0.5"),
        ("quantile", "0.5"),
        ("job", "j"),
        ("instance", "i"),
        ("__name__", "up"),
        ("_", ""),
        ("größe", "größe"),
        ("teamName", "camel"),
        ("http.route", "\"\\\n{}#"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let characters: Vec<char> = (1..128).chain([0, 0xe9, 0x2028, 0x1f600]).filter_map(char::from_u32).collect();
    for character in &characters {
        pairs.push((format!("{character}"), format!("{character}")));
        pairs.push((format!("a{character}B"), format!("\\{character}\"")));
    }
    for _ in 0..200 {
        let text: Vec<char> = (0..=random(6)).map(|_| characters[random(characters.len())]).collect();
        pairs.push((text.iter().collect(), text.iter().rev().collect()));
    }
    let pairs = pairs.iter().map(|(name, value)| format!("{}={}", percent_encoded(name), percent_encoded(value)));
    pairs.collect::<Vec<_>>().join(",")
}

#[test]
fn no_attribute_breaks_what_is_scraped() {
    let folder = beyla_tests::fixture::folder(&[(
        "beyla.yml",
        "routes: {unmatched: path}\nattributes: {select: {'*': {include: ['*']}}}\n",
    )]);
    let configuration = folder.path().join("beyla.yml").display().to_string();
    for seed in [1, 2] {
        let flags = ["--prometheus", "127.0.0.1:0", "--config", &configuration];
        let run = Run::of(LATENCY_LAB, Capture::Auto).flags(flags);
        let run = run.environment("OTEL_RESOURCE_ATTRIBUTES", hostile_attributes(seed)).start();
        let port = metrics_port(&run);
        let prometheus = Prometheus::start(port);
        for byte in 0x21..=0xff_u8 {
            let head = [b"GET /a\\n\"", &[byte][..], b"{}# HTTP/1.1\r\nhost: x\r\n\r\n"].concat();
            // It may refuse it, and close the connection.
            run.connect().send(head).response();
        }
        let counted = format!("{DURATION}_count");
        let complete = poll(LONG, || {
            let page = scrape(port, "text/plain");
            let served = page.lines().filter(|line| line.starts_with(&counted)).count();
            (served > 50 && prometheus.query(&counted).len() == served).then_some(())
        });
        assert!(complete.is_some(), "it does not take all:\n{}", prometheus.log());
        let told = prometheus.query("target_info").pop().expect("it is there");
        assert_eq!(told.label("_9lives"), "x");
        assert!(told.label("team_name").contains("a;") && told.label("exported_le").contains("0.5"), "{told:#?}");
        assert_eq!((told.label("exported_job"), told.label("exported_instance")), ("j", "i"));
        assert!(told.label("service_name") == "latency_lab" && told.label("team_Name").contains("camel"), "{told:#?}");
        promtool_is_content(&scrape(port, "text/plain"));
        run.stop();
    }
}
