//! Plays the steps on one connection.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use socket2::SockRef;

use crate::options::Options;
use crate::steps::Step;
use crate::transport::{self, Way};

pub(crate) struct Connection {
    input: OwnedFd,
    /// Where it is another descriptor than `input`.
    output: Option<OwnedFd>,
    way: Way,
    threads: bool,
    /// What has been read, and no step has asked for yet.
    buffered: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(accepted: OwnedFd, options: &Options) -> Self {
        let duplicate = options.duplicate.then(|| accepted.try_clone().expect("a duplicate"));
        let (input, output) = match duplicate {
            Some(duplicate) => (duplicate, Some(accepted)),
            None => (accepted, None),
        };
        Self { input, output, way: options.way, threads: options.threads, buffered: Vec::new() }
    }

    /// Plays until the steps end or the peer is gone.
    pub(crate) fn play(mut self, steps: &[Step]) -> io::Result<()> {
        loop {
            for step in steps {
                match step {
                    Step::Repeat => break,
                    step => {
                        if !self.step(step)? {
                            return Ok(());
                        }
                    }
                }
            }
            if !steps.iter().any(|step| matches!(step, Step::Repeat)) {
                return Ok(());
            }
        }
    }

    /// Whether there is more to do.
    fn step(&mut self, step: &Step) -> io::Result<bool> {
        match step {
            Step::Until(text) => return self.read_until(text),
            Step::Body(length) => return self.read_body(*length),
            Step::Send(bytes) => self.send_all(bytes)?,
            Step::Trickle(bytes) => {
                for byte in bytes {
                    self.send_all(std::slice::from_ref(byte))?;
                }
            }
            Step::Fill(length) => {
                let (way, fd) = (self.way, self.output_fd());
                self.on_sending_thread(|| transport::fill(way, fd, *length))?;
            }
            Step::AwaitEof => while self.read_more()? {},
            Step::Hang => loop {
                std::thread::sleep(Duration::from_mins(1));
            },
            Step::Reset => {
                SockRef::from(&self.input).set_linger(Some(Duration::ZERO))?;
                return Ok(false);
            }
            Step::Abort => std::process::abort(),
            Step::Segv => transport::fault(),
            Step::Repeat => {}
        }
        Ok(true)
    }

    fn read_until(&mut self, text: &[u8]) -> io::Result<bool> {
        loop {
            if let Some(at) = self.buffered.windows(text.len()).position(|window| window == text) {
                self.buffered.drain(..at + text.len());
                return Ok(true);
            }
            if !self.read_more()? {
                return Ok(false);
            }
        }
    }

    fn read_body(&mut self, mut length: usize) -> io::Result<bool> {
        let taken = length.min(self.buffered.len());
        self.buffered.drain(..taken);
        length -= taken;
        while length > 0 {
            let read = transport::receive_body(self.way, self.input.as_raw_fd(), length)?;
            if read == 0 {
                return Ok(false);
            }
            length -= read;
        }
        Ok(true)
    }

    fn read_more(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 8192];
        let read = transport::receive(self.way, self.input.as_raw_fd(), &mut buffer)?;
        self.buffered.extend_from_slice(&buffer[..read]);
        Ok(read > 0)
    }

    fn send_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        let (way, fd) = (self.way, self.output_fd());
        self.on_sending_thread(|| {
            while !bytes.is_empty() {
                bytes = &bytes[transport::send(way, fd, bytes)?..];
            }
            Ok(())
        })
    }

    fn on_sending_thread(&self, send: impl FnOnce() -> io::Result<()> + Send) -> io::Result<()> {
        if self.threads { std::thread::scope(|scope| scope.spawn(send).join().expect("no panic")) } else { send() }
    }

    fn output_fd(&self) -> RawFd {
        self.output.as_ref().unwrap_or(&self.input).as_raw_fd()
    }
}
