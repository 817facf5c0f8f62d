//! A list of steps that run one after another, each with its time. All of them run even if one fails, so that one run
//! shows every failure.

use std::time::{Duration, Instant};

use crate::error::Error;

/// The steps so far.
pub(crate) struct Steps {
    done: Vec<Step>,
    began: Instant,
}

struct Step {
    name: &'static str,
    took: Duration,
    end: End,
}

enum End {
    Passed,
    Skipped,
    Failed,
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self { done: Vec::new(), began: Instant::now() }
    }

    /// Runs a step and records its result.
    pub(crate) fn run(&mut self, name: &'static str, step: impl FnOnce() -> Result<(), Error>) -> bool {
        anstream::eprintln!("\n── {name}");
        let began = Instant::now();
        let end = match step() {
            Ok(()) => End::Passed,
            Err(error) => {
                anstream::eprintln!("error: {error}");
                End::Failed
            }
        };
        let passed = matches!(end, End::Passed);
        self.done.push(Step { name, took: began.elapsed(), end });
        passed
    }

    /// Records a step that is skipped, with the reason.
    pub(crate) fn skip(&mut self, name: &'static str, why: &str) {
        anstream::eprintln!("\n── {name}: skipped, {why}");
        self.done.push(Step { name, took: Duration::ZERO, end: End::Skipped });
    }

    /// Prints every step with its time, and then the totals on a separate line.
    pub(crate) fn close(self) -> Result<(), Error> {
        anstream::println!();
        let (mut passed, mut skipped, mut failed) = (0, 0, Vec::new());
        for step in &self.done {
            let end = match step.end {
                End::Passed => {
                    passed += 1;
                    "passed"
                }
                End::Skipped => {
                    skipped += 1;
                    "skipped"
                }
                End::Failed => {
                    failed.push(step.name);
                    "FAILED"
                }
            };
            anstream::println!("{:>8.1} s  {end:<8} {}", step.took.as_secs_f64(), step.name);
        }
        anstream::println!("{:>8.1} s  in all", self.began.elapsed().as_secs_f64());
        anstream::println!("steps: {passed} passed, {} failed, {skipped} skipped", failed.len());
        if failed.is_empty() {
            Ok(())
        } else {
            Err(Error::Steps { failed: failed.len(), all: self.done.len(), names: failed.join(", ") })
        }
    }
}
