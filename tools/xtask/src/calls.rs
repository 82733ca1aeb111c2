// SPDX-License-Identifier: MIT OR Apache-2.0

//! The calls of an image and the stack that each function takes, read from its disassembly.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::process::Command;

/// A function of an image.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Function {
    /// The functions that it calls, or jumps to, by name.
    pub callees: BTreeSet<String>,
    /// It calls, or jumps to, what a register names; tables of jumps are left out.
    pub calls_pointer: bool,
    /// Bytes of stack that it takes itself: the sum of all that its instructions take. More than it takes at a
    /// time, where it takes some on one way and some on another.
    pub frame: u64,
    /// What is done to the stack pointer and is not understood: more than steps of a fixed size.
    pub unclear: Option<String>,
}

/// The functions of an image, by name. Functions of one name are taken together.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Calls(pub BTreeMap<String, Function>);

/// Why there is no deepest path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NoDepth {
    /// There is no function of this name.
    Missing(String),
    /// These functions call one another in a circle.
    Recursion(Vec<String>),
    /// This function calls by pointer, and is none of which the targets are known.
    Pointer(String),
    /// This instruction of a function moves the stack pointer by an unknown number of bytes.
    Unclear(String, String),
}

/// A path of calls.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Depth {
    /// Bytes of stack of all of it.
    pub bytes: u64,
    /// Each function, and the bytes that it takes.
    pub path: Vec<(String, u64)>,
}

impl Calls {
    /// Disassembles an image.
    ///
    /// # Errors
    /// There is no disassembler, or no such image.
    pub fn of(elf: &Path) -> io::Result<Self> {
        let mut objdump = Command::new("aarch64-linux-gnu-objdump");
        let output = objdump.args(["-dC", "--no-show-raw-insn"]).arg(elf).output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr)));
        }
        Ok(Self::parse(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Reads what objdump writes.
    #[must_use]
    pub fn parse(disassembly: &str) -> Self {
        let mut calls = Self::default();
        let mut name = "";
        let mut computed = "";
        for line in disassembly.lines() {
            if let Some((_, found)) = line.strip_suffix(">:").and_then(|line| line.split_once(" <"))
            {
                name = found;
                calls.0.entry(name.to_owned()).or_default();
                computed = "";
                continue;
            }
            // The address, the instruction, what it works on.
            let Some((_, code)) = line.split_once(":\t") else { continue };
            let (instruction, operands) = code.split_once('\t').unwrap_or((code, ""));
            let function = calls.0.entry(name.to_owned()).or_default();
            function.read(name, instruction, operands, computed);
            // A table of jumps is a sum of registers, whatever else is computed before the jump.
            let register = operands.split(',').next().unwrap_or_default();
            if instruction == "add" && operands.matches('x').count() == 3 {
                computed = register;
            } else if register == computed && instruction != "br" {
                computed = "";
            }
        }
        calls
    }

    /// Returns the deepest path from `root`.
    ///
    /// # Errors
    /// The depth is not known.
    pub fn deepest(&self, root: &str, known: &Known<'_>) -> Result<Depth, NoDepth> {
        let mut walk = Walk { calls: self, known, done: BTreeMap::new(), open: Vec::new() };
        walk.depth(root, known.pointers)
    }
}

/// What the disassembly does not show.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The names that a call by pointer in this function can end in; none where it must not have one.
    pub targets: &'a dyn Fn(&str) -> Vec<String>,
    /// Calls by pointer on one path, at most.
    pub pointers: usize,
    /// How often this function stands on one path by calling itself, at most: 1 where it must not.
    pub times: &'a dyn Fn(&str) -> u64,
    /// Whether this function is left out.
    pub ends: &'a dyn Fn(&str) -> bool,
}

