//! Calls of a function whose fourth argument is a key, in machine code.
//!
//! The code is not decoded from its beginning on: a call is taken for one by where it leads to. That bytes which are no
//! call lead there too is as good as impossible: there are some hundred thousand of them, and 2^32 places.

#[cfg(target_arch = "aarch64")]
pub(super) use aarch64::{is_without_key, leads_to, of, stubs, with_key};
#[cfg(target_arch = "x86_64")]
pub(super) use x86_64::{is_without_key, leads_to, of, stubs, with_key};

/// The Intel manual, volume 2: CALL, JMP, XOR.
#[cfg_attr(not(target_arch = "x86_64"), cfg(test))]
mod x86_64 {
    use memchr::memmem;

    /// `call` and `jmp` with an offset of 32 bits.
    const CALL: u8 = 0xE8;
    const JUMP: u8 = 0xE9;
    const CALL_SIZE: usize = 5;
    /// `call` and `jmp` by a word at an offset of 32 bits.
    const CALL_SLOT: [u8; 2] = [0xFF, 0x15];
    const JUMP_SLOT: [u8; 2] = [0xFF, 0x25];
    const BY_SLOT_SIZE: usize = 6;
    /// What may stand before a jump: `bnd`, and `endbr64`.
    const BND: u8 = 0xF2;
    const ENDBR: [u8; 4] = [0xF3, 0x0F, 0x1E, 0xFA];
    /// Within so many bytes before a call its arguments are set.
    const ARGUMENTS: usize = 24;

    /// Where jumps to a function stand that is reached by one of these words; `base` is the code's address.
    pub(in crate::symbols) fn stubs(code: &[u8], base: u64, slots: &[u64]) -> Vec<u64> {
        let jumps = memmem::find_iter(code, &JUMP_SLOT).filter(|at| is_for(code, base, *at, BY_SLOT_SIZE, slots));
        let with_prefixes = jumps.map(|jump| {
            let jump = if code[..jump].last() == Some(&BND) { jump - 1 } else { jump };
            if code[..jump].ends_with(&ENDBR) { jump - ENDBR.len() } else { jump }
        });
        with_prefixes.map(|at| base.wrapping_add(at as u64)).collect()
    }

    /// The calls of one of `functions`.
    pub(in crate::symbols) fn of(code: &[u8], base: u64, functions: &[u64]) -> Vec<u64> {
        direct(code, base, functions).map(|at| base.wrapping_add(at as u64)).collect()
    }

    /// The calls of one of `functions`, or by one of `slots`, that are given a key.
    pub(in crate::symbols) fn with_key(code: &[u8], base: u64, functions: &[u64], slots: &[u64]) -> Vec<u64> {
        let by_slot = memmem::find_iter(code, &CALL_SLOT).filter(|at| is_for(code, base, *at, BY_SLOT_SIZE, slots));
        let calls = direct(code, base, functions).chain(by_slot).filter(|at| !is_without_key(&code[..*at]));
        calls.map(|at| base.wrapping_add(at as u64)).collect()
    }

    /// Where in the code calls of one of `functions` stand.
    fn direct(code: &[u8], base: u64, functions: &[u64]) -> impl Iterator<Item = usize> {
        memchr::memchr_iter(CALL, code).filter(move |at| is_for(code, base, *at, CALL_SIZE, functions))
    }

    /// Whether the code calls a function, or ends by jumping to it.
    pub(in crate::symbols) fn leads_to(code: &[u8], base: u64, function: u64) -> bool {
        memchr::memchr2_iter(CALL, JUMP, code).any(|at| is_for(code, base, at, CALL_SIZE, &[function]))
    }

    /// Whether the offset that ends an instruction is that of one of these places.
    fn is_for(code: &[u8], base: u64, at: usize, size: usize, places: &[u64]) -> bool {
        let next = at + size;
        let Some(offset) = code.get(next - 4..next).and_then(|bytes| bytes.try_into().ok()) else { return false };
        let place = base.wrapping_add(next as u64).wrapping_add_signed(i32::from_le_bytes(offset).into());
        places.contains(&place)
    }

