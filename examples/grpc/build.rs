//! Generates the messages, the client and the server of `proto/lab.proto`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["lab.proto"], ["proto"])?;
    tonic_prost_build::compile_fds(files)?;
    Ok(())
}
