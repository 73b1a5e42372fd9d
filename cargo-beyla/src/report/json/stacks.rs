//! The stacks to which places refer, in the JSON report: each with its frames by number, since stacks share most of them.

use std::collections::HashMap;

use serde::Serialize;

use cargo_beyla_core::model::stack::Frame;
use cargo_beyla_core::model::summary::Explained;

/// The frames of all stacks, and the stacks.
#[derive(Default)]
pub(super) struct Stacks<'a> {
    pub(super) frames: Vec<FrameRow<'a>>,
    pub(super) stacks: Vec<StackRow>,
}

#[derive(Serialize)]
pub(super) struct FrameRow<'a> {
    function: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    own: Option<bool>,
}

#[derive(Serialize)]
pub(super) struct StackRow {
    id: u32,
    frames: Vec<usize>,
}

/// Function, source and whether it is of the workspace: frames that agree in these are one row.
type Identity<'a> = (&'a str, Option<(&'a str, u32)>, bool);

impl<'a> Stacks<'a> {
    pub(super) fn of(explained: &'a Explained) -> Self {
        let mut made = Self::default();
        let mut numbers: HashMap<Identity<'_>, usize> = HashMap::new();
        for (&id, frames) in &explained.stacks {
            let number = |frame: &'a Frame| {
                let source = frame.source.as_ref().map(|(file, line)| (&**file, *line));
                *numbers.entry((&frame.function, source, frame.is_own())).or_insert_with(|| {
                    made.frames.push(FrameRow {
                        function: &frame.function,
                        file: source.map(|(file, _)| file),
                        line: source.map(|(_, line)| line),
                        own: frame.is_own().then_some(true),
                    });
                    made.frames.len() - 1
                })
            };
            let frames = frames.iter().map(number).collect();
            made.stacks.push(StackRow { id, frames });
        }
        made
    }
}
