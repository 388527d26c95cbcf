//! One render per key: tickets of one key share one flight, which survives the first caller leaving.

use crate::lane::Lane;
use crate::work::{Rendered, WorkError, WorkKey};
use futures::future::{FutureExt, Shared};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

/// What every ticket of a flight gets.
pub(crate) type Answer = Result<Arc<Rendered>, WorkError>;

const OPEN: u8 = 0;
const STARTED: u8 = 1;
const CLOSED: u8 = 2;

/// What the tickets of a flight want, taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Interactive as soon as one ticket is.
    pub lane: Lane,
    /// The latest of all; `None` when one ticket has none.
    pub deadline: Option<Instant>,
    /// The last ticket was dropped before the work was started.
    pub abandoned: bool,
}

/// One render on its way, from the first submission to the answer.
pub(crate) struct Flight {
    key: WorkKey,
    /// Open until either a thread starts the work or somebody gives it up; exactly one of the two wins.
    gate: AtomicU8,
    demand: watch::Sender<Demand>,
    answer: Shared<oneshot::Receiver<Answer>>,
    /// Changed under the lock of the map only.
    n_waiters: Mutex<usize>,
}

impl Flight {
    /// Claims the work for running. False when it was given up.
    pub fn start(&self) -> bool {
        self.gate.compare_exchange(OPEN, STARTED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn give_up(&self) -> bool {
        self.gate.compare_exchange(OPEN, CLOSED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    pub fn lane(&self) -> Lane {
        self.demand.borrow().lane
    }

    pub fn demand(&self) -> watch::Receiver<Demand> {
        self.demand.subscribe()
    }
}

/// All flights that have not landed.
#[derive(Clone, Default)]
pub(crate) struct Flights {
    shared: Arc<Sky>,
}

#[derive(Default)]
struct Sky {
    flights: Mutex<HashMap<WorkKey, Arc<Flight>>>,
    empty: Notify,
}

impl Flights {
    /// Joins the flight of the key, or opens one; the landing of a new one is for whoever drives it.
    pub fn join(&self, key: WorkKey, lane: Lane, deadline: Option<Instant>) -> (Ticket, Option<Landing>) {
        let mut flights = self.shared.flights.lock();
        if let Some(flight) = flights.get(&key) {
            *flight.n_waiters.lock() += 1;
            flight.demand.send_if_modified(|demand| {
                let joint = Demand {
                    lane: demand.lane.min(lane),
                    deadline: demand.deadline.zip(deadline).map(|(a, b)| a.max(b)),
                    abandoned: false,
                };
                std::mem::replace(demand, joint) != joint
            });
            return (self.ticket(flight), None);
        }
        let (sender, receiver) = oneshot::channel();
        let flight = Arc::new(Flight {
            key,
            gate: AtomicU8::new(OPEN),
            demand: watch::Sender::new(Demand { lane, deadline, abandoned: false }),
            answer: receiver.shared(),
            n_waiters: Mutex::new(1),
        });
        flights.insert(key, flight.clone());
        let ticket = self.ticket(&flight);
        (ticket, Some(Landing { flights: self.clone(), flight, sender: Some(sender) }))
    }

    fn ticket(&self, flight: &Arc<Flight>) -> Ticket {
        Ticket(State::Waiting {
            answer: flight.answer.clone(),
            _seat: Seat { flights: self.clone(), flight: flight.clone() },
        })
    }

    /// Gives the flight up when its deadline has passed and it was not started.
    pub fn expire(&self, flight: &Arc<Flight>, now: Instant) -> Expiry {
        let mut flights = self.shared.flights.lock();
        if flight.demand.borrow().deadline.is_none_or(|deadline| deadline > now) {
            return Expiry::Later;
        }
        if !flight.give_up() {
            return Expiry::TooLate;
        }
        self.remove(&mut flights, flight);
        Expiry::Expired
    }

    /// Removes a flight, unless its key belongs to a newer one by now.
    fn remove(&self, flights: &mut HashMap<WorkKey, Arc<Flight>>, flight: &Arc<Flight>) {
        if flights.get(&flight.key).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            flights.remove(&flight.key);
            if flights.is_empty() {
                self.shared.empty.notify_waiters();
            }
        }
    }

    fn leave(&self, flight: &Arc<Flight>) {
        let mut flights = self.shared.flights.lock();
        let left = {
            let mut n_waiters = flight.n_waiters.lock();
            *n_waiters = n_waiters.saturating_sub(1);
            *n_waiters
        };
        if left == 0 && flight.give_up() {
            self.remove(&mut flights, flight);
            flight.demand.send_modify(|demand| demand.abandoned = true);
        }
    }

    /// Resolves once every flight has landed.
    pub async fn landed(&self) {
        loop {
            let empty = self.shared.empty.notified();
            tokio::pin!(empty);
            empty.as_mut().enable();
            if self.shared.flights.lock().is_empty() {
                return;
            }
            empty.await;
        }
    }
}

/// What became of a flight whose deadline came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    Expired,
    /// A ticket that joined has a later deadline.
    Later,
    /// The work was started, or given up by somebody else.
    TooLate,
}

/// The duty to answer a flight. Dropping it without an answer, as a panic does, answers with an internal fault.
pub(crate) struct Landing {
    flights: Flights,
    flight: Arc<Flight>,
    sender: Option<oneshot::Sender<Answer>>,
}

impl Landing {
    pub fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// Answers every ticket. Whoever submits the key from now on opens a new flight.
    pub fn land(mut self, answer: Answer) {
        self.close(answer);
    }

    fn close(&mut self, answer: Answer) {
        if let Some(sender) = self.sender.take() {
            let flights = &self.flights;
            flights.remove(&mut flights.shared.flights.lock(), &self.flight);
            // The receiver lives in the flight, which this landing holds.
            let _ = sender.send(answer);
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.close(Err(WorkError::Internal("the task that drove the work ended early".into())));
    }
}

/// A claim to the picture of a work: a future of the answer.
///
/// Dropping a ticket does not disturb others of the same key. When the last one goes before the work was started, the work is
/// dropped; work that was started is finished.
pub struct Ticket(State);

enum State {
    Refused(Option<WorkError>),
    Waiting { answer: Shared<oneshot::Receiver<Answer>>, _seat: Seat },
}

struct Seat {
    flights: Flights,
    flight: Arc<Flight>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.flights.leave(&self.flight);
    }
}

impl Ticket {
    pub(crate) fn refused(error: WorkError) -> Self {
        Ticket(State::Refused(Some(error)))
    }
}

impl Future for Ticket {
    type Output = Result<Arc<Rendered>, WorkError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Refused(error) => {
                Poll::Ready(Err(error.take().unwrap_or_else(|| WorkError::Internal("ticket was used twice".into()))))
            }
            State::Waiting { answer, .. } => answer.poll_unpin(context).map(|answer| {
                answer.unwrap_or_else(|_| Err(WorkError::Internal("the work was lost without an answer".into())))
            }),
        }
    }
}
