// SPDX-License-Identifier: MIT OR Apache-2.0

//! SMMUs that other software has brought up: `psmmu::attach`, on the module itself, as no dispatcher of this
//! project has such.

use psmmu::{
    AttachError, Command, CommandError, Config, Delivery, DeviceError, Interface, LiveQueues,
    MsiConfig, NoVsmmu, Psmmu, QueueAbortPolicy, Sizes, State, StateError,
};
use psmmu_abi::{ErrorCause, Event, IrqSet, MsiMessage, Notification};
use responder_tests::{Faults, ModelMemory, ModelRegisters, PSMMU, Steps, input};
use smmu_model::{Answer, Answerer, Enable, Guard, PageRequest, Register, Response, Smmu, Source};

const EVENTS: u32 = 3;
const OTHERS: u32 = 4;
const EVENT_QUEUE: u64 = 0x9000_0000;
const COMMAND_QUEUE: u64 = 0x9001_0000;
const PRI_QUEUE: u64 = 0x9002_0000;
const STREAM_TABLE: u64 = 0x9003_0000;
const OVERFLOW: u64 = 1 << 31;
const DOORBELL: u64 = 0x8800_0040;

/// A device that runs, and the module beside it.
struct Rig {
    smmu: Smmu,
    psmmu: Psmmu<ModelRegisters, ModelMemory>,
    clock: Steps,
    queues: LiveQueues<ModelMemory>,
}

fn write(smmu: &Smmu, register: Register, value: u64) {
    let (page, offset) = (register.page(), register.offset());
    match register.bits() {
        64 => smmu.write64(page, offset, value),
        _ => smmu.write32(page, offset, value as u32),
    }
}

/// Brings a device up without the driver; the event queue stands at `pointer`, empty.
fn bring_up(smmu: &Smmu, pointer: u64) {
    for (register, value) in [
        (Register::Cr1, 0xD75),
        (Register::Cr2, 0),
        (Register::CmdqBase, COMMAND_QUEUE | u64::from(OTHERS)),
        // As if 5 commands had been run.
        (Register::CmdqProd, 5),
        (Register::CmdqCons, 5),
        (Register::EventqBase, EVENT_QUEUE | u64::from(EVENTS)),
        (Register::EventqProd, pointer),
        (Register::EventqCons, pointer),
        (Register::PriqBase, PRI_QUEUE | u64::from(OTHERS)),
        (Register::PriqProd, 3),
        (Register::PriqCons, 3),
    ] {
        write(smmu, register, value);
    }
    let mut enables = 0;
    for enable in [Enable::Cmdq, Enable::Eventq, Enable::Priq] {
        enables |= enable.bits();
        write(smmu, Register::Cr0, enables.into());
    }
}

impl Rig {
    /// Brings a device up without the driver; the event queue stands at `pointer`, empty.
    fn new(delivery: Delivery, pointer: u64) -> Self {
        Self::on(smmu_model::Config::default(), delivery, pointer)
    }

    /// As [`new`](Self::new), of a device with these features.
    fn on(features: smmu_model::Config, delivery: Delivery, pointer: u64) -> Self {
        let smmu = Smmu::new(features);
        let region = |address, words| ModelMemory(smmu.memory().region(address, words));
        let queues = LiveQueues {
            event_queue: region(EVENT_QUEUE, 4 << EVENTS),
            command_queue: Some(region(COMMAND_QUEUE, 2 << OTHERS)),
            pri_queue: Some(region(PRI_QUEUE, 2 << OTHERS)),
        };
        bring_up(&smmu, pointer);
        let config = Config {
            psmmu_ptr: PSMMU,
            interface: Interface::Realm,
            delivery,
            abort: QueueAbortPolicy::Discard,
            sizes: Sizes::DEFAULT,
        };
        let psmmu = Psmmu::new(config, ModelRegisters::new(smmu.clone()));
        Self { smmu, psmmu, clock: Steps::default(), queues }
    }

    /// Turns translation on, in which page requests are recorded, for as long as the stream table is kept.
    fn translate(&self) -> impl Sized + use<> {
        let table = self.smmu.memory().region(STREAM_TABLE, 1);
        write(&self.smmu, Register::StrtabBase, STREAM_TABLE);
        write(&self.smmu, Register::StrtabBaseCfg, 1 << 16 | 6 << 6 | 6);
        let invalidations = [Command::CFGI_ALL, Command::TLBI_NSNH_ALL, Command::TLBI_EL2_ALL];
        assert_eq!(self.psmmu.run_commands(&self.clock, &invalidations), Ok(()));
        write(&self.smmu, Register::Cr0, 0b1111);
        table
    }

