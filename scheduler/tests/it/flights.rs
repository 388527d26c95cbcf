//! One render per key, whoever comes and goes.

use crate::doubles::{At, House, config, picture_id, until, within};
use std::sync::Arc;
use std::time::Duration;
use tintype_scheduler::{Config, Lane, Outcome, SourceError, Ticket, WorkError};
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_submits_of_one_key_render_once() {
    let house = Arc::new(House::new(config()));
    let all = house.turnstile.acquire_many(1000).await.unwrap();
    let submits = (0..100).map(|_| {
        let house = house.clone();
        tokio::task::spawn_blocking(move || house.interactive(7))
    });
    let tickets: Vec<Ticket> =
        futures::future::join_all(submits).await.into_iter().map(|submit| submit.unwrap()).collect();
    drop(all);
    let answers = within(futures::future::join_all(tickets)).await;
    let first = answers[0].clone().unwrap();
    assert_eq!(picture_id(&first), 7);
    assert!(answers.into_iter().all(|answer| Arc::ptr_eq(&answer.unwrap(), &first)));
    assert_eq!(*house.script.prepared.lock(), [7]);
    assert_eq!(house.metrics().coalesced.interactive, 99);
    assert_eq!(house.metrics().outcome(Outcome::Rendered), 1);
    // A finished flight is not remembered.
    within(house.interactive(7)).await.unwrap();
    assert_eq!(*house.script.prepared.lock(), [7, 7]);
    Arc::into_inner(house).unwrap().close().await;
}

#[tokio::test]
async fn others_are_answered_when_the_first_ticket_goes() {
    let house = House::new(config());
    let all = house.turnstile.acquire_many(1000).await.unwrap();
    let first = house.interactive(1);
    let second = house.interactive(1);
    drop(first);
    tokio::task::yield_now().await;
    let third = house.interactive(1);
    drop(all);
    assert_eq!(picture_id(&within(second).await.unwrap()), 1);
    within(third).await.unwrap();
    assert_eq!(*house.script.prepared.lock(), [1]);
    house.close().await;
}

#[tokio::test]
async fn work_that_nobody_waits_for_is_dropped_before_a_thread_takes_it() {
    let mut house = House::new(Config { n_threads: 1, ..config() });
    house.script.hold([1]);
    let held = house.interactive(1);
    house.begun(1).await;
    let (a, b, other) = (house.interactive(2), house.interactive(2), house.interactive(3));
    until(|| house.metrics().in_flight == 3).await;
    drop((a, b));
    // Gone at once, with its permit, although the only thread is busy.
    until(|| house.metrics().in_flight == 2).await;
    assert_eq!(house.metrics().outcome(Outcome::Abandoned), 1);
    house.script.gate.open();
    within(held).await.unwrap();
    within(other).await.unwrap();
    assert_eq!(*house.script.prepared.lock(), [1, 3]);
    assert_eq!(picture_id(&within(house.interactive(2)).await.unwrap()), 2);
    house.close().await;
}

#[tokio::test]
async fn work_that_nobody_waits_for_leaves_the_queue_and_the_reader() {
    let house = House::new(Config { max_in_flight: 1, ..config() });
    let all = house.turnstile.acquire_many(1000).await.unwrap();
    let reading = house.interactive(1);
    until(|| house.metrics().in_flight == 1).await;
    let queued = house.interactive(2);
    let last = house.interactive(3);
    house.waiting(2).await;
    drop(queued);
    house.waiting(1).await;
    drop(reading);
    house.waiting(0).await;
    drop(all);
    within(last).await.unwrap();
    assert_eq!(*house.script.prepared.lock(), [3]);
    assert_eq!(house.metrics().outcome(Outcome::Abandoned), 2);
    house.close().await;
}

