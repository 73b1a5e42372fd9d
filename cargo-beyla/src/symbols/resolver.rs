//! Names for the addresses that the kernel records: the frames of stacks, the types of tasks.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cargo_beyla_events::Vtable;

use super::images::{Code, Images};
use super::origin::Origin;
use super::process::Process;
use super::symbolizer::Symbolizer;
use super::task_types;
use cargo_beyla_core::event::{CopiedStack, UnwoundStack};
use cargo_beyla_core::model::stack::Frame;

/// The most different stacks that are kept; those beyond have number 0.
const STACKS_MAX: usize = 4096;

/// The most tables of functions that are looked at.
const TABLES_MAX: usize = 16 * 1024;

/// The most processes that are remembered at a time.
const PROCESSES_MAX: usize = 64;

/// Names for stacks and tasks.
///
/// [`Self::unwind`] and [`Self::add_task_type`] are quick: they only read what is mapped, because it may be gone a
/// moment later. [`Self::take_stacks`] and [`Self::take_task_types`] look the names up, which takes time for each new
/// image.
pub struct Symbols {
    processes: HashMap<u32, Process>,
    images: Images,
    /// The number of each stack so far.
    numbers: HashMap<Arc<[Code]>, u32>,
    /// The stacks by their numbers, from 1 on, and whether the thread waits for a lock there.
    stacks: Vec<(Arc<[Code]>, bool)>,
    /// How many of them have been given.
    taken: usize,
    /// The functions of each table so far, until its name is looked up.
    tables: HashMap<u64, Option<Vec<Code>>>,
    symbolizer: Symbolizer,
}

impl Symbols {
    /// Nothing is read yet. The crates of the workspace have underscores in their names.
    pub fn new(workspace_root: PathBuf, own_crates: Vec<String>) -> Self {
        Self {
            processes: HashMap::new(),
            images: Images::default(),
            numbers: HashMap::new(),
            stacks: Vec::new(),
            taken: 0,
            tables: HashMap::new(),
            symbolizer: Symbolizer::new(Origin::new(workspace_root, own_crates)),
        }
    }

    /// Reads an executable before its first stack comes. Reading takes tens of milliseconds, and other processes may
    /// end meanwhile, with what they have mapped.
    ///
    /// `file` is a path that leads to it where its own path does not.
    pub fn expect(&mut self, executable: &Path, file: &Path) {
        self.images.expect(executable, file);
    }

    /// Unwinds a stack and gives it a number: stacks with the same frames have the same number, and a stack without any
    /// known frame has 0.
    pub fn unwind(&mut self, pid: u32, stack: &CopiedStack<'_>) -> UnwoundStack {
        let CopiedStack { registers, bytes } = stack;
        let process = process(&mut self.processes, pid);
        let frames = process.unwind(registers, bytes, &mut self.images);
        let number = self.number(frames);
        let lock =
            number.checked_sub(1).and_then(|index| self.stacks.get(index as usize)).is_some_and(|(_, lock)| *lock);
        let header = registers.header;
        UnwoundStack {
            time_ns: header.time_ns,
            occasion: header.flags,
            thread: registers.thread,
            stack: number,
            lock,
            task: registers.task,
            process: registers.process,
        }
    }

    /// Remembers a task's table of functions, to name its type.
    pub fn add_task_type(&mut self, pid: u32, vtable: &Vtable) {
        let full = self.tables.len() >= TABLES_MAX;
        if let Entry::Vacant(entry) = self.tables.entry(vtable.vtable)
            && !full
        {
            let process = process(&mut self.processes, pid);
            let functions = vtable.words.iter().filter_map(|word| process.code_at(*word, &mut self.images)).collect();
            entry.insert(Some(functions));
        }
    }

    /// The stacks that have not been given yet: number and frames, the innermost first.
    pub fn take_stacks(&mut self) -> Vec<(u32, Vec<Frame>)> {
        let fresh = self.taken..self.stacks.len();
        self.taken = fresh.end;
        fresh
            .map(|index| {
                let codes = Arc::clone(&self.stacks[index].0);
                let frames =
                    codes.iter().flat_map(|code| self.symbolizer.frames(*code, &self.images).to_vec()).collect();
                (index as u32 + 1, frames)
            })
            .collect()
    }

    /// The names of the types of tasks, by the addresses of their tables of functions: those of the tables that were
    /// added since the last call and can be named.
    pub fn take_task_types(&mut self) -> Vec<(u64, String)> {
        let fresh = |(table, functions): (&u64, &mut Option<Vec<Code>>)| Some((*table, functions.take()?));
        let tables: Vec<_> = self.tables.iter_mut().filter_map(fresh).collect();
        task_types::find(&tables, &self.images, &mut self.symbolizer).into_iter().collect()
    }

    fn number(&mut self, frames: Vec<Code>) -> u32 {
        if let Some(number) = self.numbers.get(&frames[..]) {
            return *number;
        }
        if frames.is_empty() || self.stacks.len() >= STACKS_MAX {
            return 0;
        }
        let lock = frames.iter().any(|code| self.images.waits_for_lock(*code));
        let frames: Arc<[Code]> = frames.into();
        self.stacks.push((Arc::clone(&frames), lock));
        let number = self.stacks.len() as u32;
        self.numbers.insert(frames, number);
        number
    }
}

fn process(processes: &mut HashMap<u32, Process>, pid: u32) -> &mut Process {
    if processes.len() >= PROCESSES_MAX && !processes.contains_key(&pid) {
        // A process that comes again is read again.
        processes.clear();
    }
    processes.entry(pid).or_insert_with(|| Process::new(pid))
}

#[cfg(test)]
mod tests;
