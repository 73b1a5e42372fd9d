//! A small shop of books, to show what `cargo beyla test` makes of its tests.

use std::time::Duration;

use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

/// The shelf: the id of a book is its place here.
const BOOKS: [&str; 4] = ["The Art of War", "Walden", "Middlemarch", "Frankenstein"];

/// How long a search takes, which blocks where it should await: the slow route that there is to find.
const SEARCH: Duration = Duration::from_millis(20);

/// A book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// Its number.
    pub id: usize,
    /// What it is called.
    pub title: String,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The number of the book.
    pub book: usize,
    /// How many.
    pub copies: u32,
}

/// What is searched for.
#[derive(Debug, Deserialize)]
struct Search {
    q: String,
}

/// The application; each request for one book takes `delay` longer than it must.
pub fn app(delay: Duration) -> Router {
    let book = move |Path(id)| async move {
        tokio::time::sleep(delay).await;
        shelf().nth(id).map(Json).ok_or(StatusCode::NOT_FOUND)
    };
    Router::new()
        .route("/books", get(books))
        .route("/books/{id}", get(book))
        .route("/search", get(search))
        .route("/orders", post(order))
}

/// What `BOOKSHOP_DELAY_MS` says, or nothing at all.
pub fn delay() -> Duration {
    let milliseconds = std::env::var("BOOKSHOP_DELAY_MS").ok().and_then(|text| text.parse().ok());
    Duration::from_millis(milliseconds.unwrap_or(0))
}

/// What so many copies cost, in cents: from ten on a tenth less.
pub fn price(order: &Order) -> u64 {
    let full = u64::from(order.copies) * 1200;
    if order.copies >= 10 { full - full / 10 } else { full }
}

fn shelf() -> impl Iterator<Item = Book> {
    BOOKS.iter().enumerate().map(|(id, title)| Book { id, title: (*title).to_owned() })
}

async fn books() -> Json<Vec<Book>> {
    Json(shelf().collect())
}

async fn search(Query(Search { q }): Query<Search>) -> Json<Vec<Book>> {
    std::thread::sleep(SEARCH);
    Json(shelf().filter(|book| book.title.contains(&q)).collect())
}

async fn order(Json(order): Json<Order>) -> (StatusCode, String) {
    if order.book >= BOOKS.len() {
        return (StatusCode::UNPROCESSABLE_ENTITY, "no such book\n".to_owned());
    }
    (StatusCode::CREATED, format!("{} cents\n", price(&order)))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    #[test]
    fn ten_copies_are_cheaper() {
        assert_eq!(price(&Order { book: 0, copies: 1 }), 1200);
        assert_eq!(price(&Order { book: 0, copies: 10 }), 10_800);
    }

    /// No socket: nothing of this is seen from outside.
    #[tokio::test]
    async fn called_in_process() {
        let request = Request::get("/books/1").body(Body::empty()).expect("a request");
        let response = app(Duration::ZERO).oneshot(request).await.expect("it never fails");
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(serde_json::from_slice::<Book>(&body).expect("a book").title, "Walden");
    }
}
