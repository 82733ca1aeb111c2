// SPDX-License-Identifier: MIT OR Apache-2.0

//! Boots under every kind of manifest, by hundreds in one run of QEMU: `el3.S` plays EL3, both as RMM-EL3
//! interface 0.4 has it and as 2.0 does. Whatever EL3 passes, the RMM boots or ends the boot with a code, and
//! its log says what it has left out, or why it does not boot.
//!
//! `MANIFEST_SEED=n` repeats a run of generated manifests, whose seed is printed, or makes another one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use boot_runner::place;
use psmmu_abi::Function;
use rmm::layout::Omission;
use rmm::platform::{FVP, Platform, QEMU};
use rmm::{Bank, BootArguments, BootCode, BootError, Layout, Limits, Manifest};
use shell::{has_landing_pads, output};

#[path = "common/shell.rs"]
mod shell;

/// Interface and manifest as TF-A 2.12 has them.
const OLD: (u64, u64) = (4, 3);
/// As TF-A 2.15 has them.
const NEW: (u64, u64) = (2 << 16, 5);

const GIB: u64 = 1 << 30;
const PAGE: u64 = 0x1000;

/// Where the machine has memory, and where `el3.S` keeps images and cases.
const RAM: Range<u64> = GIB..5 * GIB;
const PRISTINE: u64 = 0x4F00_0000;
const LIST: u64 = 0x5000_0000;
const KEPT: Range<u64> = PRISTINE..0x5800_0000;
const CASE_SIZE: usize = 0x2000;
const MAX_CALLS: usize = 60;

/// Calls that EL3 answers itself.
const PEEK: u64 = 1;
const POKE: u64 = 2;
const BRANCH: u64 = 3;

/// An image, and the machine that it is for.
struct Image {
    name: &'static str,
    platform: Platform,
    /// What its accesses must stay below.
    limits: Limits,
    binary: PathBuf,
    elf: PathBuf,
}

impl Image {
    fn new(name: &'static str, folder: &str, platform: Platform, address_bits: u8) -> Self {
        let folder = place::build().expect("run by cargo").join(folder);
        let limits = Limits { addressable: 1 << address_bits, mappable: (1 << 39) - (2 << 20) };
        let [binary, elf] = ["rmm.bin", "rmm.elf"].map(|file| folder.join(file));
        Self { name, platform, limits, binary, elf }
    }

    /// As it ships, for QEMU.
    fn qemu() -> Self {
        Self::new("qemu", "qemu-plain", QEMU, 40)
    }

    fn fvp() -> Self {
        Self::new("fvp", "fvp", FVP, 36)
    }

    fn shared_buffer(&self) -> u64 {
        self.platform.realm_memory.end - PAGE
    }

    /// Returns the address of a function or a place of the image.
    fn symbol(&self, name: &str) -> u64 {
        let table = output(Command::new("aarch64-linux-gnu-nm").arg("-C").arg(&self.elf));
        let line = table.lines().find(|line| line.split_whitespace().nth(2) == Some(name));
        let line = line.unwrap_or_else(|| panic!("{} has no {name}", self.elf.display()));
        u64::from_str_radix(&line[..16], 16).expect("an address")
    }
}

/// Lists of a manifest.
#[derive(Clone, Debug, Default)]
struct Lists {
    banks: Vec<(u64, u64)>,
    consoles: Vec<u64>,
    non_coherent: Vec<(u64, u64)>,
    coherent: Vec<(u64, u64)>,
    smmus: Vec<(u64, u64)>,
}

impl Lists {
    fn banks(banks: &[(u64, u64)]) -> Self {
        Self { banks: banks.to_vec(), ..Self::default() }
    }

    /// Writes them as a manifest of version 0.`minor` that lies at PA `address`.
    fn page(&self, minor: u64, address: u64) -> [u64; 512] {
        let mut page = [0; 512];
        page[0] = minor;
        let mut next = 32;
        let mut put = |header: usize, number: usize, words: &[u64]| {
            page[next..next + words.len()].copy_from_slice(words);
            let pointer = if number == 0 { 0 } else { address + 8 * next as u64 };
            next += words.len();
            page[header] = number as u64;
            page[header + 1] = pointer;
            set_checksum(&mut page, header, words.len());
        };
        let pairs =
            |list: &[(u64, u64)]| list.iter().flat_map(|&(a, b)| [a, b]).collect::<Vec<_>>();
        put(2, self.banks.len(), &pairs(&self.banks));
        let pl011 = u64::from_le_bytes(*b"pl011\0\0\0");
        let consoles: Vec<u64> =
            self.consoles.iter().flat_map(|&base| [base, 1, pl011, 1, 115_200, 0]).collect();
        put(5, self.consoles.len(), &consoles);
        put(8, self.non_coherent.len(), &pairs(&self.non_coherent));
        put(11, self.coherent.len(), &pairs(&self.coherent));
        put(14, self.smmus.len(), &pairs(&self.smmus));
        page
    }
}

