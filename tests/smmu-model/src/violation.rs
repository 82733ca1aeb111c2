// SPDX-License-Identifier: MIT OR Apache-2.0

//! Rules of the architecture that a driver can break.

mod text;

use crate::Device;
use crate::registers::{Page, Register};

/// A broken rule, with the values that broke it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    /// A guarded register was written while its enable, or the acknowledge of that enable, is set. The
    /// write is ignored.
    GuardedWrite {
        /// The register.
        register: Register,
        /// What was written.
        value: u64,
        /// CR0 or IRQ_CTRL, whichever guards it.
        enabled: u32,
        /// CR0ACK or IRQ_CTRLACK.
        acknowledged: u32,
    },
    /// A field of CR0 or IRQ_CTRL was changed again before its first change was acknowledged.
    ChangedBeforeAck {
        /// CR0 or IRQ_CTRL.
        register: Register,
        /// The bits of the field.
        field: u32,
        /// What was written.
        value: u32,
    },
    /// A reserved bit of GERRORN was toggled.
    ReservedErrorToggled {
        /// The bits.
        bits: u32,
    },
    /// A bit of GERRORN was toggled whose error is not active.
    InactiveErrorToggled {
        /// The bits.
        bits: u32,
        /// GERROR.
        gerror: u32,
        /// GERRORN before the write.
        gerrorn: u32,
    },
    /// CONS was moved backwards.
    ConsBackwards {
        /// The register.
        register: Register,
        /// Its old value.
        old: u32,
        /// What was written.
        value: u32,
        /// PROD.
        prod: u32,
    },
    /// CONS was moved past PROD.
    ConsPastProd {
        /// The register.
        register: Register,
        /// Its old value.
        old: u32,
        /// What was written.
        value: u32,
        /// PROD.
        prod: u32,
    },
    /// OVACKFLG was toggled although no overflow is unacknowledged: the queue now reads as overflowed.
    FalseOverflowAcknowledge {
        /// The register.
        register: Register,
        /// Its old value.
        old: u32,
        /// What was written.
        value: u32,
        /// PROD.
        prod: u32,
    },
    /// A queue or table was enabled that is not aligned to its size; the device aligns it down.
    MisalignedBase {
        /// The base register.
        register: Register,
        /// Its address.
        address: u64,
        /// The alignment that the size demands, in bytes.
        alignment: u64,
    },
    /// A queue, table or interrupt was enabled with an address above IDR5.OAS, which the device cuts off.
    AddressAboveOas {
        /// The base register, or IRQ_CFG0.
        register: Register,
        /// Its address.
        address: u64,
        /// The bits of an address that the device has.
        bits: u32,
    },
    /// A CMD_SYNC asked for an MSI to an address above IDR5.OAS, which the device cuts off.
    SyncAddressAboveOas {
        /// The address.
        address: u64,
        /// The bits of an address that the device has.
        bits: u32,
    },
    /// A level-1 descriptor points at an address above IDR5.OAS, which the device cuts off.
    TableAboveOas {
        /// The address of the descriptor.
        descriptor: u64,
        /// What it points at.
        address: u64,
        /// The bits of an address that the device has.
        bits: u32,
    },
    /// A queue was enabled with a LOG2SIZE above the limit, which the limit replaces. A stream table may
    /// have one above SIDSIZE.
    SizeAboveLimit {
        /// The register.
        register: Register,
        /// Its LOG2SIZE.
        log2: u32,
        /// The limit.
        limit: u32,
    },
    /// The device was made to use memory that had been taken back.
    DeviceUsedTakenBack {
        /// The address.
        address: u64,
        /// It was a write.
        write: bool,
    },
    /// The device was made to use memory that was never granted.
    DeviceUsedUngranted {
        /// The address.
        address: u64,
        /// It was a write.
        write: bool,
    },
    /// The device was made to use the guard at one end of a region.
    DeviceUsedGuard {
        /// The address.
        address: u64,
        /// It was a write.
        write: bool,
    },
    /// Memory was taken back that an enabled queue or stream table lies in, or that MSIs of an
    /// enabled interrupt go to.
    TakenBackInUse {
        /// The first address of the memory.
        address: u64,
        /// The base register, or IRQ_CFG0.
        register: Register,
    },
    /// A level-2 stream table was taken back that a level-1 descriptor still points at.
    TakenBackLinked {
        /// The first address of the memory.
        address: u64,
        /// The address of the descriptor.
        descriptor: u64,
    },
    /// A stream table was taken back of which the device has something cached: no CMD_CFGI_* with a
    /// CMD_SYNC behind it since. A cached descriptor makes the device read the table that it points at.
    TakenBackCached {
        /// The first address of the memory.
        address: u64,
        /// The address of the entry or descriptor that is cached.
        from: u64,
    },
    /// Memory was taken back that the MSI of a CMD_SYNC is still to be written to.
    TakenBackBeforeMsi {
        /// The first address of the memory.
        address: u64,
        /// The address of the MSI.
        target: u64,
    },
    /// A stage-2 table was taken back of which translations are cached: no TLB invalidation of its VMID
    /// with a CMD_SYNC behind it, since the device last used it.
    TakenBackTranslating {
        /// The first address of the memory.
        address: u64,
        /// S2VMID.
        vmid: u16,
        /// S2TTB.
        table: u64,
    },
    /// A stage-2 table was taken back that an entry still points at, be it cached or in memory.
    TakenBackConfigured {
        /// The first address of the memory.
        address: u64,
        /// The StreamID.
        stream: u32,
        /// S2TTB.
        table: u64,
    },
    /// SMMUEN was set while something is cached that was read from memory taken back since, or that
    /// points there.
    EnabledWithOrphans {
        /// What was written to CR0.
        cr0: u32,
        /// The address of the entry, descriptor or stage-2 table that is cached.
        from: u64,
    },
    /// A stream was translated by a table while translations by another one are cached for the same
    /// VMID.
    VmidReused {
        /// S2VMID.
        vmid: u16,
        /// S2TTB.
        table: u64,
        /// S2TTB of what is cached.
        cached: u64,
    },
    /// A word of a stream table entry behind the first was changed while the device may use the entry,
    /// or may have it cached as it was when it was enabled.
    LiveEntryChanged {
        /// The StreamID.
        stream: u32,
        /// The address of the word.
        address: u64,
    },
    /// A stream table entry was enabled without a barrier behind the stores of its other words.
    EntryNotVisible {
        /// The StreamID.
        stream: u32,
        /// The address of the word.
        address: u64,
    },
    /// A stream table entry was enabled that the device may have cached as it was before its other words
    /// changed; see [`Device::set_strict_entries`].
    EntryNotInvalidated {
        /// The StreamID.
        stream: u32,
        /// The address of the entry.
        address: u64,
    },
    /// A level-2 stream table was linked without a barrier behind the stores of its entries.
    LinkedBeforeVisible {
        /// The address of the descriptor.
        descriptor: u64,
        /// The address of the word.
        address: u64,
    },
    /// The driver used memory that is not granted, or not any more, or only to a later handle.
    DriverUsedUngranted {
        /// The address.
        address: u64,
        /// It was a write.
        write: bool,
    },
    /// The driver used memory behind the end of a region.
    DriverOutOfBounds {
        /// The first address of the region.
        address: u64,
        /// The index of the word.
        index: usize,
    },
    /// PROD of the command queue was moved further than the queue is long.
    CommandProdPastCons {
        /// Its old value.
        old: u32,
        /// What was written.
        value: u32,
        /// CONS as the driver can read it.
        cons: u32,
    },
    /// PROD of the command queue was moved backwards while CMDQ_ERR is not active.
    CommandProdBackwards {
        /// Its old value.
        old: u32,
        /// What was written.
        value: u32,
        /// CONS as the driver can read it.
        cons: u32,
    },
    /// There is no register there, or this device does not implement it.
    UnknownRegister {
        /// The page.
        page: Page,
        /// The offset.
        offset: u64,
    },
    /// A register that only the Non-secure page has was accessed in the Realm page.
    AbsentInRealm {
        /// The offset.
        offset: u64,
    },
    /// An access covered two registers, or began in the middle of one.
    WrongSize {
        /// The register at that place.
        register: Register,
        /// The size of the access.
        bits: u32,
    },
    /// An access was not aligned to its size.
    MisalignedAccess {
        /// The page.
        page: Page,
        /// The offset.
        offset: u64,
        /// The size of the access.
        bits: u32,
    },
    /// A read-only register was written.
    ReadOnly {
        /// The register.
        register: Register,
        /// What was written.
        value: u64,
    },
    /// An enable was set while a register that it makes the device use was never written since reset
    /// and so holds anything.
    UnknownAtEnable {
        /// The register that holds anything.
        register: Register,
        /// What was written to CR0.
        cr0: u32,
    },
    /// An interrupt was enabled while its MSI registers were never written since reset: the
    /// MSI could go anywhere.
    UnknownDoorbell {
        /// The register that holds anything.
        register: Register,
        /// What was written to IRQ_CTRL.
        irq_ctrl: u32,
    },
    /// A queue was enabled with more entries between CONS and PROD than it has.
    InconsistentAtEnable {
        /// PROD.
        register: Register,
        /// PROD.
        prod: u32,
        /// CONS.
        cons: u32,
    },
    /// SMMUEN was set before CMD_CFGI_ALL, CMD_TLBI_NSNH_ALL and a CMD_SYNC behind them were consumed
    /// since reset: caches hold anything.
    EnabledBeforeInvalidation {
        /// What was written to CR0.
        cr0: u32,
    },
    /// The device was notified of a command that still sits in the store buffer of the CPU: no barrier.
    CommandNotVisible {
        /// The address of the command's word.
        address: u64,
    },
    /// SMMUEN was set while a part of the stream table still sits in the store buffer of the CPU.
    TableNotVisible {
        /// The address of the word.
        address: u64,
    },
    /// An entry between CONS and PROD was read without a barrier behind the read of PROD.
    ReadWithoutBarrier {
        /// The address of the word.
        address: u64,
    },
    /// CONS was moved without a barrier behind the reads of the entries, which may then come later.
    FreedBeforeRead {
        /// CONS.
        register: Register,
        /// What was written.
        value: u32,
    },
    /// A group of page requests was answered that is not waiting for an answer.
    ResponseWithoutRequest {
        /// The StreamID.
        stream: u32,
        /// The page request group index.
        group: u16,
    },
}

impl Violation {
    /// Returns the name of the rule.
    #[must_use]
    pub fn name(&self) -> String {
        let debug = format!("{self:?}");
        debug.split([' ', '{']).next().unwrap_or_default().to_owned()
    }
}

impl Device {
    /// Reports a broken rule: panics, or keeps it for [`take_violations`](Self::take_violations).
    pub(crate) fn violate(&mut self, violation: Violation) {
        assert!(self.modes.collects, "rule broken: {}: {violation}", violation.name());
        self.log.violations.push(violation);
    }

    /// Keeps violations for [`take_violations`](Self::take_violations), or panics at once (the
    /// default). The offending access has the effect that the architecture gives it, most often none.
    pub const fn collect_violations(&mut self, collect: bool) {
        self.modes.collects = collect;
    }

    /// Takes the violations that were kept, oldest first.
    #[must_use]
    pub fn take_violations(&mut self) -> Vec<Violation> {
        std::mem::take(&mut self.log.violations)
    }

    /// Takes the oldest of the violations that were kept.
    #[must_use]
    pub fn take_violation(&mut self) -> Option<Violation> {
        (!self.log.violations.is_empty()).then(|| self.log.violations.remove(0))
    }
}
