//! Bounds and shares, checked by what happens before what, never by a clock.

use crate::doubles::{House, config, within};
use std::sync::atomic::Ordering::SeqCst;
use tintype_render::Error;
use tintype_scheduler::{Config, Lane, Outcome, Ticket, WorkError};

#[tokio::test]
async fn a_full_queue_answers_busy_while_everything_stands_still() {
    let mut house =
        House::new(Config { max_in_flight: 1, max_waiting_interactive: 2, max_waiting_eager: 1, ..config() });
    house.script.hold([1]);
    let held = house.interactive(1);
    house.begun(1).await;
    let queued = [house.interactive(2), house.interactive(3), house.eager(4)];
    house.waiting(3).await;
    // The gate is shut, so whatever is answered is answered without waiting for a render.
    for lane in Lane::ALL {
        assert_eq!(within(house.submit(9, lane)).await.unwrap_err(), WorkError::Busy);
    }
    let joined = house.interactive(2);
    house.script.gate.open();
    for ticket in queued.into_iter().chain([held, joined]) {
        within(ticket).await.unwrap();
    }
    assert_eq!(house.metrics().outcome(Outcome::Busy), 2);
    within(house.interactive(9)).await.unwrap();
    house.close().await;
}

#[tokio::test]
async fn a_work_above_the_whole_budget_is_refused_with_the_limit() {
    let house = House::new(Config { budget_bytes: 5000, ..config() });
    house.script.costs.lock().extend([(1, 5001), (2, 5000)]);
    match within(house.interactive(1)).await.unwrap_err() {
        WorkError::Render(Error::Limit(text)) => assert!(text.contains("5000") && text.contains("5001"), "{text}"),
        other => panic!("{other:?}"),
    }
    within(house.interactive(2)).await.unwrap();
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_works_never_cost_more_than_the_budget() {
    let house = House::new(Config { n_threads: 4, max_in_flight: 8, budget_bytes: 10_000, ..config() });
    house.script.costs.lock().extend((1..100).map(|id| (id, u64::from(id) * 2741 % 9_900 + 1)));
    let lane = |id| if id % 3 == 0 { Lane::Eager } else { Lane::Interactive };
    let tickets: Vec<Ticket> = (1..100).map(|id| house.submit(id, lane(id))).collect();
    for ticket in tickets {
        within(ticket).await.unwrap();
    }
    assert!(house.script.most_in_use.load(SeqCst) <= 10_000);
    assert_eq!(house.metrics().outcome(Outcome::Rendered), 99);
    house.close().await;
}

#[tokio::test]
async fn an_eager_flood_that_stands_still_does_not_stop_interactive_works() {
    let mut house = House::new(Config { n_threads: 2, max_in_flight: 4, ..config() });
    house.script.hold(100..150);
    let flood: Vec<Ticket> = (100..150).map(|id| house.eager(id)).collect();
    house.begun(100).await;
    house.waiting(47).await;
    // Not one eager work can end before the gate opens.
    for id in 1..10 {
        within(house.interactive(id)).await.unwrap();
    }
    assert!(house.script.finished.lock().iter().all(|&id| id < 10));
    house.script.gate.open();
    for ticket in flood {
        within(ticket).await.unwrap();
    }
    house.close().await;
}

#[tokio::test]
async fn eager_works_have_their_share_under_an_interactive_flood() {
    let mut house = House::new(Config { n_threads: 1, max_in_flight: 1, ..config() });
    house.script.hold([1]);
    let held = house.interactive(1);
    house.begun(1).await;
    let mut tickets: Vec<Ticket> = (100..140).map(|id| house.interactive(id)).collect();
    tickets.extend((10..15).map(|id| house.eager(id)));
    house.waiting(45).await;
    house.script.gate.open();
    within(held).await.unwrap();
    for ticket in tickets {
        within(ticket).await.unwrap();
    }
    let order = house.script.prepared.lock().clone();
    let at: Vec<usize> = (10..15).map(|eager| order.iter().position(|&id| id == eager).unwrap()).collect();
    assert_eq!(at, [4, 8, 12, 16, 20]);
    let interactive: Vec<u32> = order.into_iter().filter(|&id| id >= 100).collect();
    assert!(interactive.is_sorted());
    house.close().await;
}
