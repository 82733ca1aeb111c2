// SPDX-License-Identifier: MIT OR Apache-2.0

//! One boot: QEMU is started, ended in time, and what it left behind is collected.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::machine::{Machine, Model, Serial};
use crate::place::{self, NoWorkspace};

/// How long a boot of the host test image may take. It takes one or two seconds; all its waits end by
/// themselves, so this is for an EL3 or an RMM that hangs, and for busy machines.
pub const LIMIT: Duration = Duration::from_secs(60);

const IMAGE_NAME: &str = "host";

/// A boot to be made.
#[derive(Clone, Debug)]
pub struct Boot {
    name: String,
    machine: Machine,
    limit: Duration,
}

/// What came of a boot.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The machine's exit code, which is the host's; 128 and the signal's number if a signal ended it.
    pub code: i32,
    /// The time limit ended it.
    pub timed_out: bool,
    /// All that came out of the UART, or of several.
    pub serial: String,
    /// The file with the same.
    pub log: PathBuf,
    /// What EL3 said on a UART of its own, and the machine on standard error.
    pub asides: String,
    /// From start to end.
    pub took: Duration,
}

/// Why there was no boot.
#[derive(Debug)]
pub enum BootError {
    /// Neither `BUILD` nor the current folder say where images are.
    NoWorkspace,
    /// There is no flash image.
    NoFlash(PathBuf),
    /// QEMU cannot be started.
    NoQemu(PathBuf, io::Error),
    /// QEMU wrote no device tree, and this to standard error.
    NoDeviceTree(String),
    /// Reading or writing a file failed.
    File(PathBuf, io::Error),
    /// QEMU cannot be waited for.
    Wait(io::Error),
}

impl From<NoWorkspace> for BootError {
    fn from(_: NoWorkspace) -> Self {
        Self::NoWorkspace
    }
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWorkspace => {
                write!(
                    f,
                    "run this in the workspace, or say in {} where it builds",
                    place::BUILD_VARIABLE
                )
            }
            Self::NoFlash(path) => write!(f, "{} is missing: run `make image`", place::shown(path)),
            Self::NoQemu(path, error) => {
                write!(
                    f,
                    "{} does not start ({error}): run `make setup`, or `tools/setup machine-realm` for the \
                     machine with a Realm side",
                    path.display()
                )
            }
            Self::NoDeviceTree(why) => write!(f, "QEMU writes no device tree: {why}"),
            Self::File(path, error) => write!(f, "{}: {error}", place::shown(path)),
            Self::Wait(error) => write!(f, "waiting for QEMU: {error}"),
        }
    }
}

impl Boot {
    /// Boots `flash` with one CPU and no devices. `name` names the logs.
    #[must_use]
    pub fn new(name: &str, flash: PathBuf) -> Self {
        let machine = Machine {
            model: Model::Distributed,
            flash,
            cpus: 1,
            edus: Vec::new(),
            host_edus: Vec::new(),
            words: Vec::new(),
            loads: Vec::new(),
            counts_instructions: false,
        };
        Self { name: name.into(), machine, limit: LIMIT }
    }

    /// Names the logs.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// Has the host test image run a scenario: its name and arguments, separated by blanks.
    #[must_use]
    pub fn scenario(mut self, scenario: &str) -> Self {
        let words = scenario.split_whitespace().map(String::from);
        self.machine.words = [IMAGE_NAME.into()].into_iter().chain(words).collect();
        self
    }

