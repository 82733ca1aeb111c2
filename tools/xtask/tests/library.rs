// SPDX-License-Identifier: MIT OR Apache-2.0

//! Each check of the library for C finds the fault that it is for, planted into an object that is fit, and no other
//! check takes it for its own.

use std::path::Path;

use object::elf::{self as constants, RelocationType};
use object::write::{Object, Relocation, SectionId, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope,
};
use xtask::elf;
use xtask::library::{self, FOR_IMAGES, FOR_WORKSTATIONS, Library};

const BTI_C: u32 = 0xD503_245F;
const RET: u32 = 0xD65F_03C0;
const NOP: u32 = 0xD503_201F;
/// `ldr x0, <literal>`, with the encoding of `fadd d0, d0, d0` as its data.
const DATA: u32 = 0x1E60_2800;

/// The object of a library with one function, `lpsmmu_one`, which calls a local one.
struct Plan {
    object: Object<'static>,
    text: SectionId,
    local: SymbolId,
}

impl Plan {
    fn new() -> Self {
        let mut object = Object::new(BinaryFormat::Elf, Architecture::Aarch64, Endianness::Little);
        object.add_elf_gnu_property_u32(
            constants::GNU_PROPERTY_AARCH64_FEATURE_1_AND,
            constants::GNU_PROPERTY_AARCH64_FEATURE_1_BTI,
        );
        let text = object.add_section(Vec::new(), b".text.lpsmmu_one".to_vec(), SectionKind::Text);
        // The section stands in until there is a function.
        let first = object.section_symbol(text);
        let mut plan = Self { object, text, local: first };
        plan.function("lpsmmu_one", SymbolScope::Dynamic, &[BTI_C, NOP, RET]);
        plan.local = plan.function("helper", SymbolScope::Compilation, &[NOP, RET]);
        plan.relocation(text, 4, plan.local, constants::R_AARCH64_CALL26);
        plan
    }

    fn symbol(
        &mut self,
        name: &str,
        kind: SymbolKind,
        place: Option<(SectionId, u64)>,
    ) -> SymbolId {
        self.object.add_symbol(Symbol {
            name: name.into(),
            value: place.map_or(0, |(_, at)| at),
            size: 0,
            kind,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: place.map_or(SymbolSection::Undefined, |(it, _)| SymbolSection::Section(it)),
            flags: SymbolFlags::None,
        })
    }

    fn function(&mut self, name: &str, scope: SymbolScope, code: &[u32]) -> SymbolId {
        let bytes: Vec<u8> = code.iter().flat_map(|it| it.to_le_bytes()).collect();
        let at = self.object.append_section_data(self.text, &bytes, 4);
        let symbol = self.symbol(name, SymbolKind::Text, Some((self.text, at)));
        self.object.symbol_mut(symbol).scope = scope;
        symbol
    }

    fn relocation(
        &mut self,
        section: SectionId,
        offset: u64,
        symbol: SymbolId,
        kind: RelocationType,
    ) {
        let flags = RelocationFlags::Elf { r_type: kind };
        let relocation = Relocation { offset, symbol, addend: 0, flags };
        self.object.add_relocation(section, relocation).expect("an offset in the section");
    }

    /// Returns a section of data of eight bytes.
    fn data(&mut self, name: &str) -> SectionId {
        let section = self.object.add_section(Vec::new(), name.into(), SectionKind::Data);
        self.object.append_section_data(section, &[0; 8], 8);
        section
    }

    /// Returns the names of the checks that find something, and what.
    fn found(&self) -> Vec<(&'static str, Vec<String>)> {
        let bytes = self.object.write().expect("an object");
        let object = elf::parse(Path::new("planted"), &bytes).expect("an object");
        let library = Library { object, declared: vec!["lpsmmu_one".to_owned()] };
        let found = FOR_IMAGES.map(|(name, check)| (name, check(&library)));
        found.into_iter().filter(|(_, faults)| !faults.is_empty()).collect()
    }
}

/// Asserts that only `check` finds a fault, in one line.
fn finds(check: &str, plant: impl FnOnce(&mut Plan), fault: &str) {
    let mut plan = Plan::new();
    plant(&mut plan);
    assert_eq!(plan.found(), [(check, vec![fault.to_owned()])]);
}

#[test]
fn an_object_that_is_fit_passes_every_check() {
    let mut plan = Plan::new();
    // A table of addresses of data, which becomes R_AARCH64_RELATIVE.
    let (table, target) = (plan.data(".data.rel.ro"), plan.data(".data.word"));
    let target = plan.symbol("WORD", SymbolKind::Data, Some((target, 0)));
    plan.relocation(table, 0, target, constants::R_AARCH64_ABS64);
    assert_eq!(plan.found(), []);
}

