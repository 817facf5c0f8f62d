//! The actions and results of a long test, printed as they happen, with totals at the end.

use std::{fmt::Display, time::Instant};

/// The record of a running test.
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
    /// Starts a part of the test.
    pub fn part(&mut self, title: &str) {
        println!("\n{:>7.1} s  {title}", self.began.elapsed().as_secs_f64());
    }

    /// Prints something worth knowing.
    pub fn note(&mut self, text: impl Display) {
        println!("             {text}");
    }

    /// Checks something that must hold. A failure is counted and the test continues, so that one run shows all
    /// failures.
    pub fn check(&mut self, what: &str, holds: bool) {
        if holds {
            self.passed += 1;
            println!("         ok  {what}");
        } else {
            self.failed.push(what.to_owned());
            println!("     FAILED  {what}");
        }
    }

    /// Checks that two values are equal.
    pub fn equal<T: PartialEq<U> + std::fmt::Debug, U: std::fmt::Debug>(&mut self, what: &str, found: T, wanted: U) {
        let holds = found == wanted;
        self.check(what, holds);
        if !holds {
            println!("             found  {found:?}\n             wanted {wanted:?}");
        }
    }

    /// Prints the totals, and returns whether nothing failed.
    pub fn close(self) -> bool {
        println!("\n{:>7.1} s  end", self.began.elapsed().as_secs_f64());
        for what in &self.failed {
            println!("     FAILED  {what}");
        }
        println!("deploy: {} passed, {} failed", self.passed, self.failed.len());
        self.failed.is_empty()
    }
}
