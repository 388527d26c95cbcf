//! What breaks costs one work at most, and nothing when another backend can mend it.

use crate::doubles::{At, House, config, internal, picture_id, within};
use std::sync::atomic::Ordering::SeqCst;
use tintype_render::Error;
use tintype_render::backend::{BackendKind, FallbackReason};
use tintype_scheduler::{Config, Lane, Outcome, Ticket, WorkError};

#[tokio::test]
async fn a_panic_costs_its_own_work_only() {
    let house = House::new(Config { n_threads: 1, max_in_flight: 1, ..config() });
    for (id, at) in [(1, At::Cost), (2, At::Read), (3, At::Prepare), (4, At::Finish)] {
        house.script.panics.lock().insert((id, at));
        let error = within(house.interactive(id)).await.unwrap_err();
        assert!(internal(&error).contains("planned"), "{at:?}: {error:?}");
        // The only thread and the only slot serve on.
        within(house.interactive(100 + id)).await.unwrap();
    }
    assert_eq!(house.metrics().outcome(Outcome::Rendered), 4);
    assert_eq!(house.metrics().outcome(Outcome::Internal), 4);
    house.close().await;
}

#[tokio::test]
async fn errors_of_the_renderer_reach_the_ticket_as_they_are() {
    let house = House::new(config());
    for (id, at) in [(1, At::Cost), (2, At::Prepare), (3, At::Finish)] {
        house.script.failures.lock().insert((id, at));
        let error = within(house.interactive(id)).await.unwrap_err();
        assert_eq!(error, WorkError::Render(Error::Decode(format!("planned failure of {id} at {at:?}"))));
    }
    assert_eq!(house.metrics().outcome(Outcome::RenderError), 3);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_work_fails_when_the_device_is_lost_on_the_way() {
    let house = House::with_gpu(Config { max_in_flight: 64, ..config() });
    let gpu = house.gpu.clone().unwrap();
    gpu.loses_after.store(5, SeqCst);
    let tickets: Vec<(u32, Ticket)> = (1..41).map(|id| (id, house.interactive(id))).collect();
    let mut on_gpu = 0;
    for (id, ticket) in tickets {
        let rendered = within(ticket).await.unwrap();
        assert_eq!(picture_id(&rendered), id);
        match rendered.backend {
            BackendKind::Gpu => {
                on_gpu += 1;
                assert_eq!(rendered.fallback, None);
            }
            BackendKind::Cpu => assert!(matches!(rendered.fallback, Some(FallbackReason::DeviceLost(_)))),
        }
    }
    assert_eq!(on_gpu, 5);
    let seen = gpu.n_jobs();
    let rendered = within(house.interactive(99)).await.unwrap();
    assert_eq!(rendered.backend, BackendKind::Cpu);
    assert_eq!(gpu.n_jobs(), seen, "a lost device must not be asked again");
    let metrics = house.metrics();
    assert_eq!(metrics.fallbacks.get("device_lost"), Some(&36));
    assert_eq!((metrics.renders_gpu, metrics.renders_cpu), (5, 36));
    assert_eq!(metrics.gpu_usable, Some(false));
    house.close().await;
}

#[tokio::test]
async fn a_device_that_reports_loss_but_claims_health_is_not_asked_again() {
    let house = House::with_gpu(config());
    let gpu = house.gpu.clone().unwrap();
    gpu.refuses.lock().insert(1, FallbackReason::DeviceLost("planned".into()));
    for id in 1..4 {
        assert_eq!(within(house.interactive(id)).await.unwrap().backend, BackendKind::Cpu);
    }
    assert_eq!(gpu.n_jobs(), 1);
    house.close().await;
}

#[tokio::test]
async fn a_job_the_device_refuses_goes_to_the_cpu_and_the_next_does_not() {
    let house = House::with_gpu(config());
    let gpu = house.gpu.clone().unwrap();
    let reason = FallbackReason::TooLarge("planned".into());
    gpu.refuses.lock().insert(1, reason.clone());
    let rendered = within(house.interactive(1)).await.unwrap();
    assert_eq!((rendered.backend, rendered.fallback.clone()), (BackendKind::Cpu, Some(reason)));
    assert_eq!(within(house.interactive(2)).await.unwrap().backend, BackendKind::Gpu);
    assert_eq!(house.metrics().fallbacks.get("too_large"), Some(&1));
    house.close().await;
}

#[tokio::test]
async fn a_backend_that_panics_or_forgets_results_is_a_device_error() {
    let house = House::with_gpu(config());
    let gpu = house.gpu.clone().unwrap();
    for (id, fault) in [(1, &gpu.panics), (2, &gpu.is_short)] {
        fault.store(true, SeqCst);
        let rendered = within(house.interactive(id)).await.unwrap();
        assert!(matches!(rendered.fallback, Some(FallbackReason::DeviceError(_))));
        assert_eq!(picture_id(&rendered), id);
        fault.store(false, SeqCst);
    }
    assert_eq!(within(house.interactive(3)).await.unwrap().backend, BackendKind::Gpu);
    assert_eq!(house.metrics().fallbacks.get("device_error"), Some(&2));
    house.close().await;
}

#[tokio::test]
async fn a_cpu_backend_that_fails_is_said_so() {
    let house = House::new(config());
    house.cpu.refuses.lock().insert(1, FallbackReason::TooLarge("planned".into()));
    let error = within(house.interactive(1)).await.unwrap_err();
    assert!(matches!(error, WorkError::Render(Error::Device(_))), "{error:?}");
    house.cpu.is_short.store(true, SeqCst);
    let error = within(house.interactive(2)).await.unwrap_err();
    assert!(matches!(error, WorkError::Render(Error::Device(_))), "{error:?}");
    house.cpu.panics.store(true, SeqCst);
    assert!(internal(&within(house.interactive(3)).await.unwrap_err()).contains("planned"));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_faults_and_leavers_leaves_nothing_behind() {
    let house = House::with_gpu(Config { n_threads: 3, max_in_flight: 6, budget_bytes: 8_000, ..config() });
    let gpu = house.gpu.clone().unwrap();
    gpu.loses_after.store(60, SeqCst);
    let mut broken = std::collections::HashSet::new();
    for id in 1_u32..400 {
        // A fixed scramble, so that a failure can be repeated.
        let dice = id.wrapping_mul(2_654_435_761) >> 16;
        house.script.costs.lock().insert(id, u64::from(dice % 7_000));
        let at = [At::Cost, At::Read, At::Prepare, At::Finish][dice as usize % 4];
        match dice / 4 % 8 {
            0 => broken.insert(house.script.panics.lock().insert((id, at)).then_some(id)),
            1 => broken.insert(house.script.failures.lock().insert((id, at)).then_some(id)),
            2 => gpu.refuses.lock().insert(id, FallbackReason::DeviceError("planned".into())).is_none(),
            _ => false,
        };
        let lane = if dice % 3 == 0 { Lane::Eager } else { Lane::Interactive };
        let ticket = house.submit(id, lane);
        match dice / 32 % 4 {
            0 => drop(ticket),
            1 => match within(ticket).await {
                Ok(rendered) => assert_eq!(picture_id(&rendered), id),
                Err(error) => assert!(broken.contains(&Some(id)) || error == WorkError::Busy, "{id}: {error:?}"),
            },
            _ => {
                tokio::spawn(ticket);
            }
        }
    }
    house.close().await;
}
