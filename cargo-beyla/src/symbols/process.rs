//! What a process has mapped to execute, and the way up the stacks of its threads.

use std::ops::Range;
use std::time::{Duration, Instant};

use cargo_beyla_events as records;
use framehop::{
    CacheNative, ExplicitModuleSectionInfo, MayAllocateDuringUnwind, Module, UnwindRegsNative, Unwinder, UnwinderNative,
};
use procfs::process::{MMPermissions, MemoryMap};

use super::image::{self, Bytes, Image};
use super::images::{Code, Images};

/// The most frames of a stack that are kept, the innermost ones.
const FRAMES_MAX: usize = 128;

/// The most mappings that are looked at.
const MAPPINGS_MAX: usize = 4096;

/// The mappings of a process are read again no sooner than this: code that comes from no file would ask for it forever.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// A process.
pub struct Process {
    pid: u32,
    /// In the order of their addresses.
    mappings: Vec<Mapping>,
    unwinder: UnwinderNative<Bytes, MayAllocateDuringUnwind>,
    cache: CacheNative<MayAllocateDuringUnwind>,
    read: Option<Instant>,
}

/// A part of an image that is mapped to be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mapping {
    range: Range<u64>,
    image: u32,
    /// The address in the process is the image's address plus this, wrapping.
    bias: u64,
}

impl Process {
    /// A process before anything of it is read.
    pub fn new(pid: u32) -> Self {
        Self { pid, mappings: Vec::new(), unwinder: UnwinderNative::new(), cache: CacheNative::new(), read: None }
    }

    /// The frames of a stack, the innermost first, as far as they lie in images that are known.
    pub fn unwind(&mut self, stack: &records::Stack, copied: &[u8], images: &mut Images) -> Vec<Code> {
        let (frames, complete) = self.walk(stack, copied);
        if complete || !self.read_mappings(images) {
            return frames;
        }
        self.walk(stack, copied).0
    }

    /// The place in the code that an address of the process is.
    pub fn code_at(&mut self, address: u64, images: &mut Images) -> Option<Code> {
        match code_at(&self.mappings, address) {
            None if self.read_mappings(images) => code_at(&self.mappings, address),
            found => found,
        }
    }

    /// The frames, and whether every one of them lies in a known image.
    fn walk(&mut self, stack: &records::Stack, copied: &[u8]) -> (Vec<Code>, bool) {
        let mut read_stack = |address: u64| {
            let offset = address.checked_sub(stack.stack_pointer).and_then(|offset| usize::try_from(offset).ok());
            let word = offset.and_then(|offset| copied.get(offset..)?.first_chunk());
            word.map(|word| u64::from_le_bytes(*word)).ok_or(())
        };
        let registers = registers(stack, self.unwinder.max_known_code_address());
        let mut walk = self.unwinder.iter_frames(stack.instruction, registers, &mut self.cache, &mut read_stack);
        let mut frames = Vec::new();
        while frames.len() < FRAMES_MAX {
            // Unwinding fails where the stack is deeper than the copy.
            let Ok(Some(frame)) = walk.next() else { break };
            // Beyond unknown code, return addresses would be guesses.
            let Some(code) = code_at(&self.mappings, frame.address_for_lookup()) else { return (frames, false) };
            frames.push(code);
        }
        (frames, true)
    }

    /// Reads the mappings of the process, unless that has just been done; returns whether they have changed.
    fn read_mappings(&mut self, images: &mut Images) -> bool {
        let now = Instant::now();
        if self.read.is_some_and(|read| now.duration_since(read) < READ_AGAIN) {
            return false;
        }
        self.read = Some(now);
        let maps = procfs::process::Process::new(self.pid as i32).and_then(|process| process.maps());
        // After the end of the process, its last known mappings still hold.
        let Ok(maps) = maps else { return false };
        let mappings: Vec<Mapping> = maps
            .iter()
            .filter(|map| map.perms.contains(MMPermissions::EXECUTE))
            .take(MAPPINGS_MAX)
            .filter_map(|map| mapping(self.pid, map, images))
            .collect();
        if mappings.is_empty() || mappings == self.mappings {
            return false;
        }
        self.unwinder = UnwinderNative::new();
        for mapping in &mappings {
            if let Some(image) = images.get(mapping.image) {
                self.unwinder.add_module(module(mapping, image));
            }
        }
        self.mappings = mappings;
        true
    }
}

fn mapping(pid: u32, map: &MemoryMap, images: &mut Images) -> Option<Mapping> {
    let (start, end) = map.address;
    let number = images.of_mapping(pid, map)?;
    let elf = images.get(number)?.elf()?;
    let address = image::address_of_offset(&elf, map.offset, end.checked_sub(start)?)?;
    Some(Mapping { range: start..end, image: number, bias: start.wrapping_sub(address) })
}

