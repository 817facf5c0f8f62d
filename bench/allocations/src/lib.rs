//! An allocator that forwards to another one, and counts the allocations and the maximum memory held. Counts are per
//! thread, so that concurrent tests do not disturb each other.
//!
//! Does not judge the figures.
#![expect(unsafe_code, reason = "the trait of an allocator is unsafe; every call is passed on as it came")]

use std::{
    alloc::{GlobalAlloc, Layout},
    cell::Cell,
};

/// Counts, and forwards to `A`.
#[derive(Debug)]
pub struct Counting<A>(pub A);

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    /// The bytes allocated minus those freed by this thread: negative if it freed what another thread had allocated.
    static HELD: Cell<i64> = const { Cell::new(0) };
    static MOST: Cell<i64> = const { Cell::new(0) };
}

/// The number of allocations of this thread so far, including reallocations.
pub fn count() -> u64 {
    COUNT.get()
}

/// The maximum bytes that this thread held while something ran, beyond those that it held before.
pub fn most_held<T>(run: impl FnOnce() -> T) -> (T, u64) {
    let before = HELD.get();
    MOST.set(before);
    let result = run();
    (result, u64::try_from(MOST.get() - before).unwrap_or(0))
}

fn taken(bytes: usize) {
    COUNT.set(COUNT.get() + 1);
    let held = HELD.get() + bytes as i64;
    HELD.set(held);
    if held > MOST.get() {
        MOST.set(held);
    }
}

fn given_back(bytes: usize) {
    HELD.set(HELD.get() - bytes as i64);
}

// SAFETY: every method forwards its arguments to an allocator that upholds the contract. The counters have neither a
// destructor nor lazy initialization, so they may be used in an allocator.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: the caller upholds the contract of this method, which is the same as that of the forwarded one.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        given_back(layout.size());
        // SAFETY: as above; the pointer came from the same allocator.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: as above.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        given_back(layout.size());
        taken(size);
        // SAFETY: as above; the pointer came from the same allocator.
        unsafe { self.0.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::System;

    use super::*;

    #[global_allocator]
    static ALLOCATOR: Counting<System> = Counting(System);

    #[test]
    fn what_is_asked_for_is_counted() {
        let before = count();
        let mut numbers: Vec<u64> = Vec::with_capacity(4);
        assert_eq!(count() - before, 1);
        numbers.extend([1, 2, 3, 4]);
        assert_eq!(count() - before, 1);
        numbers.push(5);
        assert_eq!(count() - before, 2);
        drop(numbers);
        assert_eq!(count() - before, 2);
    }

    #[test]
    fn the_most_that_is_held_is_what_was_there_at_once() {
        let (kept, most) = most_held(|| {
            for _ in 0..3 {
                std::hint::black_box(vec![0_u8; 1_000]);
            }
            (vec![1_u8; 200], vec![1_u8; 300])
        });
        assert_eq!(most, 1_000);
        drop(kept);
        assert_eq!(most_held(|| ()).1, 0);
    }
}
