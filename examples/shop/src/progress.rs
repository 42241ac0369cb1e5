//! Progress on standard output: a line that is rewritten on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a line is printed where it can't be rewritten.
const PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Progress {
    interactive: bool,
    printed: Option<Instant>,
    width: usize,
}

impl Progress {
    pub fn new() -> Progress {
        Progress {
            interactive: std::io::stdout().is_terminal(),
            printed: None,
            width: 0,
        }
    }

    /// Shows the present state; may leave it out.
    pub fn update(&mut self, line: &str) {
        if self.interactive {
            let width = self.width;
            print!("\r{line:<width$}");
            self.width = line.chars().count();
            // A terminal that went away is no reason to stop working.
            let _ = std::io::stdout().flush();
        } else if self.printed.is_none_or(|at| at.elapsed() >= PAUSE) {
            println!("{line}");
            self.printed = Some(Instant::now());
        }
    }

    /// Shows a state that stays.
    pub fn done(&mut self, line: &str) {
        if self.interactive {
            let width = self.width;
            println!("\r{line:<width$}");
            self.width = 0;
        } else {
            println!("{line}");
        }
        self.printed = None;
    }
}
