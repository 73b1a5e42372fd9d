//! BTF, the kernel's type information: as much of it as leads from a name to a field. The format is that of
//! `Documentation/bpf/btf.rst` in the kernel's sources.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use memmap2::Mmap;
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// How BTF of this machine's byte order begins.
const MAGIC: u16 = 0xeb9f;

/// Qualifiers and typedefs behind one another, and anonymous structures within one another: the kernel has a few.
const DEPTH_MAX: usize = 16;

/// The numbers of the kinds, `BTF_KIND_*`.
mod kind {
    pub(super) const INT: u8 = 1;
    pub(super) const PTR: u8 = 2;
    pub(super) const ARRAY: u8 = 3;
    pub(super) const STRUCT: u8 = 4;
    pub(super) const UNION: u8 = 5;
    pub(super) const ENUM: u8 = 6;
    pub(super) const FWD: u8 = 7;
    pub(super) const TYPEDEF: u8 = 8;
    pub(super) const VOLATILE: u8 = 9;
    pub(super) const CONST: u8 = 10;
    pub(super) const RESTRICT: u8 = 11;
    pub(super) const FUNC: u8 = 12;
    pub(super) const FUNC_PROTO: u8 = 13;
    pub(super) const VAR: u8 = 14;
    pub(super) const DATASEC: u8 = 15;
    pub(super) const FLOAT: u8 = 16;
    pub(super) const DECL_TAG: u8 = 17;
    pub(super) const TYPE_TAG: u8 = 18;
    pub(super) const ENUM64: u8 = 19;
}

/// `struct btf_header`.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    magic: u16,
    version: u8,
    flags: u8,
    /// The sections' offsets count from behind so many bytes.
    length: u32,
    types: u32,
    types_length: u32,
    strings: u32,
    strings_length: u32,
}

/// `struct btf_type`.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Head {
    name: u32,
    info: u32,
    /// The size of some kinds, and the type that others refer to.
    size_or_type: u32,
}

/// `struct btf_member`.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Member {
    name: u32,
    r#type: u32,
    offset: u32,
}

/// `struct btf_enum`.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Enumerator {
    name: u32,
    value: u32,
}

impl Head {
    fn kind(self) -> u8 {
        (self.info >> 24 & 0x1f) as u8
    }

    /// How many members, enumerators or parameters follow.
    fn count(self) -> usize {
        (self.info & 0xffff) as usize
    }

    /// Whether the offsets of the members hold the sizes of bit fields as well.
    fn has_bit_fields(self) -> bool {
        self.info >> 31 == 1
    }

    /// Bytes between this and the next type; `None` if the kind is not known.
    fn behind(self) -> Option<usize> {
        Some(match self.kind() {
            kind::INT | kind::VAR | kind::DECL_TAG => 4,
            kind::ARRAY => 12,
            kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 12 * self.count(),
            kind::ENUM | kind::FUNC_PROTO => 8 * self.count(),
            kind::PTR
            | kind::FWD
            | kind::TYPEDEF
            | kind::VOLATILE
            | kind::CONST
            | kind::RESTRICT
            | kind::FUNC
            | kind::FLOAT
            | kind::TYPE_TAG => 0,
            _ => return None,
        })
    }
}

/// One type: its head, and what follows it.
#[derive(Clone, Copy)]
struct Type<'a> {
    head: Head,
    behind: &'a [u8],
}

/// What the information is in.
enum Bytes {
    Mapped(Mmap),
    Read(Vec<u8>),
}

/// The information, and where its types are.
pub(super) struct TypeInformation {
    bytes: Bytes,
    /// Where in the bytes the names begin, and end.
    strings: (usize, usize),
    /// Where in the bytes each type is. The first is number 1; 0 is `void`.
    types: Vec<u32>,
    /// The structures, enumerations and typedefs that have names.
    named: Vec<Named>,
}

/// A type that has a name.
#[derive(Clone, Copy)]
struct Named {
    /// Where the name is, among the names.
    name: u32,
    kind: u8,
    number: u32,
}

impl TypeInformation {
    /// Reads it from a file.
    ///
    /// # Errors
    /// If the file cannot be read, or is not BTF of this machine's byte order.
    pub(super) fn read(file: &Path) -> io::Result<Self> {
        let mut file = File::open(file)?;
        // SAFETY: the kernel never changes this file. It can be mapped since Linux 6.16, which saves copying all of it.
        let bytes = if let Ok(map) = unsafe { Mmap::map(&file) } {
            Bytes::Mapped(map)
        } else {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Bytes::Read(bytes)
        };
        Self::parse(bytes)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is not BTF as this tool knows it"))
    }

