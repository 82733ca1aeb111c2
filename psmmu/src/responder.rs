// SPDX-License-Identifier: MIT OR Apache-2.0

//! The commands as the host sees them: arguments as they came, result words as they go.
//!
//! An RMM's dispatcher calls these once it has found out which command it is and that its own state
//! allows it. Each command changes nothing when it fails, and all outputs are then zero.

#![forbid(unsafe_code)]

use psmmu_abi::{IrqSet, Notification, PsmmuParamsFields, PsmmuParamsFlags, ResultWord, Status};

use crate::activate::{ActivateError, Memory};
use crate::host_memory::{HostFault, HostGranule, HostMemory};
use crate::owner::StreamOwners;
use crate::queue::DeviceMemory;
use crate::registers::{Clock, Registers};
use crate::smmu::{Psmmu, Refusal};

/// Answer of `RMI_PSMMU_IRQ_NOTIFY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notified {
    /// X0.
    pub result: ResultWord,
    /// X1 to X6; all zero on failure.
    pub outputs: [u64; 6],
}

impl Notified {
    /// The answer that tells `notification`.
    #[inline(always)]
    const fn told(notification: &Notification) -> Self {
        Self { result: ResultWord::SUCCESS, outputs: notification.registers() }
    }

    /// The answer that tells nothing but `status`.
    #[must_use]
    pub const fn failed(status: Status) -> Self {
        Self { result: ResultWord::of(status), outputs: Notification::NONE.registers() }
    }
}

/// Answers the host for a set of PSMMUs.
#[derive(Debug)]
pub struct Responder<'a, R, M, H, O> {
    psmmus: &'a [Psmmu<R, M>],
    host: H,
    owners: O,
}