    /// Whether the fourth argument is cleared before a call: `xor ecx, ecx`, but not `xor r9d, r9d` and the like, which
    /// have a prefix before the same bytes.
    pub(in crate::symbols) fn is_without_key(before: &[u8]) -> bool {
        let arguments = &before[before.len().saturating_sub(ARGUMENTS)..];
        let is_prefix = |byte: u8| (0x40..0x50).contains(&byte);
        arguments.windows(3).any(|bytes| !is_prefix(bytes[0]) && matches!(bytes[1..], [0x31 | 0x33, 0xC9]))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// Code at 0x1000: a stub of each form for the slot at 0x9000, a call of each, and others.
        fn linked(stub: &[u8], arguments: &[u8]) -> (Vec<u8>, u64, u64) {
            let mut code = vec![0x90; 16];
            let begin = code.len();
            code.extend(stub);
            code.extend(JUMP_SLOT);
            code.extend((0x9000_i32 - 0x1000 - code.len() as i32 - 4).to_le_bytes());
            code.extend(arguments);
            let call = code.len();
            code.push(CALL);
            code.extend((begin as i32 - call as i32 - 5).to_le_bytes());
            code.extend([CALL, 0, 0, 0, 0]);
            (code, 0x1000 + begin as u64, 0x1000 + call as u64)
        }

        #[test]
        fn calls_by_stubs_of_every_form_are_found() {
            for stub in [&[][..], &[0xF3, 0x0F, 0x1E, 0xFA], &[0xF3, 0x0F, 0x1E, 0xFA, 0xF2]] {
                // mov rcx, [rsp+0x38]; xor r8d, r8d; xor edx, edx; xor r9d, r9d
                let arguments = [0x48, 0x8B, 0x4C, 0x24, 0x38, 0x45, 0x31, 0xC0, 0x31, 0xD2, 0x45, 0x31, 0xC9];
                let (code, begin, call) = linked(stub, &arguments);
                let stubs = stubs(&code, 0x1000, &[0x9000]);
                assert_eq!((&stubs[..], with_key(&code, 0x1000, &stubs, &[])), (&[begin][..], vec![call]));
            }
        }

        #[test]
        fn a_call_without_a_key_is_none() {
            // xor ecx, ecx; xor edx, edx
            let (code, begin, call) = linked(&[], &[0x31, 0xC9, 0x31, 0xD2]);
            assert_eq!(with_key(&code, 0x1000, &[begin], &[]), Vec::<u64>::new());
            assert_eq!(of(&code, 0x1000, &[begin]), [call]);
            assert!(leads_to(&code, 0x1000, begin) && !leads_to(&code, 0x1000, begin + 1));
        }

        #[test]
        fn a_call_by_the_slot_itself_is_found() {
            let mut code = vec![0x90; 3];
            code.extend(CALL_SLOT);
            code.extend((0x9000_i32 - 0x1000 - 9).to_le_bytes());
            assert_eq!(with_key(&code, 0x1000, &[], &[0x9000]), [0x1003]);
            assert_eq!(with_key(&code, 0x1000, &[], &[0x9008]), Vec::<u64>::new());
            assert_eq!(with_key(&code[..7], 0x1000, &[], &[0x9000]), Vec::<u64>::new());
        }
    }
}

/// The Arm manual, section C6.2: BL, ADRP, LDR (immediate), MOVZ, MOV (register).
#[cfg_attr(not(target_arch = "aarch64"), cfg(test))]
mod aarch64 {
    /// `bl`, and `b` (and `bl`, but for the highest bit).
    const CALL: u32 = 0x9400_0000;
    const JUMP: u32 = 0x1400_0000;
    /// Within so many instructions before a call its arguments are set.
    const ARGUMENTS: usize = 6;
    /// `bti c`, which may stand before a stub.
    const BTI_C: u32 = 0xD503_245F;
    /// `mov x3, #0` and `mov x3, xzr`.
    const NO_KEY: [u32; 2] = [0xD280_0003, 0xAA1F_03E3];

    fn instructions(code: &[u8], base: u64) -> Vec<(u64, u32)> {
        let words = code.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        words.enumerate().map(|(index, word)| (base.wrapping_add(4 * index as u64), word)).collect()
    }

