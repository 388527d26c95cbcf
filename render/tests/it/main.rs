//! Integration tests.

mod compare;
mod gpu;
mod oracle;
mod parity;
mod random_plan;

#[test]
fn random_jobs_repeat() {
    for seed in 0..200 {
        let (a, b) = (random_plan::random_job(seed), random_plan::random_job(seed));
        assert_eq!(format!("{:?}", a.plan), format!("{:?}", b.plan));
        assert!((1..=6).contains(&a.plan.kernels.len()));
    }
}
