// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that the device cannot address, or not as it was asked for: it would use other memory in its
//! place, which the host could choose.

use psmmu::{
    ActivateError, ActivateParams, Activation, AttachError, LiveQueues, Memory, NotActivated,
    Psmmu, State,
};
use responder_tests::raw::{ONE_GRANULE, entry, fid, granules_of, range, x0};
use responder_tests::{
    Faults, HOST_PAGE, Machine, ModelMemory, ModelRegisters, Options, PSMMU, RAW_LIST, Ram, Steps,
    inputs,
};
use smmu_model::{Config, Register, Smmu};

use crate::rig::{activate, create, destroy, run_cycle};

/// Memory of the host above the addresses of a device with 32 bits of them. What lies 32 GiB and 2 GiB
/// below is memory, too.
const HIGH: u64 = 0x8_8000_0000;

fn of_32_bits() -> Machine {
    let options = Options { pri_queue: Some(4), ..Options::default() };
    let device = Config::default().with_address_bits(32);
    let machine = Machine::with_device(options, device).with_active_rmm();
    machine.write_params(machine.flags(), &[]);
    machine
}

/// Donates what `request` asks for from [`HIGH`] on, and returns X0 to X2.
fn give_high(machine: &Machine, handle: u64, request: u64) -> [u64; 3] {
    let granules = granules_of(request);
    for granule in Ram::granules(HIGH, granules * 0x1000) {
        assert_eq!(machine.delegate(granule), x0::SUCCESS);
    }
    machine.donate(handle, &[entry(HIGH, granules)])
}

/// Reclaims all that an operation gives back, and takes it home. Returns the number of granules.
fn reclaim(machine: &Machine, handle: u64) -> u64 {
    let mut reclaimed = 0;
    loop {
        let [x0, entries, ..] = machine.ask(fid::OP_MEM_RECLAIM, [handle, RAW_LIST, 1]);
        assert_eq!(entries, 1, "X0 {x0:#x}");
        let (address, granules) = range(machine.host.word(RAW_LIST, 0));
        reclaimed += granules;
        if address < HIGH {
            machine.free(address, granules);
        } else {
            for granule in Ram::granules(address, granules * 0x1000) {
                assert_eq!(machine.undelegate(granule), x0::SUCCESS);
                assert_eq!(machine.host.page(granule), [0; 512], "{granule:#x} comes back unwiped");
            }
        }
        if x0 != x0::RECLAIM {
            assert_eq!(x0, x0::CONTINUE);
            return reclaimed;
        }
    }
}

/// Ends an operation with the error that its high memory makes, all of which comes back.
fn is_refused(machine: &Machine, handle: u64, granules: u64) {
    let mut answer = machine.proceed(handle).0;
    let reclaimed = if answer == x0::RECLAIM { reclaim(machine, handle) } else { 0 };
    if answer == x0::RECLAIM {
        answer = machine.proceed(handle).0;
    }
    assert_eq!((answer, reclaimed), (x0::INPUT, granules));
}

#[test]
fn a_donation_that_the_device_cannot_address_is_refused() {
    for high in 0..4 {
        let machine = of_32_bits();
        let (handle, mut request) = machine.begin_activate();
        let mut granules = 0;
        for place in 0..4 {
            granules += granules_of(request);
            let next = if place == high {
                let [x0, taken, next] = give_high(&machine, handle, request);
                assert_eq!(taken, granules_of(request), "X0 {x0:#x}");
                next
            } else {
                machine.give(handle, request).1
            };
            request = next;
        }
        is_refused(&machine, handle, granules);
        machine.check_quiesced();
        assert_eq!(machine.device().accesses().1, 0, "the device never got the address");
        run_cycle(&machine);
    }
}

#[test]
fn a_level_2_table_that_the_device_cannot_address_is_refused() {
    let machine = of_32_bits();
    assert_eq!(activate(&machine), x0::SUCCESS);
    let _ = machine.device().take_commands();
    let (handle, request) = machine.begin_create(64);
    assert_eq!(request, ONE_GRANULE);
    let [_, taken, _] = give_high(&machine, handle, request);
    assert_eq!(taken, 1);
    is_refused(&machine, handle, 1);
    assert_eq!(machine.device().take_commands(), [], "nothing was linked");
    assert_eq!(machine.status(fid::ST_L2_DESTROY, [PSMMU, 64, 0]), x0::INPUT);
    assert_eq!(create(&machine, 64), x0::SUCCESS);
    assert_eq!(destroy(&machine, 64), x0::SUCCESS);
}

#[test]
fn an_msi_that_the_device_cannot_address_is_refused() {
    use psmmu::Delivery;
    use psmmu_abi::{MsiMessage, PsmmuParamsFlags};

    let options = Options { delivery: Delivery::Msi, ..Options::default() };
    let device = Config::default().with_address_bits(32);
    let machine = Machine::with_device(options, device).with_active_rmm();
    let (low, high) = (0x0808_0040, 1 << 32 | 0x0808_0040);
    for place in 0..2 {
        let mut msis = [MsiMessage { address: low, data: 1 }; 2];
        msis[place].address = high;
        machine.write_params(PsmmuParamsFlags::MSI, &msis);
        let status = machine.status(fid::PSMMU_ACTIVATE, [PSMMU, HOST_PAGE, 0]);
        assert_eq!((status, machine.state()), (x0::INPUT, State::Inactive));
    }
}

