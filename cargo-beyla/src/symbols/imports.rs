//! How an image reaches the functions of others.

use object::{Object, ObjectSymbol, ObjectSymbolTable, RelocationTarget};

use super::image::Elf;

/// The most words by which an image reaches one function, and jumps by these: it has one or two.
pub(super) const SLOTS_MAX: usize = 16;

/// The words by which the image reaches a function that it imports, once it is linked; none if it does not.
pub(super) fn slots(elf: &Elf<'_>, function: &str) -> Vec<u64> {
    let slots = || {
        let table = elf.dynamic_symbol_table()?;
        let symbol = table.symbols().find(|symbol| symbol.name() == Ok(function) && symbol.is_undefined())?.index();
        let relocations = elf.dynamic_relocations()?;
        let of_it = relocations.filter(|(_, relocation)| relocation.target() == RelocationTarget::Symbol(symbol));
        Some(of_it.map(|(address, _)| address).take(SLOTS_MAX).collect())
    };
    slots().unwrap_or_default()
}
