//! Where in a function a probe costs least.
//!
//! The kernel emulates some instructions, and has the processor step over a copy of any other, which takes ten times as
//! long (`arch/x86/kernel/uprobes.c`: `push`, jumps and calls are emulated). Functions in C and assembly often have such an
//! instruction a few bytes behind their entry, where their arguments are still as they were given.

/// Bytes from the entry on that are looked at.
const LOOKED_AT: usize = 40;

/// The offset from a function's entry of the first instruction that is emulated, if all before it are known to leave the
/// arguments alone; else 0.
pub(super) fn find(code: &[u8]) -> u64 {
    let mut at = 0;
    while cfg!(target_arch = "x86_64") && at < LOOKED_AT {
        let rest = code.get(at..).unwrap_or_default();
        if is_emulated(rest) {
            return at as u64;
        }
        match passed_over(rest) {
            Some(size) => at += size,
            None => break,
        }
    }
    0
}

/// `push` of a register, and conditional jumps.
fn is_emulated(code: &[u8]) -> bool {
    matches!(code, [0x50..=0x57 | 0x70..=0x7F, ..] | [0x41, 0x50..=0x57, ..] | [0x0F, 0x80..=0x8F, ..])
}

/// The size of an instruction that changes no register which holds one of the first four arguments (the Intel manual,
/// volume 2; System V ABI for `x86_64`, section 3.2.3).
fn passed_over(code: &[u8]) -> Option<usize> {
    // In the byte behind the operation: whether both operands are registers, and their numbers.
    let registers = |operands: u8| operands >> 6 == 3;
    let first = |operands: u8| operands & 7;
    let is_argument = |register: u8| matches!(register, 1 | 2 | 6 | 7);
    match *code {
        // endbr64; sub rsp, NUMBER
        [0xF3, 0x0F, 0x1E, 0xFA, ..] | [0x48, 0x83, 0xEC, _, ..] => Some(4),
        // mov REGISTER, REGISTER
        [0x48 | 0x4C, 0x89, operands, ..] if registers(operands) && !is_argument(first(operands)) => Some(3),
        [0x49 | 0x4D, 0x89, operands, ..] if registers(operands) => Some(3),
        // lea rax, [REGISTER + NUMBER]
        [0x48, 0x8D, operands, ..] if operands & 0xF8 == 0x40 && first(operands) != 4 => Some(4),
        // movups xmm0, [REGISTER], xorps of two registers
        [0x0F, 0x10, operands, ..] if operands >> 6 == 0 && !matches!(first(operands), 4 | 5) => Some(3),
        [0x0F, 0x57, operands, ..] if registers(operands) => Some(3),
        // cmp esi, NUMBER
        [0x81, 0xFE, ..] => Some(6),
        _ => None,
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn the_beginnings_of_libraries_have_one() {
        // ring's aes_hw_set_encrypt_key_base: sub, movups, xorps, lea, cmp, je.
        let ring = b"\x48\x83\xec\x08\x0f\x10\x07\x0f\x57\xe4\x48\x8d\x42\x10\x81\xfe\x00\x01\x00\x00\x0f\x84\x06\x01";
        assert_eq!(find(ring), 20);
        assert_eq!(find(&[&[0xF3, 0x0F, 0x1E, 0xFA][..], ring].concat()), 24);
        // aws-lc's EVP_AEAD_CTX_init_with_direction: mov rax, rsi; push rbx. Without optimisation: push rbp.
        assert_eq!(find(b"\x48\x89\xf0\x53\x48\x89\xd6"), 3);
        assert_eq!(find(b"\x55\x48\x89\xe5"), 0);
    }

    #[test]
    fn nothing_is_passed_over_that_may_change_an_argument() {
        // mov rdx, rax; push rbx. mov rcx, rsi. lea rdi, [rdx+16]. An instruction that is not known.
        for code in
            [&b"\x48\x89\xc2\x53"[..], b"\x48\x89\xf1\x53", b"\x48\x8d\x7a\x10\x53", b"\x90\x53", b"\x48\x83", b""]
        {
            assert_eq!(find(code), 0, "{code:x?}");
        }
        // mov r9, rdx; push r12.
        assert_eq!(find(b"\x49\x89\xd1\x41\x54"), 3);
    }
}
