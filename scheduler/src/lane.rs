//! Two lanes, and whose turn it is when both have work.

use std::ops::{Index, IndexMut};

/// Who waits for a work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Somebody is looking at an empty picture.
    Interactive,
    /// Nobody is: derivatives made ahead of time.
    Eager,
}

impl Lane {
    /// Both lanes, the more urgent first.
    pub const ALL: [Lane; 2] = [Lane::Interactive, Lane::Eager];

    /// Stable name for counters.
    pub const fn label(self) -> &'static str {
        match self {
            Lane::Interactive => "interactive",
            Lane::Eager => "eager",
        }
    }
}

/// One value for each lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PerLane<T> {
    pub interactive: T,
    pub eager: T,
}

impl<T> Index<Lane> for PerLane<T> {
    type Output = T;

    fn index(&self, lane: Lane) -> &T {
        match lane {
            Lane::Interactive => &self.interactive,
            Lane::Eager => &self.eager,
        }
    }
}

impl<T> IndexMut<Lane> for PerLane<T> {
    fn index_mut(&mut self, lane: Lane) -> &mut T {
        match lane {
            Lane::Interactive => &mut self.interactive,
            Lane::Eager => &mut self.eager,
        }
    }
}

/// Interactive works that may pass a waiting eager one before it is that one's turn.
const INTERACTIVE_STREAK: u8 = 3;

/// Whose turn it is: interactive before eager, but while both wait every fourth turn is the eager lane's.
///
/// Admission, pool and batches each keep a turn of their own, so the share holds wherever work can pile up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Turn {
    passed: u8,
}

impl Turn {
    /// The lane to serve next, of those that have work.
    pub fn peek(self, interactive: bool, eager: bool) -> Option<Lane> {
        match (interactive, eager) {
            (true, true) if self.passed >= INTERACTIVE_STREAK => Some(Lane::Eager),
            (true, _) => Some(Lane::Interactive),
            (false, true) => Some(Lane::Eager),
            (false, false) => None,
        }
    }

    /// Notes that `lane` was served, and whether eager work was waiting then.
    pub fn served(&mut self, lane: Lane, eager_waits: bool) {
        self.passed = match lane {
            Lane::Interactive if eager_waits => (self.passed + 1).min(INTERACTIVE_STREAK),
            Lane::Interactive | Lane::Eager => 0,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_both_wait_every_fourth_turn_is_eager() {
        let mut turn = Turn::default();
        let order: String = (0..12)
            .map(|_| {
                let lane = turn.peek(true, true).expect("both lanes wait");
                turn.served(lane, true);
                if lane == Lane::Eager { 'e' } else { 'i' }
            })
            .collect();
        assert_eq!(order, "iiieiiieiiie");
    }

    #[test]
    fn a_lane_alone_is_always_served() {
        assert_eq!(Turn::default().peek(false, true), Some(Lane::Eager));
        assert_eq!(Turn { passed: INTERACTIVE_STREAK }.peek(true, false), Some(Lane::Interactive));
        assert_eq!(Turn::default().peek(false, false), None);
    }
}