#[test]
fn a_function_that_the_header_does_not_declare_is_found() {
    let plant = |plan: &mut Plan| {
        plan.function("lpsmmu_more", SymbolScope::Dynamic, &[BTI_C, RET]);
    };
    finds("exports", plant, "there, but not declared: lpsmmu_more");
}

#[test]
fn a_declared_function_that_is_not_there_is_found() {
    let plant = |plan: &mut Plan| {
        let one = plan.object.symbol_id(b"lpsmmu_one").expect("planned");
        plan.object.symbol_mut(one).scope = SymbolScope::Compilation;
    };
    finds("exports", plant, "declared, but not there: lpsmmu_one");
}

#[test]
fn what_it_wants_from_outside_is_found() {
    let plant = |plan: &mut Plan| {
        let symbol = plan.symbol("elsewhere", SymbolKind::Unknown, None);
        plan.relocation(plan.text, 4, symbol, constants::R_AARCH64_CALL26);
    };
    finds("needs", plant, "undefined: elsewhere");
}

#[test]
fn a_panic_is_found() {
    for name in
        ["_ZN4core9panicking5panic17h0E", "rust_begin_unwind", "rust_panic", "rust_eh_personality"]
    {
        let plant = |plan: &mut Plan| {
            plan.function(name, SymbolScope::Compilation, &[RET]);
        };
        finds("panics", plant, &format!("can panic: {name}"));
    }
}

#[test]
fn a_section_that_no_linker_script_expects_is_found() {
    for name in [".surprise", ".textual", ".eh_frame"] {
        finds("sections", |plan| _ = plan.data(name), &format!("section: {name}"));
    }
}

#[test]
fn an_address_that_depends_on_the_place_is_found() {
    let plant = |section: &'static str, kind| {
        move |plan: &mut Plan| {
            let (word, target) = (plan.data(section), plan.data(".data.word"));
            let target = plan.symbol("WORD", SymbolKind::Data, Some((target, 0)));
            plan.relocation(word, 0, target, kind);
        }
    };
    let line = |kind, section| format!("depends on its place: {kind} in {section}, of WORD");
    let word = line("R_AARCH64_ABS64", ".rodata.word");
    finds("absolute", plant(".rodata.word", constants::R_AARCH64_ABS64), &word);
    let half = line("R_AARCH64_ABS32", ".data.half");
    finds("absolute", plant(".data.half", constants::R_AARCH64_ABS32), &half);
}

#[test]
fn a_function_whose_address_is_taken_is_found() {
    let plant = |plan: &mut Plan| {
        let table = plan.data(".data.table");
        plan.relocation(table, 0, plan.local, constants::R_AARCH64_ABS64);
    };
    finds("taken", plant, "address of code: helper in .data.table");
    let plant = |plan: &mut Plan| {
        let section = plan.object.section_symbol(plan.text);
        plan.relocation(plan.text, 8, section, constants::R_AARCH64_ADR_PREL_PG_HI21);
    };
    finds("taken", plant, "address of code: .text.lpsmmu_one in .text.lpsmmu_one");
}

#[test]
fn a_declared_function_without_a_landing_pad_is_found() {
    let plant = |plan: &mut Plan| {
        plan.object.section_mut(plan.text).data_mut()[..4].copy_from_slice(&NOP.to_le_bytes());
    };
    finds("pads", plant, "no landing pad: lpsmmu_one");
}

#[test]
fn a_jump_to_what_a_register_names_is_found() {
    let br = |register: u32| 0xD61F_0000 | register << 5;
    let plant = |plan: &mut Plan| {
        plan.function("jumps", SymbolScope::Compilation, &[NOP, br(8)]);
    };
    finds("pads", plant, "indirect jump: jumps");
    let mut plan = Plan::new();
    // X16 and X17 may land on `bti c`; `blr` and `ret` are no jumps.
    plan.function("veneers", SymbolScope::Compilation, &[br(16), br(17), 0xD63F_0100, RET]);
    assert_eq!(plan.found(), []);
}

