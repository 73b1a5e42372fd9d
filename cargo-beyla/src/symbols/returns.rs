//! Where a function in C returns to its caller.
//!
//! On `x86_64` instructions have many lengths, and a probe in the midst of one would change what the program does. So the code
//! is not searched: the tables for unwinding say where the return address lies right at the top of the stack again, and there
//! the instruction is looked at.

use std::ops::Range;

use super::image::Image;

/// The addresses of the instructions by which a function returns; none if they cannot be told.
pub(super) fn of(image: &Image, function: &Range<u64>) -> Vec<u64> {
    find(image, function).unwrap_or_default()
}

#[cfg(target_arch = "x86_64")]
fn find(image: &Image, function: &Range<u64>) -> Option<Vec<u64>> {
    use addr2line::gimli::{BaseAddresses, CfaRule, EhFrame, LittleEndian, UnwindContext, UnwindSection, X86_64};

    /// The return address is the word below the frame.
    const WORD: i64 = 8;

    let (section, bytes) = image.loaded_section(".eh_frame")?;
    let frames = EhFrame::new(&bytes, LittleEndian);
    let bases = BaseAddresses::default().set_eh_frame(section.start);
    let entry = frames.fde_for_address(&bases, function.start, EhFrame::cie_from_offset).ok()?;
    let mut context = UnwindContext::new();
    let mut rows = entry.rows(&frames, &bases, &mut context).ok()?;
    let mut returns = Vec::new();
    while let Some(row) = rows.next_row().ok()? {
        let is_popped = matches!(
            row.cfa(),
            CfaRule::RegisterAndOffset { register, offset } if *register == X86_64::RSP && *offset == WORD
        );
        let at = row.start_address();
        let row = at.max(function.start + 1)..row.end_address().min(function.end);
        if is_popped
            && at > function.start
            && let Some(code) = image.code(row.start, row.end.saturating_sub(row.start))
            && let Some(offset) = return_after_zeroing(code)
        {
            returns.push(at + offset as u64);
        }
    }
    Some(returns)
}

/// Where code returns that does nothing else but clear registers before (`-fzero-call-used-regs`).
#[cfg(target_arch = "x86_64")]
fn return_after_zeroing(code: &[u8]) -> Option<usize> {
    let mut offset = 0;
    loop {
        match code.get(offset..)? {
            // `ret`, and with a prefix that some processors like.
            [0xC3, ..] | [0xF3, 0xC3, ..] => return Some(offset),
            // `xor` of a register with itself.
            [0x31, operands, ..] if is_one_register(*operands) => offset += 2,
            [0x45, 0x31, operands, ..] if is_one_register(*operands) => offset += 3,
            _ => return None,
        }
    }
}

/// Whether the operands of an instruction are twice the same register.
#[cfg(target_arch = "x86_64")]
fn is_one_register(operands: u8) -> bool {
    operands >> 6 == 0b11 && (operands >> 3) & 0b111 == operands & 0b111
}

/// There every instruction has four bytes.
#[cfg(target_arch = "aarch64")]
fn find(image: &Image, function: &Range<u64>) -> Option<Vec<u64>> {
    /// `ret` (the Arm manual, C6.2).
    const RET: [u8; 4] = 0xD65F_03C0_u32.to_le_bytes();

    let code = image.code(function.start, function.end - function.start)?;
    let words = code.chunks_exact(RET.len()).zip((function.start..).step_by(RET.len()));
    Some(words.filter(|(word, _)| **word == RET).map(|(_, at)| at).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::{functions, needed};

    #[test]
    fn functions_of_an_installed_library_return() {
        // Debian has it with curl.
        let libraries = needed::libraries(std::path::Path::new("/usr/bin/curl"));
        let path = libraries.iter().find(|path| path.ends_with("libssl.so.3")).expect("curl is linked with it");
        let image = Image::open(path).expect("it is there");
        let elf = image.elf().expect("a library");
        let read = functions::each(&elf).find(|(_, _, symbol)| *symbol == b"SSL_read").expect("it has that");
        let (_, range, _) = read;
        let found = of(&image, &range);
        assert!(!found.is_empty() && found.iter().all(|at| range.contains(at)), "{found:x?} in {range:x?}");
        assert!(of(&image, &(1..2)).is_empty());
    }
}
