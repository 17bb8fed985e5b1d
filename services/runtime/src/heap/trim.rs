//! The call of the allocator that gives free memory back. The only foreign call of this crate.

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
