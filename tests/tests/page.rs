//! The page of `--html`, in a browser: held against the JSON report of the same run, and used as people use it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use beyla_tests::alone::alone;
use beyla_tests::browser::Browser;
use beyla_tests::called::prices::Prices;
use beyla_tests::client::get;
use beyla_tests::fixture;
use beyla_tests::held_up::ask_behind_block;
use beyla_tests::run::{Capture, LATENCY_LAB, ORDERS, Run};
use beyla_tests::tool::tool;
use serde_json::{Value, json};
use tempfile::TempDir;

/// It would run a script, were it taken for markup.
const HOSTILE: &str = "/users/</script><img/src=x/onerror=alert(1)>";

/// True once the report is unpacked and shown.
const READY: &str = "document.querySelector('.top')?.hidden === false";

/// What is wrong with the page as it is: text with too little contrast, controls without a name, numbers used twice.
const FAULTS: &str = include_str!("page/faults.js");

/// A run whose page and report lie in a folder.
struct Made {
    folder: TempDir,
    report: Value,
}

impl Made {
    fn page(&self) -> PathBuf {
        self.folder.path().join("page.html")
    }

    fn of(run: Run, play: impl FnOnce(&beyla_tests::run::Running)) -> Self {
        let folder = fixture::folder(&[]);
        let page = folder.path().join("page.html");
        let running = run.flags(["--html".as_ref(), page.as_os_str()]).start();
        play(&running);
        let finished = running.let_go();
        assert_eq!(finished.code(), 0, "{}", finished.stderr);
        let report = serde_json::from_str(finished.json.as_deref().expect("a report")).expect("JSON");
        Self { folder, report }
    }

    fn requests(&self) -> &[Value] {
        list(&self.report["requests"])
    }

