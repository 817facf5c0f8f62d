//! What a long test did and found, printed as it happens, with the counts at its end.

use std::{fmt::Display, time::Instant};

/// A running account of a test.
pub struct Transcript {
    began: Instant,
    passed: u32,
    failed: Vec<String>,
}

impl Default for Transcript {
    fn default() -> Self {
        Self { began: Instant::now(), passed: 0, failed: Vec::new() }
    }
}

impl Transcript {
    /// Begins a part of the test.
    pub fn part(&mut self, title: &str) {
        println!("\n{:>7.1} s  {title}", self.began.elapsed().as_secs_f64());
    }

    /// Something that happened and is worth knowing.
    pub fn note(&mut self, text: impl Display) {
        println!("             {text}");
    }

    /// Something that must hold. A failure is counted and the test goes on, so that one run shows all of them.
    pub fn check(&mut self, what: &str, holds: bool) {
        if holds {
            self.passed += 1;
            println!("         ok  {what}");
        } else {
            self.failed.push(what.to_owned());
            println!("     FAILED  {what}");
        }
    }

    /// Two values that must be equal.
    pub fn equal<T: PartialEq<U> + std::fmt::Debug, U: std::fmt::Debug>(&mut self, what: &str, found: T, wanted: U) {
        let holds = found == wanted;
        self.check(what, holds);
        if !holds {
            println!("             found  {found:?}\n             wanted {wanted:?}");
        }
    }

    /// Prints the counts, and returns whether nothing failed.
    pub fn close(self) -> bool {
        println!("\n{:>7.1} s  end", self.began.elapsed().as_secs_f64());
        for what in &self.failed {
            println!("     FAILED  {what}");
        }
        println!("deploy: {} passed, {} failed", self.passed, self.failed.len());
        self.failed.is_empty()
    }
}
