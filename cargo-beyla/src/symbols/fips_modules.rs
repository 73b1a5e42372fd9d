//! Modules of FIPS 140, which check their own machine code when a program starts.
//!
//! Those of aws-lc and `BoringSSL` abort the program if a byte of them is not as it was built (`BORINGSSL_integrity_test` in
//! their crypto/fipsmodule/bcm.c), and a probe replaces one. So what lies in such a module is not probed, but the calls that
//! lead into it.

use std::ops::Range;

use object::LittleEndian;
use object::read::elf::Sym;

use super::calls;
use super::image::{Elf, code_segments, file_offset, symbols};

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
    if functions.is_empty() {
        return Vec::new();
    }
    let calls = code_segments(elf).flat_map(|segment| calls::of(segment.code, segment.offset, functions));
    calls.filter(|call| !modules.iter().any(|module| module.contains(call))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn this_executable_has_none() {
        let image = super::super::image::Image::open(&std::env::current_exe().expect("our own path"));
        assert_eq!(of(&image.expect("our own executable").elf().expect("an executable")), []);
    }
}
