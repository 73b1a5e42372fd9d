//! Processes that want a CPU all the time.

use std::process::{Child, Command, Stdio};

/// They compete until dropped.
pub struct Busy(Vec<Child>);

impl Busy {
    /// So many for each CPU.
    pub fn on_each_cpu(count: usize) -> Self {
        let cpus = std::thread::available_parallelism().expect("the number of CPUs").get();
        let spin = |_| Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn();
        Self((0..count * cpus).map(|at| spin(at).expect("sh starts")).collect())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
