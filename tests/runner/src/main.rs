// SPDX-License-Identifier: MIT OR Apache-2.0

//! `boot-runner story`, `boot-runner raw` for images of other people, and `boot-runner report` for boots of
//! other machines.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use boot_runner::linux::{self, Linux};
use boot_runner::reported::Reported;
use boot_runner::story::{self, Story};
use boot_runner::{Boot, BootError, Model, Outcome};

const USAGE: &str = "\
usage: boot-runner story [--machine qemu|realm|realm-msi]
           boots the host test image and shows what happened, on QEMU as distributed or on
           the one whose SMMU has a Realm side, and MSIs
       boot-runner raw --flash FILE [--machine MODEL] [--smp CPUS] [--limit SECONDS]
           boots FILE with the same devices and semihosting; its serial port is this
           program's standard input and output, QEMU's exit code this program's
       boot-runner linux --flash FILE --kernel FILE --dtb FILE [--initrd FILE] [--machine MODEL]
                         [--smp CPUS] [--limit SECONDS] [--shell | --count]
           boots a Linux as the host; shows the lines that its initramfs marks, or with
           --shell has the serial port on standard input and output; with --count the
           guest's counter counts instructions
       boot-runner linux --dump-dtb FILE [--machine MODEL] [--smp CPUS]
           writes the device tree of the same machine
       boot-runner report --machine NAME [--version TEXT] [--code CODE] [--seconds SECONDS]
                        --log FILE... [--aside FILE...]
           reports what happened in a boot of another machine, from what it left behind";

/// Exit code of a boot that lasted too long, as `timeout` has it.
const TIMED_OUT: u8 = 124;
/// Exit code when nothing was booted.
const NO_BOOT: u8 = 2;

/// As many as TF-A and the RMM have room for.
const MAX_CPUS: u32 = 32;

/// Long enough to work in what was booted.
const RAW_LIMIT: Duration = Duration::from_secs(600);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["story"] => print_story(Model::Distributed),
        ["story", "--machine", name] => match Model::named(name) {
            Some(model) => print_story(model),
            None => return usage(&no_machine(name)),
        },
        ["raw", options @ ..] => match raw_options(options) {
            Ok(boot) => raw(&boot),
            Err(why) => return usage(&why),
        },
        ["linux", options @ ..] => match linux_options(options) {
            Ok(what) => boot_linux(what),
            Err(why) => return usage(&why),
        },
        ["report", options @ ..] => match Reported::parse(options) {
            Ok(reported) => report(&reported),
            Err(why) => return usage(&why),
        },
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => return usage("story, raw, linux or report?"),
    };
    result.unwrap_or_else(|error| {
        eprintln!("boot-runner: {error}");
        ExitCode::from(NO_BOOT)
    })
}

fn usage(why: &str) -> ExitCode {
    eprintln!("boot-runner: {why}\n{USAGE}");
    ExitCode::from(NO_BOOT)
}

fn no_machine(name: &str) -> String {
    format!("--machine {name}: qemu, realm or realm-msi")
}

fn print_story(model: Model) -> Result<ExitCode, BootError> {
    let outcome = story::boot(model)?.run()?;
    println!("{}", Story { machine: ("QEMU", &story::qemu_version(model)), outcome: &outcome });
    Ok(verdict(&outcome))
}

fn report(reported: &Reported) -> Result<ExitCode, BootError> {
    let outcome = reported.outcome()?;
    println!("{}", Story { machine: (&reported.machine, &reported.version), outcome: &outcome });
    Ok(verdict(&outcome))
}

fn verdict(outcome: &Outcome) -> ExitCode {
    if outcome.passed() {
        ExitCode::SUCCESS
    } else if outcome.timed_out {
        ExitCode::from(TIMED_OUT)
    } else {
        // A host that ends with 0 and without PASS has not passed.
        exit_code(outcome.code.max(1))
    }
}