#[test]
fn an_instruction_with_vector_registers_is_found() {
    // fadd d0, d0, d0; ldr q0, [x0]; stp d8, d9, [sp, #-16]!; fmov x0, d0; movi v0.16b, #0; ldr s0, <literal>;
    // SVE's ptrue p0.b; SME's smstart za is a system instruction, fmopa is not.
    for word in [
        0x1E60_2800_u32,
        0x3DC0_0000,
        0x6DBF_27E8,
        0x9E66_0000,
        0x4F00_E400,
        0x1C00_0040,
        0x2518_E3E0,
        0x8080_0000,
    ] {
        let plant = |plan: &mut Plan| {
            plan.function("adds", SymbolScope::Compilation, &[NOP, word, RET]);
        };
        finds("vectors", plant, &format!("vector register: {word:#010x}, in adds"));
    }
    // ldr x0, [x1]; ldp x29, x30, [sp], #16; casal x0, x1, [x2]; ldadd x0, x1, [x2]; mrs x0, cntpct_el0; dmb sy;
    // madd x0, x1, x2, x3; b.
    let plain = [
        0xF940_0020_u32,
        0xA8C1_7BFD,
        0xC8E0_FC41,
        0xF820_0041,
        0xD53B_E020,
        0xD503_3FBF,
        0x9B02_0C20,
        0x1400_0001,
    ];
    let mut plan = Plan::new();
    plan.function("plain", SymbolScope::Compilation, &plain);
    assert_eq!(plan.found(), []);
}

#[test]
fn data_among_the_code_is_no_instruction() {
    let mut plan = Plan::new();
    plan.function("loads", SymbolScope::Compilation, &[NOP, RET, DATA]);
    assert_eq!(plan.found().len(), 1);
    let loads = plan.object.symbol_id(b"loads").expect("planned");
    let start = plan.object.symbol(loads).value;
    for (name, at) in [("$x", start), ("$d", start + 8)] {
        let symbol = plan.symbol(name, SymbolKind::Label, Some((plan.text, at)));
        plan.object.symbol_mut(symbol).scope = SymbolScope::Compilation;
    }
    assert_eq!(plan.found(), []);
}

#[test]
fn an_object_without_the_property_of_landing_pads_is_found() {
    let mut plan = Plan::new();
    let mut bare = Object::new(BinaryFormat::Elf, Architecture::Aarch64, Endianness::Little);
    // Pointer authentication alone.
    bare.add_elf_gnu_property_u32(
        constants::GNU_PROPERTY_AARCH64_FEATURE_1_AND,
        constants::GNU_PROPERTY_AARCH64_FEATURE_1_PAC,
    );
    plan.text = bare.add_section(Vec::new(), b".text".to_vec(), SectionKind::Text);
    plan.object = bare;
    plan.function("lpsmmu_one", SymbolScope::Dynamic, &[BTI_C, RET]);
    assert_eq!(plan.found(), [("property", vec!["no BTI property".to_owned()])]);
}

#[test]
fn a_library_for_tests_may_want_only_memory_functions() {
    let mut plan = Plan::new();
    for name in ["memcpy", "malloc"] {
        plan.symbol(name, SymbolKind::Unknown, None);
    }
    let bytes = plan.object.write().expect("an object");
    let object = elf::parse(Path::new("planted"), &bytes).expect("an object");
    let library = Library { object, declared: vec!["lpsmmu_one".to_owned()] };
    let faults: Vec<String> =
        FOR_WORKSTATIONS.iter().flat_map(|(_, check)| check(&library)).collect();
    assert_eq!(faults, ["undefined: malloc"]);
}

#[test]
fn what_is_left_to_the_loader_is_found() {
    let faults = |kind| {
        let mut plan = Plan::new();
        let word = plan.data(".data.word");
        plan.relocation(word, 0, plan.local, kind);
        let bytes = plan.object.write().expect("an object");
        let image = elf::parse(Path::new("planted"), &bytes).expect("an object");
        library::loader_faults(&image).expect("tables in order")
    };
    // (A call is in every plan.)
    let call = "left to the loader: R_AARCH64_CALL26";
    assert_eq!(faults(constants::R_AARCH64_RELATIVE), [call]);
    let word = "left to the loader: R_AARCH64_GLOB_DAT";
    assert_eq!(faults(constants::R_AARCH64_GLOB_DAT), [call, word]);
}

#[test]
fn the_declarations_of_a_header_are_found_and_nothing_else() {
    let header = "
/* lpsmmu_in_a_comment() */
 * lpsmmu_in_a_long_comment(void);
typedef int lpsmmu_type(int);
int lpsmmu_plain(void);
struct lpsmmu_set *lpsmmu_pointer(int x, int y);
__attribute__((warn_unused_result)) int lpsmmu_checked(void);
static inline int lpsmmu_whole(int x)
{
\treturn lpsmmu_plain();
}
struct lpsmmu_struct {
\tint (*lpsmmu_member)(void);
";
    assert_eq!(library::declared(header), ["lpsmmu_checked", "lpsmmu_plain", "lpsmmu_pointer"]);
}

#[test]
fn a_file_that_is_no_object_is_an_error() {
    let error = elf::parse(Path::new("some/file"), b"!<arch>\n").expect_err("no object");
    assert!(error.to_string().starts_with("some/file: no ELF file: "), "{error}");
}
