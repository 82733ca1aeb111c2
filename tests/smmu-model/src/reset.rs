// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reset: what is known afterwards, and what holds anything (IHI 0070, "Reset").

use crate::Device;
use crate::cmdq::CommandQueue;
use crate::control::Control;
use crate::interrupts::Interrupts;
use crate::output::OutputQueue;
use crate::registers::Register;
use crate::stream::Streams;

/// Gives the numbers of a seed (SplitMix64).
struct Unknown(u64);

impl Unknown {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn next32(&mut self) -> u32 {
        (self.next() >> 32) as u32
    }
}

impl Device {
    /// Resets the device: enables, acknowledges, errors and R_GMECID are 0, all other registers that
    /// can be written hold anything. Memory, choices of the test and what was recorded stay.
    pub fn reset(&mut self) {
        let mut unknown = Unknown(self.config.seed);
        let mut queue = || OutputQueue {
            base: unknown.next(),
            prod: unknown.next32() & 0x800F_FFFF,
            cons: unknown.next32() & 0x800F_FFFF,
            ..OutputQueue::default()
        };
        (self.eventq, self.priq) = (queue(), queue());
        // OVFLG of the PRI queue is known.
        self.priq.prod &= 0xF_FFFF;
        self.cmdq = CommandQueue {
            base: unknown.next(),
            prod: unknown.next32() & 0xF_FFFF,
            cons: unknown.next32() & 0x7F0F_FFFF,
            ..CommandQueue::default()
        };
        self.control = Control {
            cr1: unknown.next32() & 0xFFF,
            cr2: unknown.next32() & 0xF,
            written: vec![0; Register::ALL.len()],
            ..Control::default()
        };
        self.streams =
            Streams { base: unknown.next(), cfg: unknown.next32(), ..Streams::default() };
        self.interrupts = Interrupts::default();
        for cfg in &mut self.interrupts.cfg {
            (cfg.cfg0, cfg.cfg1, cfg.cfg2) = (unknown.next(), unknown.next32(), unknown.next32());
        }
        (self.gerror, self.gerrorn) = (0, 0);
        self.records.clear();
        self.requests.clear();
        self.groups.clear();
    }
}
