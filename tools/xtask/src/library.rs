// SPDX-License-Identifier: MIT OR Apache-2.0

//! The library for C, linked into one relocatable object: position independent, general registers only, no sections
//! that a linker script would not expect, nothing that can panic, landing pads where BTI wants them.

use std::collections::BTreeSet;

use object::elf::RelocationType;
use object::{Object, ObjectSection, elf as constants};

use crate::elf::{self, Code, File};

/// What the names of all functions of the header begin with.
pub const PREFIX: &str = "lpsmmu_";

/// The part of a C library that comes along, for images that have none. On a build machine they are taken from its C
/// library.
pub const MEMORY: [&str; 5] = ["memcpy", "memmove", "memset", "memcmp", "bcmp"];

/// What is in the names of functions of Rust that panic, or that a panic needs.
const PANICS: [&str; 4] = ["9panicking", "rust_begin_unwind", "rust_panic", "eh_personality"];

/// Returns the names of the functions that a header declares, sorted: each stands on a line that begins with its type.
#[must_use]
pub fn declared(header: &str) -> Vec<String> {
    let is_part = |it: char| it.is_ascii_alphanumeric() || it == '_';
    let mut names = BTreeSet::new();
    for line in header.lines() {
        // Not comments and members, which begin with a blank, a tab or a slash, nor what stands in the header whole.
        let is_declaration = line.starts_with(is_part);
        if !is_declaration || ["typedef ", "static "].iter().any(|it| line.starts_with(it)) {
            continue;
        }
        let words = line.match_indices(PREFIX).filter(|(at, _)| line[..*at].ends_with([' ', '*']));
        for (at, _) in words {
            let name = line[at..].split(|it| !is_part(it)).next().unwrap_or_default();
            if line[at + name.len()..].starts_with('(') {
                names.insert(name.to_owned());
            }
        }
    }
    names.into_iter().collect()
}

/// An object and what it is to have.
#[derive(Debug)]
pub struct Library<'data> {
    /// The object.
    pub object: File<'data>,
    /// The functions that the header declares, sorted.
    pub declared: Vec<String>,
}

