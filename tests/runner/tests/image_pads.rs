// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whatever an indirect branch of an image can reach begins with a landing pad (BTI), so that its text can be guarded;
//! `manifests.rs` sees that it is. What an indirect branch can reach is what has its address somewhere: in the constants
//! of the image, or in the code that computes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use boot_runner::place;
use shell::{has_landing_pads, output};

#[path = "common/shell.rs"]
mod shell;

/// What is computed for VBAR_EL2 and to be compared with ELR_EL2, since exceptions and their returns land anywhere; and the
/// memory of the image.
const NO_BRANCH: [&str; 4] =
    ["rmm_vectors", "rmm_host_copy_start", "rmm_host_copy_end", "image_start"];

/// An image, disassembled.
#[derive(Default)]
struct Text {
    /// Functions by address.
    functions: BTreeMap<u64, String>,
    /// Instructions by address: the name, and what it works on.
    instructions: BTreeMap<u64, (String, String)>,
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()
}

impl Text {
    fn parse(disassembly: &str) -> Self {
        let mut text = Self::default();
        for line in disassembly.lines() {
            if let Some((address, name)) =
                line.strip_suffix(">:").and_then(|line| line.split_once(" <"))
            {
                text.functions.extend(hex(address).map(|address| (address, name.to_owned())));
            } else if let Some((address, code)) = line.split_once(":\t")
                && let Some(address) = hex(address)
            {
                let (name, operands) = code.split_once('\t').unwrap_or((code, ""));
                text.instructions.insert(address, (name.trim().into(), operands.into()));
            }
        }
        text
    }

    /// Returns whether this address is that of a landing pad for calls.
    fn is_pad(&self, address: u64) -> bool {
        let instruction = self.instructions.get(&address);
        instruction.is_some_and(|(name, of)| name == "bti" && of.contains('c'))
    }

    /// Returns the functions whose addresses the code computes: by ADR, or by ADRP and ADD.
    fn computed(&self) -> BTreeSet<u64> {
        let mut found = BTreeSet::new();
        let mut pages: BTreeMap<&str, u64> = BTreeMap::new();
        for (address, (name, operands)) in &self.instructions {
            if self.functions.contains_key(address) {
                pages.clear();
            }
            let mut operand = operands.split([',', '<']).map(str::trim);
            let (to, second) = (operand.next().unwrap_or_default(), operand.next());
            match (name.as_str(), second) {
                ("adr", Some(target)) => found.extend(hex(target)),
                ("adrp", Some(page)) => {
                    pages.extend(hex(page).map(|page| (to, page)));
                }
                ("add", Some(from)) => {
                    let offset = operand.next().and_then(|it| hex(it.strip_prefix('#')?));
                    if let (Some(page), Some(offset)) = (pages.get(from), offset) {
                        found.insert(page + offset);
                    }
                }
                _ => {}
            }
            // Whatever else is written to a register is no page any more.
            let reads = ["st", "cm", "cc", "cb", "t", "b"].iter().any(|it| name.starts_with(it));
            if name != "adrp" && !reads {
                pages.remove(to);
                second.filter(|_| name.starts_with("ldp")).map(|other| pages.remove(other));
            }
        }
        found.retain(|address| self.functions.contains_key(address));
        found
    }

    /// Returns what is wrong, for an image whose constants are `words`.
    fn faults(&self, words: impl Iterator<Item = u64>) -> Vec<String> {
        let constants = words.filter(|word| self.instructions.contains_key(word));
        let reached: BTreeSet<u64> = constants.chain(self.computed()).collect();
        let name = |address| match self.functions.range(..=address).next_back() {
            Some((start, name)) => format!("{name}+{:#x}", address - start),
            None => format!("{address:#x}"),
        };
        let is_branch = |address: &u64| {
            !self.functions.get(address).is_some_and(|name| NO_BRANCH.contains(&name.as_str()))
        };
        let without = reached.iter().copied().filter(is_branch).filter(|&it| !self.is_pad(it));
        let mut faults: Vec<_> =
            without.map(|it| format!("no landing pad at {}", name(it))).collect();
        // Tables of jumps, which the compiler makes: `br` by X16 or X17 lands on pads for calls too, and is for those.
        for (&address, (instruction, register)) in &self.instructions {
            if instruction == "br" && !["x16", "x17"].contains(&register.trim()) {
                let start = self.functions.range(..=address).next_back().map_or(0, |(at, _)| *at);
                let end =
                    self.functions.range(address + 1..).next().map_or(u64::MAX, |(at, _)| *at);
                let mut body = self.instructions.range(start..end);
                if !body.any(|(_, (name, of))| name == "bti" && of.contains('j')) {
                    faults.push(format!("no landing pad for the jump in {}", name(address)));
                }
            }
        }
        faults
    }
}

