//! The client of the tests.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use bookshop::Order;
use ureq::Agent;

/// A client that says in a header which test it is of, by which reports can be checked.
pub(crate) struct Client {
    agent: Agent,
    url: String,
    test: &'static str,
    _server: Option<Server>,
}

/// A server in a process of its own, which ends with this.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

// Each of the test binaries uses one of them.
#[allow(dead_code)]
impl Client {
    /// Of a server in the test's own process.
    pub(crate) fn of_own_server(test: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(async {
                listener.set_nonblocking(true).expect("a socket");
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                axum::serve(listener, bookshop::app(bookshop::delay())).await
            })
        });
        Self { agent: agent(), url, test, _server: None }
    }

    /// Of the server that users run, in a process of its own.
    pub(crate) fn of_spawned_server(test: &'static str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bookshop"));
        let mut server = command.stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut url = String::new();
        let stdout = server.stdout.take().expect("it is a pipe");
        BufReader::new(stdout).read_line(&mut url).expect("the server says where it listens");
        Self { agent: agent(), url: url.trim().to_owned(), test, _server: Some(Server(server)) }
    }

    /// Status and body of a GET.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let request = self.agent.get(format!("{}{path}", self.url)).header("x-test", self.test);
        let mut response = request.call().expect("a response");
        (response.status().as_u16(), response.body_mut().read_to_string().expect("text"))
    }

    /// Status and body of an order.
    pub(crate) fn order(&self, order: &Order) -> (u16, String) {
        let request = self.agent.post(format!("{}/orders", self.url)).header("x-test", self.test);
        let mut response = request.send_json(order).expect("a response");
        (response.status().as_u16(), response.body_mut().read_to_string().expect("text"))
    }
}

fn agent() -> Agent {
    Agent::config_builder().http_status_as_error(false).build().into()
}
