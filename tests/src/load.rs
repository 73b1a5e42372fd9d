//! Many requests.

use crate::client::Client;

/// Sends a request without body `each` times over each of `connections` connections that stay open,
/// all connections at the same time; returns once all are answered with 200.
pub fn keep_alive(port: u16, connections: usize, each: usize, target: &str) {
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut client = Client::connect(port);
                for _ in 0..each {
                    assert_eq!(client.get(target).status, 200);
                }
            });
        }
    });
}
