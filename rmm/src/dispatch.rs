// SPDX-License-Identifier: MIT OR Apache-2.0

//! Dispatches the host's calls: from X0 to X7 of a call to X0 to X7 of its answer.
//!
//! For every call, in this order: an unknown identifier is answered with all ones; a command that the
//! state of the RMM does not allow with `ErrorGlobal`; any other with the result of the command. X1 to X3
//! are zero and X4 to X7 unchanged unless the command has outputs there. Registers that are no inputs of
//! a command are not read.
//!
//! This file implements the commands of the RMM itself; delegation is in [`delegate`](crate::delegate),
//! stateful operations are in [`sro`](crate::sro).

use psmmu::sync::{AtomicU8, Lock, Ordering};
use psmmu::{
    Clock, DeviceMemory, HostFault, HostGranule, HostMemory, Notified, Psmmu, Registers, Responder,
    State, StreamTableEntry, VsmmuLookup,
};
use psmmu_abi::SMCCC_NOT_SUPPORTED;
use psmmu_abi::SVE_HINT;
use psmmu_abi::features::{Register0, Register1, Register2};
use psmmu_abi::{Function, MemoryCategory, ResultWord, Status, Version};

use crate::granules::{Region, Tracker};
use crate::operation;

/// X1 to X3 of an answer.
pub(crate) type Outputs = [u64; 3];

/// What the RMM requires from the machine that it runs on.
pub trait Environment {
    /// Registers of the PSMMUs.
    type Registers: Registers;
    /// Realm memory of their queues and tables.
    type Memory: DeviceMemory;
    /// Accessor of Non-secure memory.
    type Host: HostMemory;
    /// Lookup of the virtual SMMU of a stream.
    type Vsmmus: VsmmuLookup;
    /// The clock.
    type Clock: Clock;

    /// Returns the clock.
    fn clock(&self) -> &Self::Clock;

    /// Moves the granule at PA `granule` to Realm PAS, and returns whether that succeeded: EL3 refuses a
    /// granule that is not Non-secure, and the address may have no memory in spite of the boot manifest.
    /// Nothing has changed then. Device memory is not accessed.
    fn delegate(&self, granule: u64, category: MemoryCategory) -> bool;

    /// Moves a granule to Non-secure PAS that [`delegate`](Self::delegate) moved to Realm PAS and that
    /// [`wipe`](Self::wipe) has zeroed if it is not device memory. EL3 must not refuse: if it does, the
    /// states of granules in EL3 and in the RMM differ, no isolation is guaranteed any more, and this
    /// does not return.
    fn undelegate(&self, granule: u64, category: MemoryCategory);

    /// Returns whether an interrupt is pending on this CPU. A command that can end early then does.
    fn is_interrupt_pending(&self) -> bool;

    /// Zeroes a region of Realm memory, and returns whether all of it could be written.
    fn wipe(&self, region: Region) -> bool;

    /// Opens a region of Realm memory that a PSMMU is to use.
    ///
    /// # Safety
    /// As long as the memory is used, and as [`DeviceMemory`] has it the device's:
    /// 1. The region is tracked, is Realm memory, and is in use by the RMM.
    /// 2. Nothing else uses any of it, and it is not open twice at a time.
    #[expect(unsafe_code, reason = "the caller guarantees the conditions on the region")]
    unsafe fn open(&self, region: Region) -> Self::Memory;

    /// Returns a word of Realm memory for the completion MSIs of the commands of `psmmu`, for it alone
    /// and the same at each call; `None` if completion is polled.
    fn completion(&self, psmmu: &Psmmu<Self::Registers, Self::Memory>) -> Option<Self::Memory> {
        let _ = psmmu;
        None
    }

    /// Returns the default STE of `stream`, in effect while it is not configured.
    fn default_ste(&self, stream: u32) -> StreamTableEntry {
        let _ = stream;
        StreamTableEntry::ABORT
    }
}

/// Properties of the machine for `RMI_FEATURES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Width of a physical address in bits, and so of the largest IPA.
    pub address_bits: u8,
    /// Number of hardware breakpoints minus one, at least 1.
    pub breakpoints: u8,
    /// Number of hardware watchpoints minus one, at least 1.
    pub watchpoints: u8,
    /// Size of the protected address space as GPCCR_EL3.PPS encodes it.
    pub protected_size: u8,
}

/// State of the RMM, with the numbers of `RMI_RMM_STATE_GET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RmmState {
    /// Booted and inactive; may be configured.
    Init = 0,
    /// Active: serves all commands.
    Active = 1,
}