    /// The same running device with another instance of the module, which knows nothing of the first one.
    fn with_second_instance(self) -> Self {
        let registers = ModelRegisters::new(self.smmu.clone());
        Self { psmmu: Psmmu::new(*self.psmmu.config(), registers), ..self }
    }

    fn wired(pointer: u64) -> Self {
        Self::new(Delivery::Wired { gerror: 111, eventq: 106, priq: 107 }, pointer)
    }

    fn device(&self) -> Guard<'_> {
        self.smmu.device()
    }

    /// The event queue alone.
    fn events_only(&self) -> LiveQueues<ModelMemory> {
        LiveQueues { pri_queue: None, command_queue: None, ..self.queues.clone() }
    }

    fn attach(&self, queues: LiveQueues<ModelMemory>) -> Result<(), AttachError> {
        self.psmmu.attach(queues, None, &self.clock)
    }

    fn notify(&self, set: IrqSet) -> Notification {
        self.psmmu.notify(set, &NoVsmmu).expect("it is active")
    }

    fn consume(&self, set: IrqSet) {
        self.psmmu.consume(set).expect("it is active");
    }

    /// Takes what a source has to say, to the end.
    fn take(&self, set: IrqSet) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let Notification { pending, event } = self.notify(set);
            if event != Event::None {
                events.push(event);
                self.consume(set);
            }
            if !pending {
                return events;
            }
        }
    }
}

fn faults(events: &[Event]) -> Vec<Result<u64, Event>> {
    events.iter().map(input).collect()
}

#[test]
fn it_goes_on_where_the_event_queue_stands() {
    // At the start, in the middle, about to wrap, behind an overflow.
    for pointer in [0, 5, 7, 15, 8 | OVERFLOW] {
        let rig = Rig::wired(pointer);
        for address in [0x1000, 0x2000, 0x3000] {
            rig.device().fault(address);
        }
        assert_eq!(rig.attach(rig.events_only()), Ok(()));
        let reported = faults(&rig.take(IrqSet::EVENTQ));
        assert_eq!(reported, [Ok(0x1000), Ok(0x2000), Ok(0x3000)], "{pointer:#x}");
        // From then on a record interrupts.
        assert!(rig.device().take_interrupts().is_empty());
        rig.device().fault(0x4000);
        assert!(rig.device().take_interrupts().contains(Source::Eventq));
        assert_eq!(faults(&rig.take(IrqSet::EVENTQ)), [Ok(0x4000)]);
    }
}

#[test]
fn a_loss_and_errors_of_the_past_are_reported() {
    let rig = Rig::wired(6);
    for address in 1..=10 {
        rig.device().fault(address << 12);
    }
    // PRIQ_ABT_ERR, MSI_GERROR_ABT_ERR.
    rig.device().raise(1 << 3 | 1 << 7);
    assert_eq!(rig.attach(rig.events_only()), Ok(()));
    let mut expected: Vec<_> = (1..=8).map(|address| Ok(address << 12)).collect();
    expected.push(Err(Event::Error(ErrorCause::EVENTQ_OVERFLOW)));
    assert_eq!(faults(&rig.take(IrqSet::EVENTQ)), expected);
    let errors = ErrorCause::PRIQ_ABT_ERR | ErrorCause::MSI_GERROR_ABT_ERR;
    assert_eq!(rig.take(IrqSet::GERROR), [Event::Error(errors)]);
    assert_eq!(rig.take(IrqSet::GERROR), []);
}

#[test]
fn errors_acknowledged_before_attach_are_not_reported_again() {
    let rig = Rig::wired(0);
    // PRIQ_ABT_ERR, which the embedder has acknowledged, twice.
    let both = [Register::Gerror, Register::Gerrorn];
    for _ in 0..2 {
        for error in [3, 7] {
            rig.device().raise(1 << error);
            let gerror = rig.device().peek(Register::Gerror);
            write(&rig.smmu, Register::Gerrorn, gerror);
            assert_eq!(rig.attach(rig.events_only()), Ok(()));
            assert_eq!(rig.take(IrqSet::GERROR), [], "{error}");
            rig.device().raise(1 << 7);
            let reported = [Event::Error(ErrorCause::MSI_GERROR_ABT_ERR)];
            assert_eq!(rig.take(IrqSet::GERROR), reported, "{error}");
            let [gerror, gerrorn] = both.map(|register| rig.device().peek(register));
            assert_eq!(gerror, gerrorn);
            assert_eq!(rig.psmmu.detach(&rig.clock), Ok(()));
        }
    }
}

