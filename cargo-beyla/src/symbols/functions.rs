//! The functions of an image, by their addresses.

use std::ops::Range;

use object::elf::STT_FUNC;
use object::read::elf::Sym;
use object::{LittleEndian, SymbolIndex};

use super::image::{Elf, Image, symbols};

/// Where each function begins and ends, in order.
#[derive(Default)]
pub struct Functions {
    sorted: Vec<(Range<u64>, SymbolIndex)>,
}

impl Functions {
    /// Reads the table of symbols.
    pub fn read(image: &Image) -> Self {
        let Some(elf) = image.elf() else { return Self::default() };
        let mut sorted: Vec<_> = each(&elf).map(|(index, range, _)| (range, index)).collect();
        sorted.sort_by_key(|(range, index)| (range.start, index.0));
        Self { sorted }
    }

    /// The symbol of the function that an address lies in.
    pub fn containing<'image>(&self, image: &'image Image, address: u64) -> Option<&'image str> {
        let behind = self.sorted.partition_point(|(range, _)| range.start <= address);
        let (range, index) = self.sorted[..behind].last()?;
        let found = range.contains(&address).then_some(*index)?;
        name(&image.elf()?, found)
    }

    /// The symbols of the functions that begin at an address: several where the compiler has merged them.
    pub fn starting_at<'image>(&self, image: &'image Image, address: u64) -> Vec<&'image str> {
        let first = self.sorted.partition_point(|(range, _)| range.start < address);
        let there = self.sorted[first..].iter().take_while(|(range, _)| range.start == address);
        let Some(elf) = image.elf() else { return Vec::new() };
        there.filter_map(|(_, index)| name(&elf, *index)).collect()
    }
}

/// Each function in a table of symbols: its number there, its addresses, its symbol.
pub fn each<'data>(elf: &Elf<'data>) -> impl Iterator<Item = (SymbolIndex, Range<u64>, &'data [u8])> {
    let table = symbols(elf);
    let strings = table.strings();
    table.enumerate().filter_map(move |(index, symbol)| {
        let start = symbol.st_value(LittleEndian);
        let defined = !symbol.is_undefined(LittleEndian) && start != 0;
        let name = (defined && symbol.st_type() == STT_FUNC).then(|| symbol.name(LittleEndian, strings).ok())??;
        // A function written in assembly may have no size.
        let end = start.checked_add(symbol.st_size(LittleEndian).max(1))?;
        Some((index, start..end, name))
    })
}

fn name<'data>(elf: &Elf<'data>, index: SymbolIndex) -> Option<&'data str> {
    let table = symbols(elf);
    let name = table.symbol(index).ok()?.name(LittleEndian, table.strings()).ok()?;
    std::str::from_utf8(name).ok()
}
