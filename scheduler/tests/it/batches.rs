//! How works share the device.

use crate::doubles::{House, config, picture_id, until, within};
use tintype_render::backend::BackendKind;
use tintype_scheduler::{Config, StopReason, Ticket};

#[tokio::test]
async fn a_lone_work_does_not_wait_and_those_behind_it_share_batches() {
    let mut house = House::with_gpu(Config { n_threads: 1, max_in_flight: 50, batch_max_jobs: 8, ..config() });
    let gpu = house.gpu.clone().unwrap();
    gpu.gate.shut();
    let first = house.interactive(1);
    until(|| gpu.n_jobs() == 1).await;
    let mut tickets: Vec<Ticket> = (2..12).map(|id| house.interactive(id)).collect();
    tickets.push(first);
    until(|| house.metrics().in_flight == 11).await;
    // The only thread prepares in order: when it is at the last, all others are with the device.
    house.script.hold([12]);
    let last = house.interactive(12);
    house.begun(12).await;
    gpu.gate.open();
    for ticket in tickets {
        let rendered = within(async {
            // Encoding needs the thread that is held; let it go once the batches have run.
            until(|| gpu.n_jobs() >= 11).await;
            house.script.gate.open();
            ticket.await
        })
        .await
        .unwrap();
        assert_eq!((rendered.backend, rendered.fallback.clone()), (BackendKind::Gpu, None));
    }
    within(last).await.unwrap();
    assert_eq!(gpu.batches.lock()[..3], [1, 8, 2]);
    assert_eq!(house.cpu.n_jobs(), 0);
    let metrics = house.metrics();
    let by_reason = |reason| metrics.batches.iter().find(|(known, _)| *known == reason).unwrap().1;
    assert_eq!((by_reason(StopReason::Jobs), metrics.batch_jobs, metrics.renders_gpu), (1, 12, 12));
    house.close().await;
}

#[tokio::test]
async fn every_work_of_a_batch_gets_its_own_picture() {
    let house = House::with_gpu(Config { max_in_flight: 64, ..config() });
    let gpu = house.gpu.clone().unwrap();
    gpu.gate.shut();
    let tickets: Vec<(u32, Ticket)> =
        (1..60).map(|id| (id, if id % 2 == 0 { house.eager(id) } else { house.interactive(id) })).collect();
    // All but the one or two in the threads' hands are with the device now.
    until(|| house.script.prepared.lock().len() == 59).await;
    gpu.gate.open();
    for (id, ticket) in tickets {
        let rendered = within(ticket).await.unwrap();
        assert_eq!(picture_id(&rendered), id);
    }
    assert_eq!(house.metrics().batch_jobs, 59);
    assert!(gpu.batches.lock().len() < 59, "nothing was batched");
    house.close().await;
}