#[test]
fn a_device_without_msis_is_attached_wired_and_refuses_msis() {
    let features = smmu_model::Config::default().without_msi();
    let rig = Rig::on(features.clone(), Delivery::Msi, 0);
    let msi = MsiMessage { address: DOORBELL, data: 1 };
    let msis = MsiConfig { gerror: msi, eventq: msi, priq: msi };
    let refused = rig.psmmu.attach(rig.events_only(), Some(msis), &rig.clock);
    assert_eq!(refused, Err(AttachError::Msi));
    let wired = Rig::on(features, Delivery::Wired { gerror: 111, eventq: 106, priq: 107 }, 0);
    assert_eq!(wired.attach(wired.queues.clone()), Ok(()));
    wired.device().fault(0x1000);
    assert_eq!(faults(&wired.take(IrqSet::EVENTQ)), [Ok(0x1000)]);
}

#[test]
fn a_pri_queue_comes_with_the_command_queue_and_is_answered() {
    let rig = Rig::wired(0);
    let without = LiveQueues { command_queue: None, ..rig.queues.clone() };
    assert_eq!(rig.attach(without), Err(AttachError::PageRequests));
    assert_eq!(rig.attach(rig.queues.clone()), Ok(()));
    assert_eq!(rig.device().irq_ctrlack(), 0b111);

    assert_eq!(rig.take(IrqSet::PRIQ), []);
    let _table = rig.translate();
    rig.device().page_request(PageRequest::last_of(8, 1, 0x7000));
    assert!(rig.device().take_interrupts().contains(Source::Priq));
    assert_eq!(rig.take(IrqSet::PRIQ).len(), 1);
    let answer = Answer {
        by: Answerer::Driver,
        stream: 8,
        substream: None,
        group: 1,
        response: Response::InvalidRequest,
    };
    assert_eq!(rig.device().take_answers(), [answer]);
}

#[test]
fn requests_staged_at_detachment_are_denied() {
    let rig = Rig::wired(0);
    assert_eq!(rig.attach(rig.queues.clone()), Ok(()));
    let _table = rig.translate();
    for group in 1..=3 {
        rig.device().page_request(PageRequest::last_of(8, group, 0x7000));
    }
    assert_ne!(rig.notify(IrqSet::PRIQ), Notification::NONE);
    // This one waits in the device's queue for who serves that next.
    rig.device().page_request(PageRequest::last_of(8, 4, 0x7000));
    assert_eq!(rig.psmmu.detach(&rig.clock), Ok(()));
    let groups: Vec<_> = rig.device().take_answers().iter().map(|answer| answer.group).collect();
    assert_eq!(groups, [1, 2, 3]);
    assert_eq!(rig.device().unanswered_groups(), [(8, 4)]);
    let counters = rig.psmmu.counters();
    assert_eq!((counters.pri_resp_sent(), counters.pri_resp_dropped.get()), (3, 0));
    assert_eq!(counters.page_requests.dropped.get(), 3);
}

#[test]
fn a_command_queue_that_is_given_is_used_from_where_it_stands() {
    let rig = Rig::wired(0);
    let inactive = StateError::Wrong(State::Inactive);
    assert_eq!(rig.psmmu.run_commands(&rig.clock, &[]), Err(inactive.into()));
    assert_eq!(rig.attach(LiveQueues { pri_queue: None, ..rig.queues.clone() }), Ok(()));
    let run = |commands: &[Command]| rig.psmmu.run_commands(&rig.clock, commands);
    // Three times around.
    for _ in 0..24 {
        assert_eq!(run(&[Command::CFGI_ALL]), Ok(()));
    }
    // SAFETY: the device is a model.
    let illegal = unsafe { Command::new([0, 0]) };
    assert_eq!(run(&[illegal]), Err(DeviceError::CommandRejected.into()));
    assert_eq!(run(&[Command::CFGI_ALL; 4]), Err(CommandError::TooMany));
    assert_eq!(rig.take(IrqSet::GERROR), [Event::Error(ErrorCause::CMDQ_ERR)]);
    assert_eq!(run(&[Command::CFGI_ALL]), Ok(()));
    assert!(!rig.psmmu.command_repaired(), "it is not the embedder's");
}

