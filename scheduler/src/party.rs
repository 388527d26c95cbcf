//! Works on one source that are on their way at the same time: they read it once, and share its decode.
//!
//! A party is of one lane, so that nobody waits for a thread of the other. Only works that hold a permit belong to it: what
//! the party holds never waits for a permit, and so cannot block one.

use crate::admission::{Charge, Permit};
use crate::engine::{Load, Seat, panic_text};
use crate::lane::Lane;
use crate::work::{SourceError, SourceKey, SourceReader};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt, Shared};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use tintype_render::pipeline::{BaseDemand, SharedBase};

/// Works that one decode serves at most, so that no decode grows without bounds.
const MAX_COMPANIONS: usize = 32;

type Reading = Shared<BoxFuture<'static, Result<Bytes, SourceError>>>;

/// A decoded source and the bytes it takes, both gone with the last job that reads it.
pub(crate) struct Decoded {
    pub base: SharedBase,
    _charge: Charge,
}

impl Decoded {
    pub fn new(base: SharedBase, charge: Charge) -> Self {
        Decoded { base, _charge: charge }
    }
}

/// All parties that have members.
#[derive(Clone, Default)]
pub(crate) struct Parties {
    known: Arc<Mutex<Known>>,
}

type Known = HashMap<(SourceKey, Lane), Weak<Party>>;

struct Party {
    parties: Parties,
    key: (SourceKey, Lane),
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_id: u64,
    reading: Option<Reading>,
    /// For the compressed bytes, once they are there.
    read: Option<Charge>,
    /// Members that are not bound to a decode yet.
    coming: Vec<Coming>,
    decodes: Vec<Decode>,
}

struct Coming {
    id: u64,
    demand: BaseDemand,
    permit: Weak<Permit>,
    /// The decode that its permit has paid for.
    paid_for: Option<u64>,
    seat: Option<Seat>,
}

/// A decode that is under way or done.
struct Decode {
    id: u64,
    demand: BaseDemand,
    /// `None` while a thread is at it.
    done: Option<Arc<Decoded>>,
    /// Started works that wait for it.
    waiting: Vec<Load>,
}

/// What a work is to do that a thread has taken.
pub(crate) enum Turn {
    /// It shares with nobody.
    Alone(Load),
    /// Nothing: it waits for the decode that is under way, which takes it along.
    Waits,
    /// It starts from what is decoded.
    Starts(Load, Arc<Decoded>),
    /// It decodes, for itself and for others.
    Decodes(Load, Lead),
}

/// The duty to decode for a party.
pub(crate) struct Lead {
    party: Arc<Party>,
    id: u64,
    pub demand: BaseDemand,
    /// Whether others are meant to share it.
    pub is_joint: bool,
    /// Bytes of what will be decoded, from the permits of those for whom it is.
    charge: Charge,
}

impl Parties {
    /// Joins the party of a source, or opens it.
    pub fn join(&self, source: SourceKey, lane: Lane, demand: BaseDemand, permit: &Arc<Permit>) -> Member {
        let mut known = self.known.lock();
        let key = (source, lane);
        let party = known.get(&key).and_then(Weak::upgrade).unwrap_or_else(|| {
            let party = Arc::new(Party { parties: self.clone(), key, state: Mutex::default() });
            known.insert(key, Arc::downgrade(&party));
            party
        });
        drop(known);
        let mut state = party.state.lock();
        let id = state.next_id;
        state.next_id += 1;
        let permit = Arc::downgrade(permit);
        state.coming.push(Coming { id, demand: demand.clone(), permit, paid_for: None, seat: None });
        drop(state);
        Member { party, id, demand }
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        let mut known = self.parties.known.lock();
        // A newer party may have taken the place between the last member's leaving and this.
        if known.get(&self.key).is_some_and(|party| party.strong_count() == 0) {
            known.remove(&self.key);
        }
    }
}

/// One work's place in a party. Dropping it leaves.
pub(crate) struct Member {
    party: Arc<Party>,
    id: u64,
    demand: BaseDemand,
}

impl Member {
    /// The compressed source, which is read once for all members, by the reader of the first.
    pub fn read(&self, reader: Arc<dyn SourceReader>) -> Reading {
        let mut state = self.party.state.lock();
        let read = async move {
            // A shared future that panics wakes none of those who wait for it.
            let read = AssertUnwindSafe(reader.read(&None)).catch_unwind().await;
            read.unwrap_or_else(|panic| Err(SourceError::Failed(format!("panic: {}", panic_text(&*panic)))))
        };
        state.reading.get_or_insert_with(|| read.boxed().shared()).clone()
    }

    /// Charges the bytes that were read, once for all members.
    pub fn pay(&self, permit: &Permit, bytes: u64) {
        let mut state = self.party.state.lock();
        if state.read.is_none() {
            permit.charge(bytes);
            state.read = Some(permit.split(bytes));
        }
    }

    /// Whether nobody else is coming.
    pub fn is_alone(&self) -> bool {
        self.party.state.lock().coming.iter().all(|coming| coming.id == self.id)
    }

    /// Bytes that its own decode would take.
    pub fn decode_bytes(&self) -> u64 {
        self.demand.bytes()
    }

