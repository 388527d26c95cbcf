//! More work than there is time for, and other tasks on the same threads.

use crate::doubles::{House, config, until, within};
use std::time::Duration;
use tintype_render::Error;
use tintype_scheduler::{Config, Lane, Outcome, WorkError};

#[tokio::test]
async fn who_would_wait_for_too_long_is_told_at_once() {
    let mut house = House::new(Config { n_threads: 1, max_in_flight: 1, max_wait: Duration::ZERO, ..config() });
    // Now it is known that works take time.
    within(house.interactive(1)).await.unwrap();
    house.script.hold([2]);
    let held = house.interactive(2);
    house.begun(2).await;
    // There is room in the queue, and everything stands still.
    assert_eq!(house.scheduler.room(), 0);
    assert_eq!(within(house.interactive(3)).await.unwrap_err(), WorkError::Busy);
    let eager = house.eager(4);
    house.waiting(1).await;
    house.script.gate.open();
    within(held).await.unwrap();
    within(eager).await.unwrap();
    // Where nobody waits nobody is refused, whatever works took before.
    within(house.interactive(3)).await.unwrap();
    assert_eq!(house.metrics().outcome(Outcome::Busy), 1);
    house.close().await;
}

#[tokio::test]
async fn other_tasks_share_threads_and_bytes() {
    let mut house = House::new(Config { n_threads: 1, budget_bytes: 5_000, ..config() });
    let name = || std::thread::current().name().map(str::to_owned);
    let on = |lane| house.scheduler.run(lane, 10, name);
    assert_eq!(within(on(Lane::Interactive)).await.unwrap().as_deref(), Some("tintype-cpu-0"));
    assert_eq!(within(on(Lane::Eager)).await.unwrap().as_deref(), Some("tintype-low-0"));
    let too_much = within(house.scheduler.run(Lane::Interactive, 5_001, || ())).await;
    assert!(matches!(too_much, Err(WorkError::Render(Error::Limit(_)))), "{too_much:?}");
    let panics = within(house.scheduler.run(Lane::Interactive, 1, || panic!("planned"))).await;
    assert!(matches!(panics, Err(WorkError::Internal(_))), "{panics:?}");

    house.script.hold([1]);
    let held = house.interactive(1);
    house.begun(1).await;
    let mut waits = Box::pin(house.scheduler.run(Lane::Eager, 4_500, || ()));
    assert!(futures::poll!(&mut waits).is_pending());
    assert_eq!(house.metrics().waiting.eager, 1);
    house.script.gate.open();
    within(waits).await.unwrap();
    within(held).await.unwrap();
    until(|| house.metrics().in_flight_bytes == 0).await;
    house.close().await;
}

#[tokio::test]
async fn room_is_what_may_run_and_wait() {
    let mut house = House::new(Config { n_threads: 1, max_in_flight: 2, max_waiting_interactive: 3, ..config() });
    assert_eq!(house.scheduler.room(), 5);
    house.script.hold([1]);
    let held = house.interactive(1);
    house.begun(1).await;
    assert_eq!(house.scheduler.room(), 4);
    let others: Vec<_> = (2..6).map(|key| house.interactive(key)).collect();
    house.waiting(3).await;
    assert_eq!(house.scheduler.room(), 0);
    assert_eq!(within(house.interactive(6)).await.unwrap_err(), WorkError::Busy);
    // What is on its way anyway takes no room.
    let joined = house.interactive(1);
    house.script.gate.open();
    within(joined).await.unwrap();
    within(held).await.unwrap();
    for other in others {
        within(other).await.unwrap();
    }
    assert_eq!(house.metrics().outcome(Outcome::Busy), 1);
    house.scheduler.count_refused();
    assert_eq!(house.metrics().outcome(Outcome::Busy), 2);
    house.close().await;
}
