//! The shop, as the server that users run.

mod client;

use bookshop::Order;
use client::Client;

#[test]
fn it_serves_books() {
    let client = Client::of_spawned_server("server it_serves_books");
    assert_eq!(client.get("/books").0, 200);
    for id in 0..3 {
        assert_eq!(client.get(&format!("/books/{id}")).0, 200);
    }
}

#[test]
fn it_takes_orders() {
    let client = Client::of_spawned_server("server it_takes_orders");
    for copies in 1..=5 {
        assert_eq!(client.order(&Order { book: 0, copies }).0, 201);
    }
}

#[test]
fn it_searches() {
    let client = Client::of_spawned_server("server it_searches");
    assert!(client.get("/search?q=Frank").1.contains("Frankenstein"));
}

#[test]
fn it_knows_no_other_paths() {
    let client = Client::of_spawned_server("server it_knows_no_other_paths");
    assert_eq!(client.get("/nowhere").0, 404);
    assert_eq!(client.get("/books/x").0, 400);
}