/// States in which a command is allowed.
enum Gate {
    Any,
    Only(RmmState),
}

/// Returns the states in which `function` is allowed.
const fn gate(function: Function) -> Gate {
    match function {
        Function::Version
        | Function::Features
        | Function::GranuleTrackingGet
        | Function::RmmConfigGet
        | Function::RmmStateGet => Gate::Any,
        Function::RmmConfigSet | Function::RmmActivate => Gate::Only(RmmState::Init),
        Function::PsmmuInfo
        | Function::PsmmuIrqNotify
        | Function::PsmmuEventConsume
        | Function::PsmmuActivate
        | Function::PsmmuDeactivate
        | Function::PsmmuStL2Create
        | Function::PsmmuStL2Destroy
        | Function::GranuleRangeDelegate
        | Function::GranuleRangeUndelegate
        | Function::OpContinue
        | Function::OpMemDonate
        | Function::OpMemReclaim
        | Function::OpCancel
        | Function::RmmDeactivate
        | Function::GptInfo
        | Function::VsmmuCreate
        | Function::VsmmuDestroy
        | Function::VsmmuEventNotify
        | Function::VsmmuFeatures
        | Function::VsmmuCmdGet
        | Function::VsmmuCmdComplete => Gate::Only(RmmState::Active),
    }
}

/// The states in which each command is allowed, by the low byte of its number: bit n for the state of number n. A load,
/// where the compiler makes a jump of [`gate`].
static ALLOWED: [u8; 256] = {
    let all = Function::ALL;
    // No two have the same low byte: they are in the order of their numbers.
    assert!(all[all.len() - 1] as u32 - (all[0] as u32) < 256);
    let mut allowed = [0; 256];
    let mut index = 0;
    while index < all.len() {
        allowed[all[index] as u8 as usize] = match gate(all[index]) {
            Gate::Any => 1 << RmmState::Init as u8 | 1 << RmmState::Active as u8,
            Gate::Only(state) => 1 << state as u8,
        };
        index += 1;
    }
    allowed
};

/// The RMM.
pub struct Rmm<'a, E: Environment> {
    /// Written with `transition` locked.
    state: AtomicU8,
    transition: Lock<()>,
    features: Features,
    pub(crate) environment: E,
    pub(crate) responder: ResponderOf<'a, E>,
    pub(crate) tracker: Tracker<'a>,
    pub(crate) operations: TableOf<'a, E>,
}

/// The responder of an environment.
type ResponderOf<'a, E> = Responder<
    'a,
    <E as Environment>::Registers,
    <E as Environment>::Memory,
    <E as Environment>::Host,
    <E as Environment>::Vsmmus,
>;

/// The operations of an environment.
type TableOf<'a, E> =
    operation::Table<'a, <E as Environment>::Registers, <E as Environment>::Memory>;

impl<'a, E: Environment> Rmm<'a, E> {
    /// Creates the RMM in state [`RmmState::Init`], with all granules of `tracker` undelegated.
    pub const fn new(
        features: Features,
        environment: E,
        responder: ResponderOf<'a, E>,
        tracker: Tracker<'a>,
    ) -> Self {
        Self {
            state: AtomicU8::new(RmmState::Init as u8),
            transition: Lock::new(()),
            features,
            environment,
            responder,
            tracker,
            operations: TableOf::<'a, E>::new(),
        }
    }

    /// Returns the number of bits of a physical address.
    pub(crate) const fn address_bits(&self) -> u8 {
        self.features.address_bits
    }

    /// Returns the exclusive end of the physical addresses that granule protection tables cover.
    pub(crate) const fn protected_end(&self) -> u64 {
        /// GPCCR_EL3.PPS.
        const BITS: [u8; 8] = [32, 36, 40, 42, 44, 48, 52, 52];
        let bits = BITS[(self.features.protected_size & 7) as usize];
        1 << bits
    }

    /// Returns the state.
    pub fn state(&self) -> RmmState {
        if self.state.load(Ordering::Acquire) == RmmState::Init as u8 {
            RmmState::Init
        } else {
            RmmState::Active
        }
    }