impl<'a, R, M, H, O> Responder<'a, R, M, H, O>
where
    R: Registers,
    M: DeviceMemory,
    H: HostMemory,
    O: StreamOwners,
{
    /// Answers for `psmmus`, which may be none, through the door `host`; `owners` know the streams of
    /// virtual SMMUs.
    pub const fn new(psmmus: &'a [Psmmu<R, M>], host: H, owners: O) -> Self {
        Self { psmmus, host, owners }
    }

    /// Returns the PSMMUs.
    #[must_use]
    pub const fn psmmus(&self) -> &'a [Psmmu<R, M>] {
        self.psmmus
    }

    /// Returns the door to the host's memory.
    pub const fn host(&self) -> &H {
        &self.host
    }

    /// Returns whether there is device assignment: whether there is any PSMMU.
    #[must_use]
    pub const fn has_device_assignment(&self) -> bool {
        !self.psmmus.is_empty()
    }

    /// `RMI_PSMMU_INFO`: writes how the host will be interrupted to its granule at PA `page`.
    ///
    /// In every state of the PSMMU: success, or without changing anything `ErrorNotSupported` when
    /// there are no PSMMUs, `ErrorInput` when `name` is none of them or `page` is not a granule of the
    /// host. Should the host take the granule away while it is written, part of it may be written.
    pub fn info(&self, name: u64, page: u64) -> ResultWord {
        self.find(name)
            .and_then(|psmmu| {
                let page = HostGranule::new(page).ok_or(Status::ErrorInput)?;
                self.host.write(page, &psmmu.info().words()).map_err(host_fault)
            })
            .into_result()
    }

    /// `RMI_PSMMU_IRQ_NOTIFY`: tells the first event of the sources in `set`; see
    /// [`Psmmu::notify`].
    ///
    /// Success, or `ErrorNotSupported` when there are no PSMMUs, `ErrorInput` when `name` is none of
    /// them or it is not active, `ErrorDevice` when it has failed and that was told and consumed.
    /// Reserved bits of `set` are ignored.
    #[inline(always)]
    pub fn irq_notify(&self, name: u64, set: u64) -> Notified {
        let set = IrqSet::from_bits_truncate(set);
        match self.find(name) {
            Err(status) => Notified::failed(status),
            Ok(psmmu) => match psmmu.notify_staged(set, &self.owners) {
                Some(notification) => Notified::told(&notification),
                None => self.look_and_notify(psmmu, set),
            },
        }
    }

    /// The part of [`irq_notify`](Self::irq_notify) that may touch the device, out of the way of the
    /// part that does not.
    #[inline(never)]
    fn look_and_notify(&self, psmmu: &Psmmu<R, M>, set: IrqSet) -> Notified {
        match psmmu.notify_sources(set, &self.owners) {
            Ok(notification) => Notified::told(&notification),
            Err(error) => Notified::failed(refusal(error)),
        }
    }

    /// `RMI_PSMMU_EVENT_CONSUME`: takes the told event off the first source in `set` that has one;
    /// see [`Psmmu::consume`]. Statuses as of [`irq_notify`](Self::irq_notify).
    #[inline]
    pub fn event_consume(&self, name: u64, set: u64) -> ResultWord {
        self.find(name)
            .and_then(|psmmu| psmmu.consume(IrqSet::from_bits_truncate(set)).map_err(refusal))
            .into_result()
    }

    /// `RMI_PSMMU_ACTIVATE`: brings the PSMMU up with the parameters in the host's granule at PA
    /// `params`, on the memory that `memory` gives for it.
    ///
    /// Success, or `ErrorNotSupported` when there are no PSMMUs, `ErrorInput` when `name` is none of
    /// them, when `params` is not a granule of the host or asks for messages or ATS, or for page
    /// requests that the device does not have, when the PSMMU is not inactive or there is no memory
    /// that fits what was asked for; `ErrorDevice` when the device
    /// does not answer or lacks what is needed. On failure the PSMMU is as before, or has failed.
    pub fn activate(
        &self,
        name: u64,
        params: u64,
        clock: &impl Clock,
        memory: impl FnOnce(&Psmmu<R, M>, PsmmuParamsFlags) -> Option<Memory<M>>,
    ) -> ResultWord {
        self.find(name)
            .and_then(|psmmu| {
                let params = HostGranule::new(params).ok_or(Status::ErrorInput)?;
                let mut words = [0; PsmmuParamsFields::WORDS];
                self.host.read(params, &mut words).map_err(host_fault)?;
                let flags = PsmmuParamsFields::from_words(words).flags;
                if flags.intersects(PsmmuParamsFlags::MSI | PsmmuParamsFlags::ATS) {
                    return Err(Status::ErrorInput);
                }
                psmmu.activate(|| memory(psmmu, flags), clock).map_err(activate_error)
            })
            .into_result()
    }

    /// Finds a PSMMU by the name that the host uses, which is compared and nothing else.
    #[inline]
    fn find(&self, name: u64) -> Result<&'a Psmmu<R, M>, Status> {
        if !self.has_device_assignment() {
            return Err(Status::ErrorNotSupported);
        }
        self.psmmus.iter().find(|psmmu| psmmu.config().name == name).ok_or(Status::ErrorInput)
    }
}

const fn host_fault(_: HostFault) -> Status {
    Status::ErrorInput
}

const fn refusal(refusal: Refusal) -> Status {
    match refusal {
        Refusal::NotActive => Status::ErrorInput,
        Refusal::Failed => Status::ErrorDevice,
    }
}

const fn activate_error(error: ActivateError) -> Status {
    match error {
        ActivateError::State(crate::State::Failed) => Status::ErrorDevice,
        ActivateError::State(_) | ActivateError::Memory | ActivateError::PageRequests => {
            Status::ErrorInput
        }
        ActivateError::Unsupported | ActivateError::Refused | ActivateError::TimedOut => {
            Status::ErrorDevice
        }
    }
}

/// Makes the result word of a command without outputs.
trait IntoResult {
    fn into_result(self) -> ResultWord;
}

impl IntoResult for Result<(), Status> {
    fn into_result(self) -> ResultWord {
        match self {
            Ok(()) => ResultWord::SUCCESS,
            Err(status) => status.into(),
        }
    }
}
