//! The frames of a stack.

use std::sync::Arc;

/// A frame of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The function, demangled and without its hash; `file+0x1f` if it has no name.
    pub function: Arc<str>,
    /// The source file and the line; `None` without debug information. A file of the workspace is relative to it.
    pub source: Option<(Arc<str>, u32)>,
    /// Whose code it is.
    pub whose: Whose,
}

impl Frame {
    /// Whether it belongs to the user's workspace.
    pub fn is_own(&self) -> bool {
        self.whose == Whose::Workspace
    }

    /// The function's name, if it has one.
    pub fn name(&self) -> Option<&str> {
        let address = self.function.rsplit_once("+0x").map(|(_, address)| address);
        let unnamed = address.is_some_and(|address| u64::from_str_radix(address, 16).is_ok());
        (!unnamed && !self.function.is_empty()).then_some(&*self.function)
    }
}

/// Whose code a frame runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The user's workspace.
    Workspace,
    /// A library, or nobody knows.
    Library,
    /// Rust's standard library, the C library, or the kernel.
    System,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_an_address_are_no_name() {
        let name = |function: &str| {
            Frame { function: function.into(), source: None, whose: Whose::Library }.name().map(str::to_owned)
        };
        for unnamed in ["libc.so.6+0x92e6c", "server+0x0", "[vdso]+0xfff", ""] {
            assert_eq!(name(unnamed), None);
        }
        for named in ["main", "<a::A as core::ops::Add>::add", "a+0xyz", "operator+", "a+0x"] {
            assert_eq!(name(named).as_deref(), Some(named));
        }
    }
}
