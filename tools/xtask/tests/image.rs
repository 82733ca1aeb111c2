// SPDX-License-Identifier: MIT OR Apache-2.0

//! An image that EL3 could not load is refused.

use std::path::Path;

use object::Endianness;
use object::elf as constants;
use object::write::StringId;
use object::write::elf::{FileHeader, ProgramHeader, SectionHeader, Sym, Writer};
use xtask::elf;
use xtask::image;

const BASE: u64 = 0x4010_0000;
/// Bytes of the raw file.
const SIZE: u64 = 0x2000;

/// What is in an image.
#[derive(Clone)]
struct Plan {
    entry: u64,
    /// Physical addresses of what is loaded.
    loads: Vec<u64>,
    /// Name, type, address and size.
    sections: Vec<(&'static str, constants::SectionType, u64, u64)>,
    /// The address of `memory_end`.
    memory_end: Option<u64>,
}

impl Plan {
    fn fit() -> Self {
        Self {
            entry: BASE,
            loads: vec![BASE + 0x1000, BASE],
            sections: vec![
                (".text", constants::SHT_PROGBITS, BASE, 0x2000),
                (".bss", constants::SHT_NOBITS, BASE + SIZE, 0x1000),
                // Nothing is in the way of the file.
                (".empty", constants::SHT_NOBITS, BASE, 0),
            ],
            memory_end: Some(BASE + 0x3E000),
        }
    }

    /// Returns the file.
    fn contents(&self) -> Vec<u8> {
        let mut contents = Vec::new();
        let mut writer = Writer::new(Endianness::Little, true, &mut contents);
        writer.reserve_file_header();
        writer.reserve_program_headers(u32::try_from(self.loads.len()).expect("few"));
        writer.reserve_null_section_index();
        let names: Vec<StringId> = self
            .sections
            .iter()
            .map(|(name, ..)| {
                writer.reserve_section_index();
                writer.add_section_name(name.as_bytes())
            })
            .collect();
        writer.reserve_null_symbol_index();
        let end = self.memory_end.map(|at| {
            writer.reserve_symbol_index(None);
            (writer.add_string(b"memory_end"), at)
        });
        writer.reserve_symtab_section_index();
        writer.reserve_symtab();
        writer.reserve_strtab_section_index();
        writer.reserve_strtab().expect("few names");
        writer.reserve_shstrtab_section_index();
        writer.reserve_shstrtab().expect("few names");
        writer.reserve_section_headers();
        writer
            .write_file_header(&FileHeader {
                os_abi: constants::ELFOSABI_NONE,
                abi_version: 0,
                e_type: constants::ET_EXEC,
                e_machine: constants::EM_AARCH64,
                e_entry: self.entry,
                e_flags: constants::FileFlags(0),
            })
            .expect("a header");
        writer.write_align_program_headers();
        for &address in &self.loads {
            writer.write_program_header(&ProgramHeader {
                p_type: constants::PT_LOAD,
                p_flags: constants::PF_R,
                p_offset: 0,
                p_vaddr: !address,
                p_paddr: address,
                p_filesz: 0,
                p_memsz: 0,
                p_align: 1,
            });
        }
        writer.write_null_symbol();
        if let Some((name, at)) = end {
            writer.write_symbol(&Sym {
                st_name: writer.string_offset(Some(name)),
                section: None,
                st_info: constants::SymbolInfo::new(constants::STB_GLOBAL, constants::STT_NOTYPE),
                st_other: constants::SymbolOther(0),
                st_shndx: constants::SHN_ABS,
                st_value: at,
                st_size: 0,
            });
        }
        writer.write_strtab();
        writer.write_shstrtab();
        writer.write_null_section_header();
        for ((_, kind, address, size), name) in self.sections.iter().zip(names) {
            writer.write_section_header(&SectionHeader {
                sh_name: writer.section_name_offset(Some(name)),
                sh_type: *kind,
                sh_flags: constants::SHF_ALLOC,
                sh_addr: *address,
                sh_offset: 0,
                sh_size: *size,
                sh_link: 0,
                sh_info: 0,
                sh_addralign: 1,
                sh_entsize: 0,
            });
        }
        writer.write_symtab_section_header(1);
        writer.write_strtab_section_header();
        writer.write_shstrtab_section_header();
        contents
    }

    fn faults(&self) -> Vec<String> {
        let contents = self.contents();
        let elf = elf::parse(Path::new("planted"), &contents).expect("an image");
        image::faults(&elf, BASE, SIZE)
    }
}

#[test]
fn an_image_that_can_be_loaded_has_no_fault() {
    assert_eq!(Plan::fit().faults(), Vec::<String>::new());
}

#[test]
fn an_image_that_is_entered_elsewhere_is_refused() {
    let plan = Plan { entry: BASE + 4, ..Plan::fit() };
    assert_eq!(plan.faults(), ["the entry point is 0x40100004, not 0x40100000"]);
}

#[test]
fn an_image_that_starts_elsewhere_is_refused() {
    let plan = Plan { loads: vec![BASE, BASE - 0x1000], ..Plan::fit() };
    assert_eq!(plan.faults(), ["the image starts at 0x400ff000, not 0x40100000"]);
    let plan = Plan { loads: Vec::new(), ..Plan::fit() };
    assert_eq!(plan.faults(), ["nothing is loaded"]);
}

#[test]
fn zeros_inside_of_the_image_file_are_refused() {
    let mut plan = Plan::fit();
    plan.sections[1].2 -= 1;
    assert_eq!(plan.faults(), [".bss is inside the image file: it must come last"]);
}

#[test]
fn zeros_that_take_room_in_the_image_file_are_refused() {
    let mut plan = Plan::fit();
    plan.sections.push((".bss.late", constants::SHT_PROGBITS, BASE + SIZE, 8));
    assert_eq!(plan.faults(), [".bss.late takes room in the image file"]);
}

#[test]
fn the_memory_of_an_image_ends_where_its_linker_script_says() {
    let memory = |plan: &Plan| {
        let contents = plan.contents();
        image::memory(&elf::parse(Path::new("planted"), &contents).expect("an image"), BASE)
    };
    assert_eq!(memory(&Plan::fit()), Some(0x3E000));
    assert_eq!(memory(&Plan { memory_end: None, ..Plan::fit() }), None);
    assert_eq!(memory(&Plan { memory_end: Some(BASE - 1), ..Plan::fit() }), None);
}

#[test]
fn numbers_are_grouped_by_three_digits() {
    let grouped = [0, 999, 1000, 65_536, 1_234_567].map(image::grouped);
    assert_eq!(grouped, ["0", "999", "1,000", "65,536", "1,234,567"]);
}
