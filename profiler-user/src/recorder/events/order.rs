//! Brings events into the order of their time. The ring has them in the order in which they were sent: another CPU, or
//! whoever interrupted a probe, can have been faster.
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use profiler_common::event::{AllocEvent, AllocEventKind, FunctionCallerEvent, FunctionEventKind};

/// How long an event may be under way until others are believed to be complete, ns.
const LATENESS_NS: u64 = 20_000_000;
/// Events that wait at most.
const MOST: usize = 1 << 16;

/// An event as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Function(FunctionEventKind, FunctionCallerEvent),
    Allocation(AllocEventKind, AllocEvent),
}

impl Message {
    pub(super) fn time_ns(&self) -> u64 {
        match self {
            Self::Function(_, event) => event.call.time_ns,
            Self::Allocation(_, event) => event.time_ns,
        }
    }

    /// Its process and thread.
    pub(super) fn ids(&self) -> (u32, u32) {
        match self {
            Self::Function(_, event) => (event.call.pid, event.call.tid),
            Self::Allocation(_, event) => (event.pid, event.tid),
        }
    }
}

/// By time, and by arrival where that is the same.
struct Waiting {
    time_ns: u64,
    number: u64,
    message: Message,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.time_ns, self.number).cmp(&(other.time_ns, other.number))
    }
}

/// Events that wait for earlier ones.
#[derive(Default)]
pub(super) struct Order {
    waiting: BinaryHeap<Reverse<Waiting>>,
    newest_ns: u64,
    numbers: u64,
}

impl Order {
    /// Takes an event.
    pub(super) fn push(&mut self, message: Message) {
        let time_ns = message.time_ns();
        self.newest_ns = self.newest_ns.max(time_ns);
        self.numbers += 1;
        self.waiting.push(Reverse(Waiting {
            time_ns,
            number: self.numbers,
            message,
        }));
    }

    /// The earliest event, if none can come any more that was before it; with `all` in any case.
    pub(super) fn pop(&mut self, all: bool) -> Option<Message> {
        let Reverse(first) = self.waiting.peek()?;
        let is_due = first.time_ns.saturating_add(LATENESS_NS) <= self.newest_ns;
        (all || is_due || self.is_full())
            .then(|| self.waiting.pop())?
            .map(|Reverse(waiting)| waiting.message)
    }

    /// Whether no more can wait.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() > MOST
    }

    /// It is this late by now: what was sent before some while ago has come.
    pub(super) fn now(&mut self, time_ns: u64) {
        self.newest_ns = self.newest_ns.max(time_ns);
    }
}

#[cfg(test)]
mod tests {
    use profiler_common::event::{AllocEvent, AllocEventKind};

    use super::{LATENESS_NS, MOST, Message, Order};

    fn event(time_ns: u64, address: u64) -> Message {
        Message::Allocation(
            AllocEventKind::Allocate,
            AllocEvent {
                time_ns,
                address,
                size: 0,
                caller: 0,
                pid: 0,
                tid: 0,
                function: 0,
                kind: 1,
            },
        )
    }

    #[test]
    fn events_leave_by_time_and_by_arrival_where_that_is_the_same() {
        let mut order = Order::default();
        for (time, address) in [(5, 1), (3, 2), (5, 3), (4, 4)] {
            order.push(event(time, address));
        }
        assert_eq!(order.pop(false), None, "an earlier one may be under way");
        let left: Vec<Message> = std::iter::from_fn(|| order.pop(true)).collect();
        assert_eq!(left, [event(3, 2), event(4, 4), event(5, 1), event(5, 3)]);
    }

    #[test]
    fn nobody_waits_longer_than_events_are_under_way() {
        let mut order = Order::default();
        order.push(event(1, 1));
        order.push(event(LATENESS_NS, 2));
        assert_eq!(order.pop(false), None);
        order.push(event(LATENESS_NS + 1, 3));
        assert_eq!(order.pop(false), Some(event(1, 1)));
        assert_eq!(order.pop(false), None);
        order.now(2 * LATENESS_NS);
        assert_eq!(order.pop(false), Some(event(LATENESS_NS, 2)));
    }

    #[test]
    fn no_more_wait_than_there_is_room_for() {
        let mut order = Order::default();
        for time in 0..=MOST as u64 {
            order.push(event(time % 7, time));
        }
        assert_eq!(order.pop(false), Some(event(0, 0)));
        assert_eq!(order.pop(false), None);
    }
}
