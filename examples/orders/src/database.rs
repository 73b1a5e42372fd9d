//! The tables.

use sqlx::PgPool;

/// Makes them, and the orders 1 to 100 with as many items as their number says.
pub(crate) async fn create_tables(pool: &PgPool) -> Result<(), sqlx::Error> {
    for statement in [
        "CREATE TABLE IF NOT EXISTS orders (id BIGINT PRIMARY KEY, customer TEXT NOT NULL)",
        "CREATE TABLE IF NOT EXISTS items (
             order_id BIGINT REFERENCES orders, line BIGINT, cents BIGINT NOT NULL, PRIMARY KEY (order_id, line)
         )",
        "INSERT INTO orders SELECT id, 'customer ' || id FROM generate_series(1, 100) AS id ON CONFLICT DO NOTHING",
        "INSERT INTO items SELECT id, line, 100 * line FROM orders, generate_series(1, id) AS line
         WHERE id <= 100 ON CONFLICT DO NOTHING",
    ] {
        sqlx::query(statement).execute(pool).await?;
    }
    Ok(())
}
