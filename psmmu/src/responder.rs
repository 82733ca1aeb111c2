// SPDX-License-Identifier: MIT OR Apache-2.0

//! The commands as the host sees them: arguments as they came, result words as they go.
//!
//! An RMM's dispatcher calls these once it has found out which command it is and that its own state
//! allows it. Each command changes nothing when it fails, and all outputs are then zero. Those of a
//! PSMMU's life only begin here: how memory comes and goes is the RMM's own matter, and the rest is
//! done by [`Psmmu`].

#![forbid(unsafe_code)]

use psmmu_abi::{IrqSet, Notification, PsmmuParamsFields, PsmmuParamsFlags, ResultWord, Status};

use crate::directory::Directory;
use crate::logic::Memory;
use crate::platform::{
    Clock, DeviceMemory, HostGranule, HostMemory, Registers, TableMemory, VsmmuLookup,
};
use crate::psmmu::{ActivateParams, Activation, L2TableToken, MsiConfig, Psmmu};

mod status;

/// Answer of `RMI_PSMMU_IRQ_NOTIFY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notified {
    /// X0.
    pub result: ResultWord,
    /// X1 to X6; all zero on failure.
    pub outputs: [u64; 6],
}

impl Notified {
    /// The answer that reports `notification`.
    #[inline(always)]
    const fn reported(notification: &Notification) -> Self {
        Self { result: ResultWord::SUCCESS, outputs: notification.registers() }
    }

    /// The answer that reports nothing but `status`.
    #[must_use]
    pub const fn failed(status: Status) -> Self {
        Self { result: ResultWord::of(status), outputs: Notification::NONE.registers() }
    }
}

/// A PSMMU that was quiesced, and what it ran on; nothing if it failed before it ran.
pub type Deactivated<'a, R, M> = (&'a Psmmu<R, M>, Option<Memory<M>>);

/// Answers the host for a set of PSMMUs.
#[derive(Debug)]
pub struct Responder<'a, R, M, H, O> {
    directory: Directory<'a, R, M>,
    host: H,
    owners: O,
}

