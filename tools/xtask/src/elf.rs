// SPDX-License-Identifier: MIT OR Apache-2.0

//! An ELF file: symbols, sections, relocations, A64 instructions.

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use object::elf::RelocationType;
use object::read::elf::{ElfFile64, FileHeader, SectionHeader};
use object::{
    Endianness, Object, ObjectSection, ObjectSymbol, RelocationFlags, SectionFlags, SectionKind,
    SymbolKind, elf,
};

/// The file of an object or image, 64 bits.
pub type File<'data> = ElfFile64<'data, Endianness>;

/// Why a file cannot be checked.
#[derive(Debug)]
pub enum Error {
    /// It cannot be read.
    Read(PathBuf, io::Error),
    /// It is no ELF file of 64 bits, or is damaged.
    Elf(PathBuf, object::Error),
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Elf(path, error) => write!(f, "{}: no ELF file: {error}", path.display()),
        }
    }
}

impl std::error::Error for Error {}

/// Reads a file.
///
/// # Errors
/// [`Error::Read`].
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::Read(path.into(), error))
}

/// Takes a file's contents apart.
///
/// # Errors
/// [`Error::Elf`], which names `path`.
pub fn parse<'data>(path: &Path, contents: &'data [u8]) -> Result<File<'data>, Error> {
    File::parse(contents).map_err(|error| Error::Elf(path.into(), error))
}

/// A relocation of a section that is loaded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Relocation {
    /// Its type, from the processor's supplement.
    pub kind: RelocationType,
    /// The section that it changes.
    pub section: String,
    /// The symbol that it names, or the section if the symbol has no name.
    pub target: String,
    /// The target is in a section of code.
    pub to_code: bool,
}

fn flags<'data>(section: &impl ObjectSection<'data>) -> elf::SectionFlags {
    match section.flags() {
        SectionFlags::Elf { sh_flags, .. } => sh_flags,
        _ => elf::SectionFlags(0),
    }
}

/// Returns whether a section is in memory at run time.
#[must_use]
pub fn is_loaded<'data>(section: &impl ObjectSection<'data>) -> bool {
    flags(section).contains(elf::SHF_ALLOC)
}