impl Function {
    /// Takes one instruction into account. `computed` is the register that holds a target in a table of
    /// jumps.
    fn read(&mut self, name: &str, instruction: &str, operands: &str, computed: &str) {
        match instruction {
            "blr" => self.calls_pointer = true,
            "br" if operands != computed => self.calls_pointer = true,
            _ => {}
        }
        // Calls and jumps, and no addresses that are only computed.
        if ["b", "cb", "tb"].iter().any(|jump| instruction.starts_with(jump))
            && let Some((_, target)) = operands.split_once(" <")
        {
            let target = target.strip_suffix('>').unwrap_or(target);
            let target = target.rsplit_once("+0x").map_or(target, |(name, _)| name);
            if target != name || instruction == "bl" {
                self.callees.insert(target.to_owned());
            }
        }
        let moves = match instruction {
            "sub" | "add" | "mov" | "and" => operands.starts_with("sp,"),
            // A loop that goes down until the stack pointer is somewhere.
            "cmp" => operands.contains("sp"),
            _ => {
                operands.contains("[sp, #") && operands.ends_with("]!")
                    || operands.contains("[sp],")
            }
        };
        if moves {
            match Self::taken(instruction, operands) {
                Some(bytes) => self.frame += bytes,
                None => self.unclear = Some(format!("{instruction} {operands}")),
            }
        }
    }

    /// Returns by how much an instruction moves the stack pointer down: 0 for one that gives back.
    fn taken(instruction: &str, operands: &str) -> Option<u64> {
        let number = |text: &str| {
            let text = text.trim();
            text.strip_prefix("0x")
                .map_or_else(|| text.parse().ok(), |hex| u64::from_str_radix(hex, 16).ok())
        };
        if instruction == "sub" {
            let (size, shift) =
                operands.strip_prefix("sp, sp, #")?.split_once(", lsl #").map_or_else(
                    || (operands.strip_prefix("sp, sp, #").unwrap_or_default(), Some(0)),
                    |(size, shift)| (size, number(shift)),
                );
            return number(size)?.checked_shl(u32::try_from(shift?).ok()?);
        }
        if instruction == "add" {
            return operands.starts_with("sp, sp, #").then_some(0);
        }
        // Only from the frame pointer, which is where the stack was.
        if instruction == "mov" {
            return (operands == "sp, x29").then_some(0);
        }
        if operands.contains("[sp], #") {
            return Some(0);
        }
        number(operands.rsplit_once("[sp, #-")?.1.strip_suffix("]!")?)
    }
}

/// A walk over the calls.
struct Walk<'a> {
    calls: &'a Calls,
    known: &'a Known<'a>,
    /// The depth of each function, by name and how many calls by pointer are left.
    done: BTreeMap<(String, usize), Depth>,
    /// The path to where it is.
    open: Vec<(String, usize)>,
}

impl Walk<'_> {
    fn depth(&mut self, name: &str, pointers: usize) -> Result<Depth, NoDepth> {
        let here = (name.to_owned(), pointers);
        if let Some(depth) = self.done.get(&here) {
            return Ok(depth.clone());
        }
        if let Some(start) = self.open.iter().position(|open| *open == here) {
            let circle = self.open.iter().skip(start).chain([&here]);
            return Err(NoDepth::Recursion(circle.map(|(name, _)| name.clone()).collect()));
        }
        let (calls, known) = (self.calls, self.known);
        let function = calls.0.get(name).ok_or_else(|| NoDepth::Missing(name.to_owned()))?;
        if let Some(unclear) = &function.unclear {
            return Err(NoDepth::Unclear(name.to_owned(), unclear.clone()));
        }
        let times = (known.times)(name);
        let own = function.frame * times;
        let mut next: Vec<(String, usize)> = Vec::new();
        let callees = function.callees.iter().filter(|&callee| !(known.ends)(callee));
        next.extend(
            callees.filter(|&callee| times == 1 || callee != name).map(|it| (it.clone(), pointers)),
        );
        if function.calls_pointer {
            let targets = (known.targets)(name);
            if targets.is_empty() {
                return Err(NoDepth::Pointer(name.to_owned()));
            }
            if let Some(left) = pointers.checked_sub(1) {
                next.extend(targets.into_iter().map(|target| (target, left)));
            }
        }
        self.open.push(here.clone());
        let mut deepest = Depth::default();
        for (callee, left) in next {
            let depth = self.depth(&callee, left)?;
            if depth.bytes >= deepest.bytes {
                deepest = depth;
            }
        }
        self.open.pop();
        deepest.bytes += own;
        deepest.path.insert(0, (name.to_owned(), own));
        self.done.insert(here, deepest.clone());
        Ok(deepest)
    }
}