/// A check: what is wrong, a line each.
pub type Check = fn(&Library<'_>) -> Vec<String>;

/// The checks of the library for an image at Realm EL2, by name.
pub const FOR_IMAGES: [(&str, Check); 9] = [
    ("exports", exports),
    ("needs", needs),
    ("panics", panics),
    ("sections", sections),
    ("absolute", absolute),
    ("taken", taken),
    ("pads", pads),
    ("vectors", vectors),
    ("property", property),
];

/// The checks of the library for tests on a build machine.
pub const FOR_WORKSTATIONS: [(&str, Check); 3] =
    [("exports", exports), ("needs", needs_more_than_memory), ("panics", panics)];

/// Functions that are to be seen from outside and are not declared, or the other way round.
fn exports(library: &Library<'_>) -> Vec<String> {
    let there = elf::symbols(&library.object, |it| {
        it.is_function && it.is_global && !it.is_weak && !it.is_undefined
    });
    let declared = &library.declared;
    let missing = declared.iter().filter(|it| !there.contains(it));
    let missing = missing.map(|it| format!("declared, but not there: {it}"));
    let hidden = there.iter().filter(|it| !declared.contains(it));
    missing.chain(hidden.map(|it| format!("there, but not declared: {it}"))).collect()
}

/// What it would want from outside.
fn needs(library: &Library<'_>) -> Vec<String> {
    let names = elf::symbols(&library.object, |it| it.is_undefined);
    names.into_iter().map(|it| format!("undefined: {it}")).collect()
}

/// What it would want from outside besides a few functions of the C library.
fn needs_more_than_memory(library: &Library<'_>) -> Vec<String> {
    let names = elf::symbols(&library.object, |it| it.is_undefined && !MEMORY.contains(&it.name));
    names.into_iter().map(|it| format!("undefined: {it}")).collect()
}

/// Functions that panic.
fn panics(library: &Library<'_>) -> Vec<String> {
    let names =
        elf::symbols(&library.object, |it| PANICS.iter().any(|part| it.name.contains(part)));
    names.into_iter().map(|it| format!("can panic: {it}")).collect()
}

/// What is loaded and no linker script expects.
fn sections(library: &Library<'_>) -> Vec<String> {
    let expected = |name: &str| {
        let stems = [".text", ".rodata", ".data", ".bss"];
        let is_one = |stem| name == stem || name.starts_with(&format!("{stem}."));
        name == ".note.gnu.property" || stems.into_iter().any(is_one)
    };
    let loaded = library.object.sections().filter(elf::is_loaded);
    let names = loaded.map(|it| it.name().unwrap_or("?").to_owned());
    names.filter(|it| !expected(it)).map(|it| format!("section: {it}")).collect()
}

/// Relocations of calls and jumps.
const BRANCHES: [RelocationType; 4] = [
    constants::R_AARCH64_CALL26,
    constants::R_AARCH64_JUMP26,
    constants::R_AARCH64_CONDBR19,
    constants::R_AARCH64_TSTBR14,
];

/// Relocations of data and of addresses that do not depend on where the image is loaded.
const RELATIVE: [RelocationType; 11] = [
    constants::R_AARCH64_ADR_PREL_PG_HI21,
    constants::R_AARCH64_ADD_ABS_LO12_NC,
    constants::R_AARCH64_LDST8_ABS_LO12_NC,
    constants::R_AARCH64_LDST16_ABS_LO12_NC,
    constants::R_AARCH64_LDST32_ABS_LO12_NC,
    constants::R_AARCH64_LDST64_ABS_LO12_NC,
    constants::R_AARCH64_LDST128_ABS_LO12_NC,
    constants::R_AARCH64_ADR_GOT_PAGE,
    constants::R_AARCH64_LD64_GOT_LO12_NC,
    constants::R_AARCH64_PREL32,
    constants::R_AARCH64_PREL64,
];

/// Relocations that depend on where it is loaded, but for words of data, which become `R_AARCH64_RELATIVE`.
fn absolute(library: &Library<'_>) -> Vec<String> {
    let is_word = |kind: RelocationType, section: &str| {
        kind == constants::R_AARCH64_ABS64 && section.starts_with(".data")
    };
    let found = elf::relocations(&library.object).into_iter().filter(|it| {
        !BRANCHES.contains(&it.kind)
            && !RELATIVE.contains(&it.kind)
            && !is_word(it.kind, &it.section)
    });
    found
        .map(|it| {
            let kind = elf::relocation_name(it.kind);
            format!("depends on its place: {kind} in {}, of {}", it.section, it.target)
        })
        .collect()
}

/// Functions whose address is taken. There are none, so all indirect branches leave the library, through functions
/// that the embedder gave.
fn taken(library: &Library<'_>) -> Vec<String> {
    let found = elf::relocations(&library.object).into_iter();
    let found = found.filter(|it| it.to_code && !BRANCHES.contains(&it.kind));
    found.map(|it| format!("address of code: {} in {}", it.target, it.section)).collect()
}

/// `bti c`.
const BTI_C: u32 = 0xD503_245F;

/// Functions to be called from outside without a landing pad, and jumps that would want another one than `bti c`.
fn pads(library: &Library<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for Code { names, instructions } in elf::code(&library.object) {
        if instructions.first() != Some(&BTI_C) {
            let bare = names.iter().filter(|it| library.declared.contains(it));
            faults.extend(bare.map(|it| format!("no landing pad: {it}")));
        }
        // `br`: x16 and x17 may land on `bti c`.
        let jumps =
            |it: &u32| it & 0xFFFF_FC1F == 0xD61F_0000 && ![16, 17].contains(&(it >> 5 & 31));
        if instructions.iter().any(jumps) {
            faults.push(format!("indirect jump: {}", shown(&names)));
        }
    }
    faults
}

/// Returns whether an instruction is of the encoding groups that use floating-point or vector registers: Advanced
/// SIMD and floating point with its loads and stores (bits 27:26 are ones), SVE, SME (Arm ARM, C4.1).
fn uses_vectors(instruction: u32) -> bool {
    let group = instruction >> 25 & 0b1111;
    let is_sme = group == 0 && instruction >> 31 == 1;
    group & 0b0110 == 0b0110 || group == 0b0010 || is_sme
}

/// Instructions that use floating-point or vector registers.
fn vectors(library: &Library<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for Code { names, instructions } in elf::code(&library.object) {
        let found = instructions.into_iter().filter(|it| uses_vectors(*it));
        faults.extend(found.map(|it| format!("vector register: {it:#010x}, in {}", shown(&names))));
    }
    faults
}

/// The property that says that all code has landing pads.
fn property(library: &Library<'_>) -> Vec<String> {
    let has = elf::has_bti_property(&library.object);
    if has { Vec::new() } else { vec!["no BTI property".to_owned()] }
}

fn shown(names: &[String]) -> &str {
    names.first().map_or("code without a name", String::as_str)
}

/// What is left to do when an image that is linked position independent, as TF-RMM is, is loaded and is no
/// `R_AARCH64_RELATIVE`.
///
/// # Errors
/// A table of relocations is damaged.
pub fn loader_faults(image: &File<'_>) -> object::Result<Vec<String>> {
    let kinds = elf::relocation_types(image)?.into_iter();
    let others = kinds.filter(|it| *it != constants::R_AARCH64_RELATIVE);
    let names: BTreeSet<String> = others.map(elf::relocation_name).collect();
    Ok(names.into_iter().map(|it| format!("left to the loader: {it}")).collect())
}