    /// Returns the responder of the physical SMMUs.
    pub const fn responder(&self) -> &ResponderOf<'a, E> {
        &self.responder
    }

    /// Returns the tracker of granules.
    pub const fn tracker(&self) -> &Tracker<'a> {
        &self.tracker
    }

    /// Handles one call: `x` has X0 to X7 of the host, and X0 to X7 of the answer on return.
    ///
    /// May be called on several CPUs at once.
    #[inline]
    pub fn handle(&self, x: &mut [u64; 8]) {
        const IRQ_NOTIFY: u64 = Function::PsmmuIrqNotify.id();
        const EVENT_CONSUME: u64 = Function::PsmmuEventConsume.id();
        let [function, x1, x2, ..] = *x;
        // The two commands that a host calls for each event come first.
        let result = match function & !SVE_HINT {
            IRQ_NOTIFY => {
                let notified = match self.state() {
                    RmmState::Active => self.responder.irq_notify(x1, x2),
                    RmmState::Init => Notified::failed(Status::ErrorGlobal),
                };
                // One by one: as a slice they would be copied by a call.
                [x[1], x[2], x[3], x[4], x[5], x[6]] = notified.outputs;
                notified.result
            }
            EVENT_CONSUME => {
                [x[1], x[2], x[3]] = [0; 3];
                match self.state() {
                    RmmState::Active => self.responder.event_consume(x1, x2),
                    RmmState::Init => Status::ErrorGlobal.into(),
                }
            }
            _ => self.handle_other(x),
        };
        x[0] = result.x0();
    }

    /// Handles a call that is not made for each event.
    #[inline(never)]
    fn handle_other(&self, x: &mut [u64; 8]) -> ResultWord {
        match Function::try_from(x[0]) {
            Ok(function) => self.handle_known(x, function),
            Err(_) => {
                x[1..4].fill(0);
                ResultWord::from_x0(SMCCC_NOT_SUPPORTED)
            }
        }
    }

    /// Handles a command that is not called for each event.
    #[inline(never)]
    fn handle_known(&self, x: &mut [u64; 8], function: Function) -> ResultWord {
        let [_, x1, x2, x3, ..] = *x;
        x[1..4].fill(0);
        if ALLOWED[usize::from(function as u8)] >> self.state() as u8 & 1 == 0 {
            return Status::ErrorGlobal.into();
        }
        let (result, outputs) = match function {
            Function::PsmmuInfo => (self.responder.info(x1, x2), [0; 3]),
            Function::PsmmuActivate => self.psmmu_activate(x1, x2),
            Function::PsmmuDeactivate => self.psmmu_deactivate(x1),
            Function::PsmmuStL2Create => self.psmmu_st_l2_create(x1, x2),
            Function::PsmmuStL2Destroy => self.psmmu_st_l2_destroy(x1, x2),
            Function::OpContinue => self.op_continue(x1, x2),
            Function::OpMemDonate => self.op_mem_donate(x1, x2, x3),
            Function::OpMemReclaim => self.op_mem_reclaim(x1, x2, x3),
            Function::OpCancel => (self.op_cancel(x1), [0; 3]),
            Function::GranuleRangeDelegate => self.granule_range_delegate(x1, x2),
            Function::GranuleRangeUndelegate => self.granule_range_undelegate(x1, x2),
            Function::GranuleTrackingGet => self.granule_tracking_get(x1, x2),
            Function::Version => version(x1),
            Function::Features => (ResultWord::SUCCESS, [self.features(x1), 0, 0]),
            Function::RmmConfigSet => (self.config_set(x1), [0; 3]),
            Function::RmmConfigGet => (self.config_get(x1), [0; 3]),
            Function::RmmActivate => (self.activate(), [0; 3]),
            Function::RmmDeactivate => (self.deactivate(), [0; 3]),
            Function::GptInfo => self.gpt_info(x1, x2),
            Function::VsmmuCreate
            | Function::VsmmuDestroy
            | Function::VsmmuEventNotify
            | Function::VsmmuFeatures
            | Function::VsmmuCmdGet
            | Function::VsmmuCmdComplete => (Status::ErrorNotSupported.into(), [0; 3]),
            Function::RmmStateGet => (ResultWord::SUCCESS, [self.state() as u64, 0, 0]),
            // `handle` answers these itself.
            Function::PsmmuIrqNotify | Function::PsmmuEventConsume => {
                (ResultWord::from_x0(SMCCC_NOT_SUPPORTED), [0; 3])
            }
        };
        [x[1], x[2], x[3]] = outputs;
        result
    }

    /// `RMI_FEATURES`: returns feature register `index`, zero if it does not exist. Never fails.
    #[cfg_attr(core_from_source, optimize(size))]
    fn features(&self, index: u64) -> u64 {
        /// NUM_BPS and NUM_WPS of register 0, each encoded minus one.
        const BREAKPOINTS_SHIFT: u32 = 14;
        const WATCHPOINTS_SHIFT: u32 = 20;
        /// PPS of register 1.
        const PROTECTED_SIZE_SHIFT: u32 = 14;
        match index {
            0 => {
                Register0::with_s2sz(self.features.address_bits).bits()
                    | u64::from(self.features.breakpoints & 0x3F) << BREAKPOINTS_SHIFT
                    | u64::from(self.features.watchpoints & 0x3F) << WATCHPOINTS_SHIFT
            }
            1 => {
                Register1::GRANULE_4K.bits()
                    | u64::from(self.features.protected_size & 7) << PROTECTED_SIZE_SHIFT
            }
            2 if self.responder.has_device_assignment() => Register2::DEVICE_ASSIGNMENT.bits(),
            _ => 0,
        }
    }

    /// `RMI_RMM_CONFIG_SET`: sets the configuration from the host's granule at PA `config`.
    ///
    /// Success, or `ErrorInput` if `config` is no Non-secure granule, or requests anything but granules
    /// of 4 KiB and tracking regions of 1 GiB. As these are the only values, nothing is stored.
    fn config_set(&self, config: u64) -> ResultWord {
        let mut words = [0; 2];
        let read =
            granule(config).and_then(|granule| self.responder.host().read(granule, 0, &mut words));
        match (read, words) {
            (Ok(()), [0, 0]) => ResultWord::SUCCESS,
            _ => ResultWord::of(Status::ErrorInput),
        }
    }

    /// `RMI_RMM_CONFIG_GET`: writes the configuration to the host's granule at PA `config`.
    ///
    /// Success, or `ErrorInput` if `config` is no Non-secure granule; nothing is written then.
    fn config_get(&self, config: u64) -> ResultWord {
        let written =
            granule(config).and_then(|granule| self.responder.host().replace(granule, &[0, 0]));
        match written {
            Ok(()) => ResultWord::SUCCESS,
            Err(HostFault) => ResultWord::of(Status::ErrorInput),
        }
    }

    /// `RMI_RMM_ACTIVATE`: success, or `ErrorGlobal` if another CPU has activated it meanwhile.
    fn activate(&self) -> ResultWord {
        let _transition = self.transition.lock();
        if self.state() != RmmState::Init {
            return ResultWord::of(Status::ErrorGlobal);
        }
        self.tracker.open();
        self.state.store(RmmState::Active as u8, Ordering::Release);
        ResultWord::SUCCESS
    }

    /// `RMI_RMM_DEACTIVATE`: returns to the state after boot. Configuration and operation handles are
    /// invalid from then on.
    ///
    /// Success; `Busy` while another CPU runs an operation; or `ErrorGlobal` if an operation is open, a
    /// granule is delegated, a PSMMU is not inactive, or another CPU has deactivated it meanwhile.
    /// Nothing has changed then.
    #[inline(never)]
    #[cfg_attr(core_from_source, optimize(size))]
    fn deactivate(&self) -> ResultWord {
        let _transition = self.transition.lock();
        if self.state() != RmmState::Active {
            return ResultWord::of(Status::ErrorGlobal);
        }
        // A PSMMU leaves state Inactive by an operation only, and a granule is delegated by the tracker
        // only.
        let mut is_idle = false;
        let reserved = self.operations.with_all(|| {
            let is_inactive = |psmmu: &&Psmmu<_, _>| psmmu.state() == State::Inactive;
            is_idle = self.responder.psmmus().iter().all(is_inactive) && self.tracker.close();
            if is_idle {
                self.state.store(RmmState::Init as u8, Ordering::Release);
            }
        });
        match reserved {
            Ok(()) if is_idle => ResultWord::SUCCESS,
            Err(Status::Busy) => Status::Busy.into(),
            _ => Status::ErrorGlobal.into(),
        }
    }
}

/// `RMI_VERSION`: this RMM implements 2.0 only, and returns that for every request. Success if 2.0 is
/// requested, else `ErrorInput`.
#[cfg_attr(core_from_source, optimize(size))]
fn version(wanted: u64) -> (ResultWord, Outputs) {
    let implemented = Version::RMI_2_0.word();
    let result =
        if wanted == implemented { ResultWord::SUCCESS } else { Status::ErrorInput.into() };
    (result, [implemented, implemented, 0])
}

fn granule(address: u64) -> Result<HostGranule, HostFault> {
    HostGranule::new(address).ok_or(HostFault)
}
