//! A headless Chromium that a test drives through two pipes, by the `DevTools` protocol.
//! <https://chromedevtools.github.io/devtools-protocol/>

use std::io::{BufRead as _, BufReader, PipeReader, PipeWriter, Write as _, pipe};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::wait::{self, LONG};

/// No sandbox, as root has none; and nothing that looks for a network or a screen.
const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
];

/// Where Chromium reads commands, and where it writes answers.
const ITS_ENDS: [RawFd; 2] = [3, 4];

/// A browser with one page.
pub struct Browser {
    child: Child,
    commands: PipeWriter,
    answers: Receiver<Value>,
    last_id: u64,
    session: Option<String>,
    /// What the page, or the browser about the page, has written to the console, and exceptions that nobody caught.
    pub console: Vec<String>,
    /// The addresses that were asked for over a network.
    pub asked: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    /// Starts it with an empty profile.
    pub fn start() -> Self {
        let profile = crate::fixture::folder(&[]);
        let (commands_read, commands) = pipe().expect("a pipe");
        let (answers_read, answers) = pipe().expect("a pipe");
        let mut command = Command::new("chromium");
        command.args(FLAGS).arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let ends = [commands_read.as_raw_fd(), answers.as_raw_fd()];
        // SAFETY: system calls on descriptors that are open. Each is moved out of the way of the other first.
        unsafe {
            command.pre_exec(move || {
                let aside = ends.map(|end| libc::fcntl(end, libc::F_DUPFD_CLOEXEC, 10));
                for (from, to) in aside.into_iter().zip(ITS_ENDS) {
                    if from < 0 || libc::dup2(from, to) < 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                Ok(())
            })
        };
        let child = command.spawn().expect("chromium starts: Debian has it in the package of this name");
        drop((commands_read, answers));
        let mut browser = Self {
            child,
            commands,
            answers: read(answers_read),
            last_id: 0,
            session: None,
            console: Vec::new(),
            asked: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        browser.session = browser.call("Target.attachToTarget", &attach)["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    /// The size of the window, and whether the user prefers dark colours.
    pub fn show_as(&mut self, width: u32, height: u32, is_dark: bool) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
        let scheme = if is_dark { "dark" } else { "light" };
        // What scrolls slowly is not yet where a click is to be.
        let features = [("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")];
        let features = features.map(|(name, value)| json!({ "name": name, "value": value }));
        self.call("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// Opens a file, and waits until `ready` is true there.
    pub fn open(&mut self, file: &Path, fragment: &str, ready: &str) {
        // The same address with another fragment would be no new page.
        self.call("Page.navigate", &json!({ "url": "about:blank" }));
        self.call("Page.navigate", &json!({ "url": format!("file://{}#{fragment}", file.display()) }));
        self.wait_for(ready);
    }

    /// Waits until an expression is true.
    pub fn wait_for(&mut self, expression: &str) {
        let is_true = wait::poll(LONG, || (self.evaluate(expression) == json!(true)).then_some(()));
        assert!(is_true.is_some(), "never true: {expression}\n{:#?}", self.console);
    }

    /// The value of an expression, as far as JSON can tell it.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let question = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", &question);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer:#}");
        answer["result"]["value"].take()
    }

    /// Clicks in the middle of the first element that a selector finds, as a mouse does.
    pub fn click(&mut self, selector: &str) {
        let script = format!(
            "(() => {{ const one = document.querySelector({selector:?}); one.scrollIntoView({{ block: 'center', behavior: 'instant' }}); \
             const {{ x, y, width, height }} = one.getBoundingClientRect(); return [x + Math.min(width, innerWidth) / 2, y + height / 2]; }})()"
        );
        let place = self.evaluate(&script);
        let (x, y) = (place[0].as_f64().expect("a place"), place[1].as_f64().expect("a place"));
        self.drag([x, y], [x, y]);
    }

    /// Presses the mouse's button at one place of the window, and releases it at another.
    pub fn drag(&mut self, from: [f64; 2], to: [f64; 2]) {
        // What was scrolled is where it is said to be once it has been drawn.
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))");
        for (kind, [x, y], buttons) in
            [("mouseMoved", from, 0), ("mousePressed", from, 1), ("mouseMoved", to, 1), ("mouseReleased", to, 0)]
        {
            let button = if kind == "mouseMoved" { "none" } else { "left" };
            let event = json!({ "type": kind, "x": x, "y": y, "button": button, "buttons": buttons, "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", &event);
        }
    }

    /// Presses a key.
    pub fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            let code = match key {
                "Enter" => 13,
                "Escape" => 27,
                "ArrowLeft" => 37,
                "ArrowRight" => 39,
                "ArrowDown" => 40,
                _ => 0,
            };
            let mut event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if key == "Enter" && kind == "keyDown" {
                event["text"] = json!("\r");
            }
            self.call("Input.dispatchKeyEvent", &event);
        }
    }

    /// Types a text into what has the focus.
    pub fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", &json!({ "text": text }));
    }

    /// Role and name of each node that assistive technology is shown.
    pub fn accessible(&mut self) -> Vec<(String, String)> {
        let tree = self.call("Accessibility.getFullAXTree", &json!({}));
        let nodes = tree["nodes"].as_array().expect("nodes").iter().filter(|node| node["ignored"] != json!(true));
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        nodes.map(|node| (text(&node["role"]), text(&node["name"]))).collect()
    }

    /// Sends a command, and takes notes of what the browser tells until it answers.
    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&message).expect("JSON");
        bytes.push(0);
        self.commands.write_all(&bytes).expect("chromium reads");
        let began = Instant::now();
        loop {
            let left = LONG.saturating_sub(began.elapsed());
            let mut message = self.answers.recv_timeout(left).unwrap_or_else(|_| panic!("no answer to {method}"));
            if message["id"] == json!(self.last_id) {
                assert!(message.get("error").is_none(), "{method}: {message:#}");
                return message["result"].take();
            }
            self.note(&message);
        }
    }

    fn note(&mut self, event: &Value) {
        let parameters = &event["params"];
        match event["method"].as_str() {
            Some("Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded") => {
                self.console.push(parameters.to_string());
            }
            Some("Network.requestWillBeSent") => {
                let url = parameters["request"]["url"].as_str().unwrap_or_default();
                if !["file:", "data:", "about:", "blob:"].iter().any(|local| url.starts_with(local)) {
                    self.asked.push(url.to_owned());
                }
            }
            _ => {}
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // SAFETY: numbers; the group is that of our own child, who was not waited for.
        unsafe { libc::kill(-(self.child.id() as i32), libc::SIGKILL) };
        let _ = self.child.wait();
    }
}

/// What comes out of the pipe; each message ends with a zero.
fn read(answers: PipeReader) -> Receiver<Value> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut answers = BufReader::new(answers);
        let mut message = Vec::new();
        while answers.read_until(0, &mut message).is_ok_and(|read| read > 0) {
            message.pop();
            let parsed = serde_json::from_slice(&message);
            message.clear();
            if parsed.is_ok_and(|parsed| sender.send(parsed).is_err()) {
                return;
            }
        }
    });
    receiver
}