    /// Sets the number of CPUs.
    #[must_use]
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.machine.cpus = cpus;
        self
    }

    /// Chooses the QEMU.
    #[must_use]
    pub fn on(mut self, model: Model) -> Self {
        self.machine.model = model;
        self
    }

    /// Puts `edu` devices of the Realm world into these PCI slots.
    #[must_use]
    pub fn edus(mut self, slots: &[u32]) -> Self {
        self.machine.edus = slots.into();
        self
    }

    /// Puts `edu` devices of the host's own into these PCI slots.
    #[must_use]
    pub fn host_edus(mut self, slots: &[u32]) -> Self {
        self.machine.host_edus = slots.into();
        self
    }

    /// Has the counters count instructions, so that each boot counts the same.
    #[must_use]
    pub fn counting_instructions(mut self) -> Self {
        self.machine.counts_instructions = true;
        self
    }

    /// Puts a file into memory, at this PA.
    #[must_use]
    pub fn load(mut self, file: PathBuf, address: u64) -> Self {
        self.machine.loads.push((file, address));
        self
    }

    /// Sets the time limit.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Boots, with the serial output kept in a file.
    ///
    /// # Errors
    /// [`BootError`]; a boot that fails or lasts too long is an [`Outcome`].
    pub fn run(&self) -> Result<Outcome, BootError> {
        self.run_showing(|_| {})
    }

    /// As [`run`](Self::run), and calls `show` with each line of the serial output when it is complete.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_showing(&self, mut show: impl FnMut(&str)) -> Result<Outcome, BootError> {
        let logs = Logs::new(&self.name)?;
        let stderr =
            File::create(&logs.qemu).map_err(|error| BootError::File(logs.qemu.clone(), error))?;
        let start = Instant::now();
        let mut qemu = self.qemu(Serial::File(&logs.serial), &logs.secure)?;
        let qemu = qemu.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let mut lines = Lines::new(&logs.serial);
        let child = spawn(qemu)?;
        let (status, timed_out) = watch(child, self.limit, || lines.pass_on(&mut show))?;
        lines.pass_on(&mut show)?;
        let outcome = Outcome {
            code: code_of(status),
            timed_out,
            serial: text(&logs.serial)?,
            asides: text(&logs.secure)? + &text(&logs.qemu)?,
            log: logs.serial.clone(),
            took: start.elapsed(),
        };
        logs.remove_empty();
        Ok(outcome)
    }

    /// Boots with the serial port on this process's own standard input and output. Returns the exit code
    /// as [`Outcome::code`], and whether the time limit ended the boot.
    ///
    /// # Errors
    /// [`BootError`].
    pub fn pass_through(&self) -> Result<(i32, bool), BootError> {
        let logs = Logs::new(&self.name)?;
        let mut qemu = self.qemu(Serial::Stdio, &logs.secure)?;
        let (status, timed_out) = watch(spawn(&mut qemu)?, self.limit, || Ok(()))?;
        logs.remove_empty();
        Ok((code_of(status), timed_out))
    }

    /// Has QEMU write the device tree of the machine to `file`, without booting it.
    ///
    /// # Errors
    /// [`BootError`]; [`BootError::NoDeviceTree`] with what QEMU said if it wrote none.
    pub fn dump_device_tree(&self, file: &Path) -> Result<(), BootError> {
        let qemu = place::qemu_of(self.machine.model)?;
        let output = Command::new(&qemu)
            .args(self.machine.device_tree_arguments(file))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| BootError::NoQemu(qemu, error))?;
        if output.status.success() && file.is_file() {
            return Ok(());
        }
        Err(BootError::NoDeviceTree(String::from_utf8_lossy(&output.stderr).trim().into()))
    }

    fn qemu(&self, serial: Serial<'_>, secure: &Path) -> Result<Command, BootError> {
        if !self.machine.flash.is_file() {
            return Err(BootError::NoFlash(self.machine.flash.clone()));
        }
        let program = place::qemu_of(self.machine.model)?;
        let mut qemu = Command::new(program);
        qemu.args(self.machine.arguments(serial, secure));
        Ok(qemu)
    }
}

impl Outcome {
    /// Returns whether the host test image says that its scenario passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.code == 0 && !self.timed_out && self.last_line_of_host().starts_with("PASS")
    }

    /// Returns the host's last line without its prefix.
    #[must_use]
    pub fn last_line_of_host(&self) -> &str {
        self.serial.lines().filter_map(|line| line.strip_prefix("host: ")).next_back().unwrap_or("")
    }

    /// Returns one line that begins with PASS or FAIL: the host's own, if it came to that.
    #[must_use]
    pub fn verdict(&self) -> String {
        let last = self.last_line_of_host();
        let took = self.took.as_secs_f32();
        if self.timed_out {
            format!("FAIL killed after {took:.1} s, the time limit")
        } else if self.passed() || self.code != 0 && last.starts_with("FAIL ") {
            last.into()
        } else if self.code == 0 {
            format!("FAIL the host ended without a verdict after {took:.1} s")
        } else {
            format!("FAIL the host ended with {} after {took:.1} s", self.code)
        }
    }
}

impl fmt::Display for Outcome {
    /// Writes the diagnostics of a boot that failed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LINES: usize = 20;
        write!(f, "{}", self.verdict())?;
        if !self.timed_out {
            write!(f, " (exit code {})", self.code)?;
        }
        writeln!(f)?;
        for (what, text) in [("serial log", &self.serial), ("EL3 and the machine", &self.asides)] {
            let lines: Vec<&str> = text.lines().collect();
            let shown = &lines[lines.len().saturating_sub(LINES)..];
            if !shown.is_empty() {
                writeln!(f, "last lines, {what}:")?;
                shown.iter().try_for_each(|line| writeln!(f, "  {}", line.trim_end()))?;
            }
        }
        write!(f, "serial log: {}", place::shown(&self.log))
    }
}

