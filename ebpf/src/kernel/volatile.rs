//! Values that are read from memory anew each time: the compiler may not remember them, or the verifier shall know
//! nothing of them.

use core::cell::UnsafeCell;

/// A value that the verifier shall know nothing of: it takes whatever it reads in memory for unknown, so that
/// the paths that led to different values end in one state there, and it need not follow each of them through
/// all that comes after.
#[inline(always)]
pub fn get<T: Copy>(value: &T) -> T {
    // SAFETY: a reference is valid for reads.
    unsafe { core::ptr::read_volatile(value) }
}

/// A number of which the verifier knows nothing: see [`get`].
#[inline(always)]
pub fn opaque(place: &mut u32, value: u32) -> u32 {
    // SAFETY: a reference is valid for writes.
    unsafe { core::ptr::write_volatile(place, value) };
    get(place)
}

/// The lesser of two numbers, without the verifier knowing which it is.
#[inline(always)]
pub fn least(place: &mut u32, one: u32, other: u32) -> u32 {
    opaque(place, if one < other { one } else { other })
}

/// A word that programs on all CPUs share. (The BPF back end has no atomic loads; a word is never torn.)
#[repr(transparent)]
pub struct Word(UnsafeCell<u64>);

// SAFETY: it is only read and written whole, by single instructions.
unsafe impl Sync for Word {}

impl Word {
    pub const fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    #[inline(always)]
    pub fn load(&self) -> u64 {
        // SAFETY: the cell is valid, and see `Sync`.
        unsafe { self.0.get().read_volatile() }
    }

    #[inline(always)]
    pub fn store(&self, value: u64) {
        // SAFETY: the cell is valid, and see `Sync`.
        unsafe { self.0.get().write_volatile(value) }
    }
}
