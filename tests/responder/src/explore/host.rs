// SPDX-License-Identifier: MIT OR Apache-2.0

//! The host of a run: it serves each interrupt that it gets, and goes on as long as more is pending.

use std::sync::MutexGuard;

use psmmu::{NoVsmmu, Psmmu, State};
use psmmu_abi::{Event, IrqSet};
use smmu_model::{Output, Smmu};

use super::device::{Harness, Steps};
use super::reference::Report;
use super::{Bounds, Host, Shared};
use crate::{ModelMemory, ModelRegisters};

/// Calls of a handler that comes to no end.
const CALLS: u32 = 100;

struct Run<'a> {
    psmmu: &'a Psmmu<ModelRegisters, ModelMemory>,
    world: &'a Shared,
    output: Output,
    host: Host,
    answers: bool,
}

/// Plays a run until nothing is left to do.
pub fn play(
    smmu: &Smmu,
    psmmu: &Psmmu<ModelRegisters, ModelMemory>,
    world: &Shared,
    bounds: &Bounds,
) {
    let Bounds { output, host, answers, before, .. } = *bounds;
    let run = Run { psmmu, world, output, host, answers };
    for _ in 0..before {
        let mut device = smmu.device();
        run.world().fault(&mut device);
    }
    loop {
        {
            let mut device = smmu.device();
            run.world().act(&mut device, Steps::ALL);
        }
        let Some(set) = run.next_set() else {
            let mut device = smmu.device();
            if !run.world().go_on(&mut device) {
                return;
            }
            continue;
        };
        run.serve(set, true);
    }
}

impl Run<'_> {
    fn world(&self) -> MutexGuard<'_, Harness> {
        self.world.lock().expect("a run ends at the first panic")
    }

    const fn queue(&self) -> IrqSet {
        match self.output {
            Output::Events => IrqSet::EVENTQ,
            Output::Pages => IrqSet::PRIQ,
        }
    }

    /// Chooses an interrupt that was sent, takes it, and returns what is asked for.
    fn next_set(&self) -> Option<IrqSet> {
        let mut world = self.world();
        let of_errors = match (world.of_queue, world.of_errors) {
            (false, false) => return None,
            (true, true) => world.choices.choose(2) == 1,
            (_, of_errors) => of_errors,
        };
        if of_errors {
            world.of_errors = false;
        } else {
            world.of_queue = false;
        }
        Some(match (self.host, of_errors) {
            (Host::AllAtOnce, _) => IrqSet::GERROR | self.queue(),
            (_, true) => IrqSet::GERROR,
            (_, false) => self.queue(),
        })
    }

    /// Serves an interrupt. Between NOTIFY and CONSUME another CPU may serve another one, if that is not done
    /// by one already.
    fn serve(&self, set: IrqSet, is_outermost: bool) {
        for _ in 0..CALLS {
            let Some((report, pending)) = self.notify(set) else { return };
            if report == Report::Nothing {
                return;
            }
            if is_outermost && self.is_interrupted() {
                let set = self.next_set().expect("one is there");
                self.serve(set, false);
            }
            self.consume(set);
            if !pending {
                return;
            }
        }
        panic!("a handler comes to no end in {CALLS} calls");
    }

    /// Chooses whether another interrupt is served now, if there is one.
    fn is_interrupted(&self) -> bool {
        let mut world = self.world();
        (world.of_queue || world.of_errors) && world.choices.choose(2) == 1
    }

    fn notify(&self, set: IrqSet) -> Option<(Report, bool)> {
        let (of_queue, of_errors) = (set.contains(self.queue()), set.contains(IrqSet::GERROR));
        let before = {
            let mut world = self.world();
            world.reference.begin_notify();
            world.reference.before(of_queue, of_errors)
        };
        let answer = match self.psmmu.notify(set, &NoVsmmu) {
            Ok(answer) => Some((report(answer.event), answer.pending)),
            Err(refusal) => {
                assert_eq!(self.psmmu.state(), State::Failed, "{refusal:?}");
                None
            }
        };
        let mut world = self.world();
        let is_backlogged = self.answers && self.unposted(world.reference.consumed().len()) != 0;
        world.reference.end_notify(of_errors, &before, is_backlogged, answer);
        answer
    }

    /// How many answers wait for room.
    fn unposted(&self, due: usize) -> u64 {
        due as u64 - self.psmmu.counters().pri_resp_sent()
    }

    fn consume(&self, set: IrqSet) {
        let (of_queue, of_errors) = (set.contains(self.queue()), set.contains(IrqSet::GERROR));
        let counters = self.psmmu.counters();
        let consumed = match self.output {
            Output::Events => &counters.events.consumed,
            Output::Pages => &counters.page_requests.consumed,
        };
        let failed = {
            let mut world = self.world();
            world.reference.begin_consume(of_errors);
            world.reference.has_failed()
        };
        let before = consumed.get();
        let refused = self.psmmu.consume(set).is_err();
        let taken = consumed.get() - before;
        self.world().reference.end_consume(of_queue, of_errors, failed, taken, refused);
    }
}

/// Returns what an event is, each fault having its number as its page.
fn report(event: Event) -> Report {
    match event {
        Event::None => Report::Nothing,
        Event::Error(cause) => Report::Error(cause.bits()),
        Event::Psmmu { number: 0x10 | 0x24, input_address, .. } => {
            Report::Record(input_address >> 12)
        }
        other => panic!("{other:?}"),
    }
}