    /// Where jumps to a function stand that is reached by one of these words; `base` is the code's address.
    pub(in crate::symbols) fn stubs(code: &[u8], base: u64, slots: &[u64]) -> Vec<u64> {
        let instructions = instructions(code, base);
        let mut stubs = Vec::new();
        for (index, pair) in instructions.windows(2).enumerate() {
            let [(address, page), (_, load)] = [pair[0], pair[1]];
            // adrp x16; ldr x17, [x16, ...]
            if page & 0x9F00_001F != 0x9000_0010 || load & 0xFFC0_03FF != 0xF940_0211 {
                continue;
            }
            let pages = (page >> 5 & 0x7_FFFF) << 2 | page >> 29 & 3;
            let pages = i64::from((pages << 11).cast_signed() >> 11);
            let page = (address & !0xFFF).wrapping_add_signed(pages << 12);
            let slot = page.wrapping_add(u64::from(load >> 10 & 0xFFF) * 8);
            if slots.contains(&slot) {
                let marked = index > 0 && instructions[index - 1].1 == BTI_C;
                stubs.push(if marked { address.wrapping_sub(4) } else { address });
            }
        }
        stubs
    }

    /// The calls of one of `functions`.
    pub(in crate::symbols) fn of(code: &[u8], base: u64, functions: &[u64]) -> Vec<u64> {
        let calls = instructions(code, base).into_iter().filter(|(address, word)| is_call(*address, *word, functions));
        calls.map(|(address, _)| address).collect()
    }

    /// The calls of one of `functions` that are given a key.
    pub(in crate::symbols) fn with_key(code: &[u8], base: u64, functions: &[u64], _slots: &[u64]) -> Vec<u64> {
        let instructions = instructions(code, base);
        let calls = instructions.iter().enumerate().filter(|(index, (address, word))| {
            is_call(*address, *word, functions) && !is_without_key(&code[..4 * index])
        });
        calls.map(|(_, (address, _))| *address).collect()
    }

    fn is_call(address: u64, word: u32, functions: &[u64]) -> bool {
        word & 0xFC00_0000 == CALL && functions.contains(&target(address, word))
    }

    /// Whether the code calls a function, or ends by jumping to it.
    pub(in crate::symbols) fn leads_to(code: &[u8], base: u64, function: u64) -> bool {
        let mut instructions = instructions(code, base).into_iter();
        instructions.any(|(address, word)| word & 0x7C00_0000 == JUMP && target(address, word) == function)
    }

    /// Where a call or a jump leads that stands at an address.
    fn target(address: u64, word: u32) -> u64 {
        address.wrapping_add_signed(((word << 6).cast_signed() >> 4).into())
    }

    /// Whether the fourth argument is cleared before a call.
    pub(in crate::symbols) fn is_without_key(before: &[u8]) -> bool {
        let arguments = &before[before.len().saturating_sub(4 * ARGUMENTS)..];
        instructions(arguments, 0).iter().any(|(_, word)| NO_KEY.contains(word))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn code(words: &[u32]) -> Vec<u8> {
            words.iter().flat_map(|word| word.to_le_bytes()).collect()
        }

        #[test]
        fn a_call_by_a_stub_is_found() {
            // At 0x1000: bti c; adrp x16, 0x9000; ldr x17, [x16, #0x18]; br x17; mov x3, x20; bl 0x1000; mov x3, #0; bl 0x1000
            let code = code(&[
                0xD503_245F,
                0x9000_0050,
                0xF940_0E11,
                0xD61F_0220,
                0xAA14_03E3,
                0x97FF_FFFB,
                0xD280_0003,
                0x97FF_FFF9,
            ]);
            let stubs = stubs(&code, 0x1000, &[0x9018]);
            assert_eq!((&stubs[..], with_key(&code, 0x1000, &stubs, &[])), (&[0x1000][..], vec![0x1014]));
            assert_eq!(of(&code, 0x1000, &stubs), [0x1014, 0x101C]);
            assert!(leads_to(&code, 0x1000, 0x1000) && !leads_to(&code, 0x1000, 0x1004));
        }
    }
}
