//! Limits how fast a fleet connects: per second, and at the same time. Connecting is most of a broker's work.

use std::time::Duration;

use tokio::{
    sync::{Mutex, Semaphore, SemaphorePermit},
    time::{Instant, sleep_until},
};

/// The most devices that connect at the same time.
const CONNECTING_MAX: usize = 200;

/// Hands out permits to connect.
pub(crate) struct Pace {
    every: Duration,
    next: Mutex<Instant>,
    room: Semaphore,
}

impl Pace {
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            every: Duration::from_secs(1) / per_second.max(1),
            next: Mutex::new(Instant::now()),
            room: Semaphore::new(CONNECTING_MAX),
        }
    }

    /// A permit to connect once, for as long as it is held.
    pub(crate) async fn slot(&self) -> SemaphorePermit<'_> {
        let permit = self.room.acquire().await.expect("the semaphore is never closed");
        let at = reserve(&mut *self.next.lock().await, Instant::now(), self.every);
        sleep_until(at).await;
        permit
    }
}

/// The next free slot, which is not before now.
fn reserve(next: &mut Instant, now: Instant, every: Duration) -> Instant {
    let at = (*next).max(now);
    *next = at + every;
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_connect_a_second() {
        let start = Instant::now();
        let (mut next, every) = (start, Duration::from_millis(10));
        let slots: Vec<_> = (0..300).map(|_| reserve(&mut next, start, every)).collect();
        assert_eq!(slots[0], start);
        assert_eq!(slots[299], start + Duration::from_millis(2_990));
        // After a pause a device connects at once, and unused slots are not made up for.
        let late = start + Duration::from_secs(60);
        assert_eq!(reserve(&mut next, late, every), late);
        assert_eq!(reserve(&mut next, late, every), late + every);
    }

    #[tokio::test]
    async fn so_many_connect_at_a_time() {
        let pace = Pace::new(1_000_000);
        let mut held = Vec::new();
        for _ in 0..CONNECTING_MAX {
            held.push(pace.slot().await);
        }
        assert!(pace.room.try_acquire().is_err(), "there is no room");
        held.pop();
        drop(pace.slot().await);
    }
}
