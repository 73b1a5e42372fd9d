//! Symbols and debug information of executables: where tokio's functions are, the frames of stacks, the types of tasks.

pub mod functions;
pub mod image;
pub mod images;
pub mod locks;
pub mod names;
pub mod origin;
pub mod process;
pub mod remapped;
pub mod resolver;
pub mod symbolizer;
pub mod task_probes;
pub mod task_types;
pub mod task_variables;
pub mod type_names;
