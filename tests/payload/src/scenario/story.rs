// SPDX-License-Identifier: MIT OR Apache-2.0

//! `story`: each device that is there faults in a few ways, and the host prints what it hears. For
//! people; what is promised is checked by the other scenarios. Where the devices are the host's own, the
//! story is that the RMM has nothing to say of them. Where the SMMU has two sides it goes on with what the
//! host cannot reach, and with a device on each side.

use core::fmt::Write;

use heapless::{String, Vec};
use psmmu_abi::Event;
use psmmu_host::Described;

use super::{Arguments, bad_stream, isolation, usage};
use crate::edu::{Access, Dma, Edu, Fault};
use crate::platform::{HOST_STREAM, REALM_TRAFFIC};
use crate::target::Target;
use crate::{bring_up, events, smmu};

/// The first device's burst, in words.
const BURST: u32 = 4;
/// Width of the column of events.
const LINE: usize = 64;

pub fn run(arguments: &Arguments) {
    if !arguments.is_empty() {
        usage("story");
    }
    let mut bench = bring_up::all();
    require!(!bench.edus.is_empty(), "there is no device");
    let has_two_sides = REALM_TRAFFIC && smmu::has_realm_side();
    for (index, edu) in bench.edus.iter_mut().enumerate() {
        if !REALM_TRAFFIC {
            report_outside(edu);
            continue;
        }
        if has_two_sides && edu.stream == HOST_STREAM {
            continue;
        }
        report(edu, Access::Write, 1);
        if edu.stream < bad_stream::FIRST {
            report(edu, Access::Read, 1);
        }
        if index == 0 {
            report(edu, Access::Write, BURST);
        }
    }
    if has_two_sides {
        isolation::registers();
        isolation::memory();
        isolation::side_by_side(&mut bench);
    }
    events::expect_no_more_than(events::count());
}

/// Has a device of the host access memory, which its own side of the SMMU aborts: nothing has configured
/// that.
fn report_outside(edu: &mut Edu) {
    for access in [Access::Write, Access::Read] {
        let dma = Dma::new(access, 1);
        let target = Target::of(dma);
        target.scribble();
        edu.run(dma);
        target.expect_unchanged(edu.stream);
    }
    events::expect_no_more_than(0);
    say!("stream {} is the host's own: nothing was written, the RMM hears nothing", edu.stream);
}

/// Has the device fault, prints the events and checks them.
fn report(edu: &mut Edu, access: Access, words: u32) {
    let has_table = edu.stream < bad_stream::FIRST;
    let fault = if has_table { Fault::Translation } else { Fault::NoTable };
    let dma = Dma::faulting(fault, access, words);
    let first = events::count();
    edu.run(dma);
    events::wait_for(first + words as usize);
    for index in first..events::count() {
        let event = events::entry(index).event;
        let mut line: String<LINE> = String::new();
        // A line that is too long for its column stands out anyway.
        let _ = write!(line, "{}", Described(&event));
        say!("{line:<LINE$}by stream {}", edu.stream);
    }
    let wanted: Vec<Event, { BURST as usize }> = dma.events().collect();
    let came: Vec<Event, { BURST as usize }> =
        (first..events::count()).map(|index| events::entry(index).event).collect();
    expect_eq!(came, wanted, "what the host heard of stream {}", edu.stream);
}
