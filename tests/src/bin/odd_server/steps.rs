//! What a connection does, step by step.

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// `until:TEXT` or `until-hex:DIGITS`: read until these bytes have come; `head` is until an empty line.
    Until(Vec<u8>),
    /// `body:N`: read N bytes.
    Body(usize),
    /// `send:TEXT` or `hex:DIGITS`
    Send(Vec<u8>),
    /// `trickle:TEXT`: one call a byte.
    Trickle(Vec<u8>),
    /// `fill:N`: send N bytes of no meaning, in the way that is made for it.
    Fill(usize),
    /// `await-eof`: read until the peer has closed.
    AwaitEof,
    /// `hang`: do nothing more, and keep the connection.
    Hang,
    /// `reset`: close so that the peer gets a reset.
    Reset,
    /// `abort`: end the process as a panic with `panic=abort` does.
    Abort,
    /// `segv`: end the process by a fault.
    Segv,
    /// `repeat`: from the first step again.
    Repeat,
}

impl Step {
    pub(crate) fn parse(text: &str) -> Self {
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        let number = || value.parse().expect("a number after the colon");
        match name {
            "head" => Self::Until(b"\r\n\r\n".to_vec()),
            "until" => Self::Until(value.into()),
            "until-hex" => Self::Until(bytes(value)),
            "body" => Self::Body(number()),
            "send" => Self::Send(value.into()),
            "hex" => Self::Send(bytes(value)),
            "trickle" => Self::Trickle(value.into()),
            "fill" => Self::Fill(number()),
            "await-eof" => Self::AwaitEof,
            "hang" => Self::Hang,
            "reset" => Self::Reset,
            "abort" => Self::Abort,
            "segv" => Self::Segv,
            "repeat" => Self::Repeat,
            other => panic!("unknown step {other}"),
        }
    }
}

/// The bytes that hexadecimal digits stand for: an argument cannot hold a zero byte.
fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(&String::from_utf8_lossy(pair), 16).expect("two digits a byte")).collect()
}
