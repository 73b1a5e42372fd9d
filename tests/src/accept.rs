//! What the package's own servers do before they speak a protocol.

use std::io;

use tokio::net::{TcpListener, TcpStream};

/// Listens on 127.0.0.1, on the port that `PORT` names or else on this one, and serves each connection in a task of its
/// own. All of it runs on one thread.
///
/// # Errors
/// If `PORT` is no port, or the system refuses.
pub fn each_on_one_thread<S>(port: u16, serve: impl Fn(TcpStream) -> S) -> io::Result<()>
where
    S: Future<Output = ()> + Send + 'static,
{
    let port = std::env::var("PORT").map_or(Ok(port), |port| port.parse()).map_err(io::Error::other)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        println!("listening on http://{}", listener.local_addr()?);
        loop {
            let (connection, _) = listener.accept().await?;
            tokio::spawn(serve(connection));
        }
    })
}