/// Has a list of so many words add up. One that leaves the page stays as it is.
fn set_checksum(page: &mut [u64; 512], header: usize, words: usize) {
    let [number, pointer] = [page[header], page[header + 1]];
    let address = pointer % PAGE / 8;
    let list = page.get(address as usize..).and_then(|rest| rest.get(..words)).unwrap_or(&[]);
    let sum = list.iter().fold(number.wrapping_add(pointer), |sum, &word| sum.wrapping_add(word));
    page[header + 2] = sum.wrapping_neg();
}

/// A boot to be made, and the calls behind it.
#[derive(Clone, Debug)]
struct Case {
    name: String,
    arguments: BootArguments,
    page: Box<[u64; 512]>,
    calls: Vec<[u64; 8]>,
    /// A word that is written into the image.
    patch: Option<(u64, u32)>,
    /// What EL3 answers when it is asked for memory: X0 and X1. Without, that it knows no such call.
    reserve: (i64, u64),
    /// X0 and X1 of a warm boot.
    warm: Option<(u64, u64)>,
    /// HCR_EL2, CPTR_EL2 and MDCR_EL2 before the boot.
    el2: [u64; 3],
}

impl Case {
    fn new(name: &str, image: &Image, (interface, minor): (u64, u64), lists: &Lists) -> Self {
        let shared_buffer = image.shared_buffer();
        Self {
            name: name.into(),
            arguments: BootArguments {
                cpu: 0,
                version: interface,
                max_cpus: 8,
                shared_buffer,
                token: 0,
            },
            page: Box::new(lists.page(minor, shared_buffer)),
            calls: Vec::new(),
            patch: None,
            reserve: (-1, 0),
            warm: None,
            el2: [0; 3],
        }
    }

    fn call(&mut self, function: Function, x: [u64; 3]) {
        self.calls.push([function.id(), x[0], x[1], x[2], 0, 0, 0, 0]);
    }

    /// Configures and activates the RMM: `zeroes` is a granule of the host.
    fn activate(&mut self, zeroes: u64) {
        let zero = |word: u64| [POKE, zeroes + 8 * word, 0, 0, 0, 0, 0, 0];
        self.calls.extend((0..8).map(zero));
        self.call(Function::RmmConfigSet, [zeroes, 0, 0]);
        self.call(Function::RmmActivate, [0; 3]);
    }
}

/// What came of a case.
#[derive(Clone, Debug, Default)]
struct Played {
    /// X1 and X2 of RMM_BOOT_COMPLETE, cold and then warm, each followed by HCR, CPTR and MDCR.
    boots: Vec<[u64; 5]>,
    /// X0 to X3 of each answer.
    answers: Vec<[u64; 4]>,
    /// What PEEK has found.
    words: Vec<u64>,
    /// What EL3 was asked to reserve.
    reserved: Vec<[u64; 2]>,
    /// The RMM has given up.
    stopped: bool,
    /// The RMM caused an exception to EL3: ESR, ELR, FAR.
    dead: Option<[u64; 3]>,
    /// The lines of the RMM.
    log: Vec<String>,
}

impl Played {
    fn code(&self) -> Option<i64> {
        self.boots.first().map(|boot| boot[0] as i64)
    }

    /// Whether there is no room for the states of all granules: "granule tracker: 8 bytes of 16".
    fn lacks_room(&self) -> bool {
        let line = self.log.iter().find_map(|line| line.split("granule tracker: ").nth(1));
        line.and_then(|line| line.split_once(" bytes of ")).is_some_and(|(has, of)| has != of)
    }

    fn logs(&self, part: &str) -> bool {
        self.log.iter().any(|line| line.contains(part))
    }
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| {
        panic!("{}: {error}: run `make image` and `make fvp-image`", path.display());
    })
}

