// SPDX-License-Identifier: MIT OR Apache-2.0

//! The program that `tools/image`, `tools/capi`, `tools/no-panic` and the Makefile call. Silent where nothing is wrong; else it names
//! what is, a line each, and ends with 1.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use xtask::library::{self, FOR_IMAGES, FOR_WORKSTATIONS, Library};
use xtask::{elf, figures, image, panics};

const USAGE: &str = "\
usage: xtask functions HEADER [--with-memory]
           the functions that a header declares; and the part of a C library that comes along
       xtask library HEADER OBJECT [--workstation]
           OBJECT is fit to be linked into an image at Realm EL2, or into tests on a build machine
       xtask pie IMAGE
           the loader has nothing to do but R_AARCH64_RELATIVE
       xtask size OBJECT
           bytes of code and constants, and of data
       xtask loaded FILE...
           bytes of code and constants alone, summed up
       xtask image NAME BASE ELF RAW
           the raw file can be loaded at BASE and entered there
       xtask sizes WHAT BASE ELF RAW OUT [--quiet]
           writes sizes of an image to OUT, and prints a line
       xtask no-panic OBJECT SOURCE
           no panic can be reached from the functions for C in SOURCE; else from which lines
       xtask panics OBJECT
           exit status 0 if OBJECT can panic, 1 if not
       xtask figures LOG BENCH
           draws docs/figures from the log of a run and the JSON numbers of a bench
       xtask figures --check [--log LOG] [--bench BENCH]
           the figures follow from their data, LOG has the same run, and BENCH, if it is newer, the same numbers
       xtask report LOG BENCH TABLE OUT
           writes a page of a run and of a bench to OUT";

/// Where the figures are, from the folder of the workspace.
const FIGURES: &str = "docs/figures";

/// As many faults are shown of each check.
const SHOWN: usize = 20;

type Outcome = Result<(), String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["functions", header] => functions(header, false),
        ["functions", header, "--with-memory"] => functions(header, true),
        ["library", header, object] => check_library(header, object, &FOR_IMAGES),
        ["library", header, object, "--workstation"] => {
            check_library(header, object, &FOR_WORKSTATIONS)
        }
        ["pie", file] => pie(file),
        ["size", file] => with(file, |elf| {
            let sizes = elf::sizes(elf);
            let data = sizes.data + sizes.bss;
            println!("{} bytes of code and constants, {data} of data", sizes.text);
            Ok(())
        }),
        ["loaded", files @ ..] if !files.is_empty() => loaded(files),
        ["image", name, base, elf, raw] => check_image(name, base, elf, raw),
        ["sizes", what, base, elf, raw, out] => sizes(what, base, [elf, raw, out], false),
        ["sizes", what, base, elf, raw, out, "--quiet"] => sizes(what, base, [elf, raw, out], true),
        ["no-panic", object, source] => no_panic(object, source),
        ["panics", object] => with(object, |elf| {
            if panics::can_panic(elf) { Ok(()) } else { Err(format!("{object} cannot panic")) }
        }),
        ["figures", "--check"] => figures::check(Path::new(FIGURES), None, None),
        ["figures", "--check", "--log", log] => {
            figures::check(Path::new(FIGURES), Some(Path::new(log)), None)
        }
        ["figures", "--check", "--bench", bench] => {
            figures::check(Path::new(FIGURES), None, Some(Path::new(bench)))
        }
        ["figures", "--check", "--log", log, "--bench", bench] => {
            figures::check(Path::new(FIGURES), Some(Path::new(log)), Some(Path::new(bench)))
        }
        ["figures", log, bench] if !log.starts_with('-') => {
            figures::write(Path::new(FIGURES), Path::new(log), Path::new(bench))
        }
        ["report", log, bench, table, out] => report([log, bench, table], out),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Calls `step` with a file that is taken apart.