fn module(mapping: &Mapping, image: &Image) -> Module<Bytes> {
    let (eh_frame_svma, eh_frame) = image.loaded_section(".eh_frame").unzip();
    let (eh_frame_hdr_svma, eh_frame_hdr) = image.loaded_section(".eh_frame_hdr").unzip();
    let text_svma = image.loaded_section(".text").map(|(range, _)| range);
    let got_svma = image.loaded_section(".got").map(|(range, _)| range);
    let sections = ExplicitModuleSectionInfo {
        base_svma: 0,
        text_svma,
        text: None,
        stubs_svma: None,
        stub_helper_svma: None,
        got_svma,
        unwind_info: None,
        eh_frame_svma,
        eh_frame,
        eh_frame_hdr_svma,
        eh_frame_hdr,
        debug_frame: None,
        text_segment_svma: None,
        text_segment: None,
    };
    Module::new(image.path().display().to_string(), mapping.range.clone(), mapping.bias, sections)
}

fn code_at(mappings: &[Mapping], address: u64) -> Option<Code> {
    let behind = mappings.partition_point(|mapping| mapping.range.start <= address);
    let mapping = mappings[..behind].last().filter(|mapping| mapping.range.contains(&address))?;
    Some(Code { image: mapping.image, address: address.wrapping_sub(mapping.bias) })
}

#[cfg(target_arch = "x86_64")]
fn registers(stack: &records::Stack, _max_code_address: u64) -> UnwindRegsNative {
    UnwindRegsNative::new(stack.instruction, stack.stack_pointer, stack.frame_pointer)
}

#[cfg(target_arch = "aarch64")]
fn registers(stack: &records::Stack, max_code_address: u64) -> UnwindRegsNative {
    // Return addresses may carry a signature in the bits that no address uses.
    let mask = framehop::aarch64::PtrAuthMask::from_max_known_address(max_code_address.max(1));
    UnwindRegsNative::new_with_ptr_auth_mask(mask, stack.link, stack.stack_pointer, stack.frame_pointer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::functions::{self, Functions};
    use super::super::locks;
    use super::*;

    /// Where the image of the tests is mapped.
    const BASE: u64 = 0x7f00_0000_0000;

    #[test]
    fn addresses_are_those_of_the_image() {
        let mapping = |start, image| Mapping { range: start..start + 0x1000, image, bias: start - 0x400 };
        let mappings = [mapping(0x1000, 0), mapping(0x2000, 1), mapping(0x8000, 2)];
        assert_eq!(code_at(&mappings, 0x1010), Some(Code { image: 0, address: 0x410 }));
        assert_eq!(code_at(&mappings, 0x2000), Some(Code { image: 1, address: 0x400 }));
        assert_eq!(code_at(&mappings, 0x8fff), Some(Code { image: 2, address: 0x13ff }));
        for nowhere in [0, 0xfff, 0x3000, 0x7fff, 0x9000, u64::MAX] {
            assert_eq!(code_at(&mappings, nowhere), None);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn an_image_that_is_broken_anywhere_does_no_harm(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..64),
            stack in proptest::collection::vec(any::<u64>(), 64),
        ) {
            let mut bytes = Image::vdso().expect("the kernel has one").bytes().to_vec();
            let size = bytes.len() as u64;
            for (index, value) in changes {
                let index = index.index(bytes.len());
                bytes[index] = value;
            }
            let image = Image::of_bytes(bytes);
            let functions = Functions::read(&image);
            locks::find(&image);
            let mut process = Process::new(u32::MAX);
            let mapping = Mapping { range: BASE..BASE + size, image: 0, bias: BASE };
            process.unwinder.add_module(module(&mapping, &image));
            process.mappings.push(mapping);
            // Some words that are addresses of code, and some that are none.
            let words = stack.iter().map(|word| if word % 2 == 0 { BASE + word % size } else { *word });
            let copied: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
            let starts = image.elf().map(|elf| functions::each(&elf).map(|(_, range, _)| range.start).collect::<Vec<_>>());
            for start in starts.unwrap_or_default().into_iter().chain([size / 2]) {
                functions.containing(&image, start);
                functions.starting_at(&image, start);
                let instruction = BASE.wrapping_add(start);
                let registers = records::Stack { instruction, stack_pointer: 0x1000, frame_pointer: 0x1010, ..records::Stack::default() };
                let (frames, _) = process.walk(&registers, &copied);
                prop_assert!(frames.len() <= FRAMES_MAX);
            }
        }
    }
}