impl<'a, R, M, H, O> Responder<'a, R, M, H, O>
where
    R: Registers,
    M: DeviceMemory,
    H: HostMemory,
    O: VsmmuLookup,
{
    /// Answers for the PSMMUs of `directory`, which may be none, through the accessor `host`; `owners` know
    /// the streams of virtual SMMUs.
    pub const fn new(directory: Directory<'a, R, M>, host: H, owners: O) -> Self {
        Self { directory, host, owners }
    }

    /// Returns the PSMMUs.
    #[must_use]
    pub fn psmmus(&self) -> &[&'a Psmmu<R, M>] {
        self.directory.all()
    }

    /// Returns the accessor of the host's granules.
    pub const fn host(&self) -> &H {
        &self.host
    }

    /// Returns whether there is device assignment: whether there is any PSMMU.
    #[must_use]
    pub fn has_device_assignment(&self) -> bool {
        !self.psmmus().is_empty()
    }

    /// `RMI_PSMMU_INFO`: writes how the host will be interrupted to its granule at PA `page`.
    ///
    /// It says nothing of sizes: tables and queues are as large as IDR1 and the platform's
    /// [`Sizes`](crate::Sizes) allow, whichever is less, and the requests of ACTIVATE report the host how
    /// much memory that is.
    ///
    /// In every state of the PSMMU: success, or without changing anything `ErrorNotSupported` when
    /// there are no PSMMUs, `ErrorInput` when `psmmu_ptr` is none of them or `page` is not a granule of the
    /// host. Should the host take the granule away while it is written, part of it may be written.
    pub fn info(&self, psmmu_ptr: u64, page: u64) -> ResultWord {
        self.find(psmmu_ptr)
            .and_then(|psmmu| {
                let page = HostGranule::new(page).ok_or(Status::ErrorInput)?;
                self.host.replace(page, &psmmu.info().words()).map_err(Status::from)
            })
            .into_result()
    }

    /// `RMI_PSMMU_IRQ_NOTIFY`: reports the first event of the sources in `set`; see
    /// [`Psmmu::notify`].
    ///
    /// Success, or `ErrorNotSupported` when there are no PSMMUs, `ErrorInput` when `psmmu_ptr` is none of
    /// them or it is not active, `ErrorDevice` when it has failed and that was reported and consumed.
    /// Reserved bits of `set` are ignored.
    ///
    /// One event at most is reported for each source, not for each caller. Contexts of the host that serve
    /// sets which overlap are answered with the same event and consume each other's; different sources do not
    /// disturb each other.
    #[inline(always)]
    pub fn irq_notify(&self, psmmu_ptr: u64, set: u64) -> Notified {
        let set = IrqSet::from_bits_truncate(set);
        match self.find(psmmu_ptr) {
            Err(status) => Notified::failed(status),
            Ok(psmmu) => match psmmu.notify_staged(set, &self.owners) {
                Some(notification) => Notified::reported(&notification),
                None => self.poll_and_notify(psmmu, set),
            },
        }
    }

    /// The part of [`irq_notify`](Self::irq_notify) that may touch the device, out of the way of the
    /// part that does not.
    #[inline(never)]
    fn poll_and_notify(&self, psmmu: &Psmmu<R, M>, set: IrqSet) -> Notified {
        match psmmu.notify_sources(set, &self.owners) {
            Ok(notification) => Notified::reported(&notification),
            Err(error) => Notified::failed(error.into()),
        }
    }

    /// `RMI_PSMMU_EVENT_CONSUME`: takes the reported event off the first source in `set` that has one;
    /// see [`Psmmu::consume`]. Statuses as of [`irq_notify`](Self::irq_notify).
    #[inline]
    pub fn event_consume(&self, psmmu_ptr: u64, set: u64) -> ResultWord {
        self.find(psmmu_ptr)
            .and_then(|psmmu| psmmu.consume(IrqSet::from_bits_truncate(set)).map_err(Status::from))
            .into_result()
    }

    /// Begins `RMI_PSMMU_ACTIVATE` with the parameters in the host's granule at PA `params`: claims the
    /// PSMMU, to be activated or abandoned when the memory that it needs has come or has not.
    ///
    /// # Errors
    /// `ErrorNotSupported` when there are no PSMMUs; `ErrorInput` when `psmmu_ptr` is none of them, when
    /// `params` is not a granule of the host or asks for ATS, for page requests or MSIs that there
    /// are not, or for MSIs that are no 32-bit write to an aligned address, or when the PSMMU is not
    /// inactive; `ErrorDevice` when it has failed, or lacks what is needed. Nothing has changed.
    pub fn activate_begin(
        &self,
        psmmu_ptr: u64,
        params: u64,
    ) -> Result<(&'a Psmmu<R, M>, Activation), Status> {
        let psmmu = self.find(psmmu_ptr)?;
        let params = HostGranule::new(params).ok_or(Status::ErrorInput)?;
        let mut words = [0; PsmmuParamsFields::WORDS];
        self.host.read(params, 0, &mut words).map_err(Status::from)?;
        let PsmmuParamsFields { flags, gerror, eventq, priq } =
            PsmmuParamsFields::from_words(words);
        if flags.contains(PsmmuParamsFlags::ATS) {
            return Err(Status::ErrorInput);
        }
        let wanted = ActivateParams {
            page_requests: flags.contains(PsmmuParamsFlags::PRI),
            msis: flags.contains(PsmmuParamsFlags::MSI).then_some(MsiConfig {
                gerror,
                eventq,
                priq,
            }),
        };
        let activation = psmmu.activate_begin(wanted)?;
        Ok((psmmu, activation))
    }

    /// Begins `RMI_PSMMU_DEACTIVATE`: quiesces the PSMMU, and returns the memory that is to be
    /// given back before the deactivation is finished.
    ///
    /// # Errors
    /// `ErrorNotSupported` when there are no PSMMUs; `ErrorInput` when `psmmu_ptr` is none of them, or it is
    /// not active, or has a level-2 table; `ErrorDevice` when it does not answer, and then it has
    /// failed; `Busy` while another CPU waits for it. Otherwise nothing has changed.
    ///
    /// # Waits
    /// As [`Psmmu::deactivate`].
    pub fn deactivate_begin(
        &self,
        psmmu_ptr: u64,
        clock: &impl Clock,
    ) -> Result<Deactivated<'a, R, M>, Status> {
        let psmmu = self.find(psmmu_ptr)?;
        let memory = psmmu.deactivate(clock).map_err(Status::from)?;
        Ok((psmmu, memory))
    }

    /// Begins `RMI_PSMMU_ST_L2_CREATE`: claims the level-2 table of the 64 streams from `first_stream`
    /// on, to be made or abandoned when its granule has come or has not.
    ///
    /// # Errors
    /// `ErrorNotSupported` when there are no PSMMUs; `ErrorInput` when `psmmu_ptr` is none of them, when
    /// `first_stream` is not the first of a table or too large, or the PSMMU is not active;
    /// `ErrorPsmmuSt` at level 2 when there is a table; `Blocked` while one is being made;
    /// `ErrorDevice` when the PSMMU has failed. Nothing has changed.
    pub fn st_l2_create_begin(
        &self,
        psmmu_ptr: u64,
        first_stream: u64,
    ) -> Result<(&'a Psmmu<R, M>, L2TableToken), ResultWord> {
        let psmmu = self.find(psmmu_ptr)?;
        let table = psmmu.st_l2_create_begin(stream(first_stream)?)?;
        Ok((psmmu, table))
    }

    /// Begins `RMI_PSMMU_ST_L2_DESTROY`: takes away the level-2 table of the 64 streams from
    /// `first_stream` on, and returns the PA of the granule that is to be given back.
    ///
    /// # Errors
    /// As [`st_l2_create_begin`](Self::st_l2_create_begin); but `ErrorInput` when there is no table, `ErrorPsmmuSt`
    /// at level 2 when a stream of it is configured, `Busy` while another CPU waits for the device or when
    /// `memory` cannot open the table now, and `ErrorDevice` when the device does not answer. The table is as
    /// before.
    ///
    /// # Waits
    /// As [`Psmmu::st_l2_destroy`].
    pub fn st_l2_destroy(
        &self,
        psmmu_ptr: u64,
        first_stream: u64,
        memory: &impl TableMemory,
        clock: &impl Clock,
    ) -> Result<u64, ResultWord> {
        let psmmu = self.find(psmmu_ptr)?;
        let address = psmmu.st_l2_destroy(stream(first_stream)?, memory, clock)?;
        Ok(address)
    }

    /// Finds a PSMMU.
    #[inline(always)]
    fn find(&self, psmmu_ptr: u64) -> Result<&'a Psmmu<R, M>, Status> {
        match self.directory.find(psmmu_ptr) {
            Some(psmmu) => Ok(psmmu),
            None => Err(self.not_found()),
        }
    }

    /// Says why a PSMMU was not found.
    #[cold]
    fn not_found(&self) -> Status {
        if self.has_device_assignment() { Status::ErrorInput } else { Status::ErrorNotSupported }
    }
}

/// Takes a StreamID as it came in a register.
fn stream(register: u64) -> Result<u32, Status> {
    u32::try_from(register).map_err(|_| Status::ErrorInput)
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
