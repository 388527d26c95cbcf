//! An open loop: requests come at a rate, whether or not earlier ones were answered, as those of many clients do.
//!
//! Latencies count from the moment at which a request was due. Were they counted from the moment at which it was sent, a
//! server that stalls would hold up the generator, and the requests that should have met the stall would not be seen.

use crate::BenchError;
use crate::load::{ANSWER_TIMEOUT, Connection};
use crate::measure::pin_to_core;
use crate::outcome::{Outcome, Seen};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Requests that come at a rate.
#[derive(Debug, Clone)]
pub struct Arrivals {
    pub server: SocketAddr,
    pub accept: String,
    /// In order of arrival; the load ends with the last one.
    pub paths: Vec<String>,
    pub per_second: f64,
    /// The load ends after this, even if paths are left.
    pub duration: Duration,
    /// Core that the load runs on; `None` leaves it to the system.
    pub core: Option<usize>,
}

/// When requests are due, counted from the start: evenly spaced, the first at once, all before the end.
pub fn schedule(n: usize, per_second: f64, duration: Duration) -> impl Iterator<Item = Duration> {
    (0..n).map(move |number| Duration::from_secs_f64(number as f64 / per_second)).take_while(move |due| *due < duration)
}

/// Lets the requests arrive, on threads of its own, and waits for the last answer.
pub fn arrive(arrivals: &Arrivals) -> Result<Outcome, BenchError> {
    // Slower than this the times do not fit.
    if !(arrivals.per_second.is_finite() && arrivals.per_second > 1e-6) {
        return Err(BenchError::Input("requests have to arrive at a rate above 0".into()));
    }
    let (send, receive) = mpsc::unbounded_channel();
    let started = Instant::now();
    let (n, per_second, duration, core) = (arrivals.paths.len(), arrivals.per_second, arrivals.duration, arrivals.core);
    // Timers of the runtime tick in milliseconds; a thread sleeps to a twentieth of that.
    let pacer = std::thread::Builder::new().name("pacer".into()).spawn(move || {
        if let Some(core) = core {
            pin_to_core(core)?;
        }
        for (number, due) in schedule(n, per_second, duration).enumerate() {
            std::thread::sleep((started + due).saturating_duration_since(Instant::now()));
            if send.send((number, started + due)).is_err() {
                break;
            }
        }
        Ok(())
    })?;
    let arrivals = arrivals.clone();
    let thread = std::thread::Builder::new().name("arrivals".into()).spawn(move || {
        if let Some(core) = arrivals.core {
            pin_to_core(core)?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(drive(&arrivals, receive, started)))
    })?;
    let panicked = || Err(BenchError::Server("the load generator panicked".into()));
    let outcome = thread.join().unwrap_or_else(|_| panicked());
    let paced: Result<(), std::io::Error> = pacer.join().unwrap_or_else(|_| Err(std::io::Error::other("it panicked")));
    paced?;
    outcome
}

async fn drive(arrivals: &Arrivals, mut due: mpsc::UnboundedReceiver<(usize, Instant)>, started: Instant) -> Outcome {
    let idle: Arc<Mutex<Vec<Connection>>> = Arc::default();
    let mut tasks = Vec::new();
    while let Some((number, due)) = due.recv().await {
        let (idle, path) = (idle.clone(), arrivals.paths[number].clone());
        let (accept, server) = (arrivals.accept.clone(), arrivals.server);
        tasks.push(tokio::spawn(async move { arrival(server, &idle, &path, &accept, due).await }));
    }
    let mut all = Seen::default();
    for task in tasks {
        all.add(task.await);
    }
    all.outcome(started.elapsed().as_secs_f64())
}

/// One request, on an idle connection where there is one.
async fn arrival(server: SocketAddr, idle: &Mutex<Vec<Connection>>, path: &str, accept: &str, due: Instant) -> Seen {
    let mut seen = Seen::default();
    seen.began_late(due.elapsed().as_secs_f64() * 1e3);
    let free = idle.lock().ok().and_then(|mut idle| idle.pop());
    let answered = tokio::time::timeout(ANSWER_TIMEOUT, async {
        let mut connection = match free {
            Some(connection) => connection,
            None => Connection::open(server).await?,
        };
        let answer = connection.get(path, accept).await?;
        Ok::<_, String>((answer, connection))
    });
    match answered.await.unwrap_or_else(|_| Err("no answer in time".into())) {
        Ok((answer, connection)) => {
            seen.answered(&answer, path, due.elapsed().as_secs_f64() * 1e3);
            if answer.keeps
                && let Ok(mut idle) = idle.lock()
            {
                idle.push(connection);
            }
        }
        Err(error) => seen.fail(error),
    }
    seen
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::load::tests::server;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn requests_are_due_at_equal_steps_and_before_the_end() {
        let due: Vec<Duration> = schedule(1000, 200.0, Duration::from_secs(2)).collect();
        assert_eq!(due.len(), 400);
        assert_eq!((due[0], due[1], due[399]), (Duration::ZERO, Duration::from_millis(5), Duration::from_millis(1995)));
        assert_eq!(schedule(3, 200.0, Duration::from_secs(2)).count(), 3);
        assert_eq!(schedule(3, 200.0, Duration::ZERO).count(), 0);
    }

    #[test]
    fn arrivals_do_not_wait_for_answers() {
        let paths: Vec<String> =
            ["/slow", "/busy", "/a"].iter().cycle().take(60).map(|&path| path.to_owned()).collect();
        let arrivals = Arrivals {
            server: server(),
            accept: "*/*".into(),
            paths,
            per_second: 1000.0,
            duration: Duration::from_secs(10),
            core: None,
        };
        let outcome = arrive(&arrivals).unwrap();
        assert_eq!((outcome.n_good, outcome.n_failed, outcome.n_refused), (40, 20, 20), "{outcome:?}");
        assert!(outcome.p99_ms >= 19.0 && outcome.refused_p99_ms > 0.0, "{outcome:?}");
        assert!(outcome.late_p99_ms > 0.0 && outcome.max_ms >= outcome.p99_ms, "{outcome:?}");
        for per_second in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(arrive(&Arrivals { per_second, ..arrivals.clone() }).is_err(), "{per_second}");
        }
    }

    /// A stall of the server is seen by every request that was due in it, not only by those that were under way.
    #[test]
    fn a_stall_is_seen_by_all_that_were_due() {
        const STALL: Duration = Duration::from_millis(400);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // One connection after the other, the first of them late.
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let mut request = [0; 1024];
                if number == 0 {
                    std::thread::sleep(STALL);
                }
                if stream.read(&mut request).is_ok() {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
                }
            }
        });
        let outcome = arrive(&Arrivals {
            server: address,
            accept: "*/*".into(),
            paths: vec!["/".into(); 40],
            per_second: 100.0,
            duration: Duration::from_secs(10),
            core: None,
        })
        .unwrap();
        assert_eq!((outcome.n_good, outcome.n_failed), (40, 0), "{outcome:?}");
        // The last of them was due 390 ms after the first, so that their latencies run from 400 ms down to 10 at least.
        assert!(outcome.max_ms >= 400.0 && outcome.p90_ms >= 350.0 && outcome.p50_ms >= 195.0, "{outcome:?}");
    }
}