/// Plays `cases` on `image`, all in one run of QEMU.
fn play(run: &str, image: &Image, cases: &[Case]) -> Vec<Played> {
    let folder = place::build().expect("run by cargo").join("el3");
    fs::create_dir_all(&folder).expect("there is room");
    let file = |suffix: &str| folder.join(format!("{run}-{}.{suffix}", image.name));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/el3.S");
    let mut compiler = Command::new("aarch64-linux-gnu-gcc");
    compiler.args(["-nostdlib", "-static", "-Wl,-Ttext=0,--build-id=none,-e,start", "-o"]);
    output(compiler.arg(file("elf")).arg(source));
    let mut objcopy = Command::new("aarch64-linux-gnu-objcopy");
    output(objcopy.args(["-O", "binary"]).arg(file("elf")).arg(file("bin")));
    fs::write(file("list"), list(image, cases)).expect("there is room");

    let mut qemu = Command::new("timeout");
    qemu.args(["-k", "10", "120"]).arg(place::qemu());
    let machine = "virt,virtualization=on,secure=on,gic-version=3,iommu=smmuv3,highmem-ecam=off";
    qemu.args(["-M", machine, "-cpu", "max,x-rme=on", "-nic", "none", "-display", "none"]);
    qemu.args(["-monitor", "none", "-parallel", "none", "-m", "4G"]);
    // The FVP's console and SMMU are memory.
    for (slot, device) in [(1, "console"), (2, "smmu")] {
        qemu.args(["-object", &format!("memory-backend-ram,id={device},size=1M")]);
        qemu.args(["-device", &format!("ivshmem-plain,memdev={device},addr={slot}")]);
    }
    qemu.args(["-semihosting-config", "enable=on,target=native", "-bios"]).arg(file("bin"));
    for (base, path) in [(PRISTINE, image.binary.clone()), (LIST, file("list"))] {
        let mut loader = OsString::from(format!("loader,addr={base:#x},force-raw=on,file="));
        loader.push(path);
        qemu.arg("-device").arg(loader);
    }
    let mut serial = OsString::from("file:");
    serial.push(file("log"));
    qemu.arg("-serial").arg(serial);
    let run = qemu.output().expect("timeout is there");
    let log = String::from_utf8_lossy(&read(&file("log"))).into_owned();
    let played = parse(&log);
    let last = played.len().checked_sub(1).map(|last| format!("{:#x?}", cases[last]));
    let tail: Vec<_> = log.lines().rev().take(20).collect();
    assert_eq!(run.status.code(), Some(0), "{run:?}, in case {last:?}, behind {tail:#?}");
    assert_eq!(played.len(), cases.len());
    played
}

