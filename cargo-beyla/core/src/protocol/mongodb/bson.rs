//! Documents (<https://bsonspec.org>), as far as they are there: their end may be cut off.

/// Types of elements that are looked into.
pub(super) mod kind {
    pub(in super::super) const DOUBLE: u8 = 0x01;
    pub(in super::super) const STRING: u8 = 0x02;
    pub(in super::super) const DOCUMENT: u8 = 0x03;
    pub(in super::super) const ARRAY: u8 = 0x04;
    pub(in super::super) const BOOLEAN: u8 = 0x08;
    pub(in super::super) const INT32: u8 = 0x10;
    pub(in super::super) const INT64: u8 = 0x12;
}

/// One element of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) kind: u8,
    pub(super) key: &'a [u8],
    value: &'a [u8],
    /// Whether all of its value is there.
    pub(super) is_whole: bool,
}

/// The elements of a document that begins with these bytes, in their order. They end with the document, with an element that
/// is not whole, or with what is none.
pub(super) fn elements(document: &[u8]) -> impl Iterator<Item = Element<'_>> {
    let length = length(document).filter(|length| *length >= 5).unwrap_or(0);
    let mut rest = document.get(4..length.min(document.len())).unwrap_or_default();
    std::iter::from_fn(move || {
        let (element, behind) = read(rest)?;
        rest = if element.is_whole { behind } else { &[] };
        Some(element)
    })
}

/// The length that stands before a document or a string, in bytes.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let length = i32::from_le_bytes(*bytes.first_chunk()?);
    usize::try_from(length).ok()
}

/// The first element, and what stands behind it.
fn read(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&kind, rest) = bytes.split_first().filter(|(kind, _)| **kind != 0)?;
    let (key, rest) = text(rest)?;
    let size = size(kind, rest)?;
    let (value, behind) = rest.split_at(size.min(rest.len()));
    Some((Element { kind, key, value, is_whole: value.len() == size }, behind))
}

/// The size of a value of this type that begins with these bytes; `None` if that is not known.
fn size(kind: u8, bytes: &[u8]) -> Option<usize> {
    Some(match kind {
        // Undefined, null, the keys before and behind all others.
        0x06 | 0x0a | 0x7f | 0xff => 0,
        kind::BOOLEAN => 1,
        kind::INT32 => 4,
        // And a date, a timestamp.
        kind::DOUBLE | 0x09 | 0x11 | kind::INT64 => 8,
        // An identifier.
        0x07 => 12,
        // A decimal number.
        0x13 => 16,
        // And code, a symbol.
        kind::STRING | 0x0d | 0x0e => length(bytes)?.checked_add(4)?,
        // And code with its scope.
        kind::DOCUMENT | kind::ARRAY | 0x0f => length(bytes)?.max(4),
        // Bytes, with a type of their own.
        0x05 => length(bytes)?.checked_add(5)?,
        // A regular expression.
        0x0b => {
            let (pattern, rest) = text(bytes)?;
            let (options, _) = text(rest)?;
            pattern.len() + options.len() + 2
        }
        // A pointer into another collection.
        0x0c => length(bytes)?.checked_add(4 + 12)?,
        _ => return None,
    })
}

/// A text up to its NUL, and what stands behind.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    memchr::memchr(0, bytes).map(|end| (&bytes[..end], &bytes[end + 1..]))
}

impl<'a> Element<'a> {
    /// The string, if it is one and whole.
    pub(super) fn string(&self) -> Option<&'a [u8]> {
        let is_string = self.kind == kind::STRING && self.is_whole;
        let (_nul, string) = self.value.get(4..).filter(|_| is_string)?.split_last()?;
        Some(string)
    }

    /// The bytes of the document or the array, as far as they are there.
    pub(super) fn document(&self) -> Option<&'a [u8]> {
        matches!(self.kind, kind::DOCUMENT | kind::ARRAY).then_some(self.value)
    }

    /// The number, without what stands behind its point.
    pub(super) fn number(&self) -> Option<i64> {
        match self.kind {
            kind::INT32 => self.value.first_chunk().map(|bytes| i32::from_le_bytes(*bytes).into()),
            kind::INT64 => self.value.first_chunk().map(|bytes| i64::from_le_bytes(*bytes)),
            kind::DOUBLE => self.value.first_chunk().map(|bytes| f64::from_le_bytes(*bytes) as i64),
            kind::BOOLEAN => self.value.first().map(|byte| (*byte).into()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn document(elements: &[&[u8]]) -> Vec<u8> {
        let elements = elements.concat();
        [&(elements.len() as u32 + 5).to_le_bytes()[..], &elements, &[0]].concat()
    }

    #[test]
    fn elements_of_all_types_are_passed_over() {
        let nested = document(&[b"\x10a\0\x01\0\0\0"]);
        let all: [&[u8]; 12] = [
            b"\x07_id\x00123456789012",
            b"\x05b\0\x02\0\0\0\x00xy",
            b"\x0br\0a.*\0i\0",
            b"\x0an\0",
            b"\x08t\0\x01",
            b"\x09d\x0012345678",
            b"\x13e\x001234567890123456",
            b"\x0dc\0\x02\0\0\0x\0",
            b"\x0cp\0\x02\0\0\0x\x00123456789012",
            &[b"\x03o\0", &nested[..]].concat(),
            b"\x02s\0\x06\0\0\0hello\0",
            b"\x01f\0\0\0\0\0\0\0\xf0?",
        ];
        let document = document(&all);
        let found: Vec<Element<'_>> = elements(&document).collect();
        assert_eq!(found.len(), all.len());
        assert_eq!(found[10].string(), Some(&b"hello"[..]));
        assert_eq!((found[11].number(), found[4].number(), found[0].number()), (Some(1), Some(1), None));
        let inner: Vec<_> = elements(found[9].document().expect("one")).map(|element| element.number()).collect();
        assert_eq!(inner, [Some(1)]);
    }

    #[test]
    fn what_is_cut_is_read_as_far_as_it_goes() {
        let whole = document(&[b"\x10a\0\x01\0\0\0", b"\x02s\0\x06\0\0\0hello\0", b"\x10b\0\x01\0\0\0"]);
        let cut: Vec<_> = elements(&whole[..20]).map(|element| (element.key, element.is_whole)).collect();
        assert_eq!(cut, [(&b"a"[..], true), (b"s", false)]);
        assert_eq!(elements(&whole[..20]).find_map(|element| element.string()), None);
        assert_eq!(elements(b"\xff\xff\xff\xff\x10a\0\x01\0\0\0").count(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            for element in elements(&bytes) {
                let _ = (element.string(), element.number(), element.document().map(|inner| elements(inner).count()));
            }
        }
    }
}
