// SPDX-License-Identifier: MIT OR Apache-2.0

//! Answering the host: from X0 to X7 of a call to X0 to X7 of its answer.
//!
//! For every call, in this order: an identifier that names no command of this RMM is answered with all
//! ones; a command that the state of the RMM does not allow with `ErrorGlobal`; else the command itself
//! answers. X1 to X3 are zero unless the command has outputs there, X4 to X7 keep what the caller had
//! in them unless the command has outputs there. Registers that a command does not name are not looked
//! at.

use core::sync::atomic::{AtomicU8, Ordering};

use psmmu::{
    Clock, DeviceMemory, HostFault, HostGranule, HostMemory, Memory, Notified, Psmmu, Registers,
    Responder, StreamOwners,
};
use psmmu_abi::features::{Register0, Register1, Register2};
use psmmu_abi::function::SVE_HINT;
use psmmu_abi::result::SMCCC_NOT_SUPPORTED;
use psmmu_abi::{Function, PsmmuParamsFlags, ResultWord, Status, Version};

/// What the RMM needs from the machine that it runs on.
pub trait Environment {
    /// Registers of the PSMMUs.
    type Registers: Registers;
    /// Memory of their queues and tables.
    type Memory: DeviceMemory;
    /// The door to the host's memory.
    type Host: HostMemory;
    /// Those who know the streams of virtual SMMUs.
    type Owners: StreamOwners;
    /// The clock.
    type Clock: Clock;

    /// Returns the clock.
    fn clock(&self) -> &Self::Clock;

    /// Returns memory for `psmmu` to be activated on with what `flags` ask for, its tables filled;
    /// `None` if there is none.
    fn psmmu_memory(
        &self,
        psmmu: &Psmmu<Self::Registers, Self::Memory>,
        flags: PsmmuParamsFlags,
    ) -> Option<Memory<Self::Memory>>;
}

/// What `RMI_FEATURES` tells of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Bits of a physical address, and so of the largest intermediate one.
    pub address_bits: u8,
    /// Number of hardware breakpoints minus one, at least 1.
    pub breakpoints: u8,
    /// Number of hardware watchpoints minus one, at least 1.
    pub watchpoints: u8,
    /// Size of the protected address space as GPCCR_EL3.PPS encodes it.
    pub protected_size: u8,
}

/// State of the RMM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RmmState {
    /// Booted; may be configured.
    Init,
    /// In service.
    Active,
}

/// In which states a command is allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gate {
    Any,
    Only(RmmState),
}

/// Returns in which states `function` is allowed, or `None` if this RMM does not have it. Those that
/// are asked for each event are not here: [`Rmm::handle`] answers them itself.
const fn gate(function: Function) -> Option<Gate> {
    match function {
        Function::Version | Function::Features | Function::RmmConfigGet => Some(Gate::Any),
        Function::RmmConfigSet | Function::RmmActivate => Some(Gate::Only(RmmState::Init)),
        Function::PsmmuInfo | Function::PsmmuActivate => Some(Gate::Only(RmmState::Active)),
        Function::PsmmuIrqNotify
        | Function::PsmmuEventConsume
        | Function::PsmmuDeactivate
        | Function::PsmmuStL2Create
        | Function::PsmmuStL2Destroy
        | Function::GranuleTrackingGet
        | Function::RmmStateGet
        | Function::GranuleRangeDelegate
        | Function::GranuleRangeUndelegate
        | Function::OpContinue
        | Function::OpMemDonate
        | Function::OpMemReclaim
        | Function::OpCancel => None,
    }
}

/// The RMM.
pub struct Rmm<'a, E: Environment> {
    state: AtomicU8,
    features: Features,
    environment: E,
    responder: ResponderOf<'a, E>,
}

/// The responder of an environment.
type ResponderOf<'a, E> = Responder<
    'a,
    <E as Environment>::Registers,
    <E as Environment>::Memory,
    <E as Environment>::Host,
    <E as Environment>::Owners,
>;

impl<'a, E: Environment> Rmm<'a, E> {
    /// Starts in state [`RmmState::Init`].
    pub const fn new(features: Features, environment: E, responder: ResponderOf<'a, E>) -> Self {
        Self { state: AtomicU8::new(RmmState::Init as u8), features, environment, responder }
    }

    /// Returns the state.
    pub fn state(&self) -> RmmState {
        if self.state.load(Ordering::Acquire) == RmmState::Init as u8 {
            RmmState::Init
        } else {
            RmmState::Active
        }
    }

