// SPDX-License-Identifier: MIT OR Apache-2.0

//! A complete driver on `psmmu-host`, in an imaginary kernel, on the project's RMM and a software SMMU:
//! `cargo run -p psmmu-host --example realm-smmu`.
//!
//! | file | what it is |
//! |---|---|
//! | `driver.rs` | the driver, to be reused |
//! | `glue.rs` | the interface of the driver to the kernel, likewise |
//! | `kernel.rs` | the kernel |
//! | this one | the sequence of faults |
//!
//! Its output, which a test compares:
//!
//! ```text
//! [    0.000000] realm-smmu: RMI 2.0 with device assignment, active on 0 granules
//! [    0.000000] realm-smmu: Realm side of 0x2b400000: wired, EVENTQ 106, GERROR 111, PRIQ 107
//! [    0.000000] irq: line 106 for EVENTQ of realm-smmu
//! [    0.000000] irq: line 111 for GERROR of realm-smmu
//! [    0.000000] irq: line 107 for PRIQ of realm-smmu
//! [    0.000000] realm-smmu: active, 5 granules donated
//! [    0.000000] realm-smmu: level-2 table created for stream 0x8
//! [    0.000000] realm-smmu: level-2 table for stream 0x9 exists
//! [    0.000020] realm-smmu: event 0x10 F_TRANSLATION  write  stage 2  input 0x5000_0004
//! [    0.000040] realm-smmu: event 0x13 F_PERMISSION  read  stage 2  on a table walk  input 0x5000_1000
//! [    0.000060] realm-smmu: event 0x03 F_STE_FETCH  fetch 0x8800_0200
//! [    0.000080] realm-smmu: event 0x02 C_BAD_STREAMID
//! [    0.000100] realm-smmu: event 0x24 E_PAGE_REQUEST  input 0x7000_0000
//! [    0.000120] realm-smmu: error CMDQ_ERR
//! [    1.000140] realm-smmu: event 0x10 F_TRANSLATION  write  stage 2  input 0x0001_0000_0000
//! [    1.000140] realm-smmu: event 0x10 F_TRANSLATION  write  stage 2  input 0x0001_0000_1000
//! [    1.000140] realm-smmu: event 0x10 F_TRANSLATION  write  stage 2  input 0x0001_0000_2000
//! [    1.000140] realm-smmu: event 0x10 F_TRANSLATION  write  stage 2  input 0x0001_0000_3000
//! [    1.000140] realm-smmu: event 0x10 F_TRANSLATION  write  stage 2  input 0x0001_0000_4000
//! [    2.000180] realm-smmu: event 0x10 F_TRANSLATION  write  stage 2  input 0x0002_0000_0000 (95 suppressed)
//! [    2.000180] realm-smmu: event 0x10 F_TRANSLATION  write  stage 2  input 0x0002_0000_1000
//! [    2.000180] realm-smmu: event 0x10 F_TRANSLATION  write  stage 2  input 0x0002_0000_2000
//! [    2.000180] realm-smmu: event 0x10 F_TRANSLATION  write  stage 2  input 0x0002_0000_3000
//! [    2.000180] realm-smmu: event 0x10 F_TRANSLATION  write  stage 2  input 0x0002_0000_4000
//! [    2.000220] realm-smmu: error EVENTQ_OVERFLOW
//! [    3.000220] realm-smmu: 123 suppressed
//! [    3.000240] vm: interrupt for the virtual SMMU of stream 0x8
//! [    3.000260] realm-smmu: event of stream 0x9 not handled: no virtual SMMU
//! [    3.000260] realm-smmu: EVENTQ: errors 1, events 232, for virtual SMMUs 2, unhandled 1
//! [    3.000260] realm-smmu: GERROR: errors 1, events 0, for virtual SMMUs 0, unhandled 0
//! [    3.000260] realm-smmu: PRIQ: errors 0, events 1, for virtual SMMUs 0, unhandled 0
//! [    3.000260] realm-smmu: stream 0x8: 1 for its virtual SMMU
//! [    3.000260] realm-smmu: stream 0x9: 1 for its virtual SMMU
//! [    3.000260] realm-smmu: level-2 table destroyed for stream 0x8
//! [    3.000260] realm-smmu: inactive, 5 granules returned, 0 leaked
//! ```