#[tokio::test]
async fn work_that_was_started_is_finished_and_can_be_joined() {
    let mut house = House::new(config());
    house.script.hold([1]);
    drop(house.interactive(1));
    // Dropped in the same moment: never started.
    let ticket = house.interactive(1);
    house.begun(1).await;
    drop(ticket);
    let late = house.interactive(1);
    house.script.gate.open();
    within(late).await.unwrap();
    assert_eq!(*house.script.finished.lock(), [1]);
    house.close().await;
}

#[tokio::test]
async fn errors_are_shared_and_not_remembered() {
    let house = House::new(config());
    house.script.failures.lock().insert((1, At::Read));
    let (a, b) = (house.interactive(1), house.interactive(1));
    let (a, b) = (within(a).await.unwrap_err(), within(b).await.unwrap_err());
    assert!(matches!(&a, WorkError::Source(SourceError::Missing(_))), "{a:?}");
    assert_eq!(a, b);
    house.script.failures.lock().clear();
    within(house.interactive(1)).await.unwrap();
    let metrics = house.metrics();
    assert_eq!((metrics.outcome(Outcome::SourceError), metrics.outcome(Outcome::Rendered)), (1, 1));
    house.close().await;
}

#[tokio::test]
async fn an_interactive_ticket_hurries_an_eager_work() {
    let mut house = House::new(Config { n_threads: 1, max_in_flight: 1, ..config() });
    house.script.hold([1]);
    let held = house.eager(1);
    house.begun(1).await;
    let mut tickets = Vec::new();
    for id in 2..6 {
        tickets.push(house.eager(id));
        house.waiting(tickets.len()).await;
    }
    tickets.push(house.interactive(5));
    until(|| house.metrics().waiting.interactive == 1).await;
    house.script.gate.open();
    within(held).await.unwrap();
    for ticket in tickets {
        within(ticket).await.unwrap();
    }
    assert_eq!(*house.script.prepared.lock(), [1, 5, 2, 3, 4]);
    house.close().await;
}

fn due(house: &House, id: u32, in_ms: Option<u64>) -> Ticket {
    let deadline = in_ms.map(|ms| Instant::now() + Duration::from_millis(ms));
    house.scheduler.submit(tintype_scheduler::Work { deadline, ..house.work(id, Lane::Interactive) })
}

/// The clock of these tests stands still until nothing else can happen, and then jumps to the next deadline.
#[tokio::test(start_paused = true)]
async fn work_that_is_not_started_in_time_expires() {
    let house = House::new(Config { max_in_flight: 1, ..config() });
    let all = house.turnstile.acquire_many(1000).await.unwrap();
    let start = Instant::now();
    let reading = due(&house, 1, Some(200));
    let queued = due(&house, 2, Some(100));
    assert_eq!(queued.await.unwrap_err(), WorkError::Expired);
    assert!(start.elapsed() < Duration::from_millis(150));
    assert_eq!(reading.await.unwrap_err(), WorkError::Expired);
    drop(all);
    assert!(house.script.prepared.lock().is_empty());
    assert_eq!(house.metrics().outcome(Outcome::Expired), 2);
    assert_eq!(house.metrics().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn the_latest_deadline_of_a_flight_counts() {
    let house = House::new(config());
    let all = house.turnstile.acquire_many(1000).await.unwrap();
    let (early, late) = (due(&house, 1, Some(100)), due(&house, 1, Some(300)));
    let (short, endless) = (due(&house, 2, Some(100)), due(&house, 2, None));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(house.metrics().outcome(Outcome::Expired), 0);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(early.await.unwrap_err(), WorkError::Expired);
    assert_eq!(late.await.unwrap_err(), WorkError::Expired);
    drop(all);
    assert!(short.await.is_ok() && endless.await.is_ok());
}

#[tokio::test]
async fn work_that_was_started_outlives_its_deadline() {
    let mut house = House::new(config());
    house.script.hold([1]);
    let ticket = due(&house, 1, Some(60_000));
    house.begun(1).await;
    // Only now: a clock that stands still jumps to the deadline while the thread is still waking up.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(100)).await;
    tokio::time::resume();
    house.script.gate.open();
    assert!(within(ticket).await.is_ok());
    house.close().await;
}
