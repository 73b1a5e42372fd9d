//! The heads of messages, and the document within: "Standard Message Header" and "Opcodes".

use super::bson;
use crate::protocol::candidate::Likeness;

/// The length of the whole message, its number, that of the message that it answers, and what it is.
pub(super) const HEAD: usize = 16;

/// The longest message: `maxMessageSizeBytes`.
const LENGTH_MAX: u32 = 48_000_000;

/// What messages are.
mod opcode {
    pub(super) const REPLY: u32 = 1;
    pub(super) const QUERY: u32 = 2004;
    pub(super) const COMPRESSED: u32 = 2012;
    pub(super) const MSG: u32 = 2013;
    /// Changes that nobody answers, of old servers.
    pub(super) const UNANSWERED: [u32; 4] = [2001, 2002, 2006, 2007];
}

/// Bits of `OP_MSG`.
mod flag {
    pub(super) const CHECKSUM: u32 = 1;
    pub(super) const MORE_TO_COME: u32 = 1 << 1;
    /// Whoever reads it must know these.
    pub(super) const REQUIRED: u32 = 0xffff;
}

/// The head of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes that follow the head.
    pub(super) length: u32,
    pub(super) number: u32,
    /// The number of the message that it answers.
    pub(super) answers: u32,
    opcode: u32,
}

/// What stands in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    /// A document, as far as it is there.
    Document(&'a [u8]),
    /// A document that nobody answers.
    Unanswered,
    /// What cannot be read.
    Unknown,
}

impl Head {
    /// `None` if no message has such a head.
    pub(super) fn parse(bytes: [u8; HEAD]) -> Option<Self> {
        let (numbers, _) = bytes.as_chunks();
        let [length, number, answers, opcode] = *numbers else { return None };
        let [length, number, answers, opcode] = [length, number, answers, opcode].map(u32::from_le_bytes);
        let is_known = matches!(opcode, opcode::REPLY | opcode::QUERY | opcode::COMPRESSED | opcode::MSG)
            || opcode::UNANSWERED.contains(&opcode);
        let length = length.checked_sub(HEAD as u32).filter(|length| *length <= LENGTH_MAX)?;
        is_known.then_some(Self { length, number, answers, opcode })
    }

    /// What stands in the payload that begins with these bytes.
    pub(super) fn content(self, payload: &[u8]) -> Content<'_> {
        if opcode::UNANSWERED.contains(&self.opcode) {
            return Content::Unanswered;
        }
        let document = match self.opcode {
            opcode::MSG => match flags(payload) {
                Some(flags) if flags & flag::MORE_TO_COME != 0 => return Content::Unanswered,
                Some(_) => body(&payload[4..]),
                None => None,
            },
            // The number of the cursor, where it stands, how many documents: the first is the answer.
            opcode::REPLY => payload.get(4 + 8 + 4 + 4..),
            opcode::QUERY => of_query(payload),
            _ => None,
        };
        document.map_or(Content::Unknown, Content::Document)
    }
}

fn flags(payload: &[u8]) -> Option<u32> {
    payload.first_chunk().map(|flags| u32::from_le_bytes(*flags))
}

/// The document of the section that is the command or the answer. Sections with documents to write may stand before it.
fn body(mut sections: &[u8]) -> Option<&[u8]> {
    loop {
        match sections.split_first()? {
            (0, document) => return Some(document),
            (1, documents) => sections = documents.get(bson::length(documents)?.max(4)..)?,
            _ => return None,
        }
    }
}

/// A command in the form that old servers have, in which clients still say `hello`: flags, the name of a collection that ends
/// with `$cmd`, and two numbers stand before it.
fn of_query(payload: &[u8]) -> Option<&[u8]> {
    let name = payload.get(4..)?;
    let end = memchr::memchr(0, name)?;
    name[..end].ends_with(b".$cmd").then(|| name.get(end + 1 + 8..)).flatten()
}

/// How much bytes are like the first message of a client.
pub(super) fn likeness(bytes: &[u8]) -> Likeness {
    let Some((head, payload)) = bytes.split_first_chunk::<HEAD>() else {
        // Of the head, the highest bytes of the length and of what it is, and all of the message that it answers.
        let fits = bytes.iter().enumerate().all(|(place, byte)| match place {
            3 => *byte <= (LENGTH_MAX >> 24) as u8,
            8..=11 | 14..=15 => *byte == 0,
            13 => *byte == (opcode::MSG >> 8) as u8,
            _ => true,
        });
        return if fits { Likeness::Partial } else { Likeness::None };
    };
    let Some(head) = Head::parse(*head).filter(|head| head.answers == 0 && head.length > 8) else {
        return Likeness::None;
    };
    let is_whole = match (head.opcode, flags(payload)) {
        (opcode::MSG | opcode::QUERY, None) => return Likeness::Partial,
        (opcode::MSG, Some(flags)) => {
            let known = flag::CHECKSUM | flag::MORE_TO_COME;
            flags & flag::REQUIRED & !known == 0 && payload.get(4).is_none_or(|section| *section <= 1)
        }
        (opcode::QUERY, Some(_)) => of_query(payload).is_some() || payload.len() < 32,
        (opcode::COMPRESSED, _) => payload.first_chunk() == Some(&opcode::MSG.to_le_bytes()),
        _ => false,
    };
    if is_whole { Likeness::Whole } else { Likeness::None }
}
