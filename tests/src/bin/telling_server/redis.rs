//! Secrets in commands.

use redis::cmd;

use crate::Failure;

/// Each command with its arguments.
const COMMANDS: &[&[&str]] = &[
    &["SET", "session:7741093", "hunter2-value"],
    &["HSET", "user:7741093", "password", "hunter2-field"],
    &["MSET", "hunter2-key", "hunter2-value", "other", "hunter2-other"],
    &["GET", "session:hunter2-name"],
    &["EVAL", "return 'hunter2-script'", "1", "hunter2-evaluated", "hunter2-argument"],
    &["ACL", "SETUSER", "alice", "on", ">hunter2-acl"],
    &["CLIENT", "SETNAME", "hunter2-client"],
    &["PUBLISH", "hunter2-channel", "hunter2-message"],
    &["XADD", "stream:7741093", "*", "token", "hunter2-entry"],
    &["ECHO", "hunter2-echo"],
];

/// Whose error repeats what was sent.
const FAILING: &[&[&str]] =
    &[&["AUTH", "hunter2-wrong"], &["hunter2-unknown", "hunter2"], &["INCR", "session:7741093"]];

pub(crate) async fn tell(url: &str) -> Result<(), Failure> {
    let client = redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let password = client.get_connection_info().redis_settings().password().unwrap_or_default();
    let (set, auth) = (["CONFIG", "SET", "requirepass", password], ["AUTH", "default", password]);
    for command in [&set[..], &auth].iter().chain(COMMANDS) {
        cmd(command[0]).arg(&command[1..]).query_async::<redis::Value>(&mut connection).await?;
    }
    for command in FAILING {
        let answer = cmd(command[0]).arg(&command[1..]).query_async::<redis::Value>(&mut connection).await;
        assert!(answer.is_err(), "{command:?}");
    }
    Ok(())
}