mod driver;
mod glue;
mod kernel;

use std::error::Error;

use driver::{RealmSmmu, Rmm};
use kernel::{Kernel, SECOND, SMMU};
use smmu_model::{Class, PageRequest, Record, Transaction};

/// Streams of a device that is assigned, of one beside it, and of one without a table.
const STREAM: u32 = 0x8;
const NEIGHBOUR: u32 = 0x9;
const STRANGER: u32 = 0x40;

fn main() -> Result<(), Box<dyn Error>> {
    run().map(drop)
}

/// Runs the kernel and returns its log.
fn run() -> Result<String, Box<dyn Error>> {
    let kernel = Kernel::boot();
    let mut rmm = Rmm::start(&kernel)?;
    let mut smmu = RealmSmmu::probe(&kernel, &mut rmm, SMMU).ok_or("no Realm side")?;
    let free_pages = kernel.free_pages();

    smmu.activate(&mut rmm)?;
    smmu.attach(&mut rmm, STREAM)?;
    smmu.attach(&mut rmm, NEIGHBOUR)?;

    // Faults of several kinds, one by one.
    let fault = Record::translation(STREAM).stage_2(Class::Input);
    let read = Record::permission(STREAM).stage_2(Class::Table).read();
    for record in [
        fault.input(0x5000_0004).ipa(0x5000_0000),
        read.input(0x5000_1000).ipa(0x8000_2000),
        Record::ste_fetch(STREAM, 0x8800_0200),
    ] {
        kernel.device().record(record);
        kernel.handle_interrupts(|source| smmu.interrupt(source));
    }
    let _ = kernel.device().transaction(&Transaction::write(STRANGER, 0x6000_0000));
    kernel.handle_interrupts(|source| smmu.interrupt(source));
    kernel.device().page_request(PageRequest::last_of(STREAM, 1, 0x7000_0000));
    kernel.handle_interrupts(|source| smmu.interrupt(source));
    kernel.device().inject_command([0xFF, 0]);
    kernel.handle_interrupts(|source| smmu.interrupt(source));

    // A burst of faults: first fewer than the queue holds, then more.
    for (second, faults) in [(1, 100), (2, 200)] {
        kernel.sleep(SECOND);
        for page in 0..faults {
            let address = second << 32 | page << 12;
            kernel.device().record(fault.input(address).ipa(address));
        }
        kernel.handle_interrupts(|source| smmu.interrupt(source));
    }

    // Streams of Realms with virtual SMMUs: one has a running guest, the other does not.
    kernel.sleep(SECOND);
    smmu.on_timer();
    kernel.run_guest(STREAM);
    for stream in [STREAM, NEIGHBOUR] {
        kernel.give_to_realm(stream);
        kernel.device().record(Record::stage_2_write(stream, 0x5000_0000));
        kernel.handle_interrupts(|source| smmu.interrupt(source));
    }

    smmu.print_counters();
    smmu.detach(&mut rmm, STREAM)?;
    smmu.deactivate(&mut rmm)?;
    assert_eq!(kernel.free_pages(), free_pages, "a page is missing");
    Ok(kernel.into_log())
}

#[cfg(test)]
mod tests {
    /// Returns the lines of the first block of this name in the text at the head of a file.
    fn shown(file: &str) -> String {
        let text = file.lines().filter_map(|line| line.strip_prefix("//!"));
        let block = text.skip_while(|line| *line != " ```text").skip(1);
        let lines = block.take_while(|line| *line != " ```").map(|line| &line[1..]);
        lines.map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn the_log_is_what_the_head_of_this_file_shows() {
        let log = super::run().expect("a lifecycle without failures");
        assert_eq!(log, shown(include_str!("main.rs")));
    }
}
