// SPDX-License-Identifier: MIT OR Apache-2.0

//! Registers of an SMMUv3: where they lie, what their bits mean, and the trait through which they are
//! reached.
//!
//! Only the registers that this module uses are listed. Offsets and bits are those of the SMMUv3
//! architecture (Arm IHI 0070), where the Realm programming interface has each register at the same
//! offset as the Non-secure one.

#![forbid(unsafe_code)]

use bitflags::bitflags;

/// A page of 64 KiB of registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Page 0 of the Non-secure programming interface: identification only.
    NonSecure0,
    /// Page 0 of the Realm programming interface.
    Realm0,
    /// Page 1 of the Realm programming interface.
    Realm1,
}

/// A 32-bit register. Only this module makes them, so the offset lies within the page and is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register32 {
    page: Page,
    offset: u16,
}

/// A 64-bit register, likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register64 {
    page: Page,
    offset: u16,
}

macro_rules! table {
    ($type:ident, $align:literal: $($(#[$doc:meta])* $name:ident = $page:ident + $offset:literal;)*) => {
        impl $type {
            $($(#[$doc])* pub const $name: Self = Self { page: Page::$page, offset: $offset };)*

            /// Returns the page that the register lies in.
            #[must_use]
            pub const fn page(self) -> Page {
                self.page
            }

            /// Returns the offset in the page, in bytes.
            #[must_use]
            pub const fn offset(self) -> u16 {
                self.offset
            }
        }

        $(static_assertions::const_assert_eq!($type::$name.offset % $align, 0);)*
    };
}

table! { Register32, 4:
    /// Features of the Non-secure side; coherency and stream-table format count for all sides.
    NS_IDR0 = NonSecure0 + 0x000;
    /// Sizes, for all sides.
    NS_IDR1 = NonSecure0 + 0x004;
    /// Size of output addresses, for all sides.
    NS_IDR5 = NonSecure0 + 0x014;
    /// Features of the Realm side.
    IDR0 = Realm0 + 0x000;
    /// Whether there is a Realm side.
    IDR1 = Realm0 + 0x004;
    /// Enables; see [`Cr0`].
    CR0 = Realm0 + 0x020;
    /// Which enables have taken effect.
    CR0ACK = Realm0 + 0x024;
    /// Memory attributes of tables and queues.
    CR1 = Realm0 + 0x028;
    /// What is recorded; TLB maintenance.
    CR2 = Realm0 + 0x02C;
    /// Interrupt enables; see [`IrqCtrl`].
    IRQ_CTRL = Realm0 + 0x050;
    /// Which interrupt enables have taken effect.
    IRQ_CTRLACK = Realm0 + 0x054;
    /// Global errors: a bit that differs from GERRORN is active.
    GERROR = Realm0 + 0x060;
    /// Acknowledged global errors.
    GERRORN = Realm0 + 0x064;
    /// Data of the message for global errors.
    GERROR_IRQ_CFG1 = Realm0 + 0x070;
    /// Memory attributes of the message for global errors.
    GERROR_IRQ_CFG2 = Realm0 + 0x074;
    /// Lower half of [`Register64::CMDQ_BASE`], to see what runs; the upper half is behind it.
    CMDQ_BASE_LOW = Realm0 + 0x090;
    /// Upper half of [`Register64::CMDQ_BASE`].
    CMDQ_BASE_HIGH = Realm0 + 0x094;
    /// Lower half of [`Register64::EVENTQ_BASE`].
    EVENTQ_BASE_LOW = Realm0 + 0x0A0;
    /// Upper half of [`Register64::EVENTQ_BASE`].
    EVENTQ_BASE_HIGH = Realm0 + 0x0A4;
    /// Lower half of [`Register64::PRIQ_BASE`].
    PRIQ_BASE_LOW = Realm0 + 0x0C0;
    /// Upper half of [`Register64::PRIQ_BASE`].
    PRIQ_BASE_HIGH = Realm0 + 0x0C4;
    /// Format, split and size of the stream table.
    STRTAB_BASE_CFG = Realm0 + 0x088;
    /// Producer of commands.
    CMDQ_PROD = Realm0 + 0x098;
    /// Consumer of commands, and the error code of the one that failed.
    CMDQ_CONS = Realm0 + 0x09C;
    /// Data of the message for the event queue.
    EVENTQ_IRQ_CFG1 = Realm0 + 0x0B8;
    /// Memory attributes of the message for the event queue.
    EVENTQ_IRQ_CFG2 = Realm0 + 0x0BC;
    /// Data of the message for the PRI queue.
    PRIQ_IRQ_CFG1 = Realm0 + 0x0D8;
    /// Memory attributes of the message for the PRI queue, and when the queue interrupts: bit 31 (LO)
    /// zero, for the first request and not for a Last.
    PRIQ_IRQ_CFG2 = Realm0 + 0x0DC;
    /// Producer of events.
    EVENTQ_PROD = Realm1 + 0x0A8;
    /// Consumer of events.
    EVENTQ_CONS = Realm1 + 0x0AC;
    /// Producer of page requests.
    PRIQ_PROD = Realm1 + 0x0C8;
    /// Consumer of page requests.
    PRIQ_CONS = Realm1 + 0x0CC;
}

table! { Register64, 8:
    /// Doorbell of the message for global errors; 0 leaves only the wire.
    GERROR_IRQ_CFG0 = Realm0 + 0x068;
    /// Stream table.
    STRTAB_BASE = Realm0 + 0x080;
    /// Command queue.
    CMDQ_BASE = Realm0 + 0x090;
    /// Event queue.
    EVENTQ_BASE = Realm0 + 0x0A0;
    /// Doorbell of the message for the event queue; 0 leaves only the wire.
    EVENTQ_IRQ_CFG0 = Realm0 + 0x0B0;
    /// PRI queue.
    PRIQ_BASE = Realm0 + 0x0C0;
    /// Doorbell of the message for the PRI queue; 0 leaves only the wire.
    PRIQ_IRQ_CFG0 = Realm0 + 0x0D0;
    /// The device permission table lookup that failed; a write clears it.
    DPT_CFG_FAR = Realm0 + 0x210;
}

/// Reaches the registers of one SMMU.
///
/// Calls may come from several CPUs at once; a register is written under the lock of its source only.
pub trait Registers {
    /// Reads a register with one 32-bit access.
    fn read32(&self, register: Register32) -> u32;

    /// Writes a register with one 32-bit access.
    fn write32(&self, register: Register32, value: u32);

    /// Writes a register with one 64-bit access.
    fn write64(&self, register: Register64, value: u64);

    /// Orders the register read before it ahead of the memory reads behind it: PROD, then entries.
    fn read_barrier(&self);

    /// Orders all memory accesses before it ahead of the register write behind it: entries read, then
    /// CONS; commands and tables written, then the register that makes the device look.
    fn write_barrier(&self);
}

/// A clock that bounds waits. [`microseconds`] makes one of a counter.
pub trait Clock {
    /// Returns microseconds since some fixed moment. It never steps back. Should it stand still, waits are
    /// bounded by a number of polls and may be shorter or longer than [`DEVICE_TIMEOUT`].
    fn microseconds(&self) -> u64;
}

/// Longest wait for the device to acknowledge an enable or to get through its commands, in
/// microseconds. One second, as Linux waits. A call that waits says for how many of these.
pub const DEVICE_TIMEOUT: u64 = 1_000_000;

/// Polls of the device behind which a clock that has shown the same microsecond all that time counts as
/// standing still. With 15 ns for the fastest poll they take a millisecond.
pub const STANDSTILL: u32 = 1 << 16;

/// Most polls of a wait, whatever the clock shows. A poll takes 30 ns at least, on average, so that a clock
/// in order has shown [`DEVICE_TIMEOUT`] before.
pub const MAX_POLLS: u32 = 1 << 25;

/// Returns the microseconds that a counter of `frequency` in Hz, such as CNTPCT_EL0 with CNTFRQ_EL0, shows as
/// `count`. A frequency of 0, one that was never set, gives a [`Clock`] that stands still.
#[must_use]
pub const fn microseconds(count: u64, frequency: u32) -> u64 {
    const SECOND: u64 = 1_000_000;
    let frequency = frequency as u64;
    let (Some(seconds), Some(rest)) = (count.checked_div(frequency), count.checked_rem(frequency))
    else {
        return 0;
    };
    match rest.wrapping_mul(SECOND).checked_div(frequency) {
        Some(part) => seconds.wrapping_mul(SECOND).wrapping_add(part),
        None => 0,
    }
}

/// Says that a wait ran into [`DEVICE_TIMEOUT`], [`STANDSTILL`] or [`MAX_POLLS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

/// Calls `poll` until it gives something or [`DEVICE_TIMEOUT`] has passed; it is called at least once
/// after the time is up, so that preemption of the caller cannot cause a false timeout. A clock that stands
/// still, or nearly so, ends the wait by the number of polls.
pub(crate) fn wait<T>(
    clock: &impl Clock,
    mut poll: impl FnMut() -> Option<T>,
) -> Result<T, TimedOut> {
    let start = clock.microseconds();
    let (mut last, mut moved) = (start, 0);
    for polls in 0..MAX_POLLS {
        let now = clock.microseconds();
        if now != last {
            (last, moved) = (now, polls);
        }
        let late =
            now.wrapping_sub(start) > DEVICE_TIMEOUT || polls.wrapping_sub(moved) >= STANDSTILL;
        if let Some(value) = poll() {
            return Ok(value);
        }
        if late {
            break;
        }
        crate::sync::spin_loop();
    }
    Err(TimedOut)
}

/// Returns whether the device has kept its state: the event queue of a PSMMU that is active is enabled.
/// Reset and loss of power clear that, and of a device that is gone all bits read one. One register read.
pub(crate) fn is_running(registers: &impl Registers) -> bool {
    let enables = registers.read32(Register32::CR0ACK);
    enables != u32::MAX && Cr0::from_bits_truncate(enables).contains(Cr0::EVENTQEN)
}

bitflags! {
    /// Enables, CR0 and CR0ACK.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Cr0: u32 {
        /// Transactions are translated.
        const SMMUEN = 1 << 0;
        /// Page requests are recorded.
        const PRIQEN = 1 << 1;
        /// Events are recorded.
        const EVENTQEN = 1 << 2;
        /// Commands are processed.
        const CMDQEN = 1 << 3;
    }

    /// Interrupt enables, IRQ_CTRL and IRQ_CTRLACK.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct IrqCtrl: u32 {
        /// Global errors.
        const GERROR = 1 << 0;
        /// PRI queue.
        const PRIQ = 1 << 1;
        /// Event queue.
        const EVENTQ = 1 << 2;
    }

    /// CR2 without what is left zero.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Cr2: u32 {
        /// StreamIDs outside the table are recorded.
        const RECINVSID = 1 << 1;
        /// Broadcast TLB maintenance may be ignored. Reserved without IDR0.BTM.
        const PTM = 1 << 2;
    }

    /// Global errors of the Realm side, GERROR and GERRORN. All other bits are reserved and must never
    /// be toggled.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Gerror: u32 {
        /// A command failed; the command queue stands still until this is acknowledged.
        const CMDQ_ERR = 1 << 0;
        /// A write to the event queue was aborted; nothing is recorded until this is acknowledged.
        const EVENTQ_ABT_ERR = 1 << 2;
        /// A write to the PRI queue was aborted.
        const PRIQ_ABT_ERR = 1 << 3;
        /// The message of a SYNC was aborted.
        const MSI_CMDQ_ABT_ERR = 1 << 4;
        /// A message of the event queue was aborted.
        const MSI_EVENTQ_ABT_ERR = 1 << 5;
        /// A message of the PRI queue was aborted.
        const MSI_PRIQ_ABT_ERR = 1 << 6;
        /// A message of the global errors was aborted.
        const MSI_GERROR_ABT_ERR = 1 << 7;
        /// An enhanced command queue has an error.
        const CMDQP_ERR = 1 << 9;
        /// A device permission table lookup failed.
        const DPT_ERR = 1 << 10;
    }
}

