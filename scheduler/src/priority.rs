//! Threads that give way to others.

/// Asks the operating system to favour all others over the calling thread: on Linux a nice value that weighs a ninth of
/// the usual one, so that an upload that waits for its eager pictures does end on a busy machine. Elsewhere nothing happens.
///
/// False when the system refused; the thread then runs like any other.
pub(crate) fn give_way() -> bool {
    #[cfg(target_os = "linux")]
    {
        const NICE: libc::c_int = 10;
        // On Linux 0 names the calling thread, not its process. The cast is to the type that the C library chose.
        // SAFETY: the call takes numbers and touches no memory.
        unsafe { libc::setpriority(libc::PRIO_PROCESS as _, 0, NICE) == 0 }
    }
    #[cfg(not(target_os = "linux"))]
    {
        true
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    /// Nice value of the calling thread, as the kernel tells it.
    fn nice() -> i64 {
        let text = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        // Field 19; the name before it stands in parentheses and may hold anything.
        text.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap()
    }

    #[test]
    fn one_thread_gives_way_and_the_others_do_not() {
        let before = nice();
        let inside = std::thread::spawn(|| {
            assert!(super::give_way());
            nice()
        });
        assert_eq!(inside.join().unwrap(), 10);
        assert_eq!(nice(), before);
    }
}
