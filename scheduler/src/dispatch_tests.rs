//! Several devices, their loss and their return.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use std::sync::mpsc::{Receiver, Sender, channel};
use tintype_render::backend::{BackendKind, Output, Source};
use tintype_render::frame::Frame;
use tintype_render::plan::bind::{BoundPlan, Kernel};
use tintype_render::plan::geometry::Size;
use tintype_render::plan::step::SurfaceId;

const LIMITS: BatchLimits = BatchLimits { max_jobs: 4, max_bytes: 1 << 20, max_wait: Duration::from_millis(2) };
const SOON: Backoff = Backoff { first: Duration::from_millis(5), most: Duration::from_millis(20) };
const PATIENCE: Duration = Duration::from_secs(10);

/// A device that copies its sources, step by step as the test lets it.
#[derive(Default)]
struct Copier {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Jobs of every batch that was begun.
    begun: Vec<usize>,
    /// Batches that were to begin and to end so far, and that may; `usize::MAX` for all.
    asked: usize,
    ending: usize,
    may_begin: usize,
    may_end: usize,
    most_flying: usize,
    pending: Vec<(u64, Vec<JobResult>)>,
    lost: bool,
    revivable: bool,
    revivals: usize,
}

impl Copier {
    fn new(may_end: usize) -> Arc<Self> {
        Arc::new(Copier {
            state: Mutex::new(State { may_begin: usize::MAX, may_end, ..State::default() }),
            changed: Condvar::new(),
        })
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }

    /// Waits until something is so.
    fn until(&self, condition: impl Fn(&State) -> bool) {
        let mut state = self.state.lock();
        let deadline = Instant::now() + PATIENCE;
        while !condition(&state) {
            assert!(!self.changed.wait_until(&mut state, deadline).timed_out(), "it did not come to be");
        }
    }

    fn n_jobs(&self) -> usize {
        self.state.lock().begun.iter().sum()
    }
}

impl Backend for Copier {
    fn kind(&self) -> BackendKind {
        BackendKind::Gpu
    }

    fn name(&self) -> String {
        "copier".into()
    }

    fn execute(&self, _: &[Job]) -> Vec<JobResult> {
        panic!("batches are begun and ended")
    }

    fn begin(&self, jobs: &[Job]) -> Begun {
        let mut state = self.state.lock();
        state.asked += 1;
        self.changed.notify_all();
        let deadline = Instant::now() + PATIENCE;
        while state.asked > state.may_begin {
            assert!(!self.changed.wait_until(&mut state, deadline).timed_out(), "nobody lets the batch begin");
        }
        let copies = jobs.iter().map(|job| match (&job.sources[0], state.lost) {
            (_, true) => Err(FallbackReason::DeviceLost("planned".into())),
            (Source::Rgba(frame), false) => Ok(Output::Rgba(Frame::clone(frame))),
            _ => panic!("the copier takes frames"),
        });
        let copies = copies.collect();
        state.begun.push(jobs.len());
        let number = state.begun.len() as u64;
        state.pending.push((number, copies));
        state.most_flying = state.most_flying.max(state.pending.len());
        self.changed.notify_all();
        Begun::Pending(number)
    }

    fn end(&self, number: u64) -> Vec<JobResult> {
        let mut state = self.state.lock();
        state.ending += 1;
        self.changed.notify_all();
        let deadline = Instant::now() + PATIENCE;
        while state.ending > state.may_end {
            assert!(!self.changed.wait_until(&mut state, deadline).timed_out(), "nobody lets the batch end");
        }
        let (first, results) = state.pending.remove(0);
        assert_eq!(first, number, "batches end in their order");
        self.changed.notify_all();
        results
    }

    fn healthy(&self) -> bool {
        !self.state.lock().lost
    }

    fn revive(&self) -> Result<(), FallbackReason> {
        let mut state = self.state.lock();
        state.revivals += 1;
        let revived = state.revivable;
        if revived {
            state.lost = false;
        }
        self.changed.notify_all();
        if revived { Ok(()) } else { Err(FallbackReason::DeviceLost("still gone".into())) }
    }
}

struct Pair(Vec<Arc<dyn Backend>>);

impl Backend for Pair {
    fn kind(&self) -> BackendKind {
        BackendKind::Gpu
    }

    fn name(&self) -> String {
        "pair".into()
    }

    fn execute(&self, _: &[Job]) -> Vec<JobResult> {
        panic!("members are asked instead")
    }

    fn members(&self) -> Vec<Arc<dyn Backend>> {
        self.0.clone()
    }
}

struct House {
    dispatcher: Dispatcher,
    answers: Receiver<(u8, JobResult)>,
    sender: Sender<(u8, JobResult)>,
}

impl House {
    fn new(members: &[Arc<Copier>]) -> Self {
        let members = members.iter().map(|copier| copier.clone() as Arc<dyn Backend>).collect();
        let dispatcher = Dispatcher::start_with(Arc::new(Pair(members)), LIMITS, Arc::default(), SOON).unwrap();
        let (sender, answers) = channel();
        House { dispatcher, answers, sender }
    }

    fn submit(&self, id: u8) {
        let size = Size::new(1, 1);
        let plan = BoundPlan {
            kernels: vec![Kernel::Load { source: 0 }],
            sizes: vec![size],
            alphas: vec![false],
            output: SurfaceId(0),
        };
        let frame = Frame::filled(size, [id, 0, 0, 255]);
        let job = Job { plan: Arc::new(plan), sources: vec![Source::Rgba(Arc::new(frame))] };
        let sender = self.sender.clone();
        let then = Box::new(move |executed: Executed| drop(sender.send((id, executed.result))));
        self.dispatcher.submit(Lane::Interactive, job, self.dispatcher.expect(), then);
    }