    /// Returns what it knows of the physical SMMUs.
    pub const fn responder(&self) -> &ResponderOf<'a, E> {
        &self.responder
    }

    /// Answers one call: takes X0 to X7 as the host had them and leaves what it shall find there.
    ///
    /// May be called on several CPUs at once.
    #[inline]
    pub fn handle(&self, x: &mut [u64; 8]) {
        const IRQ_NOTIFY: u64 = Function::PsmmuIrqNotify.id();
        const EVENT_CONSUME: u64 = Function::PsmmuEventConsume.id();
        let [function, x1, x2, ..] = *x;
        // The two that a host asks for each event come first.
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
                x[1..4].fill(0);
                match self.state() {
                    RmmState::Active => self.responder.event_consume(x1, x2),
                    RmmState::Init => Status::ErrorGlobal.into(),
                }
            }
            _ => self.handle_other(x),
        };
        x[0] = result.x0();
    }

    /// Answers what is not asked for each event.
    #[inline(never)]
    fn handle_other(&self, x: &mut [u64; 8]) -> ResultWord {
        let [function, x1, x2, ..] = *x;
        x[1..4].fill(0);
        match Function::try_from(function) {
            Ok(function) => self.handle_known(function, x1, x2, x),
            Err(_) => ResultWord::from_x0(SMCCC_NOT_SUPPORTED),
        }
    }

    /// Answers a command that is not asked for each event.
    #[inline(never)]
    fn handle_known(&self, function: Function, x1: u64, x2: u64, x: &mut [u64; 8]) -> ResultWord {
        let Some(gate) = gate(function) else {
            return ResultWord::from_x0(SMCCC_NOT_SUPPORTED);
        };
        if let Gate::Only(state) = gate
            && self.state() != state
        {
            return Status::ErrorGlobal.into();
        }
        match function {
            Function::PsmmuInfo => self.responder.info(x1, x2),
            Function::PsmmuActivate => {
                let memory = |psmmu: &_, flags| self.environment.psmmu_memory(psmmu, flags);
                self.responder.activate(x1, x2, self.environment.clock(), memory)
            }
            Function::Version => version(x1, x),
            Function::Features => {
                x[1] = self.features(x1);
                ResultWord::SUCCESS
            }
            Function::RmmConfigSet => self.config_set(x1),
            Function::RmmConfigGet => self.config_get(x1),
            Function::RmmActivate => self.activate(),
            // Those that `gate` does not have.
            Function::PsmmuIrqNotify
            | Function::PsmmuEventConsume
            | Function::PsmmuDeactivate
            | Function::PsmmuStL2Create
            | Function::PsmmuStL2Destroy
            | Function::GranuleTrackingGet
            | Function::RmmStateGet
            | Function::GranuleRangeDelegate
            | Function::GranuleRangeUndelegate
            | Function::OpContinue
            | Function::OpMemDonate
            | Function::OpMemReclaim
            | Function::OpCancel => ResultWord::from_x0(SMCCC_NOT_SUPPORTED),
        }
    }

    /// `RMI_FEATURES`: returns feature register `index`, zero where there is none. Never fails.
    fn features(&self, index: u64) -> u64 {
        /// NUM_BPS and NUM_WPS of register 0, each a number minus one.
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

    /// `RMI_RMM_CONFIG_SET`: takes the configuration in the host's granule at PA `config`.
    ///
    /// Success, or `ErrorInput` when `config` is no granule of the host, or asks for anything but
    /// granules of 4 KiB and tracking regions of 1 GiB. As these are the only values, there is nothing
    /// to keep.
    fn config_set(&self, config: u64) -> ResultWord {
        let mut words = [0; 2];
        let read =
            granule(config).and_then(|granule| self.responder.host().read(granule, &mut words));
        match (read, words) {
            (Ok(()), [0, 0]) => ResultWord::SUCCESS,
            _ => ResultWord::of(Status::ErrorInput),
        }
    }

    /// `RMI_RMM_CONFIG_GET`: writes the configuration to the host's granule at PA `config`.
    ///
    /// Success, or `ErrorInput` when `config` is no granule of the host, which is then not written.
    fn config_get(&self, config: u64) -> ResultWord {
        let written =
            granule(config).and_then(|granule| self.responder.host().write(granule, &[0, 0]));
        match written {
            Ok(()) => ResultWord::SUCCESS,
            Err(HostFault) => ResultWord::of(Status::ErrorInput),
        }
    }

    /// `RMI_RMM_ACTIVATE`: success, or `ErrorGlobal` when another CPU was faster.
    fn activate(&self) -> ResultWord {
        let (init, active) = (RmmState::Init as u8, RmmState::Active as u8);
        match self.state.compare_exchange(init, active, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => ResultWord::SUCCESS,
            Err(_) => ResultWord::of(Status::ErrorGlobal),
        }
    }
}

/// `RMI_VERSION`: this RMM implements 2.0 and nothing else, and says so whatever was asked for.
/// Success when that was 2.0, else `ErrorInput`.
fn version(wanted: u64, x: &mut [u64; 8]) -> ResultWord {
    let implemented = Version::RMI_2_0.word();
    x[1] = implemented;
    x[2] = implemented;
    if wanted == implemented { ResultWord::SUCCESS } else { ResultWord::of(Status::ErrorInput) }
}

fn granule(address: u64) -> Result<HostGranule, HostFault> {
    HostGranule::new(address).ok_or(HostFault)
}
