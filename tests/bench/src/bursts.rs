// SPDX-License-Identifier: MIT OR Apache-2.0

//! Register accesses of a burst of events, read to the end: by the host driver through the RMM, and by
//! [`EventThread`], each on a device of the same kind.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use psmmu::{
    ActivateParams, Clock, Config, Delivery, Interface, Memory, Psmmu, QueueAbortPolicy, Sizes,
};
use psmmu_abi::{Event, EventNumber, IrqSet};
use responder_tests::{Faults, Machine, ModelMemory, ModelRegisters, Options};
use smmu_model::Smmu;

use crate::linux::EventThread;

/// Numbers of events that are in the queue when the driver begins.
pub const BURSTS: [u32; 6] = [1, 2, 32, 33, 512, 4096];

/// Log2 of the event queue's entries: the largest burst fills it.
const QUEUE: u8 = 12;

/// Bursts of each size, one after the other in the same queue.
const ROUNDS: u64 = 3;

/// Register accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accesses {
    /// Reads, for which a CPU waits.
    pub reads: u32,
    /// Writes.
    pub writes: u32,
}

impl Accesses {
    /// Returns the sum.
    #[must_use]
    pub const fn all(self) -> u32 {
        self.reads + self.writes
    }
}

impl From<(u32, u32)> for Accesses {
    fn from((reads, writes): (u32, u32)) -> Self {
        Self { reads, writes }
    }
}

/// Why there is no count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BurstError {
    /// Two bursts of the same size, which is this, did not cost the same.
    Differs(u32, Accesses, Accesses),
    /// Not each event of a burst of this size came exactly once, in the order written.
    Events(u32),
}

impl fmt::Display for BurstError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs(events, first, second) => {
                write!(f, "a burst of {events} cost {first:?} and then {second:?}")
            }
            Self::Events(events) => {
                write!(
                    f,
                    "the events of a burst of {events} did not come exactly once, in the order written"
                )
            }
        }
    }
}

impl std::error::Error for BurstError {}

/// Counts for the host driver and the RMM.
///
/// # Errors
/// [`BurstError`].
pub fn through_the_rmm(events: u32) -> Result<Accesses, BurstError> {
    let machine = Machine::active(Options { event_queue: QUEUE, ..Options::default() });
    // A host polls once after activation.
    if !machine.service(IrqSet::EVENTQ).is_empty() {
        return Err(BurstError::Events(0));
    }
    rounds(events, |addresses| {
        addresses.for_each(|address| machine.device().fault(address));
        machine.device().forget_accesses();
        let reported = machine.service(IrqSet::EVENTQ);
        let reported = reported.into_iter().filter_map(|event| match event {
            Event::Psmmu { input_address, .. } => Some(input_address),
            _ => None,
        });
        (machine.device().accesses().into(), reported.collect())
    })
}

/// Counts for [`EventThread`].
///
/// # Errors
/// [`BurstError`].
pub fn as_linux_does(events: u32) -> Result<Accesses, BurstError> {
    let mut alone = Alone::new();
    rounds(events, |addresses| {
        addresses.for_each(|address| alone.smmu.device().fault(address));
        alone.smmu.device().forget_accesses();
        let reported = alone.interrupt();
        (alone.smmu.device().accesses().into(), reported)
    })
}

/// Makes bursts and has `service` read each of them.
fn rounds(
    events: u32,
    mut service: impl FnMut(std::ops::Range<u64>) -> (Accesses, Vec<u64>),
) -> Result<Accesses, BurstError> {
    let mut counted = None;
    for round in 0..ROUNDS {
        let first = round * u64::from(events);
        let addresses = first..first + u64::from(events);
        let (accesses, reported) = service(addresses.clone());
        if !reported.into_iter().eq(addresses) {
            return Err(BurstError::Events(events));
        }
        let before = *counted.get_or_insert(accesses);
        if before != accesses {
            return Err(BurstError::Differs(events, before, accesses));
        }
    }
    Ok(counted.unwrap_or(Accesses { reads: 0, writes: 0 }))
}

/// A device with a driver that needs no RMM.
struct Alone {
    smmu: Smmu,
    driver: EventThread<ModelMemory>,
}

impl Alone {
    /// Brings the device up as the RMM does, and adopts its event queue.
    fn new() -> Self {
        let smmu = Smmu::new(smmu_model::Config::default());
        let memory = |words, address| ModelMemory(smmu.memory().region(address, words));
        let memory = Memory {
            stream_table: memory(1 << 10, 0x9000_0000),
            command_queue: memory(2 << 8, 0x9200_0000),
            event_queue: memory(4 << QUEUE, 0x9300_0000),
            pri_queue: None,
            completion: None,
        };
        let events = memory.event_queue.clone();
        let config = Config {
            psmmu_ptr: 0x2B40_0000,
            interface: Interface::Realm,
            delivery: Delivery::Wired { gerror: 111, eventq: 106, priq: 0 },
            abort: QueueAbortPolicy::Preserve,
            sizes: Sizes { events: QUEUE, ..Sizes::DEFAULT },
        };
        let psmmu = Psmmu::new(config, ModelRegisters::new(smmu.clone()));
        let activation = psmmu.activate_begin(ActivateParams::default()).expect("a fresh device");
        let clock = Steps(AtomicU64::new(0));
        psmmu.activate(activation, memory, &clock).expect("a conforming device");
        let driver = EventThread::new(smmu.clone(), events).expect("a queue of that size");
        smmu.device().forget_accesses();
        Self { smmu, driver }
    }

    /// Handles one interrupt and returns the input addresses of the faults.
    fn interrupt(&mut self) -> Vec<u64> {
        let mut reported = Vec::new();
        self.driver.interrupt(|record| {
            if record[0] as u8 == EventNumber::Translation as u8 {
                reported.push(record[2]);
            }
        });
        reported
    }
}

/// A clock that steps on each time it is read.
struct Steps(AtomicU64);

impl Clock for Steps {
    fn microseconds(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_way_costs_two_reads_and_a_write_for_each_event() {
        for events in BURSTS {
            assert_eq!(as_linux_does(events), Ok(Accesses { reads: 2, writes: events }));
        }
    }

    #[test]
    fn an_interrupt_for_nothing_costs_one_read() {
        let mut alone = Alone::new();
        assert!(alone.interrupt().is_empty());
        assert_eq!(alone.smmu.device().accesses(), (1, 0));
    }

    #[test]
    fn an_overflow_is_acknowledged_at_the_end_by_one_more_write() {
        let mut alone = Alone::new();
        (0..=1 << QUEUE).for_each(|address| alone.smmu.device().fault(address));
        assert!(alone.interrupt().into_iter().eq(0..1 << QUEUE));
        assert_eq!(alone.smmu.device().accesses(), (2, (1 << QUEUE) + 1));
        // The device may announce the next one.
        (0..=1 << QUEUE).for_each(|address| alone.smmu.device().fault(address));
        assert!(alone.interrupt().into_iter().eq(0..1 << QUEUE));
    }

    #[test]
    fn later_events_are_read_in_the_interrupt_being_handled() {
        let Alone { smmu, mut driver } = Alone::new();
        smmu.device().fault(0);
        let mut reported = Vec::new();
        driver.interrupt(|record| {
            reported.push(record[2]);
            if reported.len() == 1 {
                smmu.device().fault(1);
            }
        });
        assert_eq!(reported, [0, 1]);
        assert_eq!(smmu.device().accesses(), (3, 2));
    }
}
