// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can panic in a relocatable object that holds all that its roots reach. Whatever panics calls a function that
//! is not defined, the marker.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::elf::{self, File};

/// What the panic handler of `tests/no-panic` calls and nothing defines.
pub const MARKER: &str = "the_event_path_can_panic";

/// Returns whether anything in the object can panic. Functions of core that do would be there too.
#[must_use]
pub fn can_panic(object: &File<'_>) -> bool {
    !elf::symbols(object, |it| it.name.contains(MARKER) || it.name.contains("9panicking"))
        .is_empty()
}

/// Returns the functions that `source` defines for C, but for those of a feature, and that the object does not have:
/// a check without them would see nothing.
#[must_use]
pub fn missing_roots(object: &File<'_>, source: &str) -> Vec<String> {
    let roots = roots(source);
    let there = elf::symbols(object, |it| !it.is_undefined);
    roots.into_iter().filter(|it| !there.contains(it)).collect()
}

/// Returns the functions of a source for C that are there without a feature.
#[must_use]
pub fn roots(source: &str) -> Vec<String> {
    let mut is_of_feature = false;
    let mut roots = Vec::new();
    for line in source.lines() {
        is_of_feature |= line.contains("cfg(feature");
        if let Some((_, rest)) = line.split_once("extern \"C\" fn ")
            && !is_of_feature
        {
            roots.extend(rest.split('(').next().map(str::to_owned));
        }
        is_of_feature &= !line.starts_with('}');
    }
    roots
}

/// A call of a relocatable object.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Call {
    from: String,
    to: String,
    at: String,
}

/// Returns the lines outside of core from which a function that panics is called: `place: callee, in caller`.
///
/// # Errors
/// There is no disassembler, or it refuses the object.
pub fn culprits(object: &Path) -> io::Result<BTreeSet<String>> {
    let mut objdump = Command::new("aarch64-linux-gnu-objdump");
    let output = objdump.args(["-drl", "--inlines", "--no-show-raw-insn"]).arg(object).output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr)));
    }
    Ok(culprits_of(&String::from_utf8_lossy(&output.stdout)))
}

/// As [`culprits`], of what objdump has written.
#[must_use]
pub fn culprits_of(disassembly: &str) -> BTreeSet<String> {
    let calls = calls(disassembly);
    let is_library = |name: &str| {
        let name_of_core = ["core::", "<core::"].iter().any(|it| name.starts_with(it));
        name_of_core || name.contains(" as core::") || name.contains("rust_begin_unwind")
    };
    let mut panics = BTreeSet::from([MARKER]);
    loop {
        let found = calls.iter().filter(|it| panics.contains(it.to.as_str()));
        let found: Vec<&str> =
            found.map(|it| it.from.as_str()).filter(|it| is_library(it)).collect();
        let before = panics.len();
        panics.extend(found);
        if panics.len() == before {
            break;
        }
    }
    let ours = calls.iter().filter(|it| panics.contains(it.to.as_str()) && !is_library(&it.from));
    ours.map(|it| format!("{}: {}, in {}", it.at, it.to, it.from)).collect()
}

/// Reads calls and jumps. Each function is a section of its own, which relocations name as often as the function.
fn calls(disassembly: &str) -> Vec<Call> {
    let (mut calls, mut from, mut at) = (Vec::new(), String::new(), String::new());
    for line in disassembly.lines() {
        if let Some((_, name)) = line.strip_suffix(">:").and_then(|it| it.split_once(" <")) {
            from = function(name);
            at.clear();
        } else if line.ends_with("():") {
            at.clear();
        } else if let Some(outer) = line.strip_prefix("inlined by ") {
            // Of the lines that were inlined into each other, the first one outside of the libraries.
            if at.is_empty() || ["/rust/", "/cargo/"].iter().any(|it| at.starts_with(it)) {
                at = outer.split(' ').next().unwrap_or_default().to_owned();
            }
        } else if let Some(place) = place(line) {
            at = place.to_owned();
        } else if let Some((_, relocation)) = line.split_once("R_AARCH64_")
            && let Some((kind, target)) = relocation.split_once(char::is_whitespace)
            && ["CALL26", "JUMP26"].contains(&kind)
        {
            let target = target.trim();
            let target = target.rsplit_once("+0x").map_or(target, |(name, _)| name);
            let at = if at.is_empty() { "?".to_owned() } else { at.clone() };
            calls.push(Call { from: from.clone(), to: function(target), at });
        }
    }
    calls
}

/// Returns the file and line that a line of the disassembly consists of.
fn place(line: &str) -> Option<&str> {
    let place = line.split(" (discriminator").next()?;
    let (file, number) = place.rsplit_once(':')?;
    let is_number = !number.is_empty() && number.bytes().all(|it| it.is_ascii_digit());
    (is_number && !file.is_empty() && !file.contains([' ', '\t'])).then_some(place)
}

/// Returns a function's name as in the source, of its symbol or of its section.
fn function(symbol: &str) -> String {
    let mut name = symbol.strip_prefix(".text.").unwrap_or(symbol);
    for heat in ["unlikely.", "hot.", "startup.", "exit."] {
        name = name.strip_prefix(heat).unwrap_or(name);
    }
    format!("{:#}", rustc_demangle::demangle(name))
}
