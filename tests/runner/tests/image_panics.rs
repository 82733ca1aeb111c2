// SPDX-License-Identifier: MIT OR Apache-2.0

//! No command of the image that ships reaches a panic: its calls are followed from the function that answers the
//! host. `tools/no-panic` names the lines of what an embedder links.

use std::collections::BTreeSet;

use boot_runner::place;
use xtask::calls::Calls;

/// Where the host's calls begin.
const ROOT: &str = "rmm::image::boot::handle";
/// Where EL3 and the RMM disagree about whose memory is whose: the CPU stops on purpose.
const END: &str = "rmm::image::exceptions::give_up";

#[test]
fn no_command_of_the_image_that_ships_reaches_a_panic() {
    let elf = place::build().expect("run by cargo").join("qemu-plain/rmm.elf");
    let Calls(calls) = Calls::of(&elf).unwrap_or_else(|error| panic!("{error}: run `make image`"));
    let mut reached = BTreeSet::from([ROOT]);
    let mut next = vec![ROOT];
    while let Some(function) = next.pop().filter(|&function| function != END) {
        let Some(called) = calls.get(function) else { continue };
        assert!(!called.calls_pointer, "{function} calls a function that a register names");
        for callee in called.callees.iter().map(String::as_str) {
            // What is left of `core` as functions of their own is what fails, and what prints that.
            let fails = ["core::", "__rustc"].iter().any(|it| callee.starts_with(it));
            assert!(!fails, "{function} calls {callee}");
            if callee != END && reached.insert(callee) {
                next.push(callee);
            }
        }
    }
    assert!(reached.len() > 40, "too little is reached to see anything: {reached:#?}");
    // It would see one: printing ends in one.
    assert!(calls.values().flat_map(|it| &it.callees).any(|callee| callee.contains("panicking")));
}
