// SPDX-License-Identifier: MIT OR Apache-2.0

//! A panic that is planted is found, with the line of ours that leads to it.

use std::path::Path;

use object::write::{Object, Symbol, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};
use xtask::elf;
use xtask::panics;

const SOURCE: &str = r#"
pub unsafe extern "C" fn event_path_notify(x: u64) -> u64 {
    x
}
#[cfg(feature = "can-panic")]
#[unsafe(no_mangle)]
pub extern "C" fn event_path_can_panic(x: u64) {
}
extern "C" fn event_path_consume() {
}
"#;

/// Returns an object that defines `defined` and wants `undefined`.
fn object(defined: &[&str], undefined: &[&str]) -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Aarch64, Endianness::Little);
    let text = object.add_section(Vec::new(), b".text".to_vec(), SectionKind::Text);
    object.append_section_data(text, &[0; 4], 4);
    let defined = defined.iter().map(|it| (it, SymbolSection::Section(text), SymbolKind::Text));
    let undefined = undefined.iter().map(|it| (it, SymbolSection::Undefined, SymbolKind::Unknown));
    for (name, section, kind) in defined.chain(undefined) {
        object.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value: 0,
            size: 4,
            kind,
            scope: SymbolScope::Dynamic,
            weak: false,
            section,
            flags: SymbolFlags::None,
        });
    }
    object.write().expect("an object")
}

#[test]
fn a_panic_is_seen_by_the_marker_or_by_a_function_of_core() {
    let can_panic = |defined: &[&str], undefined: &[&str]| {
        let contents = object(defined, undefined);
        panics::can_panic(&elf::parse(Path::new("planted"), &contents).expect("an object"))
    };
    assert!(!can_panic(&["event_path_notify"], &["host_memory_read"]));
    assert!(can_panic(&["event_path_notify"], &["the_event_path_can_panic"]));
    assert!(can_panic(&["_RNvNtCsczlrTsixIVH_4core9panicking5panic"], &[]));
}

#[test]
fn a_root_that_is_not_in_the_object_is_missed() {
    assert_eq!(panics::roots(SOURCE), ["event_path_notify", "event_path_consume"]);
    let contents = object(&["event_path_notify"], &["event_path_consume"]);
    let object = elf::parse(Path::new("planted"), &contents).expect("an object");
    assert_eq!(panics::missing_roots(&object, SOURCE), ["event_path_consume"]);
}

/// What objdump writes of functions of ours that call functions of core, one of which calls another and that the
/// marker.
const DISASSEMBLY: &str = "
0000000000000000 <_RNvNtCsczlrTsixIVH_4core9panicking9panic_fmt>:
_RNvNtCsczlrTsixIVH_4core9panicking9panic_fmt():
/rust/library/core/src/panicking.rs:80
   0:\tbl\t0 <the_event_path_can_panic>
\t\t\t0: R_AARCH64_CALL26\tthe_event_path_can_panic

0000000000000000 <_RNvNtCsczlrTsixIVH_4core9panicking18panic_bounds_check>:
   0:\tb\t0 <_RNvNtCsczlrTsixIVH_4core9panicking9panic_fmt>
\t\t\t0: R_AARCH64_JUMP26\t.text.unlikely._RNvNtCsczlrTsixIVH_4core9panicking9panic_fmt

0000000000000000 <_RNvNtCseqcGnnsjWhT_5psmmu5queue4take>:
_RNvNtCseqcGnnsjWhT_5psmmu5queue4take():
./psmmu/src/queue.rs:7
   0:\tstr\tx30, [sp, #-16]!
_RNvMNtCsczlrTsixIVH_4core5sliceSy5index():
/rust/library/core/src/slice/index.rs:10 (discriminator 3)
inlined by /cargo/registry/src/heapless-0.9.3/src/vec.rs:20 (take)
inlined by ./psmmu/src/queue.rs:12 (_RNvNtCseqcGnnsjWhT_5psmmu5queue4take)
inlined by ./psmmu/src/notify.rs:90 (_RNvNtCseqcGnnsjWhT_5psmmu6notify3all)
  18:\tbl\t0 <take>
\t\t\t18: R_AARCH64_CALL26\t.text.unlikely._RNvNtCsczlrTsixIVH_4core9panicking18panic_bounds_check+0x4
_RNvNtCseqcGnnsjWhT_5psmmu5queue4take():
./psmmu/src/queue.rs:14
  1c:\tbl\t0 <take>
\t\t\t1c: R_AARCH64_CALL26\thost_memory_read
\t\t\t20: R_AARCH64_ADR_PREL_PG_HI21\tthe_event_path_can_panic

0000000000000000 <bare>:
   0:\tb\t0 <bare>
\t\t\t0: R_AARCH64_JUMP26\tthe_event_path_can_panic
";

#[test]
fn the_line_of_ours_that_leads_to_a_panic_is_named() {
    let culprits: Vec<String> = panics::culprits_of(DISASSEMBLY).into_iter().collect();
    assert_eq!(
        culprits,
        [
            "./psmmu/src/queue.rs:12: core::panicking::panic_bounds_check, in psmmu::queue::take",
            "?: the_event_path_can_panic, in bare",
        ]
    );
}

#[test]
fn calls_that_reach_no_panic_are_not_named() {
    let harmless = DISASSEMBLY.replace("the_event_path_can_panic", "host_memory_write");
    assert!(panics::culprits_of(&harmless).is_empty());
}