/// Disassembles an image, and returns its constants too.
fn image(folder: &str) -> (Text, Vec<u64>) {
    let file = |name: &str| place::build().expect("run by cargo").join(folder).join(name);
    let elf = file("rmm.elf");
    let mut objdump = Command::new("aarch64-linux-gnu-objdump");
    let text = Text::parse(&output(objdump.args(["-dC", "--no-show-raw-insn"]).arg(&elf)));
    let symbols = output(Command::new("aarch64-linux-gnu-nm").arg(&elf));
    let symbol = |name: &str| {
        let line = symbols.lines().find(|line| line.ends_with(&format!(" {name}")));
        line.and_then(|line| hex(&line[..16])).unwrap_or_else(|| panic!("no {name} in {symbols}"))
    };
    let start = symbol("image_start");
    let [from, to] = ["rodata_start", "image_end"].map(|name| (symbol(name) - start) as usize);
    let binary = fs::read(file("rmm.bin")).expect("run `make image fvp-image`");
    let words = binary[from..to.min(binary.len())].as_chunks().0;
    (text, words.iter().map(|word| u64::from_le_bytes(*word)).collect())
}

#[test]
fn what_an_indirect_branch_can_reach_begins_with_a_landing_pad() {
    if !has_landing_pads() {
        return;
    }
    for folder in ["qemu-plain", "fvp"] {
        let (text, words) = image(folder);
        let faults = text.faults(words.iter().copied());
        assert!(faults.is_empty(), "{folder}: {faults:#?}");
        // It sees what there is: printing is by pointers.
        let pointers = words.iter().filter(|word| text.functions.contains_key(word)).count();
        let (computed, pads) =
            (text.computed().len(), text.functions.keys().filter(|it| text.is_pad(**it)).count());
        println!(
            "{folder}: {pointers} pointers, {computed} computed, {pads} functions with a landing pad"
        );
        assert!(pointers >= 3 && computed > 5, "{pointers}, {computed}");
    }
}

/// A table of jumps, a function that is called by pointer, and one that a constant names.
const CODE: &str = "
0000000040100000 <top>:
    40100000:\tadrp\tx8, 40100000 <image_start>
    40100004:\tadd\tx8, x8, #0x20
    40100008:\tblr\tx8
    4010000c:\tbr\tx9
    40100010:\tbti\tj

0000000040100020 <called>:
    40100020:\tbti\tc

0000000040100030 <named>:
    40100030:\tbti\tjc

0000000040100040 <direct>:
    40100040:\tadrp\tx8, 40100000 <image_start>
    40100044:\tadd\tx8, sp, #0x1, lsl #12
    40100048:\tadd\tx0, x8, #0x40
";

#[test]
fn a_landing_pad_that_is_missing_is_seen() {
    let faults = |from: &str, to: &str| {
        let text = Text::parse(&CODE.replace(from, to));
        text.faults([0x4010_0030, 7].into_iter())
    };
    assert_eq!(faults("", ""), [""; 0]);
    assert_eq!(faults("bti\tc", "nop"), ["no landing pad at called+0x0"]);
    assert_eq!(faults("bti\tc", "bti\tj"), ["no landing pad at called+0x0"]);
    assert_eq!(faults("bti\tjc", "nop"), ["no landing pad at named+0x0"]);
    assert_eq!(faults("40100030:\tbti\tjc", "4010002c:\tnop\n    40100030:\tret").len(), 1);
    assert_eq!(faults("bti\tj\n", "nop\n"), ["no landing pad for the jump in top+0xc"]);
}
