//! Symbols and debug information of executables: where tokio's functions are and those that set up
//! keys, the frames of stacks, the types of tasks.

mod archived;
mod calls;
mod cheap_place;
mod fips_modules;
pub mod functions;
pub mod image;
pub mod images;
pub mod key_functions;
mod key_symbols;
pub mod library_functions;
pub mod locks;
pub mod names;
pub mod needed;
mod openssl_calls;
pub mod origin;
pub mod process;
pub mod remapped;
pub mod resolver;
mod returns;
mod sqlite_functions;
pub mod symbolizer;
pub mod task_probes;
pub mod task_types;
pub mod task_variables;
pub mod type_names;