#[test]
fn without_a_command_queue_the_embedders_commands_do_not_run() {
    let rig = Rig::wired(0);
    let queues = LiveQueues { pri_queue: None, command_queue: None, ..rig.queues.clone() };
    assert_eq!(rig.attach(queues), Ok(()));
    let run = rig.psmmu.run_commands(&rig.clock, &[Command::CFGI_ALL]);
    assert_eq!(run, Err(DeviceError::NoCommandQueue.into()));
    let tlbi = rig.psmmu.tlbi_s12_vmall(1, &rig.clock);
    assert_eq!(tlbi, Err(DeviceError::NoCommandQueue.into()));
    let table = rig.psmmu.st_l2_create_begin(0).err();
    assert_eq!(table, Some(StateError::Attached.into()));
}

#[test]
fn a_full_command_queue_in_error_is_repaired_once_attached() {
    let rig = Rig::wired(0);
    // The rest of the queue stands behind a command that the device refuses.
    rig.device().inject_command([0, 0]);
    for _ in 1..1 << OTHERS {
        rig.device().inject_command(Command::SYNC.words());
    }
    assert!(rig.device().is_active(1 << 0));
    assert_eq!(rig.device().waiting_commands(), 1 << OTHERS);
    assert_eq!(rig.attach(rig.queues.clone()), Ok(()));
    assert_eq!(rig.psmmu.run_commands(&rig.clock, &[Command::CFGI_ALL]), Ok(()));
    assert_eq!(rig.take(IrqSet::GERROR), [Event::Error(ErrorCause::CMDQ_ERR)]);
}

/// Replaces the command that failed by a CMD_SYNC, as an embedder does that keeps its command queue.
fn repair(rig: &Rig) {
    let queue = rig.queues.command_queue.as_ref().expect("the rig has one");
    let cons = rig.smmu.read32(Register::CmdqCons.page(), Register::CmdqCons.offset());
    queue.0.store(2 * (cons as usize & ((1 << OTHERS) - 1)), 0x46);
    rig.smmu.write_barrier();
}

/// Returns whether a command error is active.
fn active(rig: &Rig) -> bool {
    let device = rig.device();
    (device.peek(Register::Gerror) ^ device.peek(Register::Gerrorn)) & 1 != 0
}

/// Acknowledges a command error by writing GERRORN, behind the module's back.
fn acknowledge(rig: &Rig) {
    let (page, offset) = (Register::Gerrorn.page(), Register::Gerrorn.offset());
    rig.smmu.write32(page, offset, rig.smmu.read32(page, offset) ^ 1);
}

#[test]
fn an_error_that_the_embedder_acknowledges_is_reported_once() {
    let errors = [Event::Error(ErrorCause::CMDQ_ERR)];
    let rig = Rig::wired(0);
    assert_eq!(rig.attach(rig.events_only()), Ok(()));
    let mut count = 0;
    // Before the host asks; when the error was reported; when it was consumed. Each for both values of the bit.
    for (reported, consumed) in [(false, false), (true, false), (true, true)] {
        for _ in 0..2 {
            rig.device().inject_command([0, 0]);
            if reported {
                assert_eq!(rig.notify(IrqSet::GERROR).event, errors[0]);
            }
            if consumed {
                assert_eq!(rig.take(IrqSet::GERROR), errors);
            }
            repair(&rig);
            acknowledge(&rig);
            assert!(
                !active(&rig) && !rig.psmmu.command_repaired(),
                "nothing is left to acknowledge"
            );
            let expected: &[Event] = if consumed { &[] } else { &errors };
            assert_eq!(rig.take(IrqSet::GERROR), expected, "{reported} {consumed}");
            count += 1;
            assert_eq!(rig.psmmu.counters().errors(ErrorCause::CMDQ_ERR), count);
        }
    }
}