    /// The next answer, with the number that its picture holds; `None` when it has no picture.
    fn answer(&self) -> (u8, Option<u8>) {
        let (id, result) = self.answers.recv_timeout(PATIENCE).expect("an answer comes");
        (id, result.ok().map(|output| output.into_frame().pixel(0, 0)[0]))
    }

    fn close(self) {
        self.dispatcher.close();
        self.dispatcher.join();
    }
}

/// So many answers, each with its own picture; gives their numbers in order.
fn numbers(house: &House, count: usize) -> Vec<u8> {
    let answers = (0..count).map(|_| house.answer());
    let mut ids: Vec<u8> = answers.inspect(|(id, picture)| assert_eq!(*picture, Some(*id))).map(|(id, _)| id).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_device_is_given_the_next_batch_while_it_is_at_one_and_no_third() {
    let copier = Copier::new(0);
    copier.change(|state| state.may_begin = 0);
    let house = House::new(std::slice::from_ref(&copier));
    house.submit(1);
    copier.until(|state| state.asked == 1);
    // Three more batches wait while the device is given the first.
    for id in 2..14 {
        house.submit(id);
    }
    copier.change(|state| state.may_begin = usize::MAX);
    copier.until(|state| state.ending == 1);
    assert_eq!(copier.state.lock().begun, [1, 4]);
    copier.change(|state| state.may_end = usize::MAX);
    assert_eq!(numbers(&house, 13), (1..14).collect::<Vec<_>>());
    assert_eq!(copier.state.lock().begun, [1, 4, 4, 4]);
    assert_eq!(copier.state.lock().most_flying, MAX_FLYING);
    house.close();
}

#[test]
fn a_device_at_work_leaves_what_comes_to_one_that_is_idle() {
    let (left, right) = (Copier::new(0), Copier::new(0));
    let house = House::new(&[left.clone(), right.clone()]);
    house.submit(1);
    let until = Instant::now() + PATIENCE;
    while left.n_jobs() + right.n_jobs() < 1 {
        assert!(Instant::now() < until);
        std::thread::yield_now();
    }
    let (busy, idle) = if left.n_jobs() == 1 { (left, right) } else { (right, left) };
    busy.until(|state| state.ending == 1);
    house.submit(2);
    idle.until(|state| state.begun == [1]);
    assert_eq!(busy.n_jobs(), 1);
    for id in 3..40 {
        house.submit(id);
    }
    for copier in [&busy, &idle] {
        copier.change(|state| state.may_end = usize::MAX);
    }
    assert_eq!(numbers(&house, 39), (1..40).collect::<Vec<_>>());
    assert_eq!(busy.n_jobs() + idle.n_jobs(), 39);
    house.close();
}

#[test]
fn the_loss_of_one_leaves_the_other() {
    let (good, bad) = (Copier::new(usize::MAX), Copier::new(usize::MAX));
    let house = House::new(&[good.clone(), bad.clone()]);
    bad.change(|state| state.lost = true);
    house.submit(99);
    assert_eq!(house.answer(), (99, Some(99)));
    bad.until(|state| state.revivals > 0);
    let before = bad.n_jobs();
    for id in 1..30 {
        house.submit(id);
        assert_eq!(house.answer(), (id, Some(id)));
    }
    assert!(house.dispatcher.usable());
    assert_eq!((bad.n_jobs(), good.n_jobs()), (before, 30));
    assert_eq!(before, 0, "nothing was given to a device that is gone");
    house.close();
}

#[test]
fn a_lost_device_is_tried_again_and_used_once_it_is_back() {
    let copier = Copier::new(usize::MAX);
    let house = House::new(std::slice::from_ref(&copier));
    house.submit(1);
    assert_eq!(house.answer(), (1, Some(1)));
    copier.change(|state| state.lost = true);
    house.submit(2);
    assert_eq!(house.answer(), (2, None), "nobody is left");
    assert!(!house.dispatcher.usable());
    copier.until(|state| state.revivals >= 3);
    assert!(!house.dispatcher.usable(), "a device that did not come back is not used");
    copier.change(|state| state.revivable = true);
    let until = Instant::now() + PATIENCE;
    while !house.dispatcher.usable() {
        assert!(Instant::now() < until, "the device is not used again");
        std::thread::yield_now();
    }
    house.submit(3);
    assert_eq!(house.answer(), (3, Some(3)));
    house.close();
}

#[test]
fn a_device_that_is_lost_while_it_is_idle_comes_back_without_any_work() {
    let copier = Copier::new(usize::MAX);
    let house = House::new(std::slice::from_ref(&copier));
    house.submit(1);
    assert_eq!(house.answer(), (1, Some(1)));
    copier.change(|state| (state.lost, state.revivable) = (true, true));
    let until = Instant::now() + PATIENCE;
    while !house.dispatcher.usable() {
        assert!(Instant::now() < until, "the device is not used again");
        std::thread::yield_now();
    }
    assert_eq!(copier.state.lock().revivals, 1);
    house.close();
}

#[test]
fn with_every_device_lost_nothing_waits_in_the_queue() {
    let (left, right) = (Copier::new(usize::MAX), Copier::new(usize::MAX));
    let house = House::new(&[left.clone(), right.clone()]);
    for copier in [&left, &right] {
        copier.change(|state| state.lost = true);
    }
    for id in 1..20 {
        house.submit(id);
    }
    for _ in 1..20 {
        assert_eq!(house.answer().1, None);
    }
    house.close();
}
