//! Modules of FIPS 140, which check their own machine code when a program starts.
//!
//! Those of aws-lc and `BoringSSL` abort the program if a byte of them is not as it was built (`BORINGSSL_integrity_test` in
//! their crypto/fipsmodule/bcm.c), and a probe replaces one. So what lies in such a module is not probed, but the calls that
//! lead into it.

use std::ops::Range;

use object::read::elf::Sym;
use object::{LittleEndian, Object, RelocationTarget};

use super::calls;
use super::image::{CodeSegment, Elf, address_of_offset, code_segments, file_offset, symbols};

/// The labels around what a module checks, as the ends of their symbols.
const BEGIN: &[u8] = b"BORINGSSL_bcm_text_start";
const END: &[u8] = b"BORINGSSL_bcm_text_end";

/// The modules between such labels, of all symbols and their addresses.
pub(super) fn between_labels<'data>(symbols: impl Iterator<Item = (&'data [u8], u64)>) -> Vec<Range<u64>> {
    let (mut begins, mut ends) = (Vec::new(), Vec::new());
    for (symbol, address) in symbols {
        if symbol.ends_with(BEGIN) {
            begins.push(address);
        } else if symbol.ends_with(END) {
            ends.push(address);
        }
    }
    begins.sort_unstable();
    let until = |begin: &u64| ends.iter().filter(|end| *end > begin).min().copied();
    begins.iter().filter_map(|begin| Some(*begin..until(begin)?)).collect()
}

/// The modules of an executable, as they stand in its file.
pub(super) fn of(elf: &Elf<'_>) -> Vec<Range<u64>> {
    let table = symbols(elf);
    let labels = table.iter().filter_map(|symbol| {
        let name = symbol.name(LittleEndian, table.strings()).ok()?;
        Some((name, symbol.st_value(LittleEndian)))
    });
    let modules = between_labels(labels).into_iter();
    let in_file = modules.filter_map(|module| {
        let begin = file_offset(elf, module.start)?;
        Some(begin..begin.checked_add(module.end - module.start)?)
    });
    in_file.collect()
}

/// Where an executable calls these functions from outside of the modules; all places are those in its file.
pub(super) fn calls_from_outside(elf: &Elf<'_>, functions: &[u64], modules: &[Range<u64>]) -> Vec<u64> {
    let functions: Vec<u64> = functions.iter().filter_map(|at| address_of_offset(elf, *at, 1)).collect();
    if functions.is_empty() {
        return Vec::new();
    }
    let slots = slots(elf, &functions);
    let calls = code_segments(elf).flat_map(|CodeSegment { address, offset, code }| {
        let calls = calls::of(code, address, &functions, &slots).into_iter();
        calls.map(move |call| offset.wrapping_add(call.wrapping_sub(address)))
    });
    calls.filter(|call| !modules.iter().any(|module| module.contains(call))).collect()
}

/// The words that will hold the address of one of these functions: rustc has functions of other languages called by such.
fn slots(elf: &Elf<'_>, functions: &[u64]) -> Vec<u64> {
    let relocations = elf.dynamic_relocations().into_iter().flatten();
    let of_them = relocations.filter(|(_, relocation)| {
        relocation.target() == RelocationTarget::Absolute && functions.contains(&relocation.addend().cast_unsigned())
    });
    of_them.map(|(word, _)| word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::functions;
    use crate::symbols::image::Image;
    use crate::symbols::key_symbols::key_function;

    #[test]
    fn a_module_lies_between_its_labels() {
        let symbols = [
            (&b"BORINGSSL_bcm_text_end"[..], 900),
            (b"BORINGSSL_bcm_text_start", 100),
            (b"BORINGSSL_bcm_text_hash", 901),
            (b"aws_lc_fips_0_14_4_BORINGSSL_bcm_text_start", 2000),
            (b"aws_lc_fips_0_14_4_BORINGSSL_bcm_text_end", 3000),
            // Without an end.
            (b"BORINGSSL_bcm_text_start", 5000),
        ];
        assert_eq!(between_labels(symbols.into_iter()), [100..900, 2000..3000]);
        assert_eq!(between_labels(std::iter::empty()), []);
    }

    /// Ring is no such module, but its functions are called in the same way.
    #[test]
    fn calls_of_functions_of_another_language_are_found() {
        drop(rustls::crypto::ring::default_provider());
        let image = Image::open(&std::env::current_exe().expect("our own path")).expect("our own executable");
        let elf = image.elf().expect("an executable");
        let functions = functions::each(&elf).filter(|(_, _, symbol)| key_function(symbol).is_some());
        let functions: Vec<u64> = functions.filter_map(|(_, range, _)| file_offset(&elf, range.start)).collect();
        let calls = calls_from_outside(&elf, &functions, &[]);
        assert!(!calls.is_empty(), "{functions:?}");
        for call in calls {
            let code = &image.bytes()[call as usize..];
            let is_call = code[0] == 0xE8 || code.starts_with(&[0xFF, 0x15]);
            assert!(if cfg!(target_arch = "aarch64") { code[3] & 0xFC == 0x94 } else { is_call }, "{call:#x}");
        }
        let everything = 0..u64::MAX;
        assert_eq!(calls_from_outside(&elf, &functions, &[everything]), []);
    }

    #[test]
    fn this_executable_has_none() {
        let image = Image::open(&std::env::current_exe().expect("our own path"));
        assert_eq!(of(&image.expect("our own executable").elf().expect("an executable")), []);
    }
}