fn raw_options(options: &[&str]) -> Result<Boot, String> {
    let (mut flash, mut cpus, mut limit) = (None, 1, RAW_LIMIT);
    let mut model = Model::Distributed;
    for option in options.chunks(2) {
        let &[name, value] = option else { return Err(format!("{} wants a value", option[0])) };
        let number = || value.parse().map_err(|_| format!("{name} {value}: no number"));
        match name {
            "--flash" => flash = Some(PathBuf::from(value)),
            "--machine" => model = Model::named(value).ok_or_else(|| no_machine(value))?,
            "--smp" => cpus = number()?,
            "--limit" => limit = Duration::from_secs(number()?.into()),
            _ => return Err(format!("{name}: no such option")),
        }
    }
    let flash = flash.ok_or("raw wants --flash FILE")?;
    if !(1..=MAX_CPUS).contains(&cpus) {
        return Err(format!("--smp {cpus}: 1 to {MAX_CPUS} CPUs"));
    }
    Ok(story::with_devices(Boot::new("raw", flash).cpus(cpus).limit(limit), model))
}

/// What to do with a Linux.
enum WithLinux {
    DeviceTree(Linux, PathBuf),
    Shell(Linux, Duration),
    Scenarios(Linux, Duration, bool),
}

fn linux_options(options: &[&str]) -> Result<WithLinux, String> {
    let mut linux = Linux::default();
    let (mut limit, mut shell, mut count, mut dump) = (None, false, false, None);
    let mut words = options.iter();
    while let Some(&name) = words.next() {
        if let Some(flag) = match name {
            "--shell" => Some(&mut shell),
            "--count" => Some(&mut count),
            _ => None,
        } {
            *flag = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{name} wants a value"))?;
        let number = || value.parse().map_err(|_| format!("{name} {value}: no number"));
        match name {
            "--machine" => linux.model = Model::named(value).ok_or_else(|| no_machine(value))?,
            "--flash" => linux.flash = PathBuf::from(value),
            "--kernel" => linux.kernel = PathBuf::from(value),
            "--dtb" => linux.device_tree = PathBuf::from(value),
            "--initrd" => linux.initrd = Some(PathBuf::from(value)),
            "--smp" => linux.cpus = number()?,
            "--limit" => limit = Some(Duration::from_secs(number()?.into())),
            "--dump-dtb" => dump = Some(PathBuf::from(value)),
            _ => return Err(format!("{name}: no such option")),
        }
    }
    Ok(match dump {
        Some(file) => WithLinux::DeviceTree(linux, file),
        None if linux.kernel.as_os_str().is_empty() => return Err("linux wants --kernel".into()),
        None if shell => WithLinux::Shell(linux, limit.unwrap_or(RAW_LIMIT)),
        None => WithLinux::Scenarios(linux, limit.unwrap_or(linux::LIMIT), count),
    })
}

fn boot_linux(what: WithLinux) -> Result<ExitCode, BootError> {
    match what {
        WithLinux::DeviceTree(linux, file) => {
            linux.machine().dump_device_tree(&file)?;
            Ok(ExitCode::SUCCESS)
        }
        WithLinux::Shell(linux, limit) => raw(&linux.boot("linux-shell").limit(limit)),
        WithLinux::Scenarios(linux, limit, count) => {
            let boot = linux.boot("linux").limit(limit);
            let boot = if count { boot.counting_instructions() } else { boot };
            let outcome = boot.run_showing(|line| {
                if let Some(line) = linux::shown(line) {
                    println!("{line}");
                }
            })?;
            let failure = linux::Verdicts::of(&outcome.serial).failure();
            match failure {
                _ if outcome.timed_out => println!("{outcome}"),
                Some(why) => println!("FAIL linux: {why}\n{outcome}"),
                None => return Ok(ExitCode::SUCCESS),
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

fn raw(boot: &Boot) -> Result<ExitCode, BootError> {
    let (code, timed_out) = boot.pass_through()?;
    if timed_out {
        eprintln!("boot-runner: the time limit is over");
        return Ok(ExitCode::from(TIMED_OUT));
    }
    Ok(exit_code(code))
}

/// Passes on what a process can: the low eight bits, and never a failure as 0.
fn exit_code(code: i32) -> ExitCode {
    match code.to_le_bytes()[0] {
        0 if code != 0 => ExitCode::FAILURE,
        code => ExitCode::from(code),
    }
}
