// SPDX-License-Identifier: MIT OR Apache-2.0

//! The word that the MSI of a CMD_SYNC is written to: whose memory it is, and which SYNC an MSI is of.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use psmmu::{
    ActivateParams, Config, DeactivateError, Delivery, DeviceMemory, Interface, Memory, Psmmu,
    QueueAbortPolicy, Sizes, State,
};
use psmmu_abi::Status;
use responder_tests::{Machine, ModelMemory, ModelRegisters, Options, PSMMU, Steps};
use smmu_model::{Guard, Register, Smmu, Source, Step};

const STREAM_TABLE: u64 = 0x9000_0000;
const COMMAND_QUEUE: u64 = 0x9001_0000;
const EVENT_QUEUE: u64 = 0x9002_0000;
const COMPLETION: u64 = 0x9003_0000;

const MSI: Step = Step::WriteMsi(Source::CmdSync);

/// Has the device do all of its steps before each access but those that `holds` says of.
fn hold(mut device: Guard<'_>, holds: impl Fn(Step) -> bool + Send + 'static) {
    device.set_eager(false);
    device.on_access(move |device, _| {
        while let Some(step) = device.steps().into_iter().find(|step| !holds(*step)) {
            device.step(step);
        }
    });
}

/// A device and the module, without an RMM: that of this project has its words for good.
struct Rig {
    smmu: Smmu,
    psmmu: Psmmu<ModelRegisters, ModelMemory>,
    clock: Steps,
}

impl Rig {
    fn new(device: smmu_model::Config) -> Self {
        let smmu = Smmu::new(device);
        let config = Config {
            psmmu_ptr: PSMMU,
            interface: Interface::Realm,
            delivery: Delivery::Disabled,
            abort: QueueAbortPolicy::Discard,
            sizes: Sizes { streams: 8, commands: 4, events: 4, requests: 4 },
        };
        let psmmu = Psmmu::new(config, ModelRegisters::new(smmu.clone()));
        Self { smmu, psmmu, clock: Steps::default() }
    }

    fn memory(&self) -> Memory<ModelMemory> {
        let region = |address, words| ModelMemory(self.smmu.memory().region(address, words));
        Memory {
            stream_table: region(STREAM_TABLE, 4),
            command_queue: region(COMMAND_QUEUE, 2 << 4),
            event_queue: region(EVENT_QUEUE, 4 << 4),
            pri_queue: None,
            completion: Some(region(COMPLETION, 1)),
        }
    }

    fn activate(&self) {
        let activation =
            self.psmmu.activate_begin(ActivateParams::default()).expect("it is inactive");
        self.psmmu.activate(activation, self.memory(), &self.clock).expect("a fresh device");
    }

    /// Deactivates and gives all memory that comes back away.
    fn deactivate(&self) -> Result<Option<u64>, DeactivateError> {
        let memory = self.psmmu.deactivate(&self.clock)?.expect("it was activated");
        let Memory { stream_table, command_queue, event_queue, completion, .. } = memory;
        for memory in [stream_table, command_queue, event_queue] {
            self.smmu.memory().take_back(memory.address());
        }
        let completion = completion.map(|memory| memory.address());
        if let Some(address) = completion {
            self.smmu.memory().take_back(address);
        }
        self.psmmu.finish_deactivation();
        Ok(completion)
    }
}

#[test]
fn a_completion_word_comes_back_once_no_msi_is_under_way() {
    for held in [false, true] {
        let rig = Rig::new(smmu_model::Config::default());
        hold(rig.smmu.device(), move |step| held && step == MSI);
        for _ in 0..3 {
            rig.activate();
            // The model fails the test if an MSI has yet to be written there.
            assert_eq!(rig.deactivate(), Ok(Some(COMPLETION)));
        }
    }
}

#[test]
fn a_completion_word_comes_back_where_there_are_no_msis() {
    let rig = Rig::new(smmu_model::Config::default().without_msi());
    rig.activate();
    assert_eq!(rig.deactivate(), Ok(Some(COMPLETION)));
}

#[test]
fn an_unused_completion_word_comes_back_from_activation() {
    let rig = Rig::new(smmu_model::Config::default());
    hold(rig.smmu.device(), |step| step == MSI);
    rig.smmu.device().corrupt_next_command([0xFF, 0]);
    let activation = rig.psmmu.activate_begin(ActivateParams::default()).expect("it is inactive");
    let failure = rig.psmmu.activate(activation, rig.memory(), &rig.clock);
    let memory = failure.expect_err("a command was refused").memory.expect("the device is off");
    let completion = memory.completion.expect("it was given");
    rig.smmu.memory().take_back(completion.address());
}

#[test]
fn a_completion_word_stays_while_its_msi_may_still_come() {
    for late in [false, true] {
        let rig = Rig::new(smmu_model::Config::default());
        rig.smmu.device().set_eager(true);
        rig.activate();
        // The MSI of the next SYNC is under way when the device processes no more commands.
        hold(rig.smmu.device(), |step| step == MSI);
        rig.psmmu.run_commands(&rig.clock, &[]).expect("CONS has passed the SYNC");
        rig.smmu.device().abort_command_fetches(true);
        rig.psmmu.run_commands(&rig.clock, &[]).expect_err("it cannot be fetched");
        assert_eq!(rig.psmmu.state(), State::Failed);
        if late {
            rig.smmu.device().step(MSI);
        }
        assert_eq!(rig.deactivate(), Ok(None), "of the last SYNC nothing is known");
        rig.smmu.device().settle();
    }
}

#[test]
fn a_late_msi_of_an_earlier_activation_completes_nothing() {
    let machine = Machine::started(Options { msis: true, ..Options::default() });
    let holds_commands = Arc::new(AtomicBool::new(false));
    let commands = Arc::clone(&holds_commands);
    // First all but the MSIs, then all but the commands.
    hold(machine.device(), move |step| {
        step == if commands.load(Ordering::Relaxed) { Step::RunCommand } else { MSI }
    });
    machine.write_params(machine.flags(), &[]);
    assert_eq!(machine.activate(), Ok(()));
    // It fails with the MSI of its first SYNC under way, and is off.
    machine.device().abort_command_fetches(true);
    assert_eq!(machine.st_l2_create(64), Err(Status::ErrorDevice));
    assert_eq!(machine.state(), State::Failed);
    machine.device().abort_command_fetches(false);
    assert_eq!(machine.deactivate(), Ok(()));
    assert!(machine.device().steps().contains(&MSI), "it is still under way");

    let switch = Arc::clone(&holds_commands);
    machine.device().before_write(Register::CmdqProd, |_| ());
    machine.device().before_write(Register::CmdqProd, move |_| {
        switch.store(true, Ordering::Relaxed);
    });
    assert_eq!(machine.activate(), Err(Status::ErrorDevice), "no command has run");
    assert_eq!(machine.state(), State::Failed);
}
