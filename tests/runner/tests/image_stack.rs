// SPDX-License-Identifier: MIT OR Apache-2.0

//! The images that ship stay within their stacks: the frames of the functions are added up along the deepest path
//! of calls from each place where a stack begins. A stack that runs over ends in an exception of the RMM.

use boot_runner::place;
use rmm::operation::MAX_OPERATIONS;
use xtask::calls::{Calls, Depth, Known, NoDepth};

/// The source that says how large the stack for the boot is.
const MMU: &str = include_str!("../../../rmm/src/image/mmu.rs");
/// The stack of a CPU: one page.
const PAGE: u64 = 4096;

/// What may be used of a stack. The rest is for what other compilers make of the same source.
const SHARE: (u64, u64) = (3, 4);

/// Calls by pointer on one path, at most. They are printing: of an argument, of another inside of it, of a number or a
/// text inside of that, to the console.
const POINTERS: usize = 4;
/// The functions that call themselves, by a part of their names, and how often one stands on a path at most: a page
/// table is in one in levels 0 to 3, and `RMM_DEACTIVATE` locks each of the operations while it holds the last.
const RECURSIVE: [(&str, u64); 2] =
    [("PageTableWithLevel<", 4), (">>::with_each::<", 1 + MAX_OPERATIONS as u64)];

/// What the entry code has on the stack when it calls: registers, in bytes.
const ENTRY: u64 = 64;

/// Returns the bytes of the stack for the boot.
fn boot_stack() -> u64 {
    let (_, pages) = MMU.split_once("const BOOT_STACK_PAGES: usize = ").expect("its size");
    PAGE * pages.split(';').next().and_then(|it| it.parse::<u64>().ok()).expect("a number")
}

/// Returns the functions that print, which are those that are called by pointer.
fn printers(calls: &Calls) -> Vec<String> {
    calls.0.keys().filter(|name| name.contains(" as core::fmt::")).cloned().collect()
}

/// Returns the deepest path from `root`. It ends where the RMM gives up: that begins a stack anew if it needs to.
fn deepest(calls: &Calls, root: &str) -> Result<Depth, NoDepth> {
    let printers = printers(calls);
    let known = Known {
        targets: &|name| if name.contains("core::fmt::") { printers.clone() } else { Vec::new() },
        pointers: POINTERS,
        times: &|name| {
            let found = RECURSIVE.iter().find(|(part, _)| name.contains(part));
            found.map_or(1, |(_, times)| *times)
        },
        ends: &|name| {
            let panics = ["::panicking::", "_fail"].iter().any(|part| name.contains(part));
            let panics = panics && name.starts_with("core::");
            panics || ["rmm_stop", "rmm::image::exceptions::give_up"].contains(&name)
        },
    };
    calls.deepest(root, &known)
}

fn check(image: &str) {
    let elf = place::build().expect("run by cargo").join(image).join("rmm.elf");
    let calls =
        Calls::of(&elf).unwrap_or_else(|error| panic!("{error}: run `make image fvp-image`"));
    let boot = boot_stack();
    // The functions that `image/entry.rs` and `image/exceptions.rs` call, each on an empty stack.
    for (root, stack) in [
        ("rmm::image::boot::handle", PAGE),
        ("rmm::image::boot::rmm_warm_boot", PAGE),
        ("rmm::image::boot::rmm_cold_boot", boot),
        ("rmm::image::mmu::leave_boot_stack", PAGE),
        ("rmm::image::mmu::build", PAGE),
        ("rmm::image::exceptions::dump", PAGE),
    ] {
        let depth =
            deepest(&calls, root).unwrap_or_else(|error| panic!("{image}: {root}: {error:#?}"));
        let (bytes, limit) = (depth.bytes + ENTRY, stack * SHARE.0 / SHARE.1);
        println!("{image}: {root}: {bytes} of {stack}");
        assert!(
            bytes <= limit,
            "{image}: {root} takes {bytes} of {limit} bytes: {:#?}",
            depth.path
        );
    }
    // It sees frames: a command has more than one, and the boot has what is too large for the others.
    let of = |root| deepest(&calls, root).expect("seen above");
    assert!(
        of("rmm::image::boot::handle").path.len() > 3
            && of("rmm::image::boot::rmm_cold_boot").bytes > PAGE
    );
}

#[test]
fn the_deepest_calls_fit_the_stacks_of_the_image_for_qemu() {
    check("qemu-plain");
}

#[test]
fn the_deepest_calls_fit_the_stacks_of_the_image_for_the_fvp() {
    check("fvp");
}

/// A disassembly of functions that take `frame` by each instruction and call one another.
const CODE: &str = "
0000000040100000 <top>:
    40100000:\tstp\tx29, x30, [sp, #-96]!
    40100004:\tsub\tsp, sp, #0x2, lsl #12
    40100008:\tbl\t40100020 <leaf>
    4010000c:\tb.ne\t40100008 <top+0x8>
    40100010:\tadd\tsp, sp, #0x2, lsl #12
    40100014:\tldp\tx29, x30, [sp], #96
    40100018:\tb\t40100040 <other>

0000000040100020 <leaf>:
    40100020:\tsub\tsp, sp, #0x1f0
    40100024:\tret

0000000040100040 <other>:
    40100040:\tstr\tx30, [sp, #-16]!
";

#[test]
fn frames_of_every_form_are_added_along_the_deepest_path() {
    let depth = deepest(&Calls::parse(CODE), "top").expect("is clear");
    assert_eq!(depth.bytes, 96 + 0x2000 + 0x1F0);
    assert_eq!(depth.path, [("top".to_owned(), 96 + 0x2000), ("leaf".to_owned(), 0x1F0)]);
}

#[test]
fn a_depth_that_is_not_known_is_refused() {
    let with = |line: &str| {
        deepest(&Calls::parse(&format!("{CODE}    40100044:\t{line}\n")), "top").unwrap_err()
    };
    let circle = ["top", "other", "top"].map(str::to_owned).to_vec();
    assert_eq!(with("bl\t40100000 <top>"), NoDepth::Recursion(circle));
    let itself = ["other", "other"].map(str::to_owned).to_vec();
    assert_eq!(with("bl\t40100040 <other>"), NoDepth::Recursion(itself));
    assert_eq!(with("blr\tx8"), NoDepth::Pointer("other".to_owned()));
    assert_eq!(with("br\tx3"), NoDepth::Pointer("other".to_owned()));
    assert_eq!(with("bl\t40100060 <gone>"), NoDepth::Missing("gone".to_owned()));
    for line in
        ["sub\tsp, sp, x8", "mov\tsp, x8", "and\tsp, x8, #0xfffffffffffff000", "cmp\tsp, x8"]
    {
        let unclear = NoDepth::Unclear("other".to_owned(), line.replace('\t', " "));
        assert_eq!(with(line), unclear);
    }
}
