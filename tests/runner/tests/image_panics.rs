// SPDX-License-Identifier: MIT OR Apache-2.0

//! No command of the image that ships reaches a panic: its calls are followed from the function that answers the
//! host. `tools/no-panic` names the lines of what an embedder links.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use boot_runner::place;

/// Where the host's calls begin.
const ROOT: &str = "rmm::image::boot::handle";
/// Where EL3 and the RMM disagree about whose memory is whose: the CPU stops on purpose.
const END: &str = "rmm::image::exceptions::give_up";

#[test]
fn no_command_of_the_image_that_ships_reaches_a_panic() {
    let elf = place::build().expect("run by cargo").join("qemu-plain/rmm.elf");
    let mut objdump = Command::new("aarch64-linux-gnu-objdump");
    let output = objdump.args(["-dC", "--no-show-raw-insn"]).arg(&elf).output().expect("is there");
    assert!(output.status.success(), "{output:?}: run `make image`");
    let text = String::from_utf8_lossy(&output.stdout);

    let mut calls: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut function = "";
    for line in text.lines() {
        if let Some((_, name)) = line.strip_suffix(">:").and_then(|line| line.split_once(" <")) {
            function = name;
        } else if line.contains("\tblr\t") {
            calls.entry(function).or_default().insert("a function that a register names");
        } else if let Some((code, target)) = line.split_once(" <")
            // Calls and jumps, and no addresses that are only computed.
            && ["\tb", "\tcb", "\ttb"].iter().any(|jump| code.contains(jump))
        {
            let target = target.strip_suffix('>').unwrap_or(target);
            let target = target.rsplit_once("+0x").map_or(target, |(name, _)| name);
            calls.entry(function).or_default().insert(target);
        }
    }
    let mut reached = BTreeSet::from([ROOT]);
    let mut next = vec![ROOT];
    while let Some(function) = next.pop().filter(|&function| function != END) {
        for &callee in calls.get(function).into_iter().flatten() {
            // What is left of `core` as functions of their own is what fails, and what prints that.
            let fails = ["core::", "__rustc", "a function"].iter().any(|it| callee.starts_with(it));
            assert!(!fails, "{function} calls {callee}");
            if callee != END && reached.insert(callee) {
                next.push(callee);
            }
        }
    }
    assert!(reached.len() > 40, "too little is reached to see anything: {reached:#?}");
    // It would see one: printing ends in one.
    assert!(calls.values().flatten().any(|callee| callee.contains("panicking")));
}