    /// Lets whoever decodes take this work along.
    pub fn offer(&self, seat: Seat) {
        let mut state = self.party.state.lock();
        if let Some(coming) = state.coming.iter_mut().find(|coming| coming.id == self.id) {
            coming.seat = Some(seat);
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let gone = {
            let mut state = self.party.state.lock();
            state.coming.retain(|coming| coming.id != self.id);
            // Nobody else is coming who could need what is decoded; those who are bound to it hold it themselves.
            let is_over = state.coming.is_empty();
            let (done, kept) = state.decodes.drain(..).partition(|decode: &Decode| is_over && decode.done.is_some());
            state.decodes = kept;
            let done: Vec<Decode> = done;
            done
        };
        drop(gone);
    }
}

/// Says what a started work is to do next. Its place in the party is given up here. `is_streamed` says of a demand whether it
/// is better met by a decode that cannot be shared.
pub(crate) fn turn(mut load: Load, is_streamed: impl Fn(&BaseDemand) -> bool) -> Turn {
    let Some(member) = load.member.take() else { return Turn::Alone(load) };
    let party = member.party.clone();
    let mut state = party.state.lock();
    let has_paid = state.coming.iter().any(|coming| coming.id == member.id && coming.paid_for.is_some());
    if load.course.lane != party.key.1 {
        // Hurried meanwhile: it must not wait for threads of the other lane.
        drop(state);
        if has_paid {
            load.course.permit.charge(load.decode_bytes);
        }
        return Turn::Alone(load);
    }
    if let Some(at) = state.decodes.iter().position(|decode| decode.demand.covers(&member.demand)) {
        if !has_paid {
            drop(load.course.permit.split(load.decode_bytes));
        }
        let decode = &mut state.decodes[at];
        let turn = match &decode.done {
            Some(decoded) => Turn::Starts(load, decoded.clone()),
            None => {
                decode.waiting.push(load);
                Turn::Waits
            }
        };
        drop(state);
        // Leaving locks the party again.
        drop(member);
        return turn;
    }
    if state.coming.iter().all(|coming| coming.id == member.id) && !has_paid && is_streamed(&member.demand) {
        drop(state);
        drop(member);
        return Turn::Alone(load);
    }
    let id = state.next_id;
    state.next_id += 1;
    let (demand, charge) = state.gather(id, &member, &load.course.permit);
    state.decodes.push(Decode { id, demand: demand.clone(), done: None, waiting: Vec::new() });
    drop(state);
    let is_joint = demand != member.demand;
    drop(member);
    Turn::Decodes(load, Lead { party, id, demand, is_joint, charge })
}

impl State {
    /// The greatest demand of all that are coming, as far as their permits pay for it, and that payment.
    fn gather(&mut self, decode: u64, leader: &Member, permit: &Permit) -> (BaseDemand, Charge) {
        let mut joint = leader.demand.clone();
        let mut charge = permit.split(leader.demand.bytes());
        let mut paid = joint.bytes();
        let others = self.coming.iter_mut().filter(|coming| coming.id != leader.id && coming.paid_for.is_none());
        for coming in others.take(MAX_COMPANIONS - 1) {
            let Some(permit) = coming.permit.upgrade() else { continue };
            let own = coming.demand.bytes();
            match joint.union(&coming.demand) {
                Some(union) if union.bytes() <= paid.saturating_add(own) => {
                    paid = paid.saturating_add(own);
                    joint = union;
                    charge.absorb(permit.split(own));
                    coming.paid_for = Some(decode);
                }
                _ => {}
            }
        }
        charge.trim(joint.bytes());
        (joint, charge)
    }
}

impl Lead {
    /// Publishes what was decoded and gives the works that start from it: those that wait for it, and those that wait for
    /// a thread. The claim of the latter fails for works that were given up.
    pub fn done(self, base: SharedBase) -> (Arc<Decoded>, Vec<Load>) {
        let Lead { party, id, demand, charge, .. } = self;
        let decoded = Arc::new(Decoded::new(base, charge));
        let mut state = party.state.lock();
        let mut loads = Vec::new();
        let seats: Vec<(Seat, bool)> = state
            .coming
            .iter_mut()
            .filter(|coming| demand.covers(&coming.demand))
            .filter_map(|coming| Some((coming.seat.take()?, coming.paid_for.is_some())))
            .take(MAX_COMPANIONS)
            .collect();
        if let Some(decode) = state.decodes.iter_mut().find(|decode| decode.id == id) {
            decode.done = Some(decoded.clone());
            loads.append(&mut decode.waiting);
        }
        let is_over = state.coming.is_empty();
        if is_over {
            state.decodes.retain(|decode| decode.id != id);
        }
        drop(state);
        for (seat, has_paid) in seats {
            let Some(mut load) = seat.claim() else { continue };
            if !has_paid {
                drop(load.course.permit.split(load.decode_bytes));
            }
            drop(load.member.take());
            loads.push(load);
        }
        (decoded, loads)
    }

    /// Gives back those who wait for a decode that failed: each is to see for itself, and holds what that costs again.
    pub fn failed(self) -> Vec<Load> {
        let Lead { party, id, charge, .. } = self;
        drop(charge);
        let mut state = party.state.lock();
        for coming in state.coming.iter_mut().filter(|coming| coming.paid_for == Some(id)) {
            coming.paid_for = None;
            if let Some(permit) = coming.permit.upgrade() {
                permit.charge(coming.demand.bytes());
            }
        }
        let at = state.decodes.iter().position(|decode| decode.id == id);
        let waiting = at.map(|at| state.decodes.remove(at).waiting).unwrap_or_default();
        drop(state);
        for load in &waiting {
            load.course.permit.charge(load.decode_bytes);
        }
        waiting
    }
}
