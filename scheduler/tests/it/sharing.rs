//! Works on one base read it once and share its decode, whoever fails and whoever goes.

use crate::doubles::{At, COST_BYTES, House, config, picture_id, until, within};
use std::sync::atomic::Ordering::SeqCst;
use tintype_render::Error;
use tintype_scheduler::{Config, Lane, Outcome, SourceError, Ticket, Work, WorkError};

/// What a decode of the double takes: 8 by 8 pixels.
const DECODED_BYTES: u64 = 256;

fn wide() -> Config {
    Config { max_in_flight: 64, ..config() }
}

fn set(house: &House, ids: std::ops::Range<u32>, lane: Lane) -> Vec<Ticket> {
    let works: Vec<Work> = ids.map(|id| house.work_on(1000, id, lane)).collect();
    house.scheduler.submit_all(works)
}

fn sorted(ids: &parking_lot::Mutex<Vec<u32>>) -> Vec<u32> {
    let mut ids = ids.lock().clone();
    ids.sort_unstable();
    ids
}

/// Every frame that was decoded for several is gone.
fn assert_no_frames(house: &House) {
    assert!(house.script.frames.lock().iter().all(|frame| frame.strong_count() == 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_is_read_once_and_decoded_once_at_the_greatest_demand() {
    for lane in Lane::ALL {
        let house = House::new(wide());
        for (id, ticket) in (10..20).zip(set(&house, 10..20, lane)) {
            assert_eq!(picture_id(&within(ticket).await.unwrap()), id);
        }
        assert_eq!(*house.script.decoded.lock(), [19]);
        assert_eq!(sorted(&house.script.bound), (10..20).collect::<Vec<_>>());
        assert_eq!(house.script.reads.load(SeqCst), 1);
        assert!(house.script.prepared.lock().is_empty());
        let metrics = house.metrics();
        assert_eq!((metrics.decodes, metrics.outcome(Outcome::Rendered)), (1, 10));
        until(|| house.metrics().in_flight == 0).await;
        assert_no_frames(&house);
        house.close().await;
    }
}

#[tokio::test]
async fn works_that_wait_for_a_thread_go_along_with_the_first_that_gets_one() {
    let mut house = House::new(Config { n_threads: 1, ..wide() });
    house.script.hold([1]);
    let held = house.interactive(1);
    house.begun(1).await;
    let tickets: Vec<Ticket> =
        [12, 15, 11].into_iter().map(|id| house.submit_on(1000, id, Lane::Interactive)).collect();
    let other = house.submit_on(2000, 30, Lane::Interactive);
    house.script.gate.open();
    for ticket in tickets {
        within(ticket).await.unwrap();
    }
    within(held).await.unwrap();
    within(other).await.unwrap();
    assert_eq!(sorted(&house.script.decoded), [15, 30]);
    assert_eq!(house.metrics().decodes_shared, 2);
    assert_no_frames(&house);
    house.close().await;
}

#[tokio::test]
async fn a_work_joins_a_decode_that_is_under_way_when_that_is_enough() {
    let mut house = House::new(wide());
    house.script.hold([19]);
    let first = house.submit_on(1000, 19, Lane::Interactive);
    house.begun(19).await;
    let joined = [house.submit_on(1000, 4, Lane::Interactive), house.submit_on(1000, 19, Lane::Interactive)];
    // A greater demand does not wait: it is served while the other decode stands still.
    within(house.submit_on(1000, 30, Lane::Interactive)).await.unwrap();
    assert_eq!(*house.script.decoded.lock(), [19, 30]);
    house.script.gate.open();
    for ticket in joined.into_iter().chain([first]) {
        within(ticket).await.unwrap();
    }
    assert_eq!(*house.script.decoded.lock(), [19, 30]);
    assert!(house.script.prepared.lock().is_empty());
    until(|| house.metrics().in_flight == 0).await;
    assert_no_frames(&house);
    house.close().await;
}

#[tokio::test]
async fn what_is_decoded_once_is_paid_for_once_and_until_the_last_has_run() {
    let mut house = House::new(wide());
    house.script.hold([14]);
    let tickets = set(&house, 10..15, Lane::Eager);
    house.begun(14).await;
    let read = 4;
    let expected = 5 * (COST_BYTES - DECODED_BYTES) + DECODED_BYTES + read;
    // Others may still be on their way to the queue, but their permits are out.
    assert_eq!(house.metrics().in_flight_bytes, expected);
    house.script.gate.open();
    for ticket in tickets {
        within(ticket).await.unwrap();
    }
    until(|| house.metrics().in_flight == 0).await;
    assert_eq!(house.metrics().in_flight_bytes, 0);
    house.close().await;
}

#[tokio::test]
async fn a_set_that_does_not_fit_is_served_in_parts() {
    let house = House::new(Config { budget_bytes: 3_000, ..wide() });
    for ticket in set(&house, 10..30, Lane::Eager) {
        within(ticket).await.unwrap();
    }
    assert!(house.script.decoded.lock().len() < 20);
    assert!(house.script.decoded.lock().contains(&29));
    house.close().await;
}

#[tokio::test]
async fn a_failing_companion_costs_itself_only() {
    let house = House::new(wide());
    house.script.failures.lock().insert((12, At::Prepare));
    house.script.panics.lock().insert((13, At::Prepare));
    house.script.failures.lock().insert((14, At::Finish));
    for (id, ticket) in (10..20).zip(set(&house, 10..20, Lane::Interactive)) {
        match (id, within(ticket).await) {
            (12 | 14, Err(WorkError::Render(Error::Decode(text)))) => assert!(text.contains(&id.to_string())),
            (13, Err(WorkError::Internal(text))) => assert!(text.contains("planned")),
            (_, answer) => assert_eq!(picture_id(&answer.unwrap()), id),
        }
    }
    assert_eq!(*house.script.decoded.lock(), [19]);
    house.close().await;
}

#[tokio::test]
async fn where_the_shared_decode_fails_each_sees_for_itself() {
    for planned in [false, true] {
        let house = House::new(wide());
        if planned {
            house.script.panics.lock().insert((19, At::Decode));
        } else {
            house.script.failures.lock().insert((19, At::Decode));
        }
        house.script.failures.lock().insert((12, At::Prepare));
        for (id, ticket) in (10..20).zip(set(&house, 10..20, Lane::Interactive)) {
            match (id, within(ticket).await) {
                (12, Err(WorkError::Render(Error::Decode(text)))) => assert!(text.contains("of 12")),
                // Alone it needs the same, so that the error is its own when it is the one who decodes.
                (19, Err(error)) => assert!(error.to_string().contains("of 19"), "{error:?}"),
                (_, answer) => assert_eq!(picture_id(&answer.unwrap()), id),
            }
        }
        until(|| house.metrics().in_flight == 0).await;
        assert_eq!(house.metrics().in_flight_bytes, 0);
        assert_no_frames(&house);
        house.close().await;
    }
}

#[tokio::test]
async fn a_lone_base_that_cannot_be_decoded_is_decoded_once() {
    let house = House::new(wide());
    house.script.failures.lock().insert((7, At::Decode));
    let error = within(house.submit_on(1000, 7, Lane::Interactive)).await.unwrap_err();
    assert!(matches!(error, WorkError::Render(Error::Decode(_))), "{error:?}");
    assert_eq!(*house.script.decoded.lock(), [7]);
    assert!(house.script.prepared.lock().is_empty());
    house.close().await;
}

#[tokio::test]
async fn an_unreadable_base_fails_each_and_is_not_remembered() {
    let house = House::new(wide());
    // The costly ones ask first, and of equals the first: it reads for all.
    house.script.failures.lock().insert((10, At::Read));
    for ticket in set(&house, 10..13, Lane::Interactive) {
        let error = within(ticket).await.unwrap_err();
        assert!(matches!(error, WorkError::Source(SourceError::Missing(_))), "{error:?}");
    }
    assert_eq!(house.script.reads.load(SeqCst), 1);
    house.script.failures.lock().clear();
    within(house.submit_on(1000, 10, Lane::Interactive)).await.unwrap();
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_panics_leaves_nobody_waiting() {
    let house = House::new(wide());
    house.script.panics.lock().insert((10, At::Read));
    let all = house.turnstile.acquire_many(1000).await.unwrap();
    let tickets = set(&house, 10..30, Lane::Interactive);
    drop(all);
    for ticket in tickets {
        let error = within(ticket).await.unwrap_err();
        assert!(
            matches!(&error, WorkError::Source(SourceError::Failed(text)) if text.contains("planned")),
            "{error:?}"
        );
    }
    house.close().await;
}

#[tokio::test]
async fn who_leaves_before_a_thread_takes_it_is_left_out() {
    let mut house = House::new(Config { n_threads: 1, ..wide() });
    house.script.hold([1]);
    let held = house.interactive(1);
    house.begun(1).await;
    let mut tickets = set(&house, 10..14, Lane::Interactive);
    drop(tickets.remove(1));
    until(|| house.metrics().outcome(Outcome::Abandoned) == 1).await;
    house.script.gate.open();
    for ticket in tickets.into_iter().chain([held]) {
        within(ticket).await.unwrap();
    }
    assert_eq!(sorted(&house.script.bound), [10, 12, 13]);
    assert_eq!(*house.script.decoded.lock(), [13]);
    house.close().await;
}

#[tokio::test]
async fn an_interactive_work_does_not_wait_for_an_eager_decode() {
    let mut house = House::new(wide());
    house.script.hold([19]);
    let eager = house.submit_on(1000, 19, Lane::Eager);
    house.begun(19).await;
    within(house.submit_on(1000, 5, Lane::Interactive)).await.unwrap();
    house.script.gate.open();
    within(eager).await.unwrap();
    assert_eq!(*house.script.decoded.lock(), [19, 5]);
    house.close().await;
}

#[tokio::test]
async fn an_eager_work_that_somebody_waits_for_now_changes_threads() {
    let mut house = House::new(Config { n_threads: 1, ..wide() });
    house.script.hold([1]);
    let held = house.eager(1);
    house.begun(1).await;
    // All three wait for the only eager thread; two of them on one base.
    let alone = house.eager(2);
    let party = [house.submit_on(1000, 10, Lane::Eager), house.submit_on(1000, 11, Lane::Eager)];
    until(|| house.metrics().in_flight == 4).await;
    within(house.interactive(2)).await.unwrap();
    within(house.submit_on(1000, 10, Lane::Interactive)).await.unwrap();
    assert!(!house.script.finished.lock().contains(&1), "the eager thread still stands");
    house.script.gate.open();
    for ticket in party.into_iter().chain([held, alone]) {
        within(ticket).await.unwrap();
    }
    until(|| house.metrics().in_flight == 0).await;
    assert_eq!(house.metrics().in_flight_bytes, 0);
    house.close().await;
}

#[tokio::test]
async fn what_only_the_source_tells_is_asked_for_before_it_is_decoded() {
    let mut house = House::new(Config { budget_bytes: 7_000, ..wide() });
    house.script.hidden.lock().extend([(5, 5_000), (6, 9_000)]);
    house.script.hold([1]);
    let held = house.interactive(1);
    house.begun(1).await;
    let large = house.interactive(5);
    // Read, it waits again, for more than is left beside the other.
    house.waiting(1).await;
    until(|| house.metrics().in_flight == 1).await;
    assert!(!house.script.prepared.lock().contains(&5));
    house.script.gate.open();
    within(large).await.unwrap();
    within(held).await.unwrap();
    match within(house.interactive(6)).await.unwrap_err() {
        WorkError::Render(Error::Limit(text)) => assert!(text.contains("7000"), "{text}"),
        other => panic!("{other:?}"),
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_over_few_bases_leaves_nothing_behind() {
    let house = House::with_gpu(Config { n_threads: 3, max_in_flight: 12, budget_bytes: 9_000, ..config() });
    for id in 1_u32..600 {
        // A fixed scramble, so that a failure can be repeated.
        let dice = id.wrapping_mul(2_654_435_761) >> 16;
        house.script.costs.lock().insert(id, u64::from(dice % 3_000) + DECODED_BYTES);
        let at = [At::Read, At::Prepare, At::Finish, At::Decode][dice as usize % 4];
        match dice / 4 % 8 {
            0 => house.script.panics.lock().insert((id, at)),
            1 => house.script.failures.lock().insert((id, at)),
            _ => false,
        };
        let lane = if dice % 3 == 0 { Lane::Eager } else { Lane::Interactive };
        let ticket = house.submit_on(1000 + dice % 5, id, lane);
        match dice / 32 % 4 {
            0 => drop(ticket),
            1 => {
                let _ = within(ticket).await;
            }
            2 => drop(house.submit_on(1000 + dice % 5, id, Lane::Interactive)),
            _ => {
                tokio::spawn(ticket);
            }
        }
    }
    until(|| house.metrics().in_flight == 0).await;
    assert_no_frames(&house);
    house.close().await;
}
