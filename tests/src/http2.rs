//! A client that speaks HTTP/2 with prior knowledge, frame by frame: what it sends, and when, is what the test wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use crate::frames::{
    ACK, DATA, END_STREAM, HEADERS, ONLY, OPENING, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, request,
};
use crate::wait::LONG;

const PING: u8 = 6;

/// The setting of the initial window of streams.
const INITIAL_WINDOW_SIZE: u16 = 4;

/// One connection.
pub struct Http2 {
    socket: TcpStream,
    next: u32,
    /// Bytes of content so far, by stream.
    content: BTreeMap<u32, usize>,
    /// When each stream ended, or was reset.
    ended: BTreeMap<u32, Instant>,
}

impl Http2 {
    /// To a port of 127.0.0.1. The server may send this much of each response before the client grants it more.
    pub fn connect(port: u16, window: u32) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
        socket.set_nodelay(true).expect("TCP_NODELAY");
        socket.set_read_timeout(Some(LONG)).expect("a timeout");
        let mut client = Self { socket, next: 1, content: BTreeMap::new(), ended: BTreeMap::new() };
        let setting = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &window.to_be_bytes()].concat();
        client.send(&[OPENING, &frame(SETTINGS, 0, 0, setting)].concat());
        client
    }

    /// Sends requests without content, all in one write; returns their streams.
    pub fn get(&mut self, targets: &[&str]) -> Vec<u32> {
        let streams: Vec<u32> = (0..).map(|place| self.next + 2 * place).take(targets.len()).collect();
        let heads = targets.iter().zip(&streams).flat_map(|(target, &stream)| request(ONLY, stream, "GET", target));
        let heads: Vec<u8> = heads.collect();
        self.next += 2 * targets.len() as u32;
        self.send(&heads);
        streams
    }

    /// Breaks a stream off.
    pub fn reset(&mut self, stream: u32) {
        const CANCEL: [u8; 4] = [0, 0, 0, 8];
        self.send(&frame(RST_STREAM, 0, stream, CANCEL));
    }

    /// Lets the server send more of a response; 0 is the connection.
    pub fn grant(&mut self, stream: u32, bytes: u32) {
        self.send(&frame(WINDOW_UPDATE, 0, stream, bytes.to_be_bytes()));
    }

    /// Reads until these streams have ended; returns when each did.
    pub fn end_of(&mut self, streams: &[u32]) -> Vec<Instant> {
        let awaited: BTreeSet<u32> = streams.iter().copied().collect();
        while !awaited.iter().all(|stream| self.ended.contains_key(stream)) {
            self.read_frame();
        }
        streams.iter().map(|stream| self.ended[stream]).collect()
    }

    /// Reads until this much content of a stream has come.
    pub fn content_of(&mut self, stream: u32, bytes: usize) {
        while self.content.get(&stream).is_none_or(|come| *come < bytes) {
            self.read_frame();
        }
    }

    fn read_frame(&mut self) {
        let mut header = [0; 9];
        self.socket.read_exact(&mut header).expect("a frame");
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = header;
        let stream = u32::from_be_bytes([s0, s1, s2, s3]);
        let mut payload = vec![0; u32::from_be_bytes([0, l0, l1, l2]) as usize];
        self.socket.read_exact(&mut payload).expect("its payload");
        match kind {
            SETTINGS if flags & ACK == 0 => self.send(&frame(SETTINGS, ACK, 0, [])),
            PING if flags & ACK == 0 => self.send(&frame(PING, ACK, 0, payload)),
            DATA => *self.content.entry(stream).or_default() += payload.len(),
            _ => {}
        }
        let ends = matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
        if ends || kind == RST_STREAM {
            self.ended.insert(stream, Instant::now());
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("the server reads");
    }
}
