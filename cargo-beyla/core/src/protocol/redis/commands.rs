//! Commands: where their keys stand, and which of them are not answered as others are.
//! <https://redis.io/docs/latest/commands/>; `COMMAND` of a server lists the same.

/// What is known of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It has no key, or it is not known where.
    Alone,
    /// Its first key is the argument at this place.
    KeyAt(usize),
    /// Its first key is the argument at this place, if the number before it is not 0.
    KeyBehindCount(usize),
    /// The word behind the name says what it does; the key, if there is one, is the argument at this place.
    Container(usize),
    /// Its first key stands behind `STREAMS`; it waits if `BLOCK` stands before that.
    Streams,
    /// Messages of channels come from here on, without being asked for.
    Subscription,
    /// It makes the connection one that is not read.
    TakesOver,
}

/// Names are longer nowhere, in bytes.
pub(super) const NAME_MAX: usize = 32;

const TAKES_OVER: [&str; 4] = ["MONITOR", "SYNC", "PSYNC", "REPLCONF"];

const SUBSCRIPTIONS: [&str; 6] =
    ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"];

const CONTAINERS: [&str; 12] = [
    "ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "FUNCTION", "LATENCY", "MODULE", "PUBSUB", "SCRIPT", "SLOWLOG",
    "DEBUG",
];

const CONTAINERS_WITH_KEY: [&str; 4] = ["MEMORY", "OBJECT", "XGROUP", "XINFO"];

/// The key is the first argument.
const KEY_FIRST: &[&str] = &[
    "APPEND",
    "BITCOUNT",
    "BITFIELD",
    "BITFIELD_RO",
    "BITPOS",
    "BLMOVE",
    "BLPOP",
    "BRPOP",
    "BRPOPLPUSH",
    "BZPOPMAX",
    "BZPOPMIN",
    "COPY",
    "DECR",
    "DECRBY",
    "DEL",
    "DUMP",
    "EXISTS",
    "EXPIRE",
    "EXPIREAT",
    "EXPIRETIME",
    "GEOADD",
    "GEODIST",
    "GEOHASH",
    "GEOPOS",
    "GEORADIUS",
    "GEORADIUSBYMEMBER",
    "GEOSEARCH",
    "GEOSEARCHSTORE",
    "GET",
    "GETBIT",
    "GETDEL",
    "GETEX",
    "GETRANGE",
    "GETSET",
    "HDEL",
    "HEXISTS",
    "HEXPIRE",
    "HEXPIREAT",
    "HGET",
    "HGETALL",
    "HGETDEL",
    "HGETEX",
    "HINCRBY",
    "HINCRBYFLOAT",
    "HKEYS",
    "HLEN",
    "HMGET",
    "HMSET",
    "HPERSIST",
    "HPEXPIRE",
    "HPTTL",
    "HRANDFIELD",
    "HSCAN",
    "HSET",
    "HSETEX",
    "HSETNX",
    "HSTRLEN",
    "HTTL",
    "HVALS",
    "INCR",
    "INCRBY",
    "INCRBYFLOAT",
    "LCS",
    "LINDEX",
    "LINSERT",
    "LLEN",
    "LMOVE",
    "LPOP",
    "LPOS",
    "LPUSH",
    "LPUSHX",
    "LRANGE",
    "LREM",
    "LSET",
    "LTRIM",
    "MGET",
    "MOVE",
    "MSET",
    "MSETNX",
    "PERSIST",
    "PEXPIRE",
    "PEXPIREAT",
    "PEXPIRETIME",
    "PFADD",
    "PFCOUNT",
    "PFMERGE",
    "PSETEX",
    "PTTL",
    "PUBLISH",
    "RENAME",
    "RENAMENX",
    "RESTORE",
    "RPOP",
    "RPOPLPUSH",
    "RPUSH",
    "RPUSHX",
    "SADD",
    "SCARD",
    "SDIFF",
    "SDIFFSTORE",
    "SET",
    "SETBIT",
    "SETEX",
    "SETNX",
    "SETRANGE",
    "SINTER",
    "SINTERSTORE",
    "SISMEMBER",
    "SMEMBERS",
    "SMISMEMBER",
    "SMOVE",
    "SORT",
    "SORT_RO",
    "SPOP",
    "SPUBLISH",
    "SRANDMEMBER",
    "SREM",
    "SSCAN",
    "STRLEN",
    "SUBSTR",
    "SUNION",
    "SUNIONSTORE",
    "TOUCH",
    "TTL",
    "TYPE",
    "UNLINK",
    "WATCH",
    "XACK",
    "XACKDEL",
    "XADD",
    "XAUTOCLAIM",
    "XCLAIM",
    "XDEL",
    "XDELEX",
    "XLEN",
    "XPENDING",
    "XRANGE",
    "XREVRANGE",
    "XSETID",
    "XTRIM",
    "ZADD",
    "ZCARD",
    "ZCOUNT",
    "ZDIFFSTORE",
    "ZINCRBY",
    "ZINTERSTORE",
    "ZLEXCOUNT",
    "ZMSCORE",
    "ZPOPMAX",
    "ZPOPMIN",
    "ZRANDMEMBER",
    "ZRANGE",
    "ZRANGEBYLEX",
    "ZRANGEBYSCORE",
    "ZRANGESTORE",
    "ZRANK",
    "ZREM",
    "ZREMRANGEBYLEX",
    "ZREMRANGEBYRANK",
    "ZREMRANGEBYSCORE",
    "ZREVRANGE",
    "ZREVRANGEBYLEX",
    "ZREVRANGEBYSCORE",
    "ZREVRANK",
    "ZSCAN",
    "ZSCORE",
    "ZUNIONSTORE",
];

/// The names of modules whose commands have their key first.
const MODULES: [&str; 6] = ["JSON.", "BF.", "CF.", "CMS.", "TOPK.", "TDIGEST."];

/// What is known of a command by its name in capitals.
pub(super) fn known(name: &str) -> Known {
    match name {
        "BITOP" => Known::KeyAt(2),
        "MIGRATE" => Known::KeyAt(3),
        "EVAL" | "EVAL_RO" | "EVALSHA" | "EVALSHA_RO" | "FCALL" | "FCALL_RO" | "BLMPOP" | "BZMPOP" => {
            Known::KeyBehindCount(3)
        }
        "LMPOP" | "ZMPOP" | "SINTERCARD" | "ZINTERCARD" | "ZINTER" | "ZUNION" | "ZDIFF" => Known::KeyBehindCount(2),
        "XREAD" | "XREADGROUP" => Known::Streams,
        _ if KEY_FIRST.contains(&name) || MODULES.iter().any(|module| name.starts_with(module)) => Known::KeyAt(1),
        _ if CONTAINERS.contains(&name) => Known::Container(0),
        _ if CONTAINERS_WITH_KEY.contains(&name) => Known::Container(2),
        _ if SUBSCRIPTIONS.contains(&name) => Known::Subscription,
        _ if TAKES_OVER.contains(&name) => Known::TakesOver,
        _ => Known::Alone,
    }
}

/// Whether clients send it by themselves when they have opened a connection.
pub(super) fn opens(name: &str) -> bool {
    matches!(name, "HELLO" | "AUTH" | "CLIENT" | "SELECT" | "READONLY")
}

/// Whether an array with this word first is a message of a channel, or the answer to a subscription.
pub(super) fn is_pushed(word: &[u8]) -> bool {
    let lower = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    ["message", "pmessage", "smessage"].into_iter().any(lower) || SUBSCRIPTIONS.into_iter().any(lower)
}