    fn parse(bytes: Bytes) -> Option<Self> {
        let mut information = Self { bytes, strings: (0, 0), types: Vec::new(), named: Vec::new() };
        let bytes = information.bytes();
        let (header, _) = Header::read_from_prefix(bytes).ok()?;
        if header.magic != MAGIC || header.version != 1 {
            return None;
        }
        let section = |offset: u32, length: u32| {
            let start = (header.length as usize).checked_add(offset as usize)?;
            let end = start.checked_add(length as usize)?;
            (end <= bytes.len()).then_some((start, end))
        };
        let strings = section(header.strings, header.strings_length)?;
        let (mut at, end) = section(header.types, header.types_length)?;
        let (mut types, mut named) = (Vec::new(), Vec::new());
        while at < end {
            let (head, _) = Head::read_from_prefix(&bytes[at..end]).ok()?;
            types.push(u32::try_from(at).ok()?);
            if head.name != 0 && matches!(head.kind(), kind::STRUCT | kind::ENUM | kind::TYPEDEF) {
                named.push(Named { name: head.name, kind: head.kind(), number: types.len() as u32 });
            }
            at += size_of::<Head>() + head.behind()?;
        }
        (information.strings, information.types, information.named) = (strings, types, named);
        Some(information)
    }

    /// Whether an enumeration of this name has this enumerator.
    pub(super) fn has_enumerator(&self, enumeration: &str, enumerator: &str) -> bool {
        let has = |found: Type<'_>| {
            let enumerators = found.behind.chunks_exact(size_of::<Enumerator>());
            enumerators
                .filter_map(|bytes| Enumerator::read_from_bytes(bytes).ok())
                .any(|found| self.is(found.name, enumerator))
        };
        self.with_name(kind::ENUM, enumeration).any(has)
    }

    /// How many parameters a function has to which a pointer of this name points.
    pub(super) fn parameters(&self, typedef: &str) -> Option<usize> {
        self.with_name(kind::TYPEDEF, typedef).find_map(|typedef| {
            let pointer = self.get(typedef.head.size_or_type).filter(|found| found.head.kind() == kind::PTR)?;
            let function = self.get(pointer.head.size_or_type)?;
            (function.head.kind() == kind::FUNC_PROTO).then_some(function.head.count())
        })
    }

    /// Where a structure has a field, in bits. The field is named through its structures with dots; anonymous structures
    /// and unions on the way are looked into.
    pub(super) fn offset_in_bits(&self, structure: &str, path: &str) -> Option<u32> {
        let mut current = self.with_name(kind::STRUCT, structure).next()?;
        let mut names = path.split('.').peekable();
        let mut bits = 0_u32;
        while let Some(name) = names.next() {
            let (offset, field) = self.field(current, name, DEPTH_MAX)?;
            bits = bits.checked_add(offset)?;
            if names.peek().is_some() {
                current = self.behind_qualifiers(field)?;
            }
        }
        Some(bits)
    }

    /// Offset in bits of a field of a structure or union, and the number of its type.
    fn field(&self, parent: Type<'_>, name: &str, depth: usize) -> Option<(u32, u32)> {
        if !matches!(parent.head.kind(), kind::STRUCT | kind::UNION) {
            return None;
        }
        let members = parent.behind.chunks_exact(size_of::<Member>());
        members.filter_map(|bytes| Member::read_from_bytes(bytes).ok()).find_map(|member| {
            let offset = if parent.head.has_bit_fields() { member.offset & 0xff_ffff } else { member.offset };
            if member.name != 0 {
                return self.is(member.name, name).then_some((offset, member.r#type));
            }
            let anonymous = self.behind_qualifiers(member.r#type)?;
            let (within, field) = self.field(anonymous, name, depth.checked_sub(1)?)?;
            Some((offset.checked_add(within)?, field))
        })
    }

    /// The type of this number, behind qualifiers and typedefs.
    fn behind_qualifiers(&self, number: u32) -> Option<Type<'_>> {
        let mut found = self.get(number)?;
        for _ in 0..DEPTH_MAX {
            match found.head.kind() {
                kind::CONST | kind::VOLATILE | kind::RESTRICT | kind::TYPEDEF | kind::TYPE_TAG => {
                    found = self.get(found.head.size_or_type)?;
                }
                _ => return Some(found),
            }
        }
        None
    }

    fn get(&self, number: u32) -> Option<Type<'_>> {
        let at = *self.types.get((number as usize).checked_sub(1)?)?;
        let (head, behind) = Head::read_from_prefix(self.bytes().get(at as usize..)?).ok()?;
        Some(Type { head, behind: behind.get(..head.behind()?)? })
    }

    fn with_name(&self, kind: u8, name: &str) -> impl Iterator<Item = Type<'_>> {
        let found = self.named.iter().filter(move |named| named.kind == kind && self.is(named.name, name));
        found.filter_map(|named| self.get(named.number))
    }

    /// Whether this is what stands there among the names.
    fn is(&self, at: u32, name: &str) -> bool {
        let strings = &self.bytes()[self.strings.0..self.strings.1];
        let found = strings.get(at as usize..).and_then(|rest| rest.strip_prefix(name.as_bytes()));
        found.is_some_and(|rest| rest.first() == Some(&0))
    }

    fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(map) => map,
            Bytes::Read(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A type of BTF: its head, and the words behind.
    fn described(name: u32, kind: u8, count: u32, size_or_type: u32, behind: &[u32]) -> Vec<u32> {
        [&[name, u32::from(kind) << 24 | count, size_or_type], behind].concat()
    }

    fn information(types: &[Vec<u32>], strings: &[u8]) -> Vec<u8> {
        let types: Vec<u8> = types.concat().into_iter().flat_map(u32::to_ne_bytes).collect();
        let mut bytes = [&MAGIC.to_ne_bytes()[..], &[1, 0]].concat();
        for word in [24, 0, types.len() as u32, types.len() as u32, strings.len() as u32] {
            bytes.extend_from_slice(&u32::to_ne_bytes(word));
        }
        [bytes, types, strings.to_vec()].concat()
    }

    /// `struct s { const union { int a; int b; }; int c : 1; }`, where `b` is a typedef of `s`, and the first type but one
    /// refers to itself.
    fn sample() -> Vec<u8> {
        let mut s = described(1, kind::STRUCT, 2, 8, &[0, 3, 64, 7, 1, 0x0100_0045]);
        s[1] |= 1 << 31;
        let types = [
            described(3, kind::INT, 0, 4, &[32]),
            described(0, kind::UNION, 2, 4, &[3, 1, 0, 5, 5, 8]),
            described(0, kind::CONST, 0, 2, &[]),
            s,
            described(5, kind::TYPEDEF, 0, 4, &[]),
            described(9, kind::TYPEDEF, 0, 6, &[]),
        ];
        information(&types, b"\0s\0a\0b\0c\0d\0")
    }

    #[test]
    fn a_field_is_found_through_what_has_no_name() {
        let sample = TypeInformation::parse(Bytes::Read(sample())).expect("BTF");
        assert_eq!(sample.offset_in_bits("s", "a"), Some(64));
        assert_eq!(sample.offset_in_bits("s", "b"), Some(72));
        assert_eq!(sample.offset_in_bits("s", "c"), Some(69));
        assert_eq!(sample.offset_in_bits("s", "b.b.c"), Some(72 + 72 + 69));
        assert_eq!(sample.offset_in_bits("s", "c.a"), None);
        assert_eq!(sample.offset_in_bits("s", "d"), None);
        assert_eq!(sample.offset_in_bits("b", "a"), None, "a typedef is no structure");
        assert_eq!(sample.parameters("d"), None, "a typedef of itself");
    }

    #[test]
    fn what_is_cut_or_of_another_byte_order_is_no_information() {
        let sample = sample();
        for length in 0..sample.len() {
            assert!(TypeInformation::parse(Bytes::Read(sample[..length].to_vec())).is_none(), "{length} bytes");
        }
        let mut swapped = sample;
        swapped.swap(0, 1);
        assert!(TypeInformation::parse(Bytes::Read(swapped)).is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_are_trusted(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
            let mut bytes = sample();
            for (place, byte) in changes {
                *place.get_mut(&mut bytes) = byte;
            }
            if let Some(information) = TypeInformation::parse(Bytes::Read(bytes)) {
                for path in ["a", "b", "c", "b.b.c"] {
                    information.offset_in_bits("s", path);
                }
                information.parameters("b");
                information.has_enumerator("s", "a");
            }
        }
    }
}