/// The module itself, for embedders whose memory is not in granules.
struct Rig {
    smmu: Smmu,
    psmmu: Psmmu<ModelRegisters, ModelMemory>,
    clock: Steps,
}

impl Rig {
    fn new(device: Config) -> Self {
        let smmu = Smmu::new(device);
        let config = psmmu::Config {
            psmmu_ptr: PSMMU,
            interface: psmmu::Interface::Realm,
            delivery: psmmu::Delivery::Disabled,
            abort: psmmu::QueueAbortPolicy::Discard,
            sizes: psmmu::Sizes { streams: 8, commands: 4, events: 4, requests: 4 },
        };
        let psmmu = Psmmu::new(config, ModelRegisters::new(smmu.clone()));
        Self { smmu, psmmu, clock: Steps::default() }
    }

    fn region(&self, address: u64, words: usize) -> ModelMemory {
        ModelMemory(self.smmu.memory().region(address, words))
    }

    /// Memory for an activation, the level-1 table of four descriptors.
    fn memory(&self, stream_table: u64, completion: Option<u64>) -> Memory<ModelMemory> {
        Memory {
            stream_table: self.region(stream_table, 4),
            command_queue: self.region(0x9010_0000, 2 << 4),
            event_queue: self.region(0x9020_0000, 4 << 4),
            pri_queue: None,
            completion: completion.map(|address| self.region(address, 1)),
        }
    }

    fn begun(&self) -> Activation {
        self.psmmu.activate_begin(ActivateParams::default()).expect("it is inactive")
    }
}

#[test]
fn a_level_1_table_that_is_not_aligned_to_64_bytes_is_refused() {
    let rig = Rig::new(Config::default());
    let refused = rig.psmmu.activate(rig.begun(), rig.memory(0x9000_0020, None), &rig.clock);
    let Err(NotActivated { error: ActivateError::Memory, memory: Some(_) }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((rig.psmmu.state(), rig.smmu.device().accesses().1), (State::Inactive, 0));

    let rig = Rig::new(Config::default());
    let good = rig.memory(0x9000_0040, None);
    assert!(rig.psmmu.activate(rig.begun(), good, &rig.clock).is_ok());
    assert_eq!(rig.smmu.device().peek(Register::StrtabBase) & 0xFF, 0x40);
}

#[test]
fn a_completion_word_that_the_device_cannot_address_is_not_used() {
    let (low, high) = (0x9030_0000, 1 << 36 | 0x9030_0000);
    for (completion, is_used) in [(low, true), (high, false)] {
        let rig = Rig::new(Config::default().with_address_bits(36));
        let memory = rig.memory(0x9000_0000, Some(completion));
        assert!(rig.psmmu.activate(rig.begun(), memory, &rig.clock).is_ok());
        let word = rig.smmu.device().load(completion).unwrap();
        assert_eq!(word != 0, is_used, "the last MSI at {completion:#x}");
        // Commands come to their end either way.
        let commands = [psmmu::Command::CFGI_ALL];
        assert_eq!(rig.psmmu.run_commands(&rig.clock, &commands), Ok(()));
        rig.smmu.device().fault(0x5000);
        let notified = rig.psmmu.notify(psmmu_abi::IrqSet::EVENTQ, &psmmu::NoVsmmu).unwrap();
        assert_eq!(inputs(&[notified.event]), [0x5000]);
    }
}

#[test]
fn an_attached_queue_that_the_device_cannot_address_is_refused() {
    let high = 1 << 36 | 0x9020_0000;
    let rig = Rig::new(Config::default().with_address_bits(36));
    let event_queue = rig.region(high, 4 << 4);
    // What the device uses in its place.
    let _alias = rig.region(0x9020_0000, 4 << 4);
    rig.smmu.device().collect_violations(true);
    let write = |register: Register, value: u64| match register.bits() {
        64 => rig.smmu.write64(register.page(), register.offset(), value),
        _ => rig.smmu.write32(register.page(), register.offset(), value as u32),
    };
    for (register, value) in [
        (Register::Cr1, 0xD75),
        (Register::EventqBase, high | 4),
        (Register::EventqProd, 0),
        (Register::EventqCons, 0),
        (Register::Cr0, 4),
    ] {
        write(register, value);
    }
    assert_eq!(rig.smmu.device().take_violations().len(), 1, "the driver's own");
    let queues = LiveQueues { event_queue, pri_queue: None, command_queue: None };
    assert_eq!(rig.psmmu.attach(queues, None, &rig.clock), Err(AttachError::Memory));
    assert_eq!(rig.psmmu.state(), State::Inactive);
}