    fn request_of(&self, path: &str) -> &Value {
        self.requests().iter().find(|request| request["path"] == path).unwrap_or_else(|| panic!("no {path}"))
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn latency_lab() -> Made {
    let run = Run::of(LATENCY_LAB, Capture::Auto).environment("TOKIO_WORKER_THREADS", "1").explain();
    Made::of(run, |running| {
        let mut client = running.connect();
        for target in ["/fast", "/sleep?ms=20", "/spin?ms=60", "/spawn_blocking?ms=30", "/users/7", "/status/503"] {
            client.get(target);
        }
        for _ in 0..20 {
            assert_eq!(client.get("/fast").status, 200);
        }
        assert_eq!(client.get(&format!("/fast?{}", "q".repeat(10_000))).status, 200);
        let mut waiting = running.connect();
        ask_behind_block(&mut client, || {
            waiting.send(get("/users/8"));
        })
        .over();
        assert_eq!(waiting.response().status, 200);
        // The server refuses it, and the tool reports what was sent.
        running.connect().get(HOSTILE);
    })
}

/// The page has nothing to complain of, and has asked nobody for anything.
fn is_quiet(browser: &mut Browser) {
    assert!(browser.console.is_empty(), "{:#?}", browser.console);
    assert!(browser.asked.is_empty(), "{:#?}", browser.asked);
    assert_eq!(
        browser.evaluate("document.images.length + document.querySelectorAll('iframe, object, embed').length"),
        0
    );
}

fn has_no_faults(browser: &mut Browser) {
    assert_eq!(browser.evaluate(FAULTS), json!([]));
    let unnamed: Vec<_> = browser
        .accessible()
        .into_iter()
        .filter(|(role, name)| {
            ["button", "link", "searchbox", "checkbox", "image", "dialog"].contains(&&**role) && name.is_empty()
        })
        .collect();
    assert!(unnamed.is_empty(), "{unnamed:?}");
}

fn texts(browser: &mut Browser, selector: &str) -> Vec<String> {
    let found = browser.evaluate(&format!("[...document.querySelectorAll({selector:?})].map((one) => one.innerText)"));
    list(&found).iter().map(|text| text.as_str().expect("text").to_owned()).collect()
}

#[test]
fn the_page_of_a_server_shows_what_the_report_says() {
    let made = {
        let _alone = alone();
        latency_lab()
    };
    let mut browser = Browser::start();
    at_a_glance(&made, &mut browser);
    waterfalls(&made, &mut browser);
    flame_graphs(&made, &mut browser);
}

/// Findings, routes, and requests that are filtered.
fn at_a_glance(made: &Made, browser: &mut Browser) {
    browser.show_as(1280, 900, false);
    browser.open(&made.page(), "", READY);

    // Findings come first, each with its cure and the requests that it held up.
    let sections = texts(browser, "main h2");
    assert!(sections[0].starts_with("Findings"), "{sections:?}");
    let findings = texts(browser, ".findings li");
    assert_eq!(findings.len(), list(&made.report["findings"]).len());
    let blocking = findings.iter().find(|finding| finding.contains("GET /block")).expect("it blocks");
    for part in
        ["blocking call:", "std::thread::sleep", "examples/latency_lab/src/handlers.rs:", "use tokio::time::sleep"]
    {
        assert!(blocking.contains(part), "{part}: {blocking}");
    }

    // Routes sort by each column, in both directions.
    let count = made.requests().iter().filter(|request| request["route"] == "/fast").count();
    let routes = |browser: &mut Browser| texts(browser, "#routes tbody tr");
    browser.click("#routes th:nth-child(2) button");
    assert!(routes(browser)[0].contains("GET /fast"), "{:?}", routes(browser));
    assert!(routes(browser)[0].contains(&format!("\t{count}\t")), "{:?}", routes(browser));
    browser.click("#routes th:nth-child(2) button");
    assert!(!routes(browser)[0].contains("GET /fast"));
    assert_eq!(browser.evaluate("document.querySelector('#routes th:nth-child(2)').ariaSort"), "ascending");
    assert_eq!(routes(browser).len(), list(&made.report["routes"]).len());

    // A filter leaves what it names, and a click on a route is one.
    let selected = |browser: &mut Browser| texts(browser, "#selected").remove(0);
    assert_eq!(selected(browser), format!("Shown: all {} requests.", made.requests().len()));
    browser.click("#requests input[type=search]");
    browser.type_text("/USERS/");
    browser.wait_for("document.querySelectorAll('#requests tbody tr').length === 3");
    browser.evaluate("location.hash = '-'");
    browser.click("#requests input[type=checkbox]");
    assert!(selected(browser).starts_with("Selected: 1 of all"), "{}", selected(browser));
    browser.evaluate("location.hash = '-'");
    browser.wait_for("document.querySelector('#selected').innerText.startsWith('Shown: all')");
    browser.click("#routes tbody button[title='GET /block']");
    assert!(selected(browser).starts_with("Selected: 1 of all"), "{}", selected(browser));
    browser.evaluate("location.hash = '-'");
    browser.wait_for("document.querySelector('#selected').innerText.startsWith('Shown: all')");

    // Drawing over all points selects all of them, and a click on the only one there opens it.
    let bounds = browser.evaluate(
        "(() => { const canvas = document.querySelector('.points canvas.brush'); canvas.scrollIntoView({ block: 'center', behavior: 'instant' }); \
         const { left, right, top, bottom } = canvas.getBoundingClientRect(); return [left, right, top, bottom]; })()",
    );
    let [left, right, top, bottom] = [0, 1, 2, 3].map(|at| bounds[at].as_f64().expect("a number"));
    browser.drag([left + 50.0, top + 4.0], [right - 4.0, bottom - 20.0]);
    browser.wait_for("location.hash.includes('from=')");
    browser.evaluate("location.hash = '-'");
    browser.wait_for("document.querySelectorAll('#requests .chip').length === 0");
    has_no_faults(browser);

    // What clients send is text.
    let hostile =
        texts(browser, "#requests tbody td.target").into_iter().filter(|text| text.contains("onerror")).count();
    assert_eq!(hostile, 1);
    is_quiet(browser);
}

/// Each request opens as a waterfall whose bars sum to what the report says.
fn waterfalls(made: &Made, browser: &mut Browser) {
    browser.show_as(1280, 900, true);
    for request in made.requests() {
        browser.open(
            &made.page(),
            &format!("request={}", request["id"]),
            "document.querySelector('dialog')?.open === true",
        );
        let lengths =
            browser.evaluate("[...document.querySelectorAll('dialog .phase i')].map((bar) => Number(bar.dataset.ns))");
        let sum: u64 = list(&lengths).iter().filter_map(Value::as_u64).sum();
        assert_eq!(json!(sum), request["total_ns"], "{request:#}");
        // Bars follow one another, and end where the request does.
        let right = browser.evaluate(
            "(() => { const bars = [...document.querySelectorAll('dialog .phase i')]; const edge = (bar) => bar.offsetLeft + bar.offsetWidth; \
             return bars.length > 0 && bars.every((bar, at) => at === 0 || Math.abs(bar.offsetLeft - edge(bars[at - 1])) <= 2) })()",
        );
        assert_eq!(right, json!(true), "{request:#}");
        if let Some(handle) = request.get("handle") {
            let parts = browser.evaluate(
                "[...document.querySelector('dialog .parts').children].map((bar) => [bar.className, Number(bar.dataset.ns)])",
            );
            for part in list(&parts) {
                assert_eq!(&handle[part[0].as_str().expect("a name")], &part[1]);
            }
            let sum: u64 = list(&parts).iter().filter_map(|part| part[1].as_u64()).sum();
            assert_eq!(json!(sum), request["phases"]["handle"], "{request:#}");
        }
    }

    // The one that waited names the one that held it up, and leads there.
    let (blocked, waited) = (made.request_of("/block"), made.request_of("/users/8"));
    browser.open(&made.page(), &format!("request={}", waited["id"]), "document.querySelector('dialog')?.open === true");
    has_no_faults(browser);
    let dialog = texts(browser, "dialog").remove(0);
    assert!(dialog.contains("by GET /block"), "{dialog}");
    browser.click("dialog .tree .link");
    let id = blocked["id"].to_string();
    browser.wait_for(&format!("location.hash === '#request={id}'"));
    let dialog = texts(browser, "dialog").remove(0);
    let place = &blocked["handle"]["places"][0];
    let place = format!("{}:{}", place["file"].as_str().expect("a file"), place["line"]);
    assert!(dialog.contains(&place) && dialog.contains("std::thread::sleep"), "{dialog}");

    // Arrow keys go on to the next, Escape closes.
    browser.press("ArrowRight");
    browser.wait_for(&format!("location.hash === '#request={}'", blocked["id"].as_u64().expect("a number") + 1));
    browser.press("Escape");
    browser.wait_for("!document.querySelector('dialog').open && location.hash === ''");

    // Names of any length and with anything in them are there whole, as text.
    let long =
        made.requests().iter().find(|request| request["query"].as_str().is_some_and(|query| query.len() == 10_000));
    let id = &long.expect("it was sent")["id"];
    browser.open(&made.page(), &format!("request={id}"), "document.querySelector('dialog')?.open === true");
    let query = texts(browser, "dialog code.long").remove(0);
    assert_eq!(query, "q".repeat(10_000));
    let wide = browser
        .evaluate("document.querySelector('dialog').scrollWidth <= document.querySelector('dialog').clientWidth");
    assert_eq!(wide, json!(true));
    is_quiet(browser);
}

/// The time of all places on the CPU, or off it, of a request or a wait and of all that it waited for.
fn places(of: &Value, is_running: bool) -> u64 {
    let own = list(&of["places"]).iter().filter(|place| (place["cause"] == "running") == is_running);
    let own: u64 = own.filter_map(|place| place["ns"].as_u64()).sum();
    own + list(&of["waits"]).iter().map(|wait| places(wait, is_running)).sum::<u64>()
}

/// Flame graphs have the time of the places.
fn flame_graphs(made: &Made, browser: &mut Browser) {
    browser.show_as(1280, 900, false);
    browser.open(&made.page(), "", READY);
    for (graph, is_running, function) in
        [("#flame-on", true, "handlers::spin"), ("#flame-off", false, "handlers::block")]
    {
        let expected: u64 = made.requests().iter().map(|request| places(&request["handle"], is_running)).sum();
        let root = browser.evaluate(&format!("Number(document.querySelector('{graph} button').dataset.ns)"));
        assert!(expected > 0);
        assert_eq!(root, json!(expected), "{graph}");
        // Each frame has at least the time of all that lies beneath it.
        let frames = texts(browser, &format!("{graph} button"));
        assert!(frames.iter().any(|frame| frame.contains(function)), "{frames:?}");
        browser.click(&format!("{graph} button:nth-child(2)"));
        let zoomed = browser.evaluate(&format!("document.querySelectorAll('{graph} button')[1].style.width"));
        assert_eq!(zoomed, "100%");
    }
    // What is searched is marked, and its share is said.
    browser.open(&made.page(), "frame=handlers::block", READY);
    let found =
        browser.evaluate("[...document.querySelectorAll('#flame-off .found')].map((one) => Number(one.dataset.ns))");
    let blocked = places(&made.request_of("/block")["handle"], false);
    assert!(list(&found).contains(&json!(blocked)), "{found} {blocked}");
    assert!(texts(browser, "#flames").remove(0).contains("is in what was found"));
    // Of another route there is nothing.
    browser.open(&made.page(), "route=GET+/status/%7Bid%7D", READY);
    assert_eq!(browser.evaluate("document.querySelectorAll('#flame-off button').length"), 0);
    is_quiet(browser);
}

#[test]
fn calls_lie_within_their_request() {
    let made = {
        let _alone = alone();
        let prices = Prices::start();
        let run = Run::of(ORDERS, Capture::Auto).environment("PRICES_URL", prices.url()).explain();
        Made::of(run, |running| {
            for path in ["/orders/5", "/together", "/slow"] {
                running.connect().get(path);
            }
        })
    };
    let mut browser = Browser::start();
    browser.show_as(1280, 900, false);
    for path in ["/orders/5", "/together"] {
        let request = made.request_of(path);
        browser.open(
            &made.page(),
            &format!("request={}", request["id"]),
            "document.querySelector('dialog')?.open === true",
        );
        let rows = browser.evaluate(
            "[...document.querySelectorAll('dialog .call')].map((row) => [...row.children].map((bar) => Number(bar.dataset.ns)))",
        );
        let calls: Vec<&Value> = list(&request["calls"])
            .iter()
            .map(|id| list(&made.report["calls"]).iter().find(|call| call["id"] == *id).expect("it is kept"))
            .collect();
        assert!(calls.len() > 1 && list(&rows).len() == calls.len(), "{path}: {rows}");
        for (row, call) in list(&rows).iter().zip(&calls) {
            let sum: u64 = list(row).iter().filter_map(Value::as_u64).sum();
            assert_eq!(json!(sum), call["total_ns"], "{call:#}");
        }
        let inside = browser.evaluate(
            "[...document.querySelectorAll('dialog .call')].every((row) => [...row.children].every((bar) => \
             bar.offsetLeft >= -1 && bar.offsetLeft + bar.offsetWidth <= row.clientWidth + 2))",
        );
        assert_eq!(inside, json!(true));
    }
    has_no_faults(&mut browser);
    browser.open(&made.page(), "", READY);
    let rows = texts(&mut browser, "#calls tbody tr");
    assert_eq!(rows.len(), list(&made.report["call_summaries"]).len(), "{rows:?}");
    is_quiet(&mut browser);
}

#[test]
fn the_page_of_tests_has_their_requests_beneath_them() {
    let folder = fixture::folder(&[]);
    let page = folder.path().join("page.html");
    let finished = {
        let _alone = alone();
        Run::test("bookshop", Capture::Auto).flags(["--html".as_ref(), page.as_os_str()]).to_end()
    };
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let report: Value = serde_json::from_str(finished.json.as_deref().expect("a report")).expect("JSON");
    let mut browser = Browser::start();
    browser.show_as(390, 844, true);
    browser.open(&page, "", READY);
    assert_eq!(texts(&mut browser, "#tests tbody tr").len(), list(&report["tests"]).len());
    let name = texts(&mut browser, "#tests tbody tr:first-child td:first-child").remove(0);
    let test = list(&report["tests"])
        .iter()
        .find(|test| name.contains(test["name"].as_str().expect("a name")))
        .expect("it ran");
    browser.click("#tests .toggle:not([disabled])");
    let beneath = texts(&mut browser, "#tests tr.beneath").len() as u64;
    assert_eq!(json!(beneath.min(51) - 1), json!(test["requests"].as_u64().expect("a number").min(50)));
    // On a phone, nothing but tables is wider than the screen, and those scroll by themselves.
    assert_eq!(browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), json!(true));
    has_no_faults(&mut browser);
    is_quiet(&mut browser);
}

#[test]
fn a_recording_makes_the_same_page_and_a_browser_that_fails_is_a_warning() {
    let folder = fixture::folder(&[]);
    let at = |name: &str| folder.path().join(name);
    let recording = at("recording");
    let made = {
        let _alone = alone();
        let run = Run::of(LATENCY_LAB, Capture::Auto).flags(["--record".as_ref(), recording.as_os_str()]);
        Made::of(run, |running| {
            running.connect().get("/fast");
        })
    };
    let report = |page: &Path, flags: &[&str], browser: Option<(&Path, Option<&str>)>| {
        let mut command = Command::new(tool());
        command.args(["beyla", "report"]).arg(&recording).arg("--html").arg(page).args(flags);
        // Nothing else is found that would open it, as chromium's package brings it along.
        command.env("PATH", folder.path());
        if let Some((browser, user)) = browser {
            command.env("BROWSER", browser);
            command.envs(user.map(|user| ("SUDO_UID", user)));
        }
        let output = command.output().expect("the tool runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).expect("text")
    };
    let (page, opened) = (at("again.html"), at("opened"));
    report(&page, &[], None);
    let mut browser = Browser::start();
    for page in [&page, &made.page()] {
        browser.open(page, "", READY);
        assert_eq!(texts(&mut browser, "#selected"), ["Shown: the only request."]);
    }

    // Whoever it is, the browser of the user who typed sudo must reach the page.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("it is ours");
    let own = at("browser");
    let own = own.as_path();
    let write = format!(
        "#!/bin/sh\nPATH=/usr/bin:/bin\nid -u >{0}.part && echo \"$1\" >>{0}.part && mv {0}.part {0}\n",
        opened.display()
    );
    fixture::script(own, &write);
    // The tests run as root, for whom no browser is opened.
    let said = report(&page, &["--open"], Some((own, None)));
    assert!(said.contains("warning: the page was not opened: a browser should not run as root"), "{said}");
    assert!(said.contains(&format!("it is in {}", page.display())) && !opened.exists(), "{said}");
    let said = report(&page, &["--open"], Some((own, Some("65534"))));
    assert!(!said.contains("warning:"), "{said}");
    assert_eq!(fs::read_to_string(&opened).expect("it was opened"), format!("65534\n{}\n", page.display()));
    // One that fails is a warning.
    fixture::script(own, "#!/bin/sh\nexit 3\n");
    let said = report(&page, &["--open"], Some((own, Some("65534"))));
    assert_eq!(said.matches("warning:").count(), 1, "{said}");
    assert!(said.contains(&format!("it is in {}", page.display())), "{said}");
}
