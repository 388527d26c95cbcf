//! How the C library's allocator is set up for a server.

/// Blocks from this size on are mapped each by itself and go back to the system when they are freed. Without a stated size
/// the C library raises it to that of any block that was freed, up to 32 MiB: files and pictures then lie between small
/// blocks, in as many heaps as there are threads, and what they leave cannot be given back.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_BYTES: libc::c_int = 512 << 10;
/// Free bytes that the end of a heap keeps.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_BYTES: libc::c_int = 4 << 20;

/// Bounds what the allocator keeps of freed memory, for `n_threads` that allocate much. To be called before threads start.
/// With another C library than glibc nothing happens.
pub fn set_up(n_threads: usize) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // A heap for each of those threads is enough; the library's own count is eight for every core.
        let n_heaps = libc::c_int::try_from(n_threads.clamp(2, 64)).unwrap_or(2);
        // SAFETY: the calls take numbers, and change the allocator's parameters under its lock.
        let done = unsafe {
            [
                libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES),
                libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES),
                libc::mallopt(libc::M_ARENA_MAX, n_heaps),
            ]
        };
        if done.contains(&0) {
            tracing::warn!("the allocator could not be set up; more memory than needed may stay in use");
        }
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = n_threads;
}

/// Gives freed memory back to the system.
pub fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call takes a number of bytes to keep; it locks what it touches.
    unsafe {
        libc::malloc_trim(0);
    }
}
