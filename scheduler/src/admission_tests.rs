//! Admission alone: what is out never passes the bounds, order holds, and what ends always makes room.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use futures::FutureExt;
use proptest::prelude::*;

fn admission(max_jobs: usize, budget_bytes: u64, max_waiting: usize) -> Admission {
    Admission::new(AdmissionLimits {
        max_jobs,
        budget_bytes,
        max_waiting: PerLane { interactive: max_waiting, eager: max_waiting },
    })
}

/// The permit, if it has been granted.
fn granted(waiter: &mut Waiter) -> Option<Permit> {
    waiter.now_or_never().flatten()
}

#[test]
fn count_and_bytes_are_both_needed() {
    let admission = admission(2, 100, 9);
    let ask = |bytes| admission.ask(Lane::Interactive, bytes).unwrap();
    let first = granted(&mut ask(60)).unwrap();
    let mut large = ask(41);
    assert!(granted(&mut large).is_none());
    let mut behind = ask(1);
    assert!(granted(&mut behind).is_none(), "a small one must not pass a large one");
    drop(first);
    let large = granted(&mut large).unwrap();
    let behind = granted(&mut behind).unwrap();
    let mut third = ask(1);
    assert!(granted(&mut third).is_none(), "both slots are taken");
    drop(behind);
    assert!(granted(&mut third).is_some());
    drop((large, third));
    assert_eq!(admission.occupancy(), Occupancy::default());
}

#[test]
fn refusals() {
    let admission = admission(1, 100, 1);
    assert_eq!(admission.ask(Lane::Eager, 101).err(), Some(Refused::TooCostly));
    let permit = granted(&mut admission.ask(Lane::Eager, 100).unwrap()).unwrap();
    let mut waits = admission.ask(Lane::Eager, 1).unwrap();
    assert_eq!(admission.ask(Lane::Eager, 1).err(), Some(Refused::Full));
    let other = admission.ask(Lane::Interactive, 1);
    assert!(other.is_ok(), "each lane has a queue of its own");
    admission.close();
    assert!(matches!((&mut waits).now_or_never(), Some(None)));
    assert_eq!(admission.ask(Lane::Eager, 1).err(), Some(Refused::Closed));
    assert!(admission.drained().now_or_never().is_none());
    drop(permit);
    assert!(admission.drained().now_or_never().is_some());
}

#[test]
fn without_a_queue_only_free_room_is_given() {
    let admission = admission(1, 100, 0);
    let permit = granted(&mut admission.ask(Lane::Eager, 1).unwrap());
    assert!(permit.is_some());
    assert_eq!(admission.ask(Lane::Interactive, 1).err(), Some(Refused::Full));
    drop(permit);
    assert!(admission.ask(Lane::Interactive, 1).is_ok());
}

#[test]
fn a_waiter_that_leaves_unblocks_those_behind_it() {
    let admission = admission(9, 100, 9);
    let ask = |bytes| admission.ask(Lane::Interactive, bytes).unwrap();
    let _held = granted(&mut ask(60)).unwrap();
    let large = ask(50);
    let mut small = ask(40);
    assert!(granted(&mut small).is_none());
    drop(large);
    assert!(granted(&mut small).is_some());
}

#[test]
fn a_permit_nobody_took_comes_back() {
    let admission = admission(1, 100, 9);
    let unpolled = admission.ask(Lane::Interactive, 100).unwrap();
    let mut next = admission.ask(Lane::Eager, 1).unwrap();
    assert!(granted(&mut next).is_none());
    drop(unpolled);
    assert!(granted(&mut next).is_some());
}

#[test]
fn eager_leaves_a_quarter_free_and_one_may_use_all() {
    let admission = admission(8, 800, 99);
    let mut eager: Vec<Waiter> = (0..20).map(|_| admission.ask(Lane::Eager, 10).unwrap()).collect();
    let permits: Vec<Permit> = eager.iter_mut().filter_map(granted).collect();
    assert_eq!(permits.len(), 6);
    let interactive = granted(&mut admission.ask(Lane::Interactive, 700).unwrap());
    assert!(interactive.is_some());
    drop((permits, interactive, eager));
    assert!(granted(&mut admission.ask(Lane::Eager, 800).unwrap()).is_some());
}

#[test]
fn while_both_wait_every_fourth_permit_is_eager() {
    let admission = admission(1, 100, 99);
    let mut held = granted(&mut admission.ask(Lane::Interactive, 1).unwrap());
    let mut waiters: Vec<(char, Waiter)> = "eeeiiiiiiii"
        .chars()
        .map(|name| {
            let lane = if name == 'e' { Lane::Eager } else { Lane::Interactive };
            (name, admission.ask(lane, 1).unwrap())
        })
        .collect();
    let mut order = String::new();
    while held.take().is_some() {
        for (name, waiter) in &mut waiters {
            // A permit that was taken before leaves a closed channel behind, which gives none.
            if let Some(permit) = granted(waiter) {
                order.push(*name);
                held = Some(permit);
                break;
            }
        }
        waiters.retain(|(_, waiter)| !waiter.permit.is_terminated());
    }
    assert_eq!(order, "iiieiiieiie");
}