#[test]
fn acknowledging_leaves_what_the_embedder_has_acknowledged() {
    let rig = Rig::wired(0);
    assert_eq!(rig.attach(rig.events_only()), Ok(()));
    rig.device().raise(1 << 7);
    let reported = rig.notify(IrqSet::GERROR).event;
    assert_eq!(reported, Event::Error(ErrorCause::MSI_GERROR_ABT_ERR));
    // Between the two calls of the host. GERRORN is written next by the module.
    rig.device().inject_command([0, 0]);
    repair(&rig);
    acknowledge(&rig);
    rig.consume(IrqSet::GERROR);
    assert!(!active(&rig));
    assert_eq!(rig.take(IrqSet::GERROR), [Event::Error(ErrorCause::CMDQ_ERR)]);
    // One that follows upon an acknowledged one is active all the same.
    rig.device().inject_command([0, 0]);
    repair(&rig);
    acknowledge(&rig);
    rig.device().inject_command([0, 0]);
    assert_eq!(rig.take(IrqSet::GERROR), [Event::Error(ErrorCause::CMDQ_ERR)]);
    repair(&rig);
    assert!(rig.psmmu.command_repaired() && !active(&rig));
    assert_eq!(rig.take(IrqSet::GERROR), []);
}

#[test]
fn an_adopted_cmdq_error_is_reported_once_and_then_repaired() {
    let errors = [Event::Error(ErrorCause::CMDQ_ERR)];

    // The host asks first.
    let rig = Rig::wired(0);
    assert_eq!(rig.attach(rig.events_only()), Ok(()));
    rig.device().inject_command([0, 0]);
    assert!(rig.device().take_interrupts().contains(Source::Gerror));
    assert_eq!(rig.take(IrqSet::GERROR), errors);
    assert!(active(&rig), "CONSUME has no right to acknowledge it");
    assert_eq!(rig.take(IrqSet::GERROR), []);
    // Another error meanwhile is reported by itself, and acknowledged.
    rig.device().raise(1 << 7);
    assert_eq!(rig.take(IrqSet::GERROR), [Event::Error(ErrorCause::MSI_GERROR_ABT_ERR)]);
    repair(&rig);
    assert!(rig.psmmu.command_repaired() && !active(&rig));
    assert!(!rig.psmmu.command_repaired());
    assert_eq!(rig.take(IrqSet::GERROR), []);

    // The next one is a new one, and here the embedder is faster: before the host asks, or between.
    for reported_before in [false, true] {
        rig.device().inject_command([0, 0]);
        if reported_before {
            assert_eq!(rig.notify(IrqSet::GERROR).event, errors[0]);
        }
        repair(&rig);
        assert!(rig.psmmu.command_repaired() && !active(&rig));
        assert_eq!(rig.take(IrqSet::GERROR), errors);
        assert_eq!(rig.take(IrqSet::GERROR), []);
    }
    assert_eq!(rig.psmmu.counters().errors(ErrorCause::CMDQ_ERR), 3);
}

#[test]
fn msis_go_where_they_are_wanted() {
    let rig = Rig::new(Delivery::Msi, 0);
    rig.device().add_doorbell(DOORBELL, true);
    let msi = |data| MsiMessage { address: DOORBELL, data };
    let msis =
        MsiConfig { gerror: msi(1), eventq: msi(2), priq: MsiMessage { address: 0, data: 0 } };
    let bad = MsiConfig { eventq: MsiMessage { address: DOORBELL + 1, data: 2 }, ..msis };
    let attach = |msis| rig.psmmu.attach(rig.events_only(), Some(msis), &rig.clock);
    assert_eq!(attach(bad), Err(AttachError::Msi));
    assert_eq!(attach(msis), Ok(()));
    rig.device().fault(0x1000);
    let sent = rig.device().take_msis();
    assert_eq!(sent.iter().map(|msi| msi.data).collect::<Vec<_>>(), [2]);

    let wired = Rig::wired(0);
    let refused = wired.psmmu.attach(wired.events_only(), Some(msis), &wired.clock);
    assert_eq!(refused, Err(AttachError::Msi));
}

#[test]
fn what_is_not_so_is_refused_and_changes_nothing() {
    let rig = Rig::wired(0);
    let other = |address| ModelMemory(rig.smmu.memory().region(address, 4 << (EVENTS + 1)));
    let elsewhere = LiveQueues { event_queue: other(0x9100_0000), ..rig.events_only() };
    assert_eq!(rig.attach(elsewhere), Err(AttachError::Memory));
    let commands = rig.queues.command_queue.clone().expect("the rig has one");
    let short = LiveQueues { event_queue: commands, ..rig.events_only() };
    assert_eq!(rig.attach(short), Err(AttachError::Memory));

    write(&rig.smmu, Register::Cr0, (Enable::Eventq.bits() | Enable::Cmdq.bits()).into());
    assert_eq!(rig.attach(rig.queues.clone()), Err(AttachError::NotEnabled));
    assert_eq!(rig.psmmu.state(), State::Inactive);
    assert_eq!(rig.device().irq_ctrlack(), 0);
    assert_eq!(rig.attach(rig.events_only()), Ok(()));
    assert_eq!(rig.attach(rig.events_only()), Err(StateError::Wrong(State::Active).into()));
}

