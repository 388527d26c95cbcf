//! How it starts and how it ends.

use crate::doubles::{CopyBackend, House, TinyPipeline, config, until, within};
use std::sync::Arc;
use std::time::Duration;
use tintype_render::backend::BackendKind;
use tintype_scheduler::{Config, Outcome, Scheduler, StartError, WorkError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_finishes_what_has_a_permit_and_refuses_the_rest() {
    let house = House::with_gpu(Config { max_in_flight: 2, ..config() });
    house.script.hold([1, 2]);
    let started = [house.interactive(1), house.interactive(2)];
    // Both permits are out before the third asks: which of them a runtime runs first is not given.
    until(|| house.metrics().in_flight == 2).await;
    let queued = house.interactive(3);
    house.waiting(1).await;
    let House { scheduler, script, .. } = house;
    let scheduler = Arc::new(scheduler);
    let ending = tokio::spawn({
        let scheduler = scheduler.clone();
        async move { scheduler.shutdown(Duration::from_secs(5)).await }
    });
    assert_eq!(within(queued).await.unwrap_err(), WorkError::ShuttingDown);
    assert!(!ending.is_finished());
    script.gate.open();
    for ticket in started {
        within(ticket).await.unwrap();
    }
    assert!(within(ending).await.unwrap());
    assert!(scheduler.shutdown(Duration::ZERO).await, "a second time there is nothing to do");
    let mut finished = script.finished.lock().clone();
    finished.sort_unstable();
    assert_eq!(finished, [1, 2]);
    assert_eq!(scheduler.metrics().in_flight, 0);
}

#[tokio::test]
async fn a_closed_scheduler_refuses_at_once() {
    let house = House::new(config());
    assert!(house.scheduler.shutdown(Duration::from_secs(5)).await);
    assert_eq!(house.interactive(1).await.unwrap_err(), WorkError::ShuttingDown);
    assert_eq!(house.metrics().outcome(Outcome::ShuttingDown), 1);
}

#[tokio::test]
async fn what_outlasts_the_grace_is_given_up() {
    let mut house = House::new(Config { n_threads: 1, ..config() });
    house.script.hold([1]);
    let (stuck, behind) = (house.interactive(1), house.interactive(2));
    house.begun(1).await;
    until(|| house.metrics().in_flight == 2).await;
    assert!(!house.scheduler.shutdown(Duration::from_millis(20)).await);
    assert_eq!(within(stuck).await.unwrap_err(), WorkError::ShuttingDown);
    assert_eq!(within(behind).await.unwrap_err(), WorkError::ShuttingDown);
    house.script.gate.open();
    until(|| house.metrics().in_flight == 0).await;
    assert_eq!(*house.script.prepared.lock(), [1]);
}

#[tokio::test]
async fn dropping_the_scheduler_answers_every_ticket() {
    let house = House::new(Config { n_threads: 1, max_in_flight: 2, ..config() });
    house.script.hold([1, 2, 3]);
    let tickets = [house.interactive(1), house.interactive(2), house.interactive(3)];
    house.waiting(1).await;
    let House { scheduler, script, cpu, .. } = house;
    drop(scheduler);
    for ticket in tickets {
        assert_eq!(within(ticket).await.unwrap_err(), WorkError::ShuttingDown);
    }
    script.gate.open();
    until(|| Arc::strong_count(&cpu) == 1).await;
}

#[tokio::test]
async fn the_last_ticket_may_outlive_the_scheduler() {
    let house = House::new(config());
    let ticket = house.interactive(1);
    let other = house.interactive(1);
    house.close().await;
    drop(other);
    // Either it was admitted before the end, or it was refused by it: there is an answer.
    let error = within(ticket).await.err();
    assert!(matches!(error, None | Some(WorkError::ShuttingDown)), "{error:?}");
}

#[test]
fn it_does_not_start_without_a_runtime_or_with_a_bad_configuration() {
    let start = |config| {
        let cpu = CopyBackend::new(BackendKind::Cpu);
        let (pipeline, _events) = TinyPipeline::new(Arc::default());
        Scheduler::start_with(config, cpu, None, pipeline).err()
    };
    assert_eq!(start(config()), Some(StartError::NoRuntime));
    assert!(matches!(start(Config { n_threads: 0, ..config() }), Some(StartError::Config(_))));
}