#[test]
fn a_promoted_waiter_passes_the_eager_ones() {
    let admission = admission(1, 100, 2);
    let held = granted(&mut admission.ask(Lane::Eager, 1).unwrap());
    let mut first = admission.ask(Lane::Eager, 1).unwrap();
    let mut second = admission.ask(Lane::Eager, 1).unwrap();
    second.promote();
    second.promote();
    assert_eq!(admission.occupancy().waiting, PerLane { interactive: 1, eager: 1 });
    drop(held);
    assert!(granted(&mut first).is_none());
    assert!(granted(&mut second).is_some());
    assert!(granted(&mut first).is_some());
}

#[test]
fn charged_bytes_hold_others_back_and_come_back_exactly() {
    let admission = admission(9, 100, 9);
    let permit = granted(&mut admission.ask(Lane::Interactive, 50).unwrap()).unwrap();
    permit.charge(70);
    assert_eq!(admission.occupancy().bytes, 120);
    let mut next = admission.ask(Lane::Interactive, 1).unwrap();
    assert!(granted(&mut next).is_none());
    permit.charge(u64::MAX);
    assert_eq!(admission.occupancy().bytes, u64::MAX);
    drop(permit);
    assert_eq!(admission.occupancy().bytes, 1);
}

#[derive(Debug, Clone)]
enum Act {
    Ask {
        eager: bool,
        bytes: u64,
    },
    /// The one of this number among those that wait leaves.
    Leave(usize),
    /// The one of this number among the permits ends.
    End(usize),
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (any::<bool>(), 0_u64..=100).prop_map(|(eager, bytes)| Act::Ask { eager, bytes }),
        1 => any::<usize>().prop_map(Act::Leave),
        3 => any::<usize>().prop_map(Act::End),
    ]
}

proptest! {
    /// Under any sequence the bounds hold, each lane is served in order, nobody sleeps while nothing runs, and in the end all
    /// is given back.
    #[test]
    fn bounds_hold_and_no_wakeup_is_lost(
        acts in prop::collection::vec(any_act(), 1..120),
        max_jobs in 1_usize..5,
        max_waiting in 0_usize..6,
    ) {
        let admission = admission(max_jobs, 100, max_waiting);
        let mut waiting: Vec<(usize, bool, u64, Waiter)> = Vec::new();
        let mut permits: Vec<(u64, Permit)> = Vec::new();
        let mut last = [None, None];
        for (id, act) in acts.into_iter().enumerate() {
            match act {
                Act::Ask { eager, bytes } => {
                    let lane = if eager { Lane::Eager } else { Lane::Interactive };
                    let before = waiting.iter().filter(|waiter| waiter.1 == eager).count();
                    match admission.ask(lane, bytes) {
                        Ok(waiter) => waiting.push((id, eager, bytes, waiter)),
                        Err(refused) => {
                            prop_assert_eq!(refused, Refused::Full);
                            prop_assert_eq!(before, max_waiting);
                        }
                    }
                }
                Act::Leave(index) if !waiting.is_empty() => {
                    drop(waiting.remove(index % waiting.len()));
                }
                Act::End(index) if !permits.is_empty() => {
                    drop(permits.swap_remove(index % permits.len()));
                }
                Act::Leave(_) | Act::End(_) => {}
            }
            let mut still = Vec::new();
            for (id, eager, bytes, mut waiter) in waiting {
                match granted(&mut waiter) {
                    Some(permit) => {
                        prop_assert!(last[usize::from(eager)].is_none_or(|before| before < id));
                        last[usize::from(eager)] = Some(id);
                        permits.push((bytes, permit));
                    }
                    None => still.push((id, eager, bytes, waiter)),
                }
            }
            waiting = still;
            let used: u64 = permits.iter().map(|(bytes, _)| bytes).sum();
            prop_assert!(permits.len() <= max_jobs && used <= 100);
            let now = admission.occupancy();
            prop_assert_eq!((now.jobs, now.bytes), (permits.len(), used));
            prop_assert_eq!(now.waiting.interactive + now.waiting.eager, waiting.len());
            prop_assert!(waiting.is_empty() || !permits.is_empty());
        }
        drop((waiting, permits));
        prop_assert_eq!(admission.occupancy(), Occupancy::default());
    }
}

#[test]
fn bytes_that_are_split_off_outlive_the_permit_and_free_no_slot() {
    let admission = admission(1, 100, 9);
    let permit = granted(&mut admission.ask(Lane::Eager, 70).unwrap()).unwrap();
    let mut charge = permit.split(50);
    assert_eq!((charge.bytes(), admission.occupancy().bytes, admission.occupancy().jobs), (50, 70, 1));
    assert_eq!(permit.split(1000).bytes(), 20, "there is no more than the permit has");
    assert_eq!(admission.occupancy().bytes, 50);
    drop(permit);
    assert_eq!((admission.occupancy().bytes, admission.occupancy().jobs), (50, 0));
    let mut large = admission.ask(Lane::Interactive, 60).unwrap();
    assert!(granted(&mut large).is_none());
    charge.trim(40);
    assert!(granted(&mut large).is_some(), "what is trimmed makes room");
    drop((charge, large));
    assert_eq!(admission.occupancy(), Occupancy::default());
}
