//! Base64 that comes in parts: RFC 4648.
//!
//! A server of gRPC-Web may encode each message by itself, so padding may stand in the midst:
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Characters that stand for up to three bytes together.
const GROUP: usize = 4;

/// Decodes character by character.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Base64Stream {
    group: [u8; GROUP],
    length: usize,
}

/// What a group of characters stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decoded {
    bytes: [u8; 3],
    length: usize,
}

/// These characters stand for nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct NotBase64;

impl Base64Stream {
    /// Takes the next character. Returns bytes where it completes a group.
    pub(super) fn push(&mut self, character: u8) -> Result<Option<Decoded>, NotBase64> {
        self.group[self.length] = character;
        self.length += 1;
        if self.length < GROUP {
            return Ok(None);
        }
        self.length = 0;
        let mut bytes = [0; 3];
        let length = STANDARD.decode_slice(self.group, &mut bytes).map_err(|_| NotBase64)?;
        Ok(Some(Decoded { bytes, length }))
    }
}

impl Decoded {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
