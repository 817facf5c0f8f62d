//! One run of a program, as accounted by the operating system.

use std::{
    io,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use wait4::Wait4 as _;

/// The cost of one run.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// User and system time of the process and of the children that it waited for.
    pub cpu: Duration,
    /// Wall-clock time from start to end.
    pub wall: Duration,
    /// The largest resident set, in bytes.
    pub memory_bytes: u64,
}

/// Runs a command to its end, and discards its output.
///
/// # Errors
/// If it cannot be started, or does not succeed.
pub fn run(command: &mut Command) -> io::Result<Cost> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let usage = command.spawn()?.wait4()?;
    let wall = started.elapsed();
    if !usage.status.success() {
        return Err(io::Error::other(format!("{command:?} ended with {}", usage.status)));
    }
    Ok(Cost { cpu: usage.rusage.utime + usage.rusage.stime, wall, memory_bytes: usage.rusage.maxrss })
}
