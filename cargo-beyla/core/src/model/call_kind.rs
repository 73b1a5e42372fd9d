//! The protocols of outbound calls.

/// What a call asks for: the protocol, as reports name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallKind {
    /// A request of HTTP.
    Http,
    /// A call of gRPC.
    Grpc,
    /// A statement of PostgreSQL.
    Postgresql,
    /// A statement of MySQL or MariaDB.
    Mysql,
    /// A command of Redis.
    Redis,
    /// A statement that SQLite executes within the process.
    Sqlite,
    /// A command of MongoDB.
    Mongodb,
    /// A turn of a protocol that is not read: what the process sent before the peer answered, and the answer.
    Tcp,
}

impl CallKind {
    /// Its name in reports; for a database, also the value of `db.system.name` in OpenTelemetry's conventions.
    pub fn label(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::Postgresql => "postgresql",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
            Self::Sqlite => "sqlite",
            Self::Mongodb => "mongodb",
            Self::Tcp => "tcp",
        }
    }

    /// Whether it asks a database, or a cache.
    pub fn is_database(self) -> bool {
        match self {
            Self::Postgresql | Self::Mysql | Self::Redis | Self::Mongodb | Self::Sqlite => true,
            Self::Http | Self::Grpc | Self::Tcp => false,
        }
    }

    /// Whether it is a statement in SQL.
    pub fn is_sql(self) -> bool {
        matches!(self, Self::Postgresql | Self::Mysql | Self::Sqlite)
    }
}