struct Logs {
    serial: PathBuf,
    secure: PathBuf,
    qemu: PathBuf,
    /// Locked as long as the boot lasts.
    _lock: File,
}

impl Logs {
    /// Empties the logs of the last boot of that name: QEMU may end before it opens them. While a boot of
    /// that name goes on, another one's logs have a number behind the name.
    fn new(name: &str) -> Result<Self, BootError> {
        let folder = place::build()?.join("logs");
        fs::create_dir_all(&folder).map_err(|error| BootError::File(folder.clone(), error))?;
        let (stem, lock) = Self::claim(&folder, name)?;
        let log = |suffix| {
            let path = folder.join(format!("{stem}{suffix}"));
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(BootError::File(path, error))
                }
                _ => Ok(path),
            }
        };
        let (serial, secure, qemu) = (log(".log")?, log(".secure.log")?, log(".qemu.log")?);
        Ok(Self { serial, secure, qemu, _lock: lock })
    }

    /// Returns the first name that no boot has, and what keeps it from others.
    fn claim(folder: &Path, name: &str) -> Result<(String, File), BootError> {
        for number in 1_u32.. {
            let stem = if number == 1 { name.into() } else { format!("{name}-{number}") };
            let path = folder.join(format!(".{stem}.lock"));
            let file = |error| BootError::File(path.clone(), error);
            let lock = File::create(&path).map_err(file)?;
            match lock.try_lock() {
                Err(TryLockError::WouldBlock) => {}
                // A file system without locks is one where a boot is alone.
                Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Unsupported => {
                    return Err(file(error));
                }
                _ => return Ok((stem, lock)),
            }
        }
        unreachable!("there are fewer processes than numbers")
    }

    /// Most boots have nothing to say on these two.
    fn remove_empty(&self) {
        for path in [&self.secure, &self.qemu] {
            if fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0) {
                // An empty file that stays does no harm.
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// Reads a log; one that is not there is empty.
pub(crate) fn text(path: &Path) -> Result<String, BootError> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(BootError::File(path.into(), error)),
    }
}

fn spawn(qemu: &mut Command) -> Result<Child, BootError> {
    qemu.spawn().map_err(|error| BootError::NoQemu(qemu.get_program().into(), error))
}

/// The lines of a file that grows.
struct Lines<'a> {
    path: &'a Path,
    file: Option<fs::File>,
    rest: Vec<u8>,
}

impl<'a> Lines<'a> {
    const fn new(path: &'a Path) -> Self {
        Self { path, file: None, rest: Vec::new() }
    }

    /// Calls `show` with the lines that have become complete since the last call.
    fn pass_on(&mut self, show: &mut impl FnMut(&str)) -> Result<(), BootError> {
        if self.file.is_none() {
            // QEMU has not made it yet.
            let Ok(file) = fs::File::open(self.path) else { return Ok(()) };
            self.file = Some(file);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        file.read_to_end(&mut self.rest)
            .map_err(|error| BootError::File(self.path.into(), error))?;
        while let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            show(String::from_utf8_lossy(&line).trim_end());
        }
        Ok(())
    }
}

/// Waits for the end, and makes it when the time has come; calls `meanwhile` again and again. Returns
/// whether it had to.
fn watch(
    mut qemu: Child,
    limit: Duration,
    mut meanwhile: impl FnMut() -> Result<(), BootError>,
) -> Result<(ExitStatus, bool), BootError> {
    const POLL_INTERVAL: Duration = Duration::from_millis(10);
    /// For QEMU to put the terminal back as it was.
    const GRACE: Duration = Duration::from_secs(2);
    let start = Instant::now();
    let mut timed_out = false;
    loop {
        if let Some(status) = qemu.try_wait().map_err(BootError::Wait)? {
            return Ok((status, timed_out));
        }
        if start.elapsed() >= limit + GRACE {
            qemu.kill().map_err(BootError::Wait)?;
        } else if start.elapsed() >= limit && !timed_out {
            timed_out = true;
            // The standard library cannot ask politely. If this fails the kill comes.
            let _ = Command::new("kill").arg(qemu.id().to_string()).status();
        }
        meanwhile()?;
        thread::sleep(POLL_INTERVAL);
    }
}

#[cfg(unix)]
fn code_of(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

#[cfg(not(unix))]
fn code_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or(1)
}
