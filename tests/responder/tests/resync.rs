// SPDX-License-Identifier: MIT OR Apache-2.0

//! What NOTIFY says of PENDING behind a PROD that was inconsistent once: it depends on the PROD that is read
//! behind the CONS write by which the queue is resynchronised.

use psmmu_abi::{ErrorCause, Event, IrqSet};
use responder_tests::{Faults, Machine, Options, inputs};
use smmu_model::{Device, Output, Register};

const EVENTQ: u64 = IrqSet::EVENTQ.bits();
const OVERFLOW: u32 = 1 << 31;
/// Kind and PENDING of an ERROR event.
const ERROR: u64 = 1 << 1;
const ERROR_PENDING: u64 = ERROR | 1;

/// Has NOTIFY read a PROD with `bad` flipped, and `then` happen behind the CONS write. Returns the machine
/// and the flags of the answer, which is the error of a discarded queue.
fn resync(bad: u32, then: fn(&mut Device)) -> (Machine, u64) {
    let machine = Machine::active(Options { event_queue: 2, ..Options::default() });
    let good = machine.device().peek(Register::EventqProd) as u32;
    machine.device().set_prod_raw(Output::Events, good ^ bad);
    machine.device().before_write(Register::EventqCons, move |device| {
        device.set_prod_raw(Output::Events, (good ^ bad) & 0x8000_0007);
    });
    // Before the read by which NOTIFY finds it, and before the next one.
    machine.device().before_read(Register::EventqProd, |_| ());
    machine.device().before_read(Register::EventqProd, then);
    let answer = machine.notify(EVENTQ);
    let cause = ErrorCause::EVENTQ_ABT_ERR.bits();
    assert_eq!(answer, [answer[0], 0, 0, 0, 0, cause]);
    (machine, answer[0])
}

#[test]
fn behind_a_resync_pending_says_what_the_next_prod_shows() {
    for bad in [0x5, 0x7, 0x10, 0x4000_0000] {
        let (machine, flags) = resync(bad, |_| ());
        assert_eq!(flags, ERROR, "{bad:#x}: the queue is empty");
        assert_eq!(machine.service(IrqSet::EVENTQ).len(), 1);

        let (machine, flags) = resync(bad, |device| {
            device.fault(9);
        });
        assert_eq!(flags, ERROR_PENDING, "{bad:#x}: a record has come");
        machine.consume(EVENTQ);
        assert_eq!(inputs(&machine.service(IrqSet::EVENTQ)), [9]);

        let (machine, flags) = resync(bad, |device| {
            let prod = device.peek(Register::EventqProd) as u32;
            device.set_prod_raw(Output::Events, prod ^ OVERFLOW);
        });
        assert_eq!(flags, ERROR_PENDING, "{bad:#x}: a loss is announced");
        machine.consume(EVENTQ);
        let overflow = Event::Error(ErrorCause::EVENTQ_OVERFLOW);
        assert_eq!(machine.service(IrqSet::EVENTQ), [overflow]);
    }
}
