// SPDX-License-Identifier: MIT OR Apache-2.0

//! What goes on while a hostile host is at work: events are polled, streams are led, devices fail.

use psmmu::{Stage2, State};
use rmm::Environment;
use smmu_model::{AckDelay, Kind, PageRequest, Transaction, Walk};

use super::{Host, PSMMUS};
use crate::raw::{fid, x0};
use crate::{Faults, PSMMU, PSMMU_STEP, Pas, Tables, configure_stream};

impl Host {
    pub(super) fn poll(&mut self) {
        let psmmu = self.numbers.below(PSMMUS) as usize;
        let psmmu_ptr = PSMMU + psmmu as u64 * PSMMU_STEP;
        let set = self.numbers.below(16);
        let state = self.machine.psmmu_of(psmmu).state();
        let serves = matches!(state, State::Active | State::Failed);
        match self.numbers.below(3) {
            0 => {
                let page = self.granule();
                let [x0, ..] = self.call(fid::PSMMU_INFO, &[psmmu_ptr, page]);
                let is_mine = self.machine.host.pas(page) == Pas::NonSecure;
                assert!(x0 == x0::INPUT || is_mine, "INFO in {page:#x}");
            }
            1 => {
                let [x0, ..] = self.call(fid::EVENT_CONSUME, &[psmmu_ptr, set]);
                assert!(x0 == x0::INPUT || serves, "CONSUME in {state:?}");
            }
            _ => {
                let x = [fid::IRQ_NOTIFY, psmmu_ptr, set, 3, 4, 5, 6, 7];
                let [x0, outputs @ .., x7] = self.machine.call(x);
                assert_eq!(x7, 7);
                assert!(x0 == 0 || outputs == [0; 6], "outputs of a failure");
                assert!(x0 == x0::INPUT || serves, "NOTIFY in {state:?}");
            }
        }
    }

    pub(super) fn lead_stream(&mut self) {
        let tables: Vec<_> = self.reference.tables.keys().copied().collect();
        let Some((of, first)) = self.one_of(&tables) else {
            return;
        };
        let stream = first + self.numbers.below(3) as u32;
        let stage_2 = Stage2 { table: 0x8020_0000, vmid: 7, t0sz: 25, sl0: 1, ps: 2 };
        let (tables, clock) = (Tables(&self.machine.harness), self.machine.harness.clock());
        let psmmu = self.machine.psmmu_of(of);
        match self.numbers.below(4) {
            0 => {
                if configure_stream(psmmu, stream, stage_2, &tables, clock).is_ok() {
                    assert!(self.reference.configured.insert((of, stream)));
                }
            }
            1 => {
                let _ = psmmu.enable_stream(stream, &tables, clock);
            }
            2 => {
                let _ = psmmu.disable_stream(stream, &tables, clock);
            }
            _ => {
                if psmmu.release_stream(stream, &tables, clock).is_ok() {
                    assert!(self.reference.configured.remove(&(of, stream)));
                }
            }
        }
    }

    /// Device and other CPUs of the host do what they like.
    pub(super) fn inject_fault(&mut self) {
        let of = self.numbers.below(PSMMUS) as usize;
        let numbers = &mut self.numbers;
        let mut device = self.machine.device_of(of);
        match numbers.below(14) {
            0..3 => {
                let walk = if numbers.once_in(2) { Walk::Translates } else { Walk::NoTranslation };
                let stream = numbers.below(300) as u32;
                let transaction = Transaction::write(stream, numbers.next()).with(walk);
                let _ = device.transaction(&transaction.by(Kind::Untranslated));
            }
            3 => (0..numbers.below(40)).for_each(|address| device.fault(address)),
            4 => device.page_request(PageRequest::last_of(8, numbers.below(512) as u16, 0x7000)),
            5 => device.raise([1 << 2, 1 << 3, 1 << 4, 1 << 5, 1 << 9][numbers.below(5) as usize]),
            6 => device.corrupt_next_command([0xFF, 0]),
            7 => device.set_hung(numbers.once_in(3)),
            8 => {
                let is_gone = numbers.once_in(6);
                device.set_removed(is_gone);
                drop(device);
                if is_gone {
                    // Its event queue is inconsistent, so it is detected. Errors that it never had are
                    // not to be acknowledged before: it would come back with others than were.
                    let psmmu_ptr = PSMMU + of as u64 * PSMMU_STEP;
                    let _ = self.machine.call([fid::IRQ_NOTIFY, psmmu_ptr, 2, 0, 0, 0, 0, 0]);
                }
            }
            9 => device.set_ack_delay(AckDelay::Reads(numbers.below(14) as u32)),
            10 => device.abort_command_fetches(numbers.once_in(3)),
            11 => {
                let (from, until) = (numbers.below(40), numbers.below(80));
                let mut access = 0;
                device.on_access(move |device, _| {
                    match access {
                        now if now == from => device.set_hung(true),
                        now if now == from + until => device.set_hung(false),
                        _ => {}
                    }
                    access += 1;
                });
            }
            _ => {
                drop(device);
                self.move_page();
            }
        }
    }
}