#[test]
fn a_device_that_does_not_answer_is_not_attached() {
    let rig = Rig::wired(0);
    rig.device().set_hung(true);
    // Its interrupts are off already, and then do not come on.
    assert_eq!(rig.attach(rig.events_only()), Err(DeviceError::TimedOut.into()));
    assert_eq!(rig.psmmu.state(), State::Failed);
    assert_eq!(rig.psmmu.detach(&rig.clock), Err(DeviceError::TimedOut.into()));
    rig.device().set_hung(false);
    rig.device().settle();
    assert_eq!(rig.psmmu.detach(&rig.clock), Ok(()));
    assert_eq!(rig.attach(rig.events_only()), Ok(()));
}

#[test]
fn detach_counts_staged_records_and_leaves_queued_ones() {
    let rig = Rig::wired(0);
    assert_eq!(rig.psmmu.detach(&rig.clock), Err(StateError::Wrong(State::Inactive).into()));
    assert_eq!(rig.attach(rig.events_only()), Ok(()));
    rig.device().fault(0x1000);
    rig.device().fault(0x2000);
    assert_eq!(input(&rig.notify(IrqSet::EVENTQ).event), Ok(0x1000));
    rig.device().fault(0x3000);
    assert_eq!(rig.psmmu.detach(&rig.clock), Ok(()));
    assert_eq!(rig.psmmu.counters().events.dropped.get(), 2);
    assert_eq!(rig.device().irq_ctrlack(), 0);
    assert!(rig.psmmu.notify(IrqSet::EVENTQ, &NoVsmmu).is_err());
    assert_eq!(rig.attach(rig.events_only()), Ok(()));
    assert_eq!(faults(&rig.take(IrqSet::EVENTQ)), [Ok(0x3000)]);
}

#[test]
fn a_queue_detached_before_suspend_is_attached_on_resume() {
    let rig = Rig::wired(0);
    assert_eq!(rig.attach(rig.queues.clone()), Ok(()));
    rig.device().fault(0x1000);
    assert_eq!(faults(&rig.take(IrqSet::EVENTQ)), [Ok(0x1000)]);
    rig.device().fault(0x2000);
    assert_eq!(rig.psmmu.detach(&rig.clock), Ok(()));
    // The embedder takes or drops what is left, and powers the device off and on again.
    rig.device().reset();
    [EVENT_QUEUE, PRI_QUEUE].into_iter().for_each(|queue| rig.device().fill(queue, 0));
    bring_up(&rig.smmu, 0);
    assert_eq!(rig.attach(rig.queues.clone()), Ok(()));
    assert_eq!(rig.take(IrqSet::all()), [], "nothing of before is made up");
    rig.device().fault(0x3000);
    assert!(rig.device().take_interrupts().contains(Source::Eventq));
    assert_eq!(faults(&rig.take(IrqSet::EVENTQ)), [Ok(0x3000)]);
}

#[test]
fn a_suspend_under_an_attached_queue_is_found_and_detached() {
    let rig = Rig::wired(0);
    assert_eq!(rig.attach(rig.queues.clone()), Ok(()));
    rig.device().reset();
    let notification = rig.notify(IrqSet::EVENTQ);
    assert_eq!(notification.event, Event::Error(ErrorCause::EVENTQ_ABT_ERR));
    rig.consume(IrqSet::EVENTQ);
    assert_eq!(rig.psmmu.state(), State::Failed);
    assert_eq!(rig.psmmu.detach(&rig.clock), Ok(()));
    [EVENT_QUEUE, PRI_QUEUE].into_iter().for_each(|queue| rig.device().fill(queue, 0));
    bring_up(&rig.smmu, 0);
    assert_eq!(rig.attach(rig.queues.clone()), Ok(()));
    rig.device().fault(0x1000);
    assert_eq!(faults(&rig.take(IrqSet::EVENTQ)), [Ok(0x1000)]);
}

