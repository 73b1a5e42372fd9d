//! Orders in SQLite: a database in the memory of this process, so that nothing has to be installed.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};

use crate::failure::Failure;
use crate::healthy::NewOrder;

/// The database, which all requests share.
#[derive(Clone)]
pub(crate) struct Sqlite(Arc<Mutex<Connection>>);

impl Sqlite {
    /// Makes the tables, and the orders 1 to 100 with as many items as their number says.
    pub(crate) fn open() -> rusqlite::Result<Self> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT NOT NULL);
             CREATE TABLE items (
                 order_id INTEGER REFERENCES orders, line INTEGER, cents INTEGER NOT NULL, PRIMARY KEY (order_id, line)
             );
             WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100)
             INSERT INTO orders SELECT n, 'customer ' || n FROM numbers;
             WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100)
             INSERT INTO items SELECT id, n, 100 * n FROM orders JOIN numbers ON n <= id;",
        )?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Asks in the blocking pool: a worker of the runtime must not wait for a database.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let connection = Arc::clone(&self.0);
        let asked = tokio::task::spawn_blocking(move || {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            ask(&mut connection)
        });
        Ok(asked.await??)
    }

    /// Whose order it is, if there is one.
    pub(crate) async fn customer(&self, id: i64) -> Result<Option<String>, Failure> {
        let statement = "SELECT customer FROM orders WHERE id = ?1";
        self.ask(move |connection| connection.query_row(statement, [id], |row| row.get(0)).optional()).await
    }

    /// The price of one item.
    pub(crate) async fn price(&self, id: i64, line: i64) -> Result<i64, Failure> {
        let statement = "SELECT cents FROM items WHERE order_id = ?1 AND line = ?2";
        self.ask(move |connection| connection.query_row(statement, [id, line], |row| row.get(0))).await
    }

    /// The prices of all items of an order.
    pub(crate) async fn prices(&self, id: i64) -> Result<Vec<i64>, Failure> {
        let prices = move |connection: &mut Connection| {
            let mut statement = connection.prepare("SELECT cents FROM items WHERE order_id = ?1")?;
            statement.query_map([id], |row| row.get(0))?.collect()
        };
        self.ask(prices).await
    }

    /// The orders of a customer, whose name stands in the text of the statement.
    pub(crate) async fn search(&self, statement: String) -> Result<Vec<i64>, Failure> {
        let search = move |connection: &mut Connection| {
            connection.prepare(&statement)?.query_map([], |row| row.get(0))?.collect()
        };
        self.ask(search).await
    }

    /// Takes an order, in one transaction.
    pub(crate) async fn create(&self, order: NewOrder) -> Result<i64, Failure> {
        let create = move |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            transaction
                .execute("INSERT INTO orders (id, customer) VALUES (?1, ?2)", params![order.id, order.customer])?;
            // All lines by one statement.
            let rows: Vec<String> =
                (1..).zip(&order.cents).map(|(line, cents)| format!("({}, {line}, {cents})", order.id)).collect();
            if !rows.is_empty() {
                transaction.execute(&format!("INSERT INTO items VALUES {}", rows.join(", ")), [])?;
            }
            transaction.commit()?;
            Ok(order.id)
        };
        self.ask(create).await
    }
}
