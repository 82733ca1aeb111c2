// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the platform says of a PSMMU.

#![forbid(unsafe_code)]

use core::fmt;

/// How interrupts of the Realm side reach the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Not at all: the host polls, and the device's interrupts stay off.
    Disabled,
    /// By wired interrupts, with these GIC INTIDs; 0 for none.
    Wired {
        /// Global errors.
        gerror: u32,
        /// Event queue.
        eventq: u32,
        /// PRI queue.
        priq: u32,
    },
    /// By MSIs, to doorbells that the host gives at activation. A host that gives none polls.
    Msi,
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("no interrupts"),
            Self::Wired { gerror, eventq, priq } => {
                // One width serves all that firmware prints.
                let [gerror, eventq, priq] = [gerror, eventq, priq].map(|&intid| u64::from(intid));
                write!(f, "wired, GERROR {gerror}, EVENTQ {eventq}, PRIQ {priq}")
            }
            Self::Msi => f.write_str("MSIs"),
        }
    }
}

/// What a write abort on a queue (EVENTQ_ABT_ERR, PRIQ_ABT_ERR) means for the records that are in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueAbortPolicy {
    /// PROD may have moved over records that never arrived, so none can be trusted.
    #[default]
    Discard,
    /// PROD never moves over a record that was not written.
    Preserve,
}

impl fmt::Display for QueueAbortPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discard => "queue discarded on write abort",
            Self::Preserve => "queue preserved on write abort",
        })
    }
}

/// The largest tables and queues that a PSMMU gets, each the log2 of a number. The device's own limits
/// (IDR1) may be lower, and so may [`MAX`](Self::MAX). They decide how much memory the host is asked
/// for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// StreamIDs; the level-1 table takes 8 bytes for each 64 of them. A stream beyond is one that the
    /// device does not know.
    pub streams: u8,
    /// Commands, of 16 bytes, at least 2.
    pub commands: u8,
    /// Events, of 32 bytes.
    pub events: u8,
    /// Page requests, of 16 bytes.
    pub requests: u8,
}

impl Sizes {
    /// The largest that are used: a level-1 table of 2 MiB, and the largest queues of the architecture.
    pub const MAX: Self = Self { streams: 24, commands: 19, events: 19, requests: 19 };

    /// All StreamIDs; 4 KiB of commands, 16 KiB of events, 8 KiB of page requests.
    pub const DEFAULT: Self =
        Self { streams: Self::MAX.streams, commands: 8, events: 9, requests: 9 };
}

/// Which programming interface the registers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// The Realm one.
    Realm,
    /// The Non-secure one, of an SMMU without a Realm one. Nothing isolates the host from it: for emulators
    /// without isolation only.
    NonSecureOnly,
}

/// What the platform says of one PSMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// PA of the Non-secure register page 0, by which the host names the PSMMU (`psmmu_ptr`, X1). Compared,
    /// never accessed.
    pub psmmu_ptr: u64,
    /// Which interface the registers are.
    pub interface: Interface,
    /// How interrupts are delivered.
    pub delivery: Delivery,
    /// What a write abort means.
    pub abort: QueueAbortPolicy,
    /// How large its tables and queues may be.
    pub sizes: Sizes,
}