/// Live activation: an RMM is replaced while its SMMUs run.
#[test]
fn a_second_instance_goes_on_where_the_first_detached() {
    // Records before the change of which the host takes some, and between the two instances: within the queue
    // of 8, and beyond it. The others wait in the queue, or are staged and one of them is reported.
    let cases = [
        (0, 0, 0),
        (5, 5, 3),
        (5, 2, 3),
        (8, 0, 0),
        (8, 0, 8),
        (3, 1, 9),
        (12, 4, 2),
        (12, 12, 12),
    ];
    for ((before, taken, between), stages) in
        cases.into_iter().flat_map(|it| [(it, false), (it, true)])
    {
        let what = format!("{before} before, {taken} taken, {between} between, staged: {stages}");
        let rig = Rig::wired(5);
        assert_eq!(rig.attach(rig.events_only()), Ok(()), "{what}");
        let (mut recorded, mut reported) = (0, Vec::new());
        let mut fault = |rig: &Rig| {
            recorded += 1;
            rig.device().fault(recorded << 12);
        };
        let take_one = |rig: &Rig, reported: &mut Vec<u64>| {
            let event = rig.notify(IrqSet::EVENTQ).event;
            rig.consume(IrqSet::EVENTQ);
            reported.extend(input(&event));
        };
        // The host keeps up with all but the last 8.
        for number in 0..before {
            fault(&rig);
            if number < taken {
                take_one(&rig, &mut reported);
            }
        }
        if stages {
            rig.notify(IrqSet::EVENTQ);
        }
        // An error that the host has not consumed.
        rig.device().raise(1 << 7);
        assert_eq!(rig.psmmu.detach(&rig.clock), Ok(()), "{what}");
        let dropped = rig.psmmu.counters().events.dropped.get();
        assert_eq!(dropped, if stages { before - taken } else { 0 }, "{what}");
        let rig = rig.with_second_instance();
        for _ in 0..between {
            fault(&rig);
        }
        assert_eq!(rig.attach(rig.events_only()), Ok(()), "{what}");
        assert_eq!(rig.psmmu.counters().events.dropped.get(), 0, "{what}");
        let rest = faults(&rig.take(IrqSet::EVENTQ));
        assert_eq!(
            rig.take(IrqSet::GERROR),
            [Event::Error(ErrorCause::MSI_GERROR_ABT_ERR)],
            "{what}"
        );
        let lost = rest.iter().filter(|event| event.is_err()).count();
        let rest: Vec<u64> = rest.into_iter().flatten().collect();
        // In order, none twice; those that the first instance had staged are counted.
        let next = (reported.len() as u64).saturating_add(dropped);
        let expected: Vec<u64> = (1..=rest.len() as u64).map(|at| (next + at) << 12).collect();
        assert_eq!(rest, expected, "{what}: {dropped} dropped");
        // What found no room in the queue is a loss that is reported.
        let missing = recorded - next - rest.len() as u64;
        assert_eq!(lost, usize::from(missing != 0), "{what}: {missing} missing");
        // And it goes on.
        assert!(!rig.device().take_interrupts().contains(Source::Priq));
        rig.device().fault(0x99_0000);
        assert!(rig.device().take_interrupts().contains(Source::Eventq), "{what}");
        assert_eq!(faults(&rig.take(IrqSet::EVENTQ)), [Ok(0x99_0000)], "{what}");
    }
}

#[test]
fn a_second_instance_answers_what_the_first_has_not() {
    let rig = Rig::wired(0);
    assert_eq!(rig.attach(rig.queues.clone()), Ok(()));
    let _table = rig.translate();
    let request =
        |rig: &Rig, group| rig.device().page_request(PageRequest::last_of(8, group, 0x7000));
    [1, 2].into_iter().for_each(|group| request(&rig, group));
    assert_ne!(rig.notify(IrqSet::PRIQ), Notification::NONE);
    rig.consume(IrqSet::PRIQ);
    request(&rig, 3);
    assert_eq!(rig.psmmu.detach(&rig.clock), Ok(()));
    let rig = rig.with_second_instance();
    request(&rig, 4);
    assert_eq!(rig.attach(rig.queues.clone()), Ok(()));
    assert_eq!(rig.take(IrqSet::PRIQ).len(), 2);
    let groups: Vec<_> = rig.device().take_answers().iter().map(|answer| answer.group).collect();
    assert_eq!(groups, [1, 2, 3, 4]);
    assert_eq!(rig.device().unanswered_groups(), []);
}
