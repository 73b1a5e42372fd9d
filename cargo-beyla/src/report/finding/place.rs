//! A place in the code, as a reader wants to be led to it.

use std::borrow::Cow;

use crate::report::text::{escape, shorten};
use cargo_beyla_core::analysis::code_sites::Landmarks;
use cargo_beyla_core::model::explanation::{Cause, Place};
use cargo_beyla_core::model::stack::Frame;
use cargo_beyla_core::model::summary::Explained;

/// Columns of the name of a function, or of a file; generics make names of any length.
const NAME_WIDTH: usize = 56;

/// A place, with what its stack says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) struct LocatedPlace<'a> {
    /// What was going on.
    pub(in crate::report) cause: Cause,
    /// What the function called: see [`Landmarks`].
    pub(in crate::report) call: Option<&'a str>,
    /// The innermost function of the user's code, or else the one nearest to it.
    pub(in crate::report) function: Option<&'a str>,
    /// File and line in it.
    pub(in crate::report) source: Option<(&'a str, u32)>,
    /// Whether there is no line because the executable has no debug information for it.
    pub(in crate::report) lacks_debug_information: bool,
}

impl<'a> LocatedPlace<'a> {
    pub(in crate::report) fn of(place: &Place, explained: &'a Explained) -> Self {
        let frames: &[Frame] = explained.stacks.get(&place.stack).map_or(&[], Vec::as_slice);
        let Landmarks { function, call } = Landmarks::of(frames);
        let own = function.filter(|function| function.is_own());
        Self {
            cause: place.cause,
            call: call.and_then(Frame::name),
            function: function.and_then(Frame::name),
            source: function.and_then(|function| function.source.as_ref()).map(|(file, line)| (&**file, *line)),
            lacks_debug_information: match own {
                Some(own) => own.source.is_none(),
                None => !frames.is_empty() && frames.iter().all(|frame| frame.source.is_none()),
            },
        }
    }

    /// The name of the cause in the JSON report.
    pub(in crate::report) fn cause_label(&self) -> &'static str {
        self.cause.label()
    }

    /// The name of the system call, or its number if it has no name here.
    pub(in crate::report) fn system_call(&self) -> Option<Cow<'static, str>> {
        let Cause::SystemCall(call) = self.cause else { return None };
        Some(call.name().map_or_else(|| call.number.to_string().into(), Cow::Borrowed))
    }

    /// `std::thread::sleep at src/main.rs:42 in app::block`, or as much of it as is known. Fit for a
    /// terminal.
    pub(in crate::report) fn describe(&self) -> Option<String> {
        let fit = |name: &str| shorten(&escape(name), NAME_WIDTH).into_owned();
        let what = match (self.cause, self.call) {
            (Cause::PageFault, _) => Some("a page fault".to_owned()),
            // Which of the functions that it calls the samples happened to meet says little.
            (Cause::Running, _) if self.source.is_some() => None,
            (_, Some(call)) => Some(fit(call)),
            (Cause::Lock, None) => Some("a lock".to_owned()),
            (_, None) => self.system_call().map(|call| format!("the system call {call}")),
        };
        let source = self.source.map(|(file, line)| format!("{}:{line}", fit(file)));
        let mut text = match (what, source) {
            (Some(what), Some(source)) => format!("{what} at {source}"),
            (what, source) => what.or(source).unwrap_or_default(),
        };
        if let Some(function) = self.function {
            text.push_str(if text.is_empty() { "" } else { " in " });
            text.push_str(&fit(function));
        }
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use syscalls::Sysno;

    use super::*;
    use cargo_beyla_core::model::stack::Whose;
    use cargo_beyla_core::model::system_call::SystemCall;

    fn of(number: i32) -> Cause {
        Cause::SystemCall(SystemCall::here(number))
    }

    fn frame(function: &str, source: Option<u32>, own: bool) -> Frame {
        let whose = if own { Whose::Workspace } else { Whose::System };
        Frame { function: function.into(), source: source.map(|line| ("src/main.rs".into(), line)), whose }
    }

    fn described(cause: Cause, frames: Vec<Frame>) -> Option<String> {
        let explained = Explained { stacks: [(1, frames)].into(), ..Explained::default() };
        LocatedPlace::of(&Place { cause, stack: 1, ns: 5, count: 1 }, &explained).describe()
    }

    #[test]
    fn a_place_is_the_call_and_the_line_that_made_it() {
        let sleep = || {
            vec![
                frame("clock_nanosleep", None, false),
                frame("std::thread::sleep", Some(7), false),
                frame("app::block", Some(42), true),
                frame("app::main", Some(1), true),
            ]
        };
        let says = |cause, frames| described(cause, frames).expect("something");
        let call = of(Sysno::clock_nanosleep.id());
        assert_eq!(says(call, sleep()), "std::thread::sleep at src/main.rs:42 in app::block");
        assert_eq!(says(call, sleep()[..2].to_vec()), "clock_nanosleep");
        assert_eq!(says(Cause::Running, sleep()[2..].to_vec()), "src/main.rs:42 in app::block");
        assert_eq!(says(Cause::PageFault, sleep()[2..].to_vec()), "a page fault at src/main.rs:42 in app::block");
        let plain = vec![frame("libc.so.6+0x7f00", None, false), frame("app::block", None, true)];
        assert_eq!(says(Cause::Running, plain.clone()), "app::block");
        assert_eq!(says(call, plain.clone()), "the system call clock_nanosleep in app::block");
        assert_eq!(says(Cause::Lock, plain), "a lock in app::block");
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        assert_eq!(described(Cause::Unknown, Vec::new()), None);
        assert_eq!(described(Cause::Running, vec![frame("libc.so.6+0x7f00", None, false)]), None);
        assert_eq!(described(of(9999), Vec::new()).as_deref(), Some("the system call 9999"));
        assert_eq!(described(of(-1), Vec::new()).as_deref(), Some("the system call -1"));
    }

    #[test]
    fn a_missing_line_is_laid_to_missing_debug_information() {
        let lacks = |frames: &[Frame]| {
            let explained = Explained { stacks: [(1, frames.to_vec())].into(), ..Explained::default() };
            LocatedPlace::of(&Place { cause: Cause::Running, stack: 1, ns: 5, count: 1 }, &explained)
                .lacks_debug_information
        };
        assert!(lacks(&[frame("std::thread::sleep", Some(7), false), frame("app::block", None, true)]));
        assert!(lacks(&[frame("block", None, false)]));
        assert!(!lacks(&[frame("block", None, false), frame("app::block", Some(1), true)]));
        assert!(!lacks(&[frame("std::thread::sleep", Some(7), false)]));
        assert!(!lacks(&[]));
    }

    #[test]
    fn names_are_escaped_and_bounded() {
        let text = described(Cause::Running, vec![frame(&"\x1b[2Jé::".repeat(99), Some(1), true)]).expect("text");
        assert!(!text.contains('\x1b') && crate::report::text::width(&text) < 90, "{text}");
    }
}
