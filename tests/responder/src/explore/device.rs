// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the device of a run does, and when.

use smmu_model::{
    Access, Answerer, Device, Output, PageRequest, Record, Register, Response, Shape, Source, Step,
    WriteAborts,
};

use super::reference::{Reference, UndelegateOutcome};
use super::{Bounds, Choices, Host, Injection, Nonsense};
use crate::STREAM;

/// Kinds of steps of the device.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    /// It records a fault.
    fault: bool,
    /// It shows a write abort in GERROR.
    report: bool,
    /// It processes a command.
    run: bool,
}

impl Steps {
    pub const ALL: Self = Self { fault: true, report: true, run: true };
}

/// The device of a run, what is still to come of it, and the interrupts that no handler has taken.
#[derive(Debug)]
pub struct Harness {
    pub choices: Choices,
    pub reference: Reference,
    output: Output,
    shape: Shape,
    host: Host,
    answers: bool,
    /// Global errors come with faults.
    has_errors: bool,
    /// Faults that are still to come; the number of the next one.
    left: u64,
    next: u64,
    injections: Vec<Injection>,
    /// An abort that GERROR does not show yet.
    abort_due: bool,
    /// What PROD really is, while it reads as something else.
    hidden: Option<u32>,
    /// PROD reads as this from now on.
    dead: Option<Nonsense>,
    /// Interrupts of the queue and of the global errors.
    pub of_queue: bool,
    pub of_errors: bool,
}

impl Harness {
    pub fn new(bounds: &Bounds, choices: Choices) -> Self {
        Self {
            choices,
            reference: Reference::new(bounds),
            output: bounds.output,
            shape: Shape::new(bounds.log2),
            host: bounds.host,
            answers: bounds.answers,
            has_errors: bounds.host == Host::ErrorsAlone || !bounds.injections.is_empty(),
            left: bounds.faults + bounds.before,
            next: 1,
            injections: bounds.injections.clone(),
            abort_due: false,
            hidden: None,
            dead: None,
            of_queue: false,
            of_errors: false,
        }
    }

    /// What happens just before an access of the RMM.
    pub fn on_access(&mut self, device: &mut Device, access: &Access) {
        let Some(register) = access.register() else { return };
        let (prod, cons) = registers(self.output);
        self.show_prod(device);
        if register == cons && access.write.is_some() {
            self.reference.before_cons_write();
        }
        let steps = self.steps_before(register);
        self.act(device, steps);
        match (register, access.write) {
            (register, None) if register == prod => {
                self.spoil_prod(device);
                let (value, _) = device.pointers(self.output);
                self.reference.prod_is_read(value);
            }
            (register, Some(value)) if register == cons => {
                let overflowed = device.has_overflowed(self.output);
                self.reference.cons_is_written(value as u32, overflowed);
            }
            (Register::Gerror, None) => self.reference.gerror_is_read(device.active_errors()),
            (Register::Gerrorn, Some(value)) => {
                let (_, acknowledged) = device.errors();
                self.reference.errors_are_acknowledged(value as u32 ^ acknowledged);
            }
            _ => {}
        }
    }

    /// Returns which steps of the device can be reported from the same step behind an access of `register`,
    /// memory included, which the RMM touches between its accesses.
    fn steps_before(&self, register: Register) -> Steps {
        let (prod, cons) = registers(self.output);
        let of_errors = matches!(register, Register::Gerror | Register::Gerrorn);
        let is_dropping = self.reference.is_resyncing() && register == Register::Cr0Ack;
        let of_queue = register == prod || register == cons || is_dropping;
        Steps {
            fault: of_queue || of_errors && self.has_errors,
            report: of_queue || of_errors,
            run: of_errors || register == Register::CmdqCons,
        }
    }

    /// Does any number of `steps`.
    pub fn act(&mut self, device: &mut Device, steps: Steps) {
        self.show_prod(device);
        loop {
            let possible = self.possible(device, steps);
            let options = possible.into_iter().filter(|is| *is).count();
            if options == 0 {
                return;
            }
            let choice = self.choices.choose(1 + options);
            let mut steps = (0..possible.len()).filter(|step| possible[*step]);
            match choice.checked_sub(1).and_then(|choice| steps.nth(choice)) {
                None => return,
                Some(step) => self.step(device, step),
            }
        }
    }

    /// Does a step, when no other part of the run can go on. Returns false when there is none.
    pub fn go_on(&mut self, device: &mut Device) -> bool {
        self.show_prod(device);
        let step = self.possible(device, Steps::ALL).into_iter().position(|is| is);
        step.inspect(|step| self.step(device, *step)).is_some()
    }

    /// Returns which of `steps` the device can do.
    fn possible(&self, device: &Device, steps: Steps) -> [bool; 3] {
        let runs = self.answers && steps.run && device.waiting_commands() != 0;
        let runs = runs && device.steps().contains(&Step::RunCommand);
        [steps.fault && self.left > 0, steps.report && self.abort_due, runs]
    }

    fn step(&mut self, device: &mut Device, step: usize) {
        match step {
            0 => self.fault(device),
            1 => {
                self.abort_due = false;
                device.step(Step::ReportAbort(self.output));
            }
            _ => device.step(Step::RunCommand),
        }
        self.settle(device);
    }