/// CR1: tables and queues in write-back, inner shareable memory, as the CPUs map them.
pub const CR1_WRITE_BACK_INNER_SHAREABLE: u32 = 0xD75;

/// STRTAB_BASE, CMDQ_BASE, EVENTQ_BASE, PRIQ_BASE bit 62: a hint to allocate in caches.
pub const BASE_ALLOCATE: u64 = 1 << 62;

/// Log2 of the entries in CMDQ_BASE, EVENTQ_BASE, PRIQ_BASE, bits 4:0.
pub const BASE_LOG2_SIZE: u64 = 0x1F;

/// Address bits of STRTAB_BASE, 55:6.
pub const STRTAB_BASE_ADDRESS: u64 = 0x00FF_FFFF_FFFF_FFC0;

/// Address bits of the base registers of queues, 55:5.
pub const BASE_ADDRESS: u64 = 0x00FF_FFFF_FFFF_FFE0;

/// NS_IDR0 bit 0, S2P: there is stage 2 of translation.
pub const IDR0_S2P: u32 = 1 << 0;
/// NS_IDR0 bit 2, of TTF: translation tables of AArch32.
pub const IDR0_TTF_AARCH32: u32 = 1 << 2;
/// NS_IDR0 bit 3, of TTF: translation tables of AArch64.
pub const IDR0_TTF_AARCH64: u32 = 1 << 3;
/// NS_IDR0 bit 5, BTM: broadcast TLB maintenance is listened to, unless CR2.PTM says otherwise.
pub const IDR0_BTM: u32 = 1 << 5;
/// NS_IDR0 bits 22:21, TTENDIAN: all ones for big-endian translation tables only.
pub const IDR0_TTENDIAN_BIG: u32 = 3 << 21;
/// NS_IDR0 bit 4, COHACC: queues and tables are accessed coherently.
pub const IDR0_COHACC: u32 = 1 << 4;
/// NS_IDR0 bit 9, Hyp: there are translations of EL2 to invalidate.
pub const IDR0_HYP: u32 = 1 << 9;
/// IDR0 bit 13, MSI: the *_IRQ_CFG registers exist.
pub const IDR0_MSI: u32 = 1 << 13;
/// IDR0 bit 16, PRI: there are page requests.
pub const IDR0_PRI: u32 = 1 << 16;
/// NS_IDR0 bits 28:27, ST_LEVEL: 1 for two-level stream tables.
pub const IDR0_ST_LEVEL_SHIFT: u32 = 27;
/// NS_IDR0 bit 30, RME_IMPL: there are Root registers, and where the platform has them Realm ones.
pub const IDR0_RME_IMPL: u32 = 1 << 30;
/// NS_IDR0 bit 18, VMID16: VMIDs have 16 bits and not 8.
pub const IDR0_VMID16: u32 = 1 << 18;
/// NS_IDR1 bits 30:29, TABLES_PRESET and QUEUES_PRESET: bases that cannot be chosen.
pub const IDR1_PRESET: u32 = 0b11 << 29;
/// NS_IDR1 bits 25:21, CMDQS: log2 of the largest number of commands.
pub const IDR1_CMDQS_SHIFT: u32 = 21;
/// NS_IDR1 bits 20:16, EVENTQS: log2 of the largest number of events.
pub const IDR1_EVENTQS_SHIFT: u32 = 16;
/// NS_IDR1 bits 15:11, PRIQS: log2 of the largest number of page requests.
pub const IDR1_PRIQS_SHIFT: u32 = 11;
/// NS_IDR1 bits 5:0, SIDSIZE: bits of a StreamID, 0 to 32.
pub const IDR1_SIDSIZE_MASK: u32 = 0x3F;
/// NS_IDR5 bits 2:0, OAS: bits of an output address, see [`address_bits`].
pub const IDR5_OAS_MASK: u32 = 0x7;