/// The list that `el3.S` reads.
fn list(image: &Image, cases: &[Case]) -> Vec<u8> {
    let mut header = vec![0_u64; 512];
    let binary = read(&image.binary).len() as u64;
    header[..6].copy_from_slice(&[
        image.platform.realm_memory.start,
        PRISTINE,
        binary.next_multiple_of(16),
        image.symbol("spare_end") - image.platform.realm_memory.start,
        image.shared_buffer(),
        cases.len() as u64,
    ]);
    // BAR2 and memory space of slots 1 and 2; then the SMMU's registers, as in fvp-el3.S.
    let words: [(u64, u32); 11] = [
        (0x3F00_8018, 0x1C00_0000),
        (0x3F00_801C, 0),
        (0x3F00_8004, 2),
        (0x3F01_0018, 0x2B40_0000),
        (0x3F01_001C, 0),
        (0x3F01_0004, 2),
        (0x2B40_0000, 0x498F_769B),
        (0x2B40_0004, 0x0E73_3D10),
        (0x2B40_0014, 0x4F6),
        (0x2B44_0000, 0x0101_2400),
        (0x2B44_0004, 0x8000_0000),
    ];
    let is_fvp = image.name == "fvp";
    for (index, (address, word)) in words.into_iter().filter(|_| is_fvp).enumerate() {
        header[8 + 2 * index] = address;
        header[9 + 2 * index] = word.into();
    }
    let mut words = header;
    for case in cases {
        assert!(case.calls.len() <= MAX_CALLS, "{}", case.name);
        let BootArguments { cpu, version, max_cpus, shared_buffer, token } = case.arguments;
        let start = words.len();
        words.extend([cpu, version, max_cpus, shared_buffer, token, case.calls.len() as u64]);
        let (address, word) = case.patch.unwrap_or_default();
        words.extend([address, word.into(), case.reserve.0 as u64, case.reserve.1]);
        let (cpu, token) = case.warm.unwrap_or_default();
        words.extend([case.warm.is_some().into(), cpu, token]);
        words.extend(case.el2);
        words.extend(case.calls.iter().flatten());
        words.resize(start + CASE_SIZE / 16, 0);
        words.extend(case.page.iter());
    }
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn parse(log: &str) -> Vec<Played> {
    let mut all: Vec<Played> = Vec::new();
    for line in log.lines().map(str::trim_end) {
        let mut words = line.split(' ');
        let kind = words.next().unwrap_or_default();
        let numbers: Vec<u64> = words
            .filter(|_| kind.starts_with('@'))
            .filter_map(|word| u64::from_str_radix(word, 16).ok())
            .collect();
        if kind == "@case" {
            all.push(Played::default());
            continue;
        }
        let Some(played) = all.last_mut() else { continue };
        match (kind, &numbers[..]) {
            ("@boot", &[code, token, hcr, cptr, mdcr]) => {
                played.boots.push([code, token, hcr, cptr, mdcr]);
            }
            ("@call", &[x0, x1, x2, x3]) => played.answers.push([x0, x1, x2, x3]),
            ("@word", &[word]) => played.words.push(word),
            ("@reserve", &[x1, x2]) => played.reserved.push([x1, x2]),
            ("@stopped", _) => played.stopped = true,
            ("@dead", &[esr, elr, far]) => played.dead = Some([esr, elr, far]),
            _ if line.starts_with("rmm: ") => played.log.push(line.into()),
            _ => {}
        }
    }
    all
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ word >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ word >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.word() % end
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// An address in an odd place: near a power of two, in RAM, near a device, anywhere.
    fn address(&mut self) -> u64 {
        let near = match self.below(6) {
            0 => 1 << self.below(64),
            1 => RAM.start + self.below(RAM.end - RAM.start),
            2 => self.one_of(&[0x0900_0000, 0x0905_0000, 0x2B40_0000, 0x4010_0000, 0xFDC0_0000]),
            3 => 0_u64.wrapping_sub(1 << self.below(40)),
            4 => self.below(1 << 40),
            _ => self.word(),
        };
        let aligned = near & !((1 << self.one_of(&[0, 12, 12, 16, 21, 30])) - 1);
        aligned.wrapping_add(self.one_of(&[0, 0, 0, PAGE, 0_u64.wrapping_sub(PAGE), 8]))
    }

    /// Banks as a machine may have them: whole granules that do not overlap, addressable.
    fn banks(&mut self, image: &Image) -> Vec<(u64, u64)> {
        let mut banks = Vec::new();
        if self.below(4) != 0 {
            banks.push(match image.name {
                "qemu" => (GIB, PAGE * (1 + self.below(3 * GIB / PAGE))),
                _ => (2 * GIB, PAGE * (1 + self.below(0x7C00_0000 / PAGE))),
            });
        }
        let more = self.below(8);
        let mut base = 5 * GIB;
        for _ in 0..more {
            let align = 1 << self.one_of(&[12, 12, 13, 16, 20, 21, 22, 28, 30]);
            base = (base + self.below(8 * GIB)).next_multiple_of(align);
            let size = align * (1 + self.below(4 * GIB / align));
            if base + size > image.limits.addressable {
                break;
            }
            banks.push((base, size));
            base += size;
        }
        if banks.is_empty() {
            banks.push((6 * GIB, PAGE));
        }
        // In any order.
        for index in (1..banks.len()).rev() {
            banks.swap(index, self.below(index as u64 + 1) as usize);
        }
        banks
    }
}

fn generate(image: &Image, random: &mut Random, number: usize) -> (Case, bool) {
    let interface = random.one_of(&[2, 4, 6, 8, 2 << 16, 2 << 16 | 1]);
    let minor = random.one_of(&[2, 3, 4, 5, 5, 6]);
    let mut lists = Lists::banks(&random.banks(image));
    lists.consoles = vec![image.platform.console.base];
    let kind = number % 3;
    if kind == 1 {
        for _ in 0..1 + random.below(4) {
            match random.below(7) {
                0 => lists.banks.push((random.address(), random.address())),
                1 => {
                    let (base, size) = random.one_of(&lists.banks.clone());
                    lists.banks.push((base.wrapping_add(size), PAGE));
                }
                2 => lists.banks.push((random.address() & !0xFFF, PAGE << random.below(30))),
                3 => lists.smmus.push((random.address(), random.address())),
                4 => lists.smmus.push((random.address() & !0xFFFF, random.address() & !0xFFFF)),
                5 => lists.non_coherent.push((random.address() & !0xFFF, PAGE << random.below(20))),
                _ => {
                    let twice = random.one_of(&lists.banks.clone());
                    lists.coherent.extend([twice; 9]);
                }
            }
        }
    }
    let name = format!("{number} of kind {kind}");
    let mut case = Case::new(&name, image, (interface, minor), &lists);
    case.arguments.token = random.word();
    if kind == 2 {
        // Words of the headers and of the lists become something else.
        for _ in 0..1 + random.below(4) {
            let index = random.below(48) as usize;
            case.page[index] = match random.below(4) {
                0 => random.word(),
                1 => random.address(),
                2 => random.below(20),
                _ => case.page[index] ^ 1 << random.below(64),
            };
        }
        if random.below(4) != 0 {
            for (header, element) in [(2, 2), (5, 6), (8, 2), (11, 2), (14, 2)] {
                let words = (case.page[header] as usize).saturating_mul(element);
                set_checksum(&mut case.page, header, words);
            }
        }
        if random.below(4) == 0 {
            let word = random.word() >> random.below(64);
            match random.below(4) {
                0 => case.arguments.version = word,
                1 => case.arguments.max_cpus = word,
                2 => case.arguments.cpu = word,
                _ => case.arguments.shared_buffer = word,
            }
        }
    }
    (case, kind == 0)
}

/// What a boot must come to, as the library has it: what it is about is that the image does the same.
fn expected(image: &Image, case: &Case) -> Result<(Layout, Vec<Omission>), BootError> {
    let interface = case.arguments.check()?;
    if interface.manifest != image.shared_buffer() {
        return Err(BootError::SharedBufferUnreadable(interface.manifest));
    }
    let manifest = Manifest::parse(&case.page, interface.manifest)?;
    let mut omissions = Vec::new();
    let omitted = &mut |omission| omissions.push(omission);
    let layout = Layout::new(&manifest, &image.platform, image.limits, omitted);
    Ok((layout, omissions))
}

/// Granules at both ends of each bank, with whether the machine has memory there for certain.
fn ends(image: &Image, layout: &Layout) -> Vec<(u64, bool)> {
    let is_free =
        |granule: u64| !KEPT.contains(&granule) && !image.platform.realm_memory.contains(&granule);
    let banks = layout.tracked.banks().iter();
    let ends = banks.flat_map(|bank: &Bank| [bank.base(), bank.end() - PAGE]);
    let ends = ends.filter(|&granule| is_free(granule));
    ends.map(|granule| (granule, RAM.contains(&granule))).collect()
}

/// Makes a host's calls on the memory of `layout`, if it has a granule for them.
fn add_calls(image: &Image, layout: &Layout, case: &mut Case) {
    case.call(Function::Version, [2 << 16, 0, 0]);
    let ends = ends(image, layout);
    let Some(&(zeroes, _)) = ends.iter().find(|&&(_, is_memory)| is_memory) else {
        return;
    };
    case.activate(zeroes);
    for &(granule, _) in &ends {
        for function in [Function::GranuleRangeDelegate, Function::GranuleRangeUndelegate] {
            case.call(function, [granule, granule + PAGE, 0]);
        }
    }
    for psmmu in layout.psmmus.iter().take(4) {
        case.call(Function::PsmmuInfo, [psmmu.config.psmmu_ptr, zeroes, 0]);
    }
}

/// Compares what came of a case with what must.
fn compare(image: &Image, case: &Case, played: &Played) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{what}: {}: {played:#x?}\n{case:#x?}", case.name));
    if played.dead.is_some() || played.stopped {
        return wrong("the RMM is dead");
    }
    let has_log = image.name == "qemu";
    match expected(image, case) {
        Err(error) => {
            // A CPU without a stack of its own has no log either, nor is there one for codes alone.
            if played.code() != Some(error.code() as i64) {
                return wrong("the code of the failed boot");
            }
            if has_log && !played.logs(&error.to_string()) {
                return wrong("the reason in the log");
            }
        }
        Ok((layout, omissions)) => {
            if played.code() != Some(BootCode::Success as i64) {
                return wrong("the boot fails");
            }
            let token = if case.arguments.version >> 16 >= 2 { case.arguments.token } else { 0 };
            if played.boots[0][1] != token {
                return wrong("the token");
            }
            for omission in omissions {
                if has_log && !played.logs(&omission.to_string()) {
                    return wrong(&format!("no '{omission}' in the log"));
                }
            }
            let calls = || case.calls.iter().filter(|call| ![PEEK, POKE].contains(&call[0]));
            if played.answers.len() != calls().count() {
                return wrong("not every call is answered");
            }
            let mut ends = ends(image, &layout).into_iter();
            let is_bounded = played.lacks_room();
            for (call, answer) in calls().zip(&played.answers) {
                let function = Function::try_from(call[0]).expect("a command");
                let good = match function {
                    Function::GranuleRangeDelegate => {
                        let (_, memory) = ends.next().expect("as many as calls");
                        let all = answer[0] == 0 && answer[1] == call[2];
                        // Devices may pass for memory. Without a log nothing is known of the room for the
                        // states of granules.
                        all || (!memory || is_bounded || !has_log) && answer[0] & 0xFF == 1
                    }
                    Function::GranuleRangeUndelegate => answer[0] == 0 || answer[0] & 0xFF == 1,
                    Function::PsmmuInfo => {
                        let unused = format!("PSMMU {:#x} is not used", call[1]);
                        !has_log || (answer[0] == 0) != played.logs(&unused)
                    }
                    _ => answer[0] == 0,
                };
                if !good {
                    return wrong(&format!("the answer {answer:#x?} to {call:#x?}"));
                }
            }
        }
    }
    Ok(())
}

/// Plays cases and compares each.
fn play_and_compare(run: &str, image: &Image, mut cases: Vec<Case>) -> Vec<Played> {
    for case in &mut cases {
        if let (true, Ok((layout, _))) = (case.calls.is_empty(), expected(image, case)) {
            add_calls(image, &layout, case);
        }
    }
    let played = play(run, image, &cases);
    let wrong: Vec<String> =
        cases.iter().zip(&played).filter_map(|(case, it)| compare(image, case, it).err()).collect();
    if let Some(first) = wrong.first() {
        panic!("{} of {} cases, first {first}", wrong.len(), cases.len());
    }
    played
}

fn boot_generated(image: &Image, count: usize) {
    let seed = std::env::var("MANIFEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("MANIFEST_SEED={seed}");
    let mut random = Random(seed);
    let (cases, valid): (Vec<Case>, Vec<bool>) =
        (0..count).map(|number| generate(image, &mut random, number)).unzip();
    let played = play_and_compare("generated", image, cases);
    let mut codes = BTreeMap::new();
    for (played, valid) in played.iter().zip(valid) {
        let code = played.code().expect("compared");
        *codes.entry(code).or_insert(0) += 1;
        assert!(code == 0 || !valid, "a valid manifest is refused: {played:#x?}");
    }
    let mut summary = String::new();
    for (code, count) in &codes {
        write!(summary, "{code}: {count} ").expect("a string");
    }
    println!("codes and how often: {summary}");
    assert!(codes.len() >= 4, "too few kinds of ends to see anything: {codes:?}");
}

#[test]
fn each_of_600_manifests_boots_or_ends_with_its_code() {
    boot_generated(&Image::qemu(), 600);
}

#[test]
fn each_of_200_manifests_boots_or_ends_with_a_code_on_the_fvp() {
    boot_generated(&Image::fvp(), 200);
}

#[test]
fn banks_of_any_alignment_boot_and_are_delegated_to_their_ends() {
    for image in [Image::qemu(), Image::fvp()] {
        let cases = [
            &[(GIB, 0xC000_0000), (0x8_9000_0000, 0x6000_0000)][..],
            &[(GIB, 3 * GIB), (0x1_5000_0000, 0x1000_0000)],
            &[(GIB, PAGE), (0x4000_2000, PAGE), (0x4080_1000, 0x7F_F000), (0xB000_3000, 0x5000)],
            &[(GIB + PAGE, 0x3000), (2 * GIB + PAGE, 0x3000), (3 * GIB + PAGE, 0x3000)],
            &[
                (0x4000_1000, PAGE),
                (0x1_4020_1000, PAGE),
                (0x1_8040_1000, 4 * GIB),
                (0x3_0060_1000, 4 * GIB),
                (0x5_0080_1000, 4 * GIB),
                (0x7_00A0_1000, 4 * GIB),
                (0x9_00C0_1000, 4 * GIB),
                (0xB_00E0_1000, 4 * GIB),
            ],
            &[(0xFC00_0000, 0x0400_0000)],
            &[(0, 5 * GIB)],
            &[(PAGE, (1 << 48) - PAGE)],
        ]
        .map(|banks| Case::new(&format!("{banks:x?}"), &image, OLD, &Lists::banks(banks)));
        for played in play_and_compare("banks", &image, cases.into()) {
            assert_eq!(played.code(), Some(0));
            assert!(!played.answers.is_empty());
        }
    }
}

#[test]
fn smmus_in_impossible_places_are_left_out() {
    let image = Image::qemu();
    let smmu = |smmu| Lists { smmus: vec![smmu], ..Lists::banks(&[(GIB, 3 * GIB)]) };
    let cases = [
        ((0x2B40_0000, 0xFFFF_FFFF_FFFF_0000), "cannot be addressed"),
        ((0x2B40_0000, 0xFFFF_FFFF_FFFE_0000), "cannot be addressed"),
        ((0x2B40_0000, 1 << 40), "cannot be addressed"),
        ((0x2B40_0000, 0x5000_0000), "are in memory"),
        ((0x4010_0000, 0x2B44_0000), "are in memory"),
        ((0x0900_0000, 0x2B44_0000), "of another device"),
        ((0x2B40_0000, 0x2B44_1000), "multiples of 64 KiB"),
        ((0, 0x2B44_0000), "multiples of 64 KiB"),
        // The Secure UART: an external abort.
        ((0x0905_0000, 0x0904_0000), "of another device"),
        ((0x0904_0000, 0x0905_0000), "no device answers"),
    ];
    let list = cases.map(|(it, _)| Case::new(&format!("{it:x?}"), &image, NEW, &smmu(it))).into();
    let played = play_and_compare("smmus", &image, list);
    for (played, (smmu, reason)) in played.iter().zip(cases) {
        let line = format!("PSMMU {:#x} is not used: ", smmu.0);
        assert!(played.logs(&line) && played.logs(reason), "{smmu:x?}: {:#?}", played.log);
    }
}

#[test]
fn each_reason_of_a_failed_boot_is_in_the_log_with_its_limit() {
    let image = Image::qemu();
    let good = Lists::banks(&[(GIB, 3 * GIB)]);
    let nine: Vec<_> = (0..9).map(|index| ((index + 1) * GIB, PAGE)).collect();
    let case = |lists: &Lists| Case::new("", &image, NEW, lists);
    let with = |change: fn(&mut BootArguments)| {
        let mut case = case(&good);
        change(&mut case.arguments);
        case
    };
    let mut checksum = case(&good);
    checksum.page[4] ^= 1;
    let mut placement = case(&good);
    placement.page[3] += 0x2000;
    let mut version = case(&good);
    version.page[0] = 1 << 16;
    let cases = [
        (with(|it| it.version = 3 << 16), -2, "interface 0x30000, not 0.2 to 2.x"),
        (with(|it| it.max_cpus = 33), -3, "33 CPUs, not 1 to 32"),
        (with(|it| it.max_cpus = 0), -3, "0 CPUs, not 1 to 32"),
        (with(|it| it.cpu = 8), -4, "CPU 8 is not below"),
        (with(|it| it.cpu = 32), -4, "CPU 32 is not below"),
        (with(|it| it.shared_buffer = 0), -5, "at 0x0: no granule"),
        (with(|it| it.shared_buffer = 0x4010_0000), -5, "at 0x40100000: cannot be read"),
        (with(|it| it.shared_buffer = 0x0904_0000), -5, "at 0x9040000: cannot be read"),
        (with(|it| it.shared_buffer = 1 << 50), -5, "at 0x4000000000000: cannot be read"),
        (version, -6, "manifest of version 0x10000"),
        (checksum, -7, "list of DRAM has a wrong checksum"),
        (placement, -7, "list of DRAM leaves the manifest's granule"),
        (case(&Lists::banks(&[])), -7, "no DRAM"),
        (case(&Lists::banks(&nine)), -7, "more than 8 banks of DRAM"),
        (case(&Lists::banks(&[(GIB, 0x800)])), -7, "at 0x40000000 is not a range of 4 KiB"),
        (case(&Lists::banks(&[(GIB, GIB), (GIB, PAGE)])), -7, "0x40000000 is listed twice"),
    ];
    let list: Vec<Case> = cases.iter().map(|(case, ..)| case.clone()).collect();
    for (played, (case, code, reason)) in play("reasons", &image, &list).iter().zip(cases) {
        assert_eq!(played.code(), Some(code), "{reason}: {played:#x?}\n{case:#x?}");
        assert!(played.logs(reason), "{reason}: {:#?}", played.log);
    }
}

/// `brk #1`.
const BREAKPOINT: u32 = 0xD420_0020;

#[test]
fn a_fault_anywhere_in_the_boot_ends_it_with_minus_1() {
    for image in [Image::qemu(), Image::fvp()] {
        let lists = Lists::banks(&[(2 * GIB, 0x7C00_0000)]);
        let at = |symbol: &str| {
            let mut case = Case::new(symbol, &image, NEW, &lists);
            case.patch = Some((image.symbol(symbol), BREAKPOINT));
            case.warm = Some((1, 7));
            case
        };
        let cases = [
            at("rmm::image::mmu::build"),
            at("rmm::image::boot::rmm_cold_boot"),
            at("rmm::image::mmu::leave_boot_stack"),
            at("rmm::image::boot::rmm_warm_boot"),
        ];
        let played = play("faults", &image, &cases);
        for (index, (case, played)) in cases.iter().zip(&played).enumerate() {
            // The last one has its fault on a second CPU: the first has booted.
            let codes: Vec<_> = played.boots.iter().map(|boot| boot[0] as i64).collect();
            let expected = if index == 3 { &[0, -1][..] } else { &[-1] };
            assert_eq!(codes, expected, "{}: {played:#x?}", case.name);
            assert!(!played.stopped && played.dead.is_none(), "{}: {played:#x?}", case.name);
        }
    }
}

#[test]
fn a_fault_behind_the_boot_stops_the_cpu_and_is_logged() {
    let image = Image::qemu();
    let mut case = Case::new("", &image, NEW, &Lists::banks(&[(2 * GIB, GIB)]));
    case.patch = Some((image.symbol("rmm::image::boot::handle"), BREAKPOINT));
    case.call(Function::Version, [2 << 16, 0, 0]);
    let played = &play("fault-behind", &image, &[case])[0];
    assert_eq!(played.code(), Some(0));
    assert!(played.stopped && played.logs("STOPPED: CPU 0"), "{played:#x?}");
}

#[test]
fn a_branch_to_no_landing_pad_stops_the_cpu_and_is_logged() {
    let is_guarded = has_landing_pads();
    for image in [Image::qemu(), Image::fvp()] {
        let cases = [0, 1, 2, 3].map(|branch| {
            let mut case = Case::new("", &image, NEW, &Lists::banks(&[(2 * GIB, 0x7C00_0000)]));
            case.calls.push([BRANCH, branch, 0, 0, 0, 0, 0, 0]);
            case.call(Function::Version, [2 << 16, 0, 0]);
            case
        });
        for (branch, played) in play("branch", &image, &cases).iter().enumerate() {
            assert_eq!(played.code(), Some(0));
            // The instruction behind an SMC, where EL3 returns to, is no landing pad.
            let stops = is_guarded && branch != 0;
            assert_eq!(played.stopped, stops, "BTYPE {branch}: {played:#x?}");
            // Branch Target exception, and the BTYPE.
            let syndrome = format!("ESR {:#018x}", 0x0D_u64 << 26 | 1 << 25 | branch as u64);
            // The FVP's console is memory here.
            let has_log = image.name == "qemu";
            assert!(!stops || !has_log || played.logs(&syndrome), "{branch}: {played:#x?}");
            assert_eq!(played.answers.len(), usize::from(!stops));
        }
    }
}

#[test]
fn start_up_writes_the_registers_that_it_relies_on() {
    const HPMN: u64 = 0x1F;
    for image in [Image::qemu(), Image::fvp()] {
        let lists = Lists::banks(&[(2 * GIB, 0x7C00_0000)]);
        // TGE, TEA, AMO, IMO, FMO; nothing trapped; debug exceptions routed here, counters on.
        let odd = [1 << 37 | 1 << 27 | 7 << 3, 0, 1 << 8 | 3];
        let mut cases = [Case::new("", &image, NEW, &lists), Case::new("", &image, NEW, &lists)];
        cases[1].el2 = odd;
        for case in &mut cases {
            case.warm = Some((1, 0));
        }
        for played in play("registers", &image, &cases) {
            assert_eq!(played.boots.len(), 2, "{played:#x?}");
            for [code, _, hcr, cptr, mdcr] in played.boots {
                assert_eq!(code, 0);
                assert_eq!(hcr, 1 << 31);
                // What QEMU has of it: floating point, trace and SVE are trapped.
                assert_eq!(cptr & (1 << 10 | 1 << 8), 1 << 10 | 1 << 8, "{cptr:#x}");
                // Neither events nor cycles are counted here; as many counters as QEMU's CPU has.
                assert_eq!(mdcr & !HPMN & !(1 << 26), 1 << 23 | 1 << 17, "{mdcr:#x}");
                assert_ne!(mdcr & HPMN, 0);
            }
        }
    }
}

/// Both images, on the interfaces of an older and of the newest TF-A: the same answers.
#[test]
fn interfaces_0_4_and_2_0_with_manifests_0_3_and_0_5_boot_alike() {
    for image in [Image::qemu(), Image::fvp()] {
        let is_fvp = image.name == "fvp";
        let smmu = if is_fvp { (0x2B40_0000, 0x2B44_0000) } else { (0x0905_0000, 0) };
        let lists = Lists {
            consoles: vec![image.platform.console.base],
            non_coherent: vec![(0x1000_0000, 0x100_0000)],
            coherent: vec![(0x40_0000_0000, 0x100_0000)],
            smmus: if is_fvp { vec![smmu] } else { vec![] },
            ..Lists::banks(&[(2 * GIB, 0x7C00_0000), (0x8_8000_0000, 0x8000_0000)])
        };
        let mut cases = Vec::new();
        for (interface, reserve) in
            [(OLD, (-1, 0)), (NEW, (-1, 0)), (NEW, (-4, 0)), (NEW, (0, 0x7FF0_0000))]
        {
            let mut case =
                Case::new(&format!("{interface:x?} {reserve:x?}"), &image, interface, &lists);
            case.arguments.token = 0x1234_5678_9ABC;
            case.warm = Some((3, 0xFEDC_BA98));
            case.reserve = reserve;
            let layout = expected(&image, &case).expect("a good manifest").0;
            add_calls(&image, &layout, &mut case);
            cases.push(case);
        }
        let played = play_and_compare("interfaces", &image, cases);
        for (index, played) in played.iter().enumerate() {
            let tokens: Vec<_> = played.boots.iter().map(|boot| (boot[0], boot[1])).collect();
            let cold = if index == 0 { 0 } else { 0x1234_5678_9ABC };
            assert_eq!(tokens, [(0, cold), (0, 0xFEDC_BA98)]);
        }
    }
}

#[test]
fn a_granule_is_written_before_the_rmm_reads_it() {
    let image = Image::qemu();
    let granule = 2 * GIB;
    let mut case = Case::new("", &image, OLD, &Lists::banks(&[(2 * GIB, GIB)]));
    case.activate(granule + PAGE);
    for word in 0..8 {
        case.calls.push([POKE, granule + 8 * word, u64::MAX, 0, 0, 0, 0, 0]);
    }
    case.call(Function::GranuleRangeDelegate, [granule, granule + PAGE, 0]);
    // A whole line of the cache, without which a write would read the rest of it.
    for word in 0..8 {
        case.calls.push([PEEK, granule + 8 * word, 0, 0, 0, 0, 0, 0]);
    }
    let played = &play("integrity", &image, &[case])[0];
    assert_eq!(played.answers.iter().map(|answer| answer[0]).collect::<Vec<_>>(), [0; 3]);
    assert_eq!(played.words, [0; 8]);
}

#[test]
fn no_segment_of_the_image_is_writable_and_executable() {
    for image in [Image::qemu(), Image::fvp()] {
        let headers = output(Command::new("aarch64-linux-gnu-readelf").arg("-lW").arg(&image.elf));
        let flags: Vec<String> = headers
            .lines()
            .filter(|line| line.trim_start().starts_with("LOAD"))
            .map(|line| line.split_whitespace().skip(6).take_while(|it| !it.starts_with("0x")))
            .map(|flags| flags.collect())
            .collect();
        // Text, constants, and all that changes.
        assert_eq!(flags, ["RE", "R", "RW"], "{headers}");
    }
}