/// Returns the names of symbols, files and sections left out, that `wanted` picks.
pub fn symbols(file: &File<'_>, wanted: impl Fn(&Symbol<'_>) -> bool) -> Vec<String> {
    let named = file.symbols().filter(|it| it.kind() != SymbolKind::File);
    let mut names: Vec<String> = named
        .filter_map(|it| {
            let symbol = Symbol {
                name: it.name().ok().filter(|name| !name.is_empty())?,
                is_function: it.kind() == SymbolKind::Text,
                is_undefined: it.is_undefined(),
                is_global: it.is_global(),
                is_weak: it.is_weak(),
            };
            wanted(&symbol).then(|| symbol.name.to_owned())
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// A symbol that has a name.
#[derive(Clone, Copy, Debug)]
pub struct Symbol<'a> {
    /// Its name.
    pub name: &'a str,
    /// It is of type FUNC.
    pub is_function: bool,
    /// It is defined elsewhere.
    pub is_undefined: bool,
    /// It is GLOBAL or WEAK.
    pub is_global: bool,
    /// It is WEAK.
    pub is_weak: bool,
}

/// Returns the relocations of all sections that are loaded.
#[must_use]
pub fn relocations(file: &File<'_>) -> Vec<Relocation> {
    let mut found = Vec::new();
    for section in file.sections().filter(is_loaded) {
        let name = section.name().unwrap_or_default();
        for (_, relocation) in section.relocations() {
            let RelocationFlags::Elf { r_type } = relocation.flags() else { continue };
            let mut target = (String::new(), false);
            if let object::RelocationTarget::Symbol(index) = relocation.target()
                && let Ok(symbol) = file.symbol_by_index(index)
            {
                let within = symbol.section_index().and_then(|it| file.section_by_index(it).ok());
                let to_code = within.as_ref().is_some_and(|it| it.kind() == SectionKind::Text);
                let name = symbol.name().ok().filter(|name| !name.is_empty());
                let name = name.or_else(|| within.as_ref().and_then(|it| it.name().ok()));
                target =
                    (name.unwrap_or("?").to_owned(), to_code || symbol.kind() == SymbolKind::Text);
            }
            found.push(Relocation {
                kind: r_type,
                section: name.to_owned(),
                target: target.0,
                to_code: target.1,
            });
        }
    }
    found
}

/// Returns the name of a relocation's type for A64.
#[must_use]
pub fn relocation_name(kind: RelocationType) -> String {
    let name = elf::machine_names(elf::EM_AARCH64).r.name(kind);
    name.map_or_else(|| format!("relocation type {}", kind.0), str::to_owned)
}

/// Returns the types of all relocations of the file, those of a linked image that are left to its loader included.
///
/// # Errors
/// A table of relocations is damaged.
pub fn relocation_types(file: &File<'_>) -> object::Result<Vec<RelocationType>> {
    let (endian, data) = (file.endian(), file.data());
    let mut kinds = Vec::new();
    for section in file.elf_section_table().iter() {
        if let Some((entries, _)) = section.rela(endian, data)? {
            kinds.extend(entries.iter().map(|it| it.r_type(endian, false)));
        }
        if let Some((entries, _)) = section.rel(endian, data)? {
            kinds.extend(entries.iter().map(|it| it.r_type(endian)));
        }
    }
    Ok(kinds)
}

/// Returns whether the file says that all of its code has landing pads: its GNU property has the BTI bit.
#[must_use]
pub fn has_bti_property(file: &File<'_>) -> bool {
    let (endian, data) = (file.endian(), file.data());
    let has = || -> object::Result<bool> {
        for section in file.elf_section_table().iter() {
            let Some(mut notes) = section.notes(endian, data)? else { continue };
            while let Some(note) = notes.next()? {
                let Some(mut properties) = note.gnu_properties(endian) else { continue };
                while let Some(property) = properties.next()? {
                    if property.pr_type() == elf::GNU_PROPERTY_AARCH64_FEATURE_1_AND
                        && property.data_u32(endian)? & elf::GNU_PROPERTY_AARCH64_FEATURE_1_BTI != 0
                    {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    };
    has().unwrap_or(false)
}

/// A function of a file and its A64 instructions. Data in between is left out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Code {
    /// The names at its first instruction.
    pub names: Vec<String>,
    /// Its instructions, up to the next function.
    pub instructions: Vec<u32>,
}

/// Returns the functions of all sections of code. Code before the first function of a section has no name.
#[must_use]
pub fn code(file: &File<'_>) -> Vec<Code> {
    let mut found = Vec::new();
    for section in file.sections().filter(|it| it.kind() == SectionKind::Text) {
        let Ok(bytes) = section.data() else { continue };
        // Where functions begin, and where mapping symbols say that data (`$d`) or instructions (`$x`) begin.
        let (mut starts, mut modes) = (Vec::new(), Vec::new());
        for symbol in file.symbols().filter(|it| it.section_index() == Some(section.index())) {
            let at = symbol.address() - section.address();
            match symbol.name().unwrap_or_default() {
                name if name == "$d" || name.starts_with("$d.") => modes.push((at, false)),
                name if name == "$x" || name.starts_with("$x.") => modes.push((at, true)),
                name if symbol.kind() == SymbolKind::Text => starts.push((at, name.to_owned())),
                _ => {}
            }
        }
        starts.sort_unstable();
        modes.sort_unstable();
        let mut function = Code { names: Vec::new(), instructions: Vec::new() };
        for (word, at) in bytes.chunks_exact(4).zip((0_u64..).step_by(4)) {
            let names = starts.iter().filter(|(start, _)| *start == at);
            let names: Vec<String> = names.map(|(_, name)| name.clone()).collect();
            if !names.is_empty() {
                found.push(function);
                function = Code { names, instructions: Vec::new() };
            }
            let mode = modes.iter().take_while(|(start, _)| *start <= at).last();
            if mode.is_none_or(|(_, is_code)| *is_code) {
                let word = [word[0], word[1], word[2], word[3]];
                function.instructions.push(u32::from_le_bytes(word));
            }
        }
        found.push(function);
    }
    found.retain(|it| !it.instructions.is_empty());
    found
}

/// What is loaded, in bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sizes {
    /// Code, constants and notes.
    pub text: u64,
    /// Data that has contents.
    pub data: u64,
    /// Data that begins as zeros.
    pub bss: u64,
}

/// Returns the sizes of what is loaded, as `size` prints them.
#[must_use]
pub fn sizes(file: &File<'_>) -> Sizes {
    let mut sizes = Sizes::default();
    for section in file.sections().filter(is_loaded) {
        let is_data = flags(&section).contains(elf::SHF_WRITE);
        let is_empty = section.elf_section_header().sh_type(file.endian()) == elf::SHT_NOBITS;
        *match (is_empty, is_data) {
            (true, _) => &mut sizes.bss,
            (false, true) => &mut sizes.data,
            (false, false) => &mut sizes.text,
        } += section.size();
    }
    sizes
}

/// Returns the bytes of code and constants alone: sections `.text*` and `.rodata*`.
#[must_use]
pub fn code_and_constants(file: &File<'_>) -> u64 {
    let is_wanted = |name: &str| [".text", ".rodata"].iter().any(|it| name.starts_with(it));
    let wanted = file.sections().filter(|it| it.name().is_ok_and(is_wanted));
    wanted.map(|it| it.size()).sum()
}

/// Returns the entry point of a linked file.
#[must_use]
pub fn entry(file: &File<'_>) -> u64 {
    file.elf_header().e_entry(file.endian())
}
