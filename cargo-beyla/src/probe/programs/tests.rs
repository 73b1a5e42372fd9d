//! The stack limit of old kernels' verifiers, computed from the built objects. New kernels count less strictly, so without
//! this test only booting an old kernel would show that it refuses a program.

use std::collections::HashMap;

use object::elf::FileHeader64;
use object::read::elf::ElfFile;
use object::{LittleEndian, Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionIndex, SymbolKind};

const OBJECTS: [(&str, &[u8]); 2] = [
    ("x86_64", include_bytes!("../../../bytecode/x86_64.o")),
    ("aarch64", include_bytes!("../../../bytecode/aarch64.o")),
];

/// What a program and all that it calls may have of the stack (`MAX_BPF_STACK`).
const STACK_MAX: u32 = 512;
/// A function's part is a multiple of this, and never nothing (`check_max_stack_depth` of Linux 5.8 to 6.1).
const STACK_UNIT: u32 = 32;
/// How many functions may have been called at a time, the program among them (`MAX_CALL_FRAMES`).
const FRAMES_MAX: usize = 8;

const INSTRUCTION: usize = 8;
/// The register that points to the end of a function's part of the stack.
const FRAME_POINTER: u8 = 10;
/// In the place of a source register: what is called is a function of ours.
const PSEUDO_CALL: u8 = 1;

// Opcodes of RFC 9669, and classes of them.
const CLASS: u8 = 0b111;
const LOAD: u8 = 0x01;
const STORE_IMMEDIATE: u8 = 0x02;
const STORE: u8 = 0x03;
const ARITHMETIC: u8 = 0x07;
const ADD_IMMEDIATE: u8 = 0x07;
const CALL: u8 = 0x85;
const MOVE: u8 = 0xbf;

/// A function of an object.
struct Function {
    /// Whether the kernel calls it.
    is_program: bool,
    /// How many bytes of the stack it uses itself.
    stack: u32,
    calls: Vec<String>,
}

/// How far below the end of a function's part of the stack its instructions reach.
fn stack(code: &[u8]) -> u32 {
    let mut points_to_stack = [false; 16];
    points_to_stack[usize::from(FRAME_POINTER)] = true;
    let mut deepest = 0_i32;
    for bytes in code.chunks_exact(INSTRUCTION) {
        let [opcode, registers, o0, o1, i0, i1, i2, i3] = bytes[..] else { panic!("half an instruction") };
        let (to, from) = (registers & 0xf, registers >> 4);
        let offset = i32::from(i16::from_le_bytes([o0, o1]));
        let immediate = i32::from_le_bytes([i0, i1, i2, i3]);
        let (base, offset) = match opcode {
            MOVE => {
                points_to_stack[usize::from(to)] = points_to_stack[usize::from(from)];
                continue;
            }
            ADD_IMMEDIATE => (to, immediate),
            _ if opcode & CLASS == LOAD => (from, offset),
            _ if matches!(opcode & CLASS, STORE_IMMEDIATE | STORE) => (to, offset),
            _ => continue,
        };
        if points_to_stack[usize::from(base)] {
            deepest = deepest.min(offset);
        }
        // What was added to or loaded points elsewhere from here on.
        if matches!(opcode & CLASS, LOAD | ARITHMETIC) {
            points_to_stack[usize::from(to)] = false;
        }
    }
    deepest.unsigned_abs()
}

fn functions(object: &[u8]) -> HashMap<String, Function> {
    let file = ElfFile::<FileHeader64<LittleEndian>>::parse(object).expect("an object");
    let mut functions = HashMap::new();
    let text = file.section_by_name(".text").map(|section| section.index());
    for section in file.sections() {
        let code = section.data().expect("its bytes");
        let calls: HashMap<u64, String> = section
            .relocations()
            .filter_map(|(at, relocation)| {
                let RelocationTarget::Symbol(symbol) = relocation.target() else { return None };
                let symbol = file.symbol_by_index(symbol).expect("a symbol");
                Some((at, symbol.name().expect("a name").to_owned()))
            })
            .collect();
        let of_section = |index: Option<SectionIndex>| index == Some(section.index());
        // The relocation of a call to a function that is not global names the section; the call holds the place in it.
        let in_text: HashMap<u64, String> = file
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.section_index() == text)
            .map(|symbol| (symbol.address(), symbol.name().expect("a name").to_owned()))
            .collect();
        for symbol in file.symbols().filter(|symbol| of_section(symbol.section_index())) {
            if symbol.kind() != SymbolKind::Text || symbol.size() == 0 {
                continue;
            }
            let begin = symbol.address();
            let own = &code[begin as usize..(begin + symbol.size()) as usize];
            let called = own.chunks_exact(INSTRUCTION).enumerate().filter_map(|(index, bytes)| {
                let at = begin + (index * INSTRUCTION) as u64;
                let is_call = bytes[0] == CALL && bytes[1] >> 4 == PSEUDO_CALL;
                let held = i32::from_le_bytes(bytes[4..8].try_into().expect("four bytes"));
                let place = (i64::from(held) + 1) * INSTRUCTION as i64;
                is_call.then(|| match calls.get(&at).map(String::as_str) {
                    // A call within one section has no relocation: it holds the distance.
                    None => in_text[&at.wrapping_add_signed(place)].clone(),
                    Some("" | ".text") => in_text[&(place as u64)].clone(),
                    Some(name) => name.to_owned(),
                })
            });
            let function =
                Function { is_program: section.name() != Ok(".text"), stack: stack(own), calls: called.collect() };
            functions.insert(symbol.name().expect("a name").to_owned(), function);
        }
    }
    functions
}

/// The chain of calls that begins with a function and needs the most stack: its size in bytes, and its functions.
fn deepest(functions: &HashMap<String, Function>, name: &str) -> (u32, Vec<String>) {
    let Function { stack, calls, .. } = &functions[name];
    let own = (*stack).max(1).next_multiple_of(STACK_UNIT);
    let (below, mut chain) = calls.iter().map(|called| deepest(functions, called)).max().unwrap_or_default();
    chain.insert(0, format!("{name} ({own})"));
    (own + below, chain)
}

#[test]
fn no_chain_of_calls_needs_more_stack_than_old_kernels_allow() {
    for (architecture, object) in OBJECTS {
        let functions = functions(object);
        let programs: Vec<&String> =
            functions.iter().filter(|(_, function)| function.is_program).map(|(name, _)| name).collect();
        assert!(programs.len() > 20, "{programs:?}");
        for program in programs {
            let (stack, chain) = deepest(&functions, program);
            assert!(stack <= STACK_MAX && chain.len() <= FRAMES_MAX, "{architecture}: {stack} bytes: {chain:?}");
        }
    }
}
