// SPDX-License-Identifier: MIT OR Apache-2.0

//! The device: its state, its next steps, and what a test can do to it.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::cmdq::CommandQueue;
use crate::command::Command;
use crate::config::Config;
use crate::control::{AckDelay, Control, Enable};
use crate::events::Loss;
use crate::interrupts::{Interrupts, MsiWrite, Source};
use crate::memory::PhysicalMemory;
use crate::output::{Output, OutputQueue, WriteAborts};
use crate::pri::{Answer, PageRequest};
use crate::record::Record;
use crate::registers::Register;
use crate::stream::Streams;
use crate::transaction::{Outcome, Transaction};
use crate::violation::Violation;

/// Something that the device may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Lets a changed field of CR0 take effect and acknowledges it.
    AckCr0(Enable),
    /// Lets a changed interrupt enable take effect and acknowledges it.
    AckIrqCtrl(Source),
    /// Processes the command at CONS.
    RunCommand,
    /// Moves CMDQ_CONS over what was consumed; see [`Device::set_lazy_cons`].
    PublishCons,
    /// Shows in GERROR that a command failed; see [`Device::set_split`].
    RaiseCommandError,
    /// Writes one of the records that wait, or loses it. Transactions are not ordered.
    DeliverRecord(usize),
    /// Takes one of the page requests that wait.
    DeliverPageRequest(usize),
    /// Moves PROD over entries that were written; see [`Device::set_split`].
    Show(Output),
    /// Shows in GERROR that the write of an entry was aborted; see [`WriteAborts::Asynchronous`].
    ReportAbort(Output),
    /// Pulses the wired interrupt of a source.
    SendInterrupt(Source),
    /// Writes the MSI of a source.
    WriteMsi(Source),
}

/// What a test has chosen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Modes {
    pub eager: bool,
    pub ack_delay: AckDelay,
    pub lazy_cons: bool,
    pub split: bool,
    pub removed: bool,
    pub hung: bool,
    pub collects: bool,
    pub write_aborts: WriteAborts,
    pub aborts_commands: bool,
    pub corrupt_command: Option<[u64; 2]>,
    pub atc_timeout: bool,
    pub merges: bool,
    pub caches: bool,
    pub strict_entries: bool,
    pub drops_sync_msis: bool,
}

/// What has happened. It has no influence on what will.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub violations: Vec<Violation>,
    pub losses: Vec<(Record, Loss)>,
    /// Records between CONS and PROD when EVENTQEN went off.
    pub unconsumed: Vec<Record>,
    pub commands: Vec<Command>,
    pub answers: Vec<Answer>,
    pub msis: Vec<MsiWrite>,
    pub pulses: [u64; 4],
    pub wake_ups: u64,
    pub reads: u32,
    pub writes: u32,
    /// Reads and writes by [`Register`].
    pub by_register: Vec<(u32, u32)>,
}

/// A software SMMUv3: plain data.
///
/// A copy is a device of its own, with its own memory. Two devices are equal, and hash alike, when
/// nothing that may still happen distinguishes them; what only records the past (counts of accesses,
/// commands, losses, answers, MSIs, violations) does not count.
///
/// Nothing happens by itself: [`steps`](Self::steps) are what the device may do next, and
/// [`step`](Self::step) does one. [`settle`](Self::settle) does all, and an eager device
/// ([`set_eager`](Self::set_eager), the default) settles around every access and every action of the
/// test.
///
/// Comparing and hashing read all memory, so keep regions small where many states are compared.
#[derive(Clone)]
pub struct Device {
    pub(crate) config: Config,
    pub(crate) modes: Modes,
    pub(crate) control: Control,
    pub(crate) gerror: u32,
    pub(crate) gerrorn: u32,
    pub(crate) cmdq: CommandQueue,
    pub(crate) eventq: OutputQueue,
    pub(crate) priq: OutputQueue,
    pub(crate) interrupts: Interrupts,
    pub(crate) streams: Streams,
    pub(crate) memory: PhysicalMemory,
    /// Records of transactions that wait to be written.
    pub(crate) records: VecDeque<Record>,
    /// Page requests that wait to be taken.
    pub(crate) requests: VecDeque<PageRequest>,
    /// StreamID and group index of page requests that are queued and not answered.
    pub(crate) groups: Vec<(u32, u16)>,
    pub(crate) log: Log,
}

