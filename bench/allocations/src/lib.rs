//! An allocator that passes everything on to another one, and counts: how often memory was asked for, and how much was
//! held at most. Counts are of the thread that asks, so that tests beside each other do not disturb one another.
//!
//! What a figure means, and how large it may be, is for others to say.
#![expect(unsafe_code, reason = "the trait of an allocator is unsafe; every call is passed on as it came")]

use std::{
    alloc::{GlobalAlloc, Layout},
    cell::Cell,
};

/// Counts, and passes on to `A`.
#[derive(Debug)]
pub struct Counting<A>(pub A);

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    /// Bytes taken and given back by this thread: below zero where it gave back what another had taken.
    static HELD: Cell<i64> = const { Cell::new(0) };
    static MOST: Cell<i64> = const { Cell::new(0) };
}

/// How often this thread has asked for memory so far, in bytes or in more bytes than it had.
pub fn count() -> u64 {
    COUNT.get()
}

/// The most bytes that this thread held at once while something ran, beyond those that it held before.
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

// SAFETY: every method passes its arguments on to an allocator that upholds the contract. The counts have neither a
// destructor nor a lazy beginning, so that they may be used in an allocator.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: the caller upholds the contract of this method, which is that of the one called.
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
