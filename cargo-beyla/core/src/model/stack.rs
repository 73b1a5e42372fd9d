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

impl Whose {
    fn digit(self) -> &'static str {
        match self {
            Self::Library => "0",
            Self::Workspace => "1",
            Self::System => "2",
        }
    }

    fn of_digit(digit: &str) -> Self {
        [Self::Workspace, Self::System].into_iter().find(|whose| whose.digit() == digit).unwrap_or(Self::Library)
    }
}

/// Writes one frame a line. Tabs divide its fields: `whose` (1 for the workspace, 0 for a library, 2 for the system),
/// function, file, line; the last two are empty if they are not known.
pub fn write_frames(frames: &[Frame]) -> String {
    let mut text = String::new();
    for Frame { function, source, whose } in frames {
        let (file, line) = source.as_ref().map_or(("", String::new()), |(file, line)| (file, line.to_string()));
        let clean = |field: &str| field.replace(['\t', '\n'], " ");
        text.extend([whose.digit(), "\t", &clean(function), "\t", &clean(file), "\t", &line, "\n"]);
    }
    text
}

/// Reads what [`write_frames`] wrote, and leaves out lines that are no frames.
pub fn read_frames(text: &str) -> Vec<Frame> {
    let frame = |line: &str| {
        let mut fields = line.split('\t');
        let (whose, function, file, number) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let source = number.parse().ok().map(|number| (file.into(), number));
        Some(Frame { function: function.into(), source, whose: Whose::of_digit(whose) })
    };
    text.lines().filter_map(frame).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_being_written() {
        let frames = [
            Frame { function: "std::thread::sleep".into(), source: None, whose: Whose::System },
            Frame { function: "a\tb".into(), source: Some(("src/main.rs".into(), 42)), whose: Whose::Workspace },
            Frame { function: "tokio::spawn".into(), source: None, whose: Whose::Library },
        ];
        let read = read_frames(&write_frames(&frames));
        assert_eq!(read[0], frames[0]);
        assert_eq!(read[1], Frame { function: "a b".into(), ..frames[1].clone() });
        assert_eq!(read[2], frames[2]);
        assert_eq!(read_frames("7\tx\t\t\n")[0].whose, Whose::Library);
        assert!(read_frames("1\tx\n\n\u{0}").is_empty());
    }

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
