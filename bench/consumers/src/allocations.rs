//! The allocator of the binaries that ship, with a count of how often it was asked.
#![expect(unsafe_code, reason = "the trait of an allocator is unsafe; every call is passed on as it came")]

#[cfg(feature = "system-allocator")]
use std::alloc::System as Memory;
use std::{
    alloc::{GlobalAlloc, Layout},
    sync::atomic::{AtomicU64, Ordering},
};

#[cfg(not(feature = "system-allocator"))]
use mimalloc::MiMalloc as Memory;

/// Counts what asks for memory, and passes it on.
pub(crate) struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

/// How often memory was asked for so far.
pub(crate) fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

fn asked() {
    // One thread allocates: a load and a store cost less than a locked addition, which would be part of every figure.
    COUNT.store(COUNT.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

// SAFETY: every method passes its arguments on to an allocator that upholds the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        asked();
        // SAFETY: the caller upholds the contract of this method, which is that of the one called.
        unsafe { Memory.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; the pointer came from the same allocator.
        unsafe { Memory.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        asked();
        // SAFETY: as above.
        unsafe { Memory.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        asked();
        // SAFETY: as above; the pointer came from the same allocator.
        unsafe { Memory.realloc(pointer, layout, size) }
    }
}
