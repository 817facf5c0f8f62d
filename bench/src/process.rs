//! One run of a program, as the operating system accounts for it.

use std::{
    io,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use wait4::Wait4 as _;

/// What one run cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// User and system time of the process and the children that it waited for.
    pub cpu: Duration,
    /// Time from start to end.
    pub wall: Duration,
    /// Largest resident set, in bytes.
    pub memory_bytes: u64,
}

/// Runs a command to its end, its output thrown away.
///
/// # Errors
/// If it cannot be started, or ends with anything but success.
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
