//! Tells on standard error how far a starting sandbox is. Standard output belongs to CMD.

use std::time::Instant;

#[derive(Clone, Copy, Debug)]
pub struct Progress {
    begun: Instant,
    quiet: bool,
}

impl Progress {
    pub fn begin(quiet: bool) -> Progress {
        Progress {
            begun: Instant::now(),
            quiet,
        }
    }

    /// Says that `what` is done.
    pub fn step(&self, what: &str) {
        if !self.quiet {
            eprintln!("sandbox  {:>5.1} s  {what}", self.seconds());
        }
    }

    pub fn seconds(&self) -> f32 {
        self.begun.elapsed().as_secs_f32()
    }
}
