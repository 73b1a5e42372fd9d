//! The calls by which OpenSSL's libssl hands a key to libcrypto.
//!
//! `EVP_CipherInit_ex` is called for much else, by the generator of random numbers most of all, and by libssl itself for
//! each record, without a key. So not the function is probed, but the calls of libssl that give it a key.

use object::elf::DT_SONAME;
use object::read::elf::Dyn;
use object::{LittleEndian, Object, ObjectSymbol, ObjectSymbolTable, RelocationTarget};

use super::image::{CodeSegment, Elf, code_segments, file_offset};
use super::{calls, functions};
use crate::probe::library_probe::{LibraryPoint, LibraryProbe};

/// The function that gets the key.
pub(super) const CIPHER_INIT: &str = "EVP_CipherInit_ex";

/// The most words by which an image reaches one function, and jumps by these: it has one or two.
const SLOTS_MAX: usize = 16;

/// The functions of libssl that give it the key of a connection: of 1.1 and 3.0 the first two, of 3.2 and later the
/// others.
const KEY_CHANGES: [&[u8]; 4] =
    [b"tls1_change_cipher_state", b"derive_secret_key_and_iv", b"tls1_set_crypto_state", b"tls13_set_crypto_state"];

/// Whether it is such a function, by its symbol.
pub(super) fn is_key_change(symbol: &[u8]) -> bool {
    KEY_CHANGES.contains(&symbol)
}

/// The calls in an image: in a libssl that is loaded with a libcrypto, or where both are parts of the executable.
pub(super) fn find(elf: &Elf<'_>) -> Vec<LibraryProbe> {
    let addresses = if is_libssl(elf) { in_library(elf) } else { in_executable(elf) };
    let places = addresses.into_iter().filter_map(|address| file_offset(elf, address));
    places.map(|offset| LibraryProbe { point: LibraryPoint::OpenSsl, offset }).collect()
}

/// Whether the image is libssl, by the name that it is linked by.
fn is_libssl(elf: &Elf<'_>) -> bool {
    let data = elf.data();
    let Ok(Some((entries, strings))) = elf.elf_section_table().dynamic(LittleEndian, data) else { return false };
    let Ok(strings) = elf.elf_section_table().strings(LittleEndian, data, strings) else { return false };
    let name = entries.iter().find(|entry| entry.tag(LittleEndian) == DT_SONAME);
    name.and_then(|name| name.string(LittleEndian, strings).ok()).is_some_and(|name| name.starts_with(b"libssl.so"))
}

/// All calls of an imported function.
fn in_library(elf: &Elf<'_>) -> Vec<u64> {
    let Some(slots) = slots(elf) else { return Vec::new() };
    let segments: Vec<CodeSegment<'_>> = code_segments(elf).collect();
    let stubs = segments.iter().flat_map(|segment| calls::stubs(segment.code, segment.address, &slots));
    let stubs: Vec<u64> = stubs.take(SLOTS_MAX).collect();
    segments.iter().flat_map(|segment| calls::with_key(segment.code, segment.address, &stubs, &slots)).collect()
}

/// The words by which the image reaches the function, once it is linked.
fn slots(elf: &Elf<'_>) -> Option<Vec<u64>> {
    let table = elf.dynamic_symbol_table()?;
    let symbol = table.symbols().find(|symbol| symbol.name() == Ok(CIPHER_INIT) && symbol.is_undefined())?.index();
    let relocations = elf.dynamic_relocations()?;
    let of_it = relocations.filter(|(_, relocation)| relocation.target() == RelocationTarget::Symbol(symbol));
    Some(of_it.map(|(address, _)| address).take(SLOTS_MAX).collect())
}

/// The calls in the functions of libssl.
fn in_executable(elf: &Elf<'_>) -> Vec<u64> {
    let mut function = None;
    let mut changes = Vec::new();
    for (_, range, symbol) in functions::each(elf) {
        if symbol == CIPHER_INIT.as_bytes() {
            function = Some(range.start);
        } else if is_key_change(symbol) {
            changes.push(range);
        }
    }
    let Some(function) = function else { return Vec::new() };
    let code = |range: &std::ops::Range<u64>| {
        code_segments(elf).find_map(|CodeSegment { address, code, .. }| {
            let (begin, end) = (range.start.checked_sub(address)?, range.end.checked_sub(address)?);
            code.get(begin as usize..end as usize)
        })
    };
    let calls = changes.iter().filter_map(|range| Some(calls::with_key(code(range)?, range.start, &[function], &[])));
    calls.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::{image::Image, needed};

    #[test]
    fn those_of_an_installed_libssl_are_found() {
        // Debian has it with curl.
        let libraries = needed::libraries(std::path::Path::new("/usr/bin/curl"));
        let path = libraries.iter().find(|path| path.ends_with("libssl.so.3")).expect("curl is linked with it");
        let image = Image::open(path).expect("it is there");
        let elf = image.elf().expect("a library");
        let found = find(&elf);
        assert!((4..=8).contains(&found.len()), "{found:?}");
        // All are calls.
        for LibraryProbe { offset, .. } in found {
            let code = &image.bytes()[offset as usize..];
            assert!(if cfg!(target_arch = "aarch64") { code[3] & 0xFC == 0x94 } else { code[0] == 0xE8 });
        }
        // Without libssl there are none, be there a libcrypto or not.
        let crypto = libraries.iter().find(|path| path.ends_with("libcrypto.so.3")).expect("libssl needs it");
        assert_eq!(find(&Image::open(crypto).expect("it is there").elf().expect("a library")), []);
    }
}
