//! The shop, served by the test's own process.

mod client;

use bookshop::Order;
use client::Client;

#[test]
fn all_books_are_listed() {
    let client = Client::of_own_server("api all_books_are_listed");
    let (status, body) = client.get("/books");
    assert_eq!(status, 200);
    assert!(body.contains("Walden"));
}

#[test]
fn each_book_is_found() {
    let client = Client::of_own_server("api each_book_is_found");
    for id in 0..4 {
        assert_eq!(client.get(&format!("/books/{id}")).0, 200);
    }
}

#[test]
fn a_book_that_is_not_there() {
    let client = Client::of_own_server("api a_book_that_is_not_there");
    assert_eq!(client.get("/books/4").0, 404);
}

#[test]
fn a_search_finds_what_it_should() {
    let client = Client::of_own_server("api a_search_finds_what_it_should");
    assert!(client.get("/search?q=a").1.contains("Walden"));
    assert_eq!(client.get("/search?q=zzz").1, "[]");
}

#[test]
fn an_order_has_its_price() {
    let client = Client::of_own_server("api an_order_has_its_price");
    assert_eq!(client.order(&Order { book: 1, copies: 2 }), (201, "2400 cents\n".to_owned()));
}

#[test]
fn an_order_of_nothing_that_is_there() {
    let client = Client::of_own_server("api an_order_of_nothing_that_is_there");
    assert_eq!(client.order(&Order { book: 9, copies: 1 }).0, 422);
}

#[test]
fn many_requests_on_one_connection() {
    let client = Client::of_own_server("api many_requests_on_one_connection");
    for id in 0..50 {
        assert_eq!(client.get(&format!("/books/{}", id % 4)).0, 200);
    }
}

#[test]
fn several_clients_at_once() {
    let client = Client::of_own_server("api several_clients_at_once");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    assert_eq!(client.get("/books/2").0, 200);
                }
            });
        }
    });
}
