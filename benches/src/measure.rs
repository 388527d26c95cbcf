//! Time, CPU time and memory of this process and of others, and what repeated measurements say together.

use serde::Serialize;
use std::io;
use std::time::Instant;

/// Median and extremes of repeated measurements.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    pub median: f64,
    pub low: f64,
    pub high: f64,
    /// First and third quartile.
    pub quartiles: [f64; 2],
}

impl Summary {
    /// `None` of nothing. Values must not be NaN.
    pub fn of(values: &[f64]) -> Option<Summary> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        // Between two ranks, as much of each as the position says.
        let at = |share: f64| {
            let position = share * (sorted.len() - 1) as f64;
            let (below, part) = (position.floor() as usize, position.fract());
            let above = (below + 1).min(sorted.len() - 1);
            sorted[below] * (1.0 - part) + sorted[above] * part
        };
        Some(Summary { median: at(0.5), low, high, quartiles: [at(0.25), at(0.75)] })
    }

    /// What `ours` is to `theirs`, round by round: interleaved rounds share the mood of the machine.
    pub fn of_ratios(ours: &[f64], theirs: &[f64]) -> Option<Summary> {
        let ratios: Vec<f64> =
            ours.iter().zip(theirs).filter(|(_, theirs)| **theirs > 0.0).map(|(a, b)| a / b).collect();
        Summary::of(&ratios)
    }
}

/// The order of `n` subjects in a round: each round begins with another one, so that none always follows the same.
pub fn order(n: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..n).map(move |at| (at + round) % n.max(1))
}

/// Wall and CPU time since a moment.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    wall: Instant,
    cpu_s: f64,
}

impl Stopwatch {
    pub fn start() -> Stopwatch {
        Stopwatch { wall: Instant::now(), cpu_s: process_cpu_s() }
    }

    /// Milliseconds that went by.
    pub fn wall_ms(&self) -> f64 {
        self.wall.elapsed().as_secs_f64() * 1e3
    }

    /// Milliseconds that all threads of this process computed together.
    pub fn cpu_ms(&self) -> f64 {
        (process_cpu_s() - self.cpu_s) * 1e3
    }
}

/// Seconds that all threads of this process have computed.
fn process_cpu_s() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec, to which the pointer points.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    if failed != 0 { 0.0 } else { time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9 }
}

/// Seconds of CPU time that a process has used, to 10 ms; `None` when there is no such process.
pub fn cpu_s_of(pid: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program stands in parentheses and may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    // SAFETY: the call takes a number and gives one.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    (per_second > 0).then(|| ticks / per_second as f64)
}

/// A process and all that it started, and they started.
pub fn family_of(pid: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let child = entry.file_name().to_str()?.parse().ok()?;
            let text = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent = text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((child, parent))
        })
        .collect();
    let mut family = vec![pid];
    let mut at = 0;
    while let Some(&parent) = family.get(at) {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        at += 1;
    }
    family
}

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    pub resident_bytes: u64,
    /// The most that was resident since the last [`reset_peak`], or since the start.
    pub peak_bytes: u64,
}

/// Memory of a process; `None` when there is no such process.
pub fn memory_of(pid: u32) -> Option<Memory> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    };
    Some(Memory { resident_bytes: field("VmRSS:")?, peak_bytes: field("VmHWM:")? })
}

/// Gives memory that was freed back to the system, so that what is resident is in use.
pub fn release_freed() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes a number of bytes to keep; it locks what it touches.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Lets the peak of a process start anew at what is resident.
pub fn reset_peak(pid: u32) -> io::Result<()> {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

/// Binds the calling thread to one core. Errors when there is no such core, or when it is not ours.
pub fn pin_to_core(core: usize) -> io::Result<()> {
    if core >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: a cpu_set_t is plain bits, for which zero is valid.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `core` is below CPU_SETSIZE, and the set is as large as the call is told.
    let failed = unsafe {
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::hint::black_box;

    #[test]
    fn summaries_are_medians_and_extremes() {
        assert_eq!(Summary::of(&[]), None);
        let of_three = Summary { median: 2.0, low: 1.0, high: 3.0, quartiles: [1.5, 2.5] };
        assert_eq!(Summary::of(&[3.0, 1.0, 2.0]), Some(of_three));
        assert_eq!(Summary::of(&[4.0, 1.0]).unwrap().median, 2.5);
        let ratios = Summary::of_ratios(&[2.0, 6.0, 9.0], &[1.0, 2.0, 3.0]).unwrap();
        assert_eq!((ratios.median, ratios.low, ratios.high), (3.0, 2.0, 3.0));
    }

    #[test]
    fn every_subject_comes_once_a_round_and_first_in_turn() {
        for round in 0..5 {
            let mut found: Vec<usize> = order(3, round).collect();
            assert_eq!(found[0], round % 3);
            found.sort_unstable();
            assert_eq!(found, [0, 1, 2]);
        }
        assert_eq!(order(0, 1).count(), 0);
    }

    #[test]
    fn computing_takes_cpu_time_and_sleeping_does_not() {
        let watch = Stopwatch::start();
        let mut sum = 0_u64;
        while watch.wall_ms() < 50.0 {
            sum = black_box(sum.wrapping_mul(31) + 7);
        }
        assert!(watch.cpu_ms() > 5.0, "{}", watch.cpu_ms());
        let own = cpu_s_of(std::process::id()).unwrap();
        assert!(own > 0.0 && cpu_s_of(u32::MAX).is_none());
    }

    #[test]
    fn a_family_holds_children_of_children() {
        let mut shell = std::process::Command::new("sh").args(["-c", "sleep 60 & wait"]).spawn().unwrap();
        let started = Instant::now();
        while family_of(shell.id()).len() < 2 && started.elapsed().as_secs() < 30 {
            std::thread::yield_now();
        }
        let family = family_of(shell.id());
        for &member in &family {
            // SAFETY: the members are children of this test, which nobody has waited for.
            unsafe { libc::kill(libc::pid_t::try_from(member).unwrap(), libc::SIGKILL) };
        }
        shell.wait().unwrap();
        assert_eq!((family[0], family.len()), (shell.id(), 2));
    }

    #[test]
    fn a_peak_is_seen_and_forgotten() {
        let own = std::process::id();
        release_freed();
        reset_peak(own).unwrap();
        let before = memory_of(own).unwrap();
        let block = black_box(vec![1_u8; 64 << 20]);
        drop(black_box(block));
        let peak = memory_of(own).unwrap().peak_bytes;
        assert!(peak >= before.resident_bytes + (40 << 20), "{peak} after {before:?}");
        reset_peak(own).unwrap();
        assert!(memory_of(own).unwrap().peak_bytes < peak - (20 << 20));
    }

    #[test]
    fn threads_can_be_pinned_to_cores_that_exist() {
        std::thread::spawn(|| {
            pin_to_core(0).unwrap();
            assert!(pin_to_core(1_000_000).is_err());
        })
        .join()
        .unwrap();
    }
}
