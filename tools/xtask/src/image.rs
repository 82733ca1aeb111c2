// SPDX-License-Identifier: MIT OR Apache-2.0

//! An image that EL3 loads as a raw file: at its base, entered at its first byte, with nothing zeroed.

use object::read::elf::{ProgramHeader, SectionHeader};
use object::{Object, ObjectSection, ObjectSymbol, elf};

use crate::elf::{self as file, File};

/// Returns what is wrong with an image whose raw file has `size` bytes and is loaded at `base`, a line each.
#[must_use]
pub fn faults(elf: &File<'_>, base: u64, size: u64) -> Vec<String> {
    let mut faults = Vec::new();
    let entry = file::entry(elf);
    if entry != base {
        faults.push(format!("the entry point is {entry:#x}, not {base:#x}"));
    }
    let endian = elf.endian();
    let loads = elf.elf_program_headers().iter().filter(|it| it.p_type(endian) == elf::PT_LOAD);
    match loads.map(|it| it.p_paddr(endian)).min() {
        Some(first) if first == base => {}
        Some(first) => faults.push(format!("the image starts at {first:#x}, not {base:#x}")),
        None => faults.push("nothing is loaded".to_owned()),
    }
    for section in elf.sections() {
        let name = section.name().unwrap_or("?");
        match section.elf_section_header().sh_type(endian) {
            elf::SHT_NOBITS if section.size() != 0 && section.address() < base + size => {
                faults.push(format!("{name} is inside the image file: it must come last"));
            }
            elf::SHT_PROGBITS if name.starts_with(".bss") => {
                faults.push(format!("{name} takes room in the image file"));
            }
            _ => {}
        }
    }
    faults
}

/// Returns the bytes of memory from `base` to the linker script's `memory_end`: all of the image but page tables
/// that only machines with odd banks of DRAM use. None without that symbol.
#[must_use]
pub fn memory(elf: &File<'_>, base: u64) -> Option<u64> {
    elf.symbols().find(|it| it.name() == Ok("memory_end"))?.address().checked_sub(base)
}

/// Writes a number with a comma before each three digits.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index != 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
