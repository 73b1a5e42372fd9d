//! Names for what the kernel side knows by addresses: the frames of stacks and the types of tasks.

use std::borrow::Cow;

use cargo_beyla_events::Header;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::layout::{DecodeError, Layout, RECORD_MAX, append, append_text, split_text, structures};
use crate::model::stack::{Frame, Whose};

/// [`NameRecord`] and frames in UTF-8: see [`write_frames`].
pub(super) const STACK_FRAMES: u16 = 105;
/// [`NameRecord`] and a name in UTF-8.
pub(super) const TASK_TYPE: u16 = 106;

/// The frames of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackFrames<'a> {
    /// The number of the stack: see [`super::UnwoundStack::stack`].
    pub stack: u32,
    /// The innermost first.
    pub frames: Cow<'a, [Frame]>,
}

/// The name of the type of those tasks that have this table of functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskType<'a> {
    /// The address of the table: see [`cargo_beyla_events::TaskChange::vtable`].
    pub vtable: u64,
    /// The type of the future.
    pub name: &'a str,
}

/// What a name in a record belongs to.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct NameRecord {
    header: Header,
    /// The number of a stack, or the address of a table.
    of: u64,
}

structures!(NameRecord);

impl<'a> Layout<'a> for TaskType<'a> {
    fn read(record: &'a [u8]) -> Result<Self, DecodeError> {
        let (NameRecord { of, .. }, name) = split_text(record)?;
        Ok(Self { vtable: of, name })
    }

    fn write(&self, kind: u16, records: &mut Vec<u8>) {
        append_text(records, kind, NameRecord { header: Header::default(), of: self.vtable }, self.name);
    }
}

impl<'a> Layout<'a> for StackFrames<'a> {
    fn read(record: &'a [u8]) -> Result<Self, DecodeError> {
        let (NameRecord { of, .. }, text) = split_text(record)?;
        Ok(Self { stack: of as u32, frames: read_frames(text).into() })
    }

    /// The outermost frames are left out where there are too many for a record.
    fn write(&self, kind: u16, records: &mut Vec<u8>) {
        let text = write_frames(&self.frames, RECORD_MAX - size_of::<NameRecord>());
        append(records, kind, NameRecord { header: Header::default(), of: self.stack.into() }, text.as_bytes());
    }
}

/// One frame a line, its fields divided by tabs: [`digit`], function, file, line; the last two are empty where they
/// are not known. As many frames as `most` bytes have room for.
fn write_frames(frames: &[Frame], most: usize) -> String {
    let mut text = String::new();
    for Frame { function, source, whose } in frames {
        let begin = text.len();
        if begin > 0 {
            text.push('\n');
        }
        let (file, line) = source.as_ref().map_or(("", String::new()), |(file, line)| (file, line.to_string()));
        let clean = |field: &str| field.replace(['\t', '\n'], " ");
        text.extend([digit(*whose), "\t", &clean(function), "\t", &clean(file), "\t", &line]);
        if text.len() > most {
            text.truncate(begin);
            break;
        }
    }
    text
}

/// The reverse of [`write_frames`]; lines that are no frames are left out.
fn read_frames(text: &str) -> Vec<Frame> {
    let frame = |line: &str| {
        let mut fields = line.split('\t');
        let (whose, function, file, number) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let source = number.parse().ok().map(|number| (file.into(), number));
        if whose.is_empty() {
            return None;
        }
        let whose = [Whose::Workspace, Whose::System].into_iter().find(|known| digit(*known) == whose);
        Some(Frame { function: function.into(), source, whose: whose.unwrap_or(Whose::Library) })
    };
    text.split('\n').filter_map(frame).collect()
}

fn digit(whose: Whose) -> &'static str {
    match whose {
        Whose::Library => "0",
        Whose::Workspace => "1",
        Whose::System => "2",
    }
}