impl Device {
    /// Everything that distinguishes devices.
    fn state(&self) -> impl Hash + PartialEq + '_ {
        (
            (&self.config, &self.modes, &self.control, self.gerror, self.gerrorn),
            (&self.cmdq, &self.eventq, &self.priq, &self.interrupts, &self.streams),
            (&self.memory, &self.records, &self.requests, &self.groups),
        )
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |f: &mut fmt::Formatter<'_>, register: Register| {
            write!(f, "{} {:#x}, ", register.name(), self.peek(register))
        };
        for register in [
            Register::Cr0,
            Register::Cr0Ack,
            Register::IrqCtrl,
            Register::IrqCtrlAck,
            Register::Gerror,
            Register::Gerrorn,
            Register::CmdqProd,
            Register::CmdqCons,
            Register::EventqProd,
            Register::EventqCons,
            Register::PriqProd,
            Register::PriqCons,
        ] {
            hex(f, register)?;
        }
        write!(f, "may do {:?}", self.steps())
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        self.state() == other.state()
    }
}

impl Eq for Device {}

impl Hash for Device {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.state().hash(state);
    }
}

impl Device {
    /// Makes a device that has just been reset and has no memory yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut device = Self {
            config,
            modes: Modes {
                eager: true,
                ack_delay: AckDelay::Steps,
                lazy_cons: false,
                split: false,
                removed: false,
                hung: false,
                collects: false,
                write_aborts: WriteAborts::Synchronous,
                aborts_commands: false,
                corrupt_command: None,
                atc_timeout: false,
                merges: false,
                caches: true,
                strict_entries: false,
                drops_sync_msis: false,
            },
            control: Control::default(),
            gerror: 0,
            gerrorn: 0,
            cmdq: CommandQueue::default(),
            eventq: OutputQueue::default(),
            priq: OutputQueue::default(),
            interrupts: Interrupts::default(),
            streams: Streams::default(),
            memory: PhysicalMemory::new(),
            records: VecDeque::new(),
            requests: VecDeque::new(),
            groups: Vec::new(),
            log: Log::default(),
        };
        device.reset();
        device
    }

    /// Returns what kind of device it is.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the possible steps one by one.
    fn possible_steps(&self) -> impl Iterator<Item = Step> {
        let acks = self.modes.ack_delay == AckDelay::Steps && !self.modes.hung;
        let late_cons = self.is_cons_late().then_some(Step::PublishCons);
        let error = self.cmdq.error_due.then_some(Step::RaiseCommandError);
        let hidden = |output: &Output| self.output(*output).committed != 0;
        let aborted = |output: &Output| self.output(*output).abort_due;
        let steps = self
            .pending_enables()
            .map(Step::AckCr0)
            .chain(self.pending_sources().map(Step::AckIrqCtrl))
            .filter(move |_| acks)
            .chain(self.can_run_command().then_some(Step::RunCommand))
            .chain(late_cons)
            .chain(error)
            .chain((0..self.records.len()).map(Step::DeliverRecord))
            .chain((0..self.requests.len()).map(Step::DeliverPageRequest))
            .chain(Output::BOTH.into_iter().filter(hidden).map(Step::Show))
            .chain(Output::BOTH.into_iter().filter(aborted).map(Step::ReportAbort))
            .chain(self.due_wired_irqs().map(Step::SendInterrupt))
            .chain(self.due_msis().map(Step::WriteMsi));
        steps.filter(|_| !self.modes.removed)
    }

    /// Returns what the device may do next. It may do any of it, or nothing.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        self.possible_steps().collect()
    }

    /// Does one step.
    ///
    /// # Panics
    /// When it is not possible now.
    pub fn step(&mut self, step: Step) {
        assert!(self.try_step(step), "{step:?} is not among {:?}", self.steps());
    }

    /// Does one step if it is possible now, and returns whether it was.
    pub fn try_step(&mut self, step: Step) -> bool {
        let is_possible = self.possible_steps().any(|possible| possible == step);
        if is_possible {
            self.take_step(step);
        }
        is_possible
    }

    fn take_step(&mut self, step: Step) {
        match step {
            Step::AckCr0(enable) => self.ack_cr0(enable),
            Step::AckIrqCtrl(source) => self.ack_irq_ctrl(source),
            Step::RunCommand => self.run_command(),
            Step::PublishCons => self.publish_cons(),
            Step::RaiseCommandError => self.raise_command_error(),
            Step::DeliverRecord(index) => self.deliver_record(index),
            Step::DeliverPageRequest(index) => self.deliver_page_request(index),
            Step::Show(output) => self.show(output),
            Step::ReportAbort(output) => self.report_abort(output),
            Step::SendInterrupt(source) => self.pulse_wired_irq(source),
            Step::WriteMsi(source) => self.write_msi(source),
        }
    }

    /// Does steps until none is left: as fast and gentle hardware does.
    pub fn settle(&mut self) {
        while let Some(step) = self.first_step() {
            self.take_step(step);
        }
    }

    fn first_step(&self) -> Option<Step> {
        self.possible_steps().next()
    }

    pub(crate) fn settle_if_eager(&mut self) {
        if self.modes.eager {
            self.settle();
        }
    }

    /// Chooses whether the device settles around every access of a register and after every action of
    /// the test. It does by default; without it nothing happens but by [`step`](Self::step).
    pub fn set_eager(&mut self, eager: bool) {
        self.modes.eager = eager;
        self.settle_if_eager();
    }

    /// Chooses when changes of CR0 and IRQ_CTRL are acknowledged.
    pub fn set_ack_delay(&mut self, delay: AckDelay) {
        self.modes.ack_delay = delay;
    }

    /// Chooses whether CMDQ_CONS falls behind what was consumed, until a [`Step::PublishCons`].
    pub const fn set_lazy_cons(&mut self, lazy: bool) {
        self.modes.lazy_cons = lazy;
    }

    /// Chooses whether MSIs of CMD_SYNCs that are due are lost when CMDQEN goes off. By default they
    /// still come: the architecture promises neither.
    pub const fn set_dropping_sync_msis(&mut self, loses: bool) {
        self.modes.drops_sync_msis = loses;
    }

    /// Chooses whether steps are as small as a driver can distinguish them: an entry is written by one
    /// and shown by another, and a command error reaches CMDQ_CONS by one and GERROR by another.
    pub const fn set_split(&mut self, split: bool) {
        self.modes.split = split;
    }

    /// Chooses how the abort of a write to a queue shows.
    pub const fn set_write_aborts(&mut self, aborts: WriteAborts) {
        self.modes.write_aborts = aborts;
    }

    /// Chooses whether a record may vanish behind an equal one that waits, where that is allowed.
    pub const fn set_merging(&mut self, merges: bool) {
        self.modes.merges = merges;
    }

    /// Removes the device from the bus, or puts it back: while it is removed it does nothing, all
    /// registers read as ones, and writes are ignored.
    pub const fn set_removed(&mut self, removed: bool) {
        self.modes.removed = removed;
    }

    /// Makes the device hang, or ends that: while it hangs it acknowledges nothing and processes no
    /// command, as in service failure mode, which has no sign on the Realm side.
    pub const fn set_hung(&mut self, hung: bool) {
        self.modes.hung = hung;
    }

    /// Makes every fetch of a command abort, or ends that.
    pub const fn abort_command_fetches(&mut self, aborts: bool) {
        self.modes.aborts_commands = aborts;
    }

    /// Puts `words` in the place of the next command, just before it is fetched.
    pub const fn corrupt_next_command(&mut self, words: [u64; 2]) {
        self.modes.corrupt_command = Some(words);
    }

    /// Lets the next CMD_ATC_INV time out, which the next CMD_SYNC finds.
    pub const fn time_out_next_atc_inv(&mut self) {
        self.modes.atc_timeout = true;
    }

    /// Issues a command that the driver does not know of: writes it at PROD and moves PROD on.
    pub fn inject_command(&mut self, words: [u64; 2]) {
        let base = self.command_base();
        let address = base.entry(self.cmdq.prod, 16);
        for (word, value) in words.into_iter().enumerate() {
            self.store(address + 8 * word as u64, value);
        }
        self.cmdq.prod = base.shape.advance(self.cmdq.prod, 1);
        self.settle_if_eager();
    }

    /// Lets a device behind the SMMU make a transaction, and returns what came of it. A record waits
    /// for its [`Step::DeliverRecord`].
    pub fn transaction(&mut self, transaction: &Transaction) -> Outcome {
        let outcome = self.judge(transaction);
        self.settle_if_eager();
        outcome
    }

    /// Records an event that needs no transaction.
    pub fn record(&mut self, record: Record) {
        self.enqueue_record(record, false);
        self.settle_if_eager();
    }

    /// Lets a device behind the SMMU ask for a page.
    pub fn page_request(&mut self, request: PageRequest) {
        self.requests.push_back(request);
        self.settle_if_eager();
    }

    /// Makes global errors active, as far as they are not. Reserved bits are raised too, which no device
    /// does: a driver has to leave them alone.
    pub fn raise(&mut self, errors: u32) {
        self.activate(errors);
        self.settle_if_eager();
    }
}