fn with(path: &str, step: impl FnOnce(&elf::File<'_>) -> Outcome) -> Outcome {
    let path = Path::new(path);
    let contents = elf::read(path).map_err(|error| error.to_string())?;
    step(&elf::parse(path, &contents).map_err(|error| error.to_string())?)
}

fn text(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

fn declared(header: &str) -> Result<Vec<String>, String> {
    let found = library::declared(&text(header)?);
    if found.len() > 10 {
        Ok(found)
    } else {
        Err(format!("{header} declares {} functions?", found.len()))
    }
}

fn functions(header: &str, with_memory: bool) -> Outcome {
    for name in declared(header)? {
        println!("{name}");
    }
    if with_memory {
        println!("{}", library::MEMORY.join("\n"));
    }
    Ok(())
}

fn listed(faults: &[String]) -> String {
    let mut lines: Vec<&str> = faults.iter().take(SHOWN).map(String::as_str).collect();
    let more = format!("and {} more", faults.len().saturating_sub(SHOWN));
    if faults.len() > SHOWN {
        lines.push(&more);
    }
    lines.iter().map(|line| format!("\n  {line}")).collect()
}

fn check_library(header: &str, path: &str, checks: &[(&str, library::Check)]) -> Outcome {
    let declared = declared(header)?;
    let path = Path::new(path);
    let contents = elf::read(path).map_err(|error| error.to_string())?;
    let object = elf::parse(path, &contents).map_err(|error| error.to_string())?;
    let library = Library { object, declared };
    let mut wrong = String::new();
    for (name, check) in checks {
        let faults = check(&library);
        if !faults.is_empty() {
            wrong += &format!("\n {name}:{}", listed(&faults));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!("{} is not fit for images of others:{wrong}", path.display()))
}

fn pie(path: &str) -> Outcome {
    with(path, |elf| {
        let faults = library::loader_faults(elf).map_err(|error| format!("{path}: {error}"))?;
        if faults.is_empty() {
            Ok(())
        } else {
            Err(format!("{path} cannot be loaded as TF-RMM is:{}", listed(&faults)))
        }
    })
}

fn loaded(files: &[&str]) -> Outcome {
    let mut sum = 0;
    for path in files {
        with(path, |elf| {
            sum += elf::code_and_constants(elf);
            Ok(())
        })?;
    }
    println!("{sum}");
    Ok(())
}

fn address(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").ok_or_else(|| format!("{text}: no address"))?;
    u64::from_str_radix(digits, 16).map_err(|error| format!("{text}: {error}"))
}

fn bytes(path: &str) -> Result<u64, String> {
    fs::metadata(path).map(|it| it.len()).map_err(|error| format!("{path}: {error}"))
}

fn check_image(name: &str, base: &str, path: &str, raw: &str) -> Outcome {
    let (base, size) = (address(base)?, bytes(raw)?);
    with(path, |elf| match image::faults(elf, base, size) {
        faults if faults.is_empty() => Ok(()),
        faults => Err(format!("{name}:{}", listed(&faults))),
    })
}

fn sizes(what: &str, base: &str, [path, raw, out]: [&str; 3], quiet: bool) -> Outcome {
    let (base, size) = (address(base)?, bytes(raw)?);
    with(path, |elf| {
        let memory = image::memory(elf, base)
            .ok_or_else(|| format!("{path} has no symbol memory_end behind {base:#x}"))?;
        fs::write(out, format!("image_bytes {size}\nmemory_bytes {memory}\n"))
            .map_err(|error| format!("{out}: {error}"))?;
        if !quiet {
            let [size, memory] = [size, memory].map(image::grouped);
            let elf::Sizes { text, data, bss } = elf::sizes(elf);
            let [text, data, bss] = [text, data, bss].map(image::grouped);
            println!(
                "{what:<28} {size:>9} bytes (text {text}, data {data}, bss {bss}); {memory} bytes of memory"
            );
        }
        Ok(())
    })
}

fn report([log, bench, table]: [&str; 3], out: &str) -> Outcome {
    let first = |path, target: &str| {
        text(path).map_err(|error| format!("{error}: run `make {target}` first"))
    };
    let page = figures::report::page(
        &first(log, "run")?,
        &first(bench, "bench")?,
        &first(table, "bench")?,
    )?;
    fs::write(out, page).map_err(|error| format!("{out}: {error}"))?;
    println!("{out}");
    Ok(())
}

fn no_panic(path: &str, source: &str) -> Outcome {
    let source = text(source)?;
    with(path, |elf| {
        let missing = panics::missing_roots(elf, &source);
        if !missing.is_empty() {
            return Err(format!("{path} lacks what was to be checked:{}", listed(&missing)));
        }
        if !panics::can_panic(elf) {
            return Ok(());
        }
        let culprits = panics::culprits(Path::new(path)).map_err(|error| error.to_string())?;
        let culprits: Vec<String> = culprits.into_iter().collect();
        Err(format!("the event path can panic:{}", listed(&culprits)))
    })
}
