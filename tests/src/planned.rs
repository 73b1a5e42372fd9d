//! Requests whose calls are known before they are made, since the text of each call names its request.

/// What all statements ask for.
const VALUE: &str = "123456";

/// Who makes a call, and so how: `SQLx` and `mysql_async` on a connection that the calling task uses itself, the others on
/// one that a task of its own works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// To PostgreSQL.
    Sqlx,
    /// To Redis, all over one connection.
    Redis,
    /// To `prices`.
    Reqwest,
    /// To MariaDB, by `SQLx`: in binary, of prepared statements.
    SqlxMysql,
    /// To MariaDB, by `mysql_async`: in text.
    MysqlAsync,
}

/// How a request makes its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Its task makes one after the other.
    InTurn,
    /// Its task makes all at the same time.
    Together,
    /// It spawns a task for each, one after the other.
    Spawned,
}

/// A call that a request is to make.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Who makes it.
    pub library: Library,
    /// The statement, the key that is to be read, or the path.
    pub asked: String,
}

/// How a request makes its calls.
pub fn order(request: usize) -> Order {
    [Order::InTurn, Order::Together, Order::Spawned][request / 5 % 3]
}

/// The calls of a request: one to five, of all libraries by turns.
pub fn calls(request: usize) -> impl Iterator<Item = Planned> {
    (0..=request % 5).map(move |place| match (request + place) % 3 {
        0 => Planned { library: Library::Sqlx, asked: format!("SELECT {VALUE} AS request_{request}_{place}") },
        1 => {
            let key = format!("request:{}:{}:value", letters(request), letters(place));
            Planned { library: Library::Redis, asked: key }
        }
        _ => Planned { library: Library::Reqwest, asked: format!("/prices/{request}/{place}") },
    })
}

/// The calls of a request to MariaDB: one to five, of both libraries by turns.
pub fn calls_of_mysql(request: usize) -> impl Iterator<Item = Planned> {
    (0..=request % 5).map(move |place| {
        let library = if (request + place).is_multiple_of(2) { Library::SqlxMysql } else { Library::MysqlAsync };
        Planned { library, asked: format!("SELECT {VALUE} AS request_{request}_{place}") }
    })
}

impl Planned {
    /// `kind` in the report.
    pub fn kind(&self) -> &'static str {
        match self.library {
            Library::Sqlx => "postgresql",
            Library::SqlxMysql | Library::MysqlAsync => "mysql",
            Library::Redis => "redis",
            Library::Reqwest => "http",
        }
    }

    /// `summary` in the report.
    pub fn summary(&self) -> &'static str {
        match self.library {
            Library::Sqlx | Library::SqlxMysql | Library::MysqlAsync => "SELECT",
            Library::Redis => "GET",
            Library::Reqwest => "GET /prices/{id}/{id}",
        }
    }

    /// `text` in the report: without values.
    pub fn text(&self) -> String {
        match self.library {
            Library::Sqlx | Library::SqlxMysql | Library::MysqlAsync => self.asked.replace(VALUE, "?"),
            Library::Redis => format!("GET {}", self.asked.replace(":value", ":?")),
            Library::Reqwest => format!("GET {}", self.asked),
        }
    }

    /// `status` in the report.
    pub fn status(&self) -> Option<&'static str> {
        (self.library == Library::Reqwest).then_some("200")
    }
}

/// A number in letters, which a report does not take for a value.
fn letters(number: usize) -> String {
    let digit = |digit: char| char::from(b'a' + digit as u8 - b'0');
    number.to_string().chars().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_call_has_a_text_of_its_own() {
        let all: Vec<String> = (0..100).flat_map(calls).map(|call| call.text()).collect();
        assert_eq!((all.len(), all.iter().collect::<HashSet<_>>().len()), (300, 300));
        let texts: Vec<String> = calls(17).map(|call| call.text()).collect();
        assert_eq!(texts, ["GET /prices/17/0", "SELECT ? AS request_17_1", "GET request:bh:c:?"]);
    }
}