/// NS_IDR5 bit 4, GRAN4K: translation tables may have granules of 4 KiB.
pub const IDR5_GRAN4K: u32 = 1 << 4;

/// Returns the bits of an output address, 32 to 56, that IDR5 gives. S2PS is encoded alike.
#[must_use]
pub const fn address_bits(idr5: u32) -> u32 {
    match idr5 & IDR5_OAS_MASK {
        0 => 32,
        1 => 36,
        2 => 40,
        3 => 42,
        4 => 44,
        5 => 48,
        6 => 52,
        _ => 56,
    }
}

/// *_IRQ_CFG0 bit 63, NS: the message goes to the Non-secure PA space. Without it, it would be a write
/// to Realm memory at an address that the host chose.
pub const IRQ_CFG0_NS: u64 = 1 << 63;
/// Bits of a doorbell's address in *_IRQ_CFG0, 55:2.
pub const IRQ_CFG0_ADDRESS: u64 = 0x00FF_FFFF_FFFF_FFFC;
/// *_IRQ_CFG2 for a doorbell: Device-nGnRE.
pub const IRQ_CFG2_DEVICE: u32 = 0x1;

/// IDR1 of the Realm page, bit 31, RME_DA_IMPL: there is a Realm side.
pub const REALM_IDR1_RME_DA_IMPL: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    #[test]
    fn registers_lie_where_the_architecture_has_them() {
        let table = [
            (Register32::CR0, 0x20),
            (Register32::CR0ACK, 0x24),
            (Register32::CR1, 0x28),
            (Register32::CR2, 0x2C),
            (Register32::IRQ_CTRL, 0x50),
            (Register32::IRQ_CTRLACK, 0x54),
            (Register32::GERROR, 0x60),
            (Register32::GERRORN, 0x64),
            (Register32::STRTAB_BASE_CFG, 0x88),
            (Register32::CMDQ_BASE_LOW, 0x90),
            (Register32::CMDQ_BASE_HIGH, 0x94),
            (Register32::EVENTQ_BASE_LOW, 0xA0),
            (Register32::EVENTQ_BASE_HIGH, 0xA4),
            (Register32::PRIQ_BASE_LOW, 0xC0),
            (Register32::PRIQ_BASE_HIGH, 0xC4),
            (Register32::CMDQ_PROD, 0x98),
            (Register32::CMDQ_CONS, 0x9C),
            (Register32::GERROR_IRQ_CFG1, 0x70),
            (Register32::GERROR_IRQ_CFG2, 0x74),
            (Register32::EVENTQ_IRQ_CFG1, 0xB8),
            (Register32::EVENTQ_IRQ_CFG2, 0xBC),
            (Register32::PRIQ_IRQ_CFG1, 0xD8),
            (Register32::PRIQ_IRQ_CFG2, 0xDC),
        ];
        for (register, offset) in table {
            assert_eq!((register.page(), register.offset()), (Page::Realm0, offset));
        }
        for (register, offset) in [
            (Register32::EVENTQ_PROD, 0xA8),
            (Register32::EVENTQ_CONS, 0xAC),
            (Register32::PRIQ_PROD, 0xC8),
            (Register32::PRIQ_CONS, 0xCC),
        ] {
            assert_eq!((register.page(), register.offset()), (Page::Realm1, offset));
        }
        let wide = [
            (Register64::GERROR_IRQ_CFG0, 0x68),
            (Register64::STRTAB_BASE, 0x80),
            (Register64::CMDQ_BASE, 0x90),
            (Register64::EVENTQ_BASE, 0xA0),
            (Register64::EVENTQ_IRQ_CFG0, 0xB0),
            (Register64::PRIQ_BASE, 0xC0),
            (Register64::PRIQ_IRQ_CFG0, 0xD0),
            (Register64::DPT_CFG_FAR, 0x210),
        ];
        for (register, offset) in wide {
            assert_eq!((register.page(), register.offset()), (Page::Realm0, offset));
        }
    }

    #[test]
    fn the_reserved_bits_of_gerror_are_not_among_the_errors() {
        assert_eq!(Gerror::all().bits(), 0b110_1111_1101);
    }

    struct Steps(Cell<u64>);

    impl Clock for Steps {
        fn microseconds(&self) -> u64 {
            self.0.set(self.0.get() + 250_000);
            self.0.get()
        }
    }

    #[test]
    fn a_wait_ends_by_the_clock_and_looks_once_more_when_time_is_up() {
        let polls = Cell::new(0);
        let never = || {
            polls.set(polls.get() + 1);
            None::<()>
        };
        assert_eq!(wait(&Steps(Cell::new(0)), never), Err(TimedOut));
        assert_eq!(polls.get(), 5);

        let polls = Cell::new(0);
        let at_last = || {
            polls.set(polls.get() + 1);
            (polls.get() == 5).then_some(())
        };
        assert_eq!(wait(&Steps(Cell::new(0)), at_last), Ok(()));
    }

    /// A clock that goes on by a microsecond each so many readings; never for 0.
    struct Slow {
        readings: Cell<u64>,
        pace: u64,
    }

    impl Clock for Slow {
        fn microseconds(&self) -> u64 {
            self.readings.set(self.readings.get() + 1);
            self.readings.get().checked_div(self.pace).unwrap_or(u64::MAX)
        }
    }

    #[test]
    fn a_wait_ends_with_a_clock_that_stands_still_or_creeps() {
        for (pace, bound) in [(0, STANDSTILL), (u64::from(STANDSTILL) - 1, MAX_POLLS)] {
            let polls = Cell::new(0);
            let never = || {
                polls.set(polls.get() + 1);
                None::<()>
            };
            assert_eq!(wait(&Slow { readings: Cell::new(0), pace }, never), Err(TimedOut));
            let polls = polls.get();
            assert!(polls > bound / 2 && polls <= bound + 1, "{polls} polls at pace {pace}");
        }
    }

    #[test]
    fn a_counter_of_any_frequency_is_read_as_microseconds() {
        for (count, frequency, expected) in [
            (0, 1_000_000, 0),
            (24_000_000, 24_000_000, 1_000_000),
            (1, 24_576_000, 0),
            (24_576_001 * 3, 24_576_000, 3_000_000),
            // Below 1 MHz.
            (32_768, 32_768, 1_000_000),
            (65_535, 32_768, 1_999_969),
            (5, 1, 5_000_000),
            // Never set.
            (12_345, 0, 0),
            (u64::MAX, u32::MAX, 4_294_967_297_000_000),
        ] {
            assert_eq!(microseconds(count, frequency), expected, "{count} at {frequency} Hz");
        }
    }
}
