//! Threads that give way to others.

/// How a thread that renders stands to others.
///
/// Threads that answer requests keep the usual priority: they use little, and while all cores render, a refusal or a hit
/// must not stand in line with pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Weighs a third of a thread that answers, which it does not feel while those sleep.
    Interactive,
    /// Runs while nobody else wants the core, and leaves it at once.
    Leftover,
    /// Weighs a ninth of an interactive one.
    Low,
}

/// Asks the operating system to favour others over the calling thread. Elsewhere than on Linux nothing happens.
///
/// False when the system refused; the thread then runs like any other.
pub(crate) fn give_way(way: Way) -> bool {
    #[cfg(target_os = "linux")]
    {
        // All of this is about the calling thread, not its process, and nice values count from the one that the operator
        // chose for the process. Each step of them weighs a fifth less than the one before.
        // SAFETY: the call takes a number and touches no memory.
        let nice = |steps: libc::c_int| unsafe { libc::nice(steps) != -1 };
        match way {
            Way::Interactive => nice(5),
            Way::Low => nice(15),
            Way::Leftover => {
                // SAFETY: the parameter is plain numbers, for which zero is valid; this policy takes no priority.
                let parameter: libc::sched_param = unsafe { std::mem::zeroed() };
                // SAFETY: the call reads one parameter, to which the pointer points.
                let idle = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameter) == 0 };
                idle || nice(15)
            }
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = way;
        true
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Way, give_way};

    /// Nice value and policy of the calling thread, as the kernel tells them.
    fn standing() -> (i64, i64) {
        let text = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        // Fields 19 and 41; the name before them stands in parentheses and may hold anything.
        let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
        (fields[16].parse().unwrap(), fields[38].parse().unwrap())
    }

    #[test]
    fn threads_that_render_give_way_and_the_others_do_not() {
        let (nice, policy) = standing();
        let idle = i64::from(libc::SCHED_IDLE);
        let expected = [
            (Way::Interactive, ((nice + 5).min(19), policy)),
            (Way::Low, ((nice + 15).min(19), policy)),
            (Way::Leftover, (nice, idle)),
        ];
        for (way, expected) in expected {
            let inside = std::thread::spawn(move || {
                assert!(give_way(way));
                standing()
            });
            assert_eq!(inside.join().unwrap(), expected, "{way:?}");
        }
        assert_eq!(standing(), (nice, policy));
    }
}
