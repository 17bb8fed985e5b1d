//! Calls of the allocator: what gives free memory back, and the number of its heaps. The only
//! foreign calls of this crate.

#![allow(unsafe_code)]

/// Whether this system's allocator can be asked to give memory back: that of glibc.
pub(super) const IS_SUPPORTED: bool = cfg!(all(target_os = "linux", target_env = "gnu"));

/// Gives the memory of all free chunks back to the system.
pub(super) fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes a number, touches nothing but memory that is free, and may be called from
    // any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Limits the heaps of which threads have one each, while there are some: with fewer heaps less
/// free memory lies between blocks in use, where it cannot be given back.
pub(super) fn limit_heaps(most: usize) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if let Ok(most) = libc::c_int::try_from(most) {
        // SAFETY: it takes two numbers and sets one, for heaps that are made later.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, most);
        }
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = most;
}