    /// Records the next fault, or page request, and notes what becomes of it.
    pub fn fault(&mut self, device: &mut Device) {
        let number = self.next;
        (self.next, self.left) = (number + 1, self.left - 1);
        let (prod, cons) = device.pointers(self.output);
        let is_closed = self.output == Output::Pages && device.has_overflowed(self.output);
        let is_full = self.shape.used(prod, cons) >= self.shape.entries() || is_closed;
        let is_off = device.is_active(self.reference.abort_error());
        let fate = if is_off {
            UndelegateOutcome::NotRecorded
        } else if is_full {
            UndelegateOutcome::Overflowed
        } else if let Some(aborts) = self.aborts_write() {
            device.set_write_aborts(aborts);
            device.abort_next_write(self.output);
            self.abort_due |= aborts == WriteAborts::Asynchronous;
            match aborts {
                WriteAborts::Synchronous => UndelegateOutcome::NotRecorded,
                WriteAborts::Asynchronous | WriteAborts::Unreported => {
                    UndelegateOutcome::NotWritten
                }
            }
        } else {
            UndelegateOutcome::Written
        };
        self.reference.note(number, self.shape.index(prod) as usize, fate);
        match self.output {
            Output::Events => {
                device.record(Record::stage_2_write(STREAM, number << 12));
                device.step(Step::DeliverRecord(0));
            }
            Output::Pages => {
                let request = PageRequest::last_of(STREAM, number as u16, number << 12);
                device.page_request(if self.answers { request } else { request.more() });
                device.step(Step::DeliverPageRequest(0));
            }
        }
        let (after, _) = device.pointers(self.output);
        let moved = after & !(1 << 31) != prod & !(1 << 31);
        assert_eq!(
            moved,
            matches!(fate, UndelegateOutcome::Written | UndelegateOutcome::NotWritten),
            "{fate:?}"
        );
        self.settle(device);
    }

    /// Takes an injection out of those that are left.
    fn inject(&mut self, is_it: impl Fn(Injection) -> bool) -> Option<Injection> {
        let at = self.injections.iter().position(|injection| is_it(*injection))?;
        (self.choices.choose(2) == 1).then(|| self.injections.remove(at))
    }

    fn aborts_write(&mut self) -> Option<WriteAborts> {
        match self.inject(|injection| matches!(injection, Injection::WriteAbort(_)))? {
            Injection::WriteAbort(aborts) => Some(aborts),
            _ => None,
        }
    }

    /// Sends the interrupts that are due.
    fn settle(&mut self, device: &mut Device) {
        loop {
            let due = device.steps().into_iter().find(|s| matches!(s, Step::SendInterrupt(_)));
            let Some(step) = due else { break };
            device.step(step);
            let sent = device.take_interrupts();
            self.of_errors |= sent.contains(Source::Gerror);
            let (source, error) = match self.output {
                Output::Events => (Source::Eventq, 1 << 5),
                Output::Pages => (Source::Priq, 1 << 6),
            };
            if sent.contains(source) {
                let aborts = self.host == Host::ErrorsAlone
                    || self.inject(|injection| injection == Injection::MsiAbort).is_some();
                if aborts {
                    device.raise(error);
                } else {
                    self.of_queue = true;
                }
            }
        }
        self.reference.note_errors(device.active_errors());
    }

    /// Lets PROD read as what it is.
    fn show_prod(&mut self, device: &mut Device) {
        if let Some(prod) = self.hidden.take() {
            device.set_prod_raw(self.output, prod);
        }
    }

    /// Lets PROD read as something else, if it is to.
    fn spoil_prod(&mut self, device: &mut Device) {
        let nonsense = self.dead.or_else(|| {
            let can_be = |nonsense| self.reference.nonsense(nonsense, 0).is_some();
            let of_prod = |injection| match injection {
                Injection::ProdOnce(nonsense) | Injection::ProdForGood(nonsense) => {
                    can_be(nonsense)
                }
                _ => false,
            };
            // What can be depends on the run alone, so it is asked before the choice.
            let at = self.injections.iter().position(|injection| of_prod(*injection))?;
            if self.choices.choose(2) == 0 {
                return None;
            }
            match self.injections.remove(at) {
                Injection::ProdForGood(nonsense) => {
                    self.dead = Some(nonsense);
                    Some(nonsense)
                }
                Injection::ProdOnce(nonsense) => Some(nonsense),
                _ => None,
            }
        });
        let (prod, _) = device.pointers(self.output);
        if let Some(value) = nonsense.and_then(|nonsense| self.reference.nonsense(nonsense, prod)) {
            self.hidden = Some(prod);
            device.set_prod_raw(self.output, value);
        }
    }

    /// Checks that each group of page requests that was reported is answered once, in the order in which
    /// they were consumed.
    pub fn check_answers(&self, device: &mut Device) {
        if !self.answers || self.reference.has_failed() {
            return;
        }
        let answers = device.take_answers().into_iter().filter(|a| a.by == Answerer::Driver);
        let answers: Vec<_> = answers
            .map(|answer| {
                assert_eq!((answer.stream, answer.response), (STREAM, Response::InvalidRequest));
                u64::from(answer.group)
            })
            .collect();
        assert_eq!(answers, self.reference.consumed(), "answers to page requests");
        assert_eq!(device.waiting_commands(), 0, "commands that the device has not processed");
    }
}

/// Returns PROD and CONS of a queue.
pub const fn registers(output: Output) -> (Register, Register) {
    match output {
        Output::Events => (Register::EventqProd, Register::EventqCons),
        Output::Pages => (Register::PriqProd, Register::PriqCons),
    }
}
