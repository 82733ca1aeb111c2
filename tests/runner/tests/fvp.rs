// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can be known of the FVP's boot without an FVP: that the images are linked for where TF-A puts
//! them and are what TF-A's image holds, that the RMM boots and answers where the FVP has its memory, that
//! the numbers of all who name a device agree, and that `tools/fvp` calls the model well and reports what
//! comes of it. The images are those of `tools/image fvp`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use boot_runner::place;
use rmm::platform::FVP;
use shell::{output, repository};

#[path = "common/shell.rs"]
mod shell;

/// Where TF-A enters BL33 (`PLAT_ARM_NS_IMAGE_BASE`).
const HOST: u64 = 0x8800_0000;
/// The buffer that the RMM shares with EL3 is the last page of its memory.
const SHARED: u64 = 0x1000;

fn images() -> PathBuf {
    place::build().expect("run by cargo").join("fvp")
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| {
        panic!("{}: {error}: run `make fvp-image`", path.display());
    })
}

/// The folder of TF-A's own build that the FIP was made with; its name stands first in `fip.bin.made`.
fn tf_a() -> PathBuf {
    let made = String::from_utf8(read(&images().join("fip.bin.made"))).expect("text");
    let key = made.split(' ').next().expect("never empty");
    place::build().expect("run by cargo").join("tf-a").join(key)
}

/// An ELF file as far as EL3 cares: the entry point, the first byte, and the end of what it reserves.
fn layout(elf: &[u8]) -> (u64, u64, u64) {
    let half = |at: usize| usize::from(u16::from_le_bytes(elf[at..at + 2].try_into().unwrap()));
    let word = |at: usize| u64::from_le_bytes(elf[at..at + 8].try_into().unwrap());
    const LOAD: [u8; 4] = [1, 0, 0, 0];
    let (headers, size, count) = (word(0x20) as usize, half(0x36), half(0x38));
    let loaded =
        (0..count).map(|index| headers + index * size).filter(|&at| elf[at..at + 4] == LOAD);
    let (first, end) = loaded.fold((u64::MAX, 0), |(first, end), at| {
        let address = word(at + 0x18);
        (first.min(address), end.max(address + word(at + 0x28)))
    });
    (word(0x18), first, end)
}

fn contains(bytes: &[u8], word: u64) -> bool {
    bytes.windows(8).any(|window| window == word.to_le_bytes())
}

#[test]
fn the_images_are_linked_for_where_tf_a_enters_them() {
    let (rmm, host) = (images().join("rmm.elf"), images().join("host.elf"));
    for (elf, base) in [(rmm, FVP.realm_memory.start), (host, HOST)] {
        let (entry, first, _) = layout(&read(&elf));
        assert_eq!((entry, first), (base, base), "{}: {entry:#x}, {first:#x}", elf.display());
    }
    // BL2 has the addresses that it loads to in a table.
    let bl2 = read(&tf_a().join("bl2.bin"));
    for base in [FVP.realm_memory.start, HOST] {
        assert!(contains(&bl2, base), "TF-A's BL2 does not know {base:#x}");
    }
}

/// An address as the pages have it.
fn grouped(address: u64) -> String {
    let hex = format!("{address:08X}");
    let (high, low) = hex.split_at(hex.len() - 4);
    match high.len() {
        5.. => format!("0x{}_{}_{low}", &high[..high.len() - 4], &high[high.len() - 4..]),
        _ => format!("0x{high}_{low}"),
    }
}

#[test]
fn the_addresses_that_the_page_names_are_those_of_the_platform() {
    let page = fs::read_to_string(repository().join("docs/fvp.md")).expect("it is there");
    let section = page.split("\n## ").find(|section| section.starts_with("What is where"));
    let section = section.expect("a section of addresses");
    let (smmu, memory) = (FVP.psmmus[0], FVP.realm_memory);
    let non_secure = smmu.config.psmmu_ptr;
    let pages = [non_secure, non_secure + 0x2_0000, smmu.realm_page_0, smmu.realm_page_1()];
    let pages = pages.map(grouped).join(", ");
    for text in [
        format!("| {}, {} MiB;", grouped(memory.start), (memory.end - memory.start) >> 20),
        format!("last page, {},", grouped(memory.end - SHARED)),
        format!("| {} | `tests/payload/`", grouped(HOST)),
        format!(", {} | host; EL3; manifest and RMM |", grouped(FVP.console.base)),
        format!("| {pages} |"),
    ] {
        assert!(section.contains(&text), "the page does not say '{text}'");
    }
}

#[test]
fn the_rmm_fits_into_the_memory_that_tf_a_has_for_it() {
    let (_, _, end) = layout(&read(&images().join("rmm.elf")));
    assert!(end <= FVP.realm_memory.end - SHARED, "the RMM ends at {end:#x}");
    assert!(read(&images().join("rmm.bin")).len() <= 64 << 10);
    // EL3 itself names the page behind that memory.
    let bl31 = read(&tf_a().join("bl31.elf"));
    assert!(contains(&bl31, FVP.realm_memory.end), "BL31 does not begin where the RMM ends");
}

#[test]
fn the_fip_holds_our_images_and_all_that_tf_a_loads() {
    let (fiptool, fip) = (tf_a().join("fiptool"), images().join("fip.bin"));
    let list = output(Command::new(&fiptool).arg("info").arg(&fip));
    let mut held: Vec<_> =
        list.lines().filter_map(|line| line.split("--").nth(1)?.strip_suffix('"')).collect();
    held.sort_unstable();
    assert_eq!(
        held,
        [
            "fw-config",
            "hw-config",
            "nt-fw",
            "nt-fw-config",
            "rmm-fw",
            "soc-fw",
            "soc-fw-config",
            "tb-fw",
            "tb-fw-config"
        ]
    );

    let unpacked = images().join("unpacked");
    fs::create_dir_all(&unpacked).expect("there is room");
    output(Command::new(&fiptool).args(["unpack", "--force", "--out"]).arg(&unpacked).arg(&fip));
    for (part, ours) in [
        ("rmm-fw.bin", images().join("rmm.bin")),
        ("nt-fw.bin", images().join("host.bin")),
        ("tb-fw.bin", tf_a().join("bl2.bin")),
        ("soc-fw.bin", tf_a().join("bl31.bin")),
    ] {
        let same = read(&unpacked.join(part)) == read(&ours);
        assert!(same, "{part} is not {}", ours.display());
    }
    assert!(read(&images().join("bl1.bin")) == read(&tf_a().join("bl1.bin")));

    // What EL3 makes the manifest's banks of. None of it is the Realm world's.
    let tree = unpacked.join("hw-config.bin");
    let cells = output(
        Command::new("fdtget").args(["-t", "u"]).arg(&tree).args(["/memory@80000000", "reg"]),
    );
    let cells: Vec<u64> = cells.split_whitespace().map(|cell| cell.parse().unwrap()).collect();
    let banks: Vec<(u64, u64)> =
        cells.chunks(4).map(|bank| (bank[0] << 32 | bank[1], bank[2] << 32 | bank[3])).collect();
    assert_eq!(banks, [(0x8000_0000, 0x7C00_0000), (0x8_8000_0000, 0x8000_0000)]);
    assert!(banks.iter().all(|&(base, size)| {
        base + size <= FVP.realm_memory.start || base >= FVP.realm_memory.end
    }));
    fs::remove_dir_all(unpacked).expect("made above");
}

/// An image for the FVP on QEMU, with memory where the FVP has it and `fvp-el3.S` for EL3. Returns QEMU's
/// exit code.
fn boot(image: &str, base: u64, define: &str, words: &str) -> (Option<i32>, Output) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fvp-el3.S");
    let el3 = |suffix| images().join(format!("el3-{image}.{suffix}"));
    let mut compiler = Command::new("aarch64-linux-gnu-gcc");
    compiler.args(["-nostdlib", "-static", "-Wl,-Ttext=0,--build-id=none,-e,start", define, "-o"]);
    output(compiler.arg(el3("elf")).arg(source));
    let mut objcopy = Command::new("aarch64-linux-gnu-objcopy");
    output(objcopy.args(["-O", "binary"]).arg(el3("elf")).arg(el3("bin")));

    let mut loader = OsString::from(format!("loader,addr={base:#x},force-raw=on,file="));
    loader.push(images().join(format!("{image}.bin")));
    let mut qemu = Command::new("timeout");
    qemu.args(["-k", "10", "60"]).arg(place::qemu());
    qemu.args(["-M", "virt,virtualization=on,secure=on,gic-version=3,highmem-ecam=off"]);
    qemu.args(["-cpu", "max,x-rme=on", "-nic", "none", "-display", "none", "-monitor", "none"]);
    qemu.args(["-parallel", "none", "-serial", "none", "-m", "4G,slots=1,maxmem=40G"]);
    qemu.args(["-object", "memory-backend-ram,id=bank,size=2G"]);
    qemu.args(["-device", "pc-dimm,memdev=bank,addr=0x880000000"]);
    for (slot, device) in [(1, "console"), (2, "smmu")] {
        qemu.args(["-object", &format!("memory-backend-ram,id={device},size=1M")]);
        qemu.args(["-device", &format!("ivshmem-plain,memdev={device},addr={slot}")]);
    }
    qemu.args(["-semihosting-config", &format!("enable=on,target=native{words}")]);
    qemu.arg("-bios").arg(el3("bin")).arg("-device").arg(loader);
    let output = qemu.output().expect("timeout is there");
    (output.status.code(), output)
}

/// Its own page tables, both banks of the manifest, its console, and the Realm page of the SMMU.
#[test]
fn the_rmm_boots_and_answers_where_the_fvp_has_its_memory() {
    let (code, output) = boot("rmm", FVP.realm_memory.start, "-DRMM_IS_ENTERED", "");
    assert_eq!(code, Some(0), "see the table in fvp-el3.S: {output:?}");
}

/// Its page tables, its arguments and its console; for more there is no interrupt controller.
#[test]
fn the_host_starts_where_the_fvp_has_its_memory() {
    let (code, output) = boot("host", HOST, "-DHOST", ",arg=host,arg=nonsense");
    assert_eq!(code, Some(2), "not the code for a scenario that does not exist: {output:?}");
}

/// One at a time: they share the logs.
static TURN: Mutex<()> = Mutex::new(());

/// Runs `tools/fvp` with these variables and the stand-in.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stand-in-fvp");
    let mut command = Command::new(repository().join("tools/fvp"));
    for name in ["DRY_RUN", "FVP_ARGS", "FVP_LIMIT", "VERBOSE"] {
        command.env_remove(name);
    }
    let build = place::build().expect("run by cargo");
    let note: OsString = noted_arguments().into();
    command.args(arguments).env("FVP", stand_in).env("BUILD", build);
    command.env("STAND_IN_ARGUMENTS", note).envs(variables.iter().copied());
    command.output().unwrap_or_else(|error| panic!("tools/fvp: {error}"))
}

fn noted_arguments() -> PathBuf {
    images().join("stand-in.arguments")
}

/// Runs the stand-in, and returns the exit code and the last line that it came to.
fn verdict(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = run(arguments, variables);
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    (output.status.code(), text.lines().next_back().unwrap_or_default().into())
}

#[test]
fn the_tool_calls_the_model_and_reports_what_came_of_it() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let output = run(&[], &[("STAND_IN", "pass")]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for line in [
        "FVP   Fast Models [stand-in]",
        "TF-A  v2.12.1(release):rmi2",
        "RMM   of the stand-in",
        "PASS story: 0 events",
    ] {
        assert!(text.lines().any(|it| it == line), "no '{line}' in\n{text}");
    }

    // The host's words go in; a verdict counts even if the exit code says nothing.
    let quiet = verdict(&["burst", "3"], &[("STAND_IN", "pass")]);
    assert_eq!(quiet, (Some(0), "PASS burst: 0 events".into()));
    let words = fs::read_to_string(noted_arguments()).unwrap();
    assert!(words.lines().any(|word| word == "cluster0.cpu0.semihosting-cmd_line=host burst 3"));
    let failed = (Some(1), "FAIL story: on purpose".into());
    assert_eq!(verdict(&[], &[("STAND_IN", "fail")]), failed);
    let failed = (Some(10), "FAIL story: on purpose".into());
    assert_eq!(verdict(&[], &[("STAND_IN", "fail-with-code")]), failed);
    let (code, line) = verdict(&[], &[("STAND_IN", "silent")]);
    assert_eq!(code, Some(1), "{line}");
    assert!(line.starts_with("FAIL the host ended without a verdict"), "{line}");
    let (code, line) = verdict(&[], &[("STAND_IN", "hang"), ("FVP_LIMIT", "1")]);
    assert_eq!(code, Some(124), "{line}");
    assert!(line.starts_with("FAIL killed after"), "{line}");

    // What the model itself has to say is shown.
    let output = run(&[], &[("STAND_IN", "refuse")]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text.contains("stand-in: no parameter of that name"), "{text}");
}

#[test]
fn a_second_run_of_the_model_leaves_the_logs_of_the_first_alone() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let logs = place::build().expect("run by cargo").join("logs");
    fs::create_dir_all(&logs).expect("there is room");
    let first = fs::File::create(logs.join(".fvp.lock")).expect("there is room");
    first.lock().expect("a file system with locks");
    fs::write(logs.join("fvp.log"), "of the first").expect("there is room");
    let output = run(&[], &[("STAND_IN", "pass")]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text.contains("another run has the logs"), "{text}");
    assert_eq!(fs::read_to_string(logs.join("fvp.log")).expect("it is there"), "of the first");
    drop(first);
    let passed = verdict(&[], &[("STAND_IN", "pass")]);
    assert_eq!(passed, (Some(0), "PASS story: 0 events".into()));
}

#[test]
fn without_a_model_the_tool_says_what_to_do() {
    for fvp in ["/nowhere/FVP_Base_RevC-2xAEMvA", "/", "no-such-model"] {
        let output = run(&[], &[("FVP", fvp)]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert!(text.contains(&format!("FVP={fvp}")) && text.contains("make fvp-image"), "{text}");
    }
    assert_eq!(run(&[], &[("FVP_LIMIT", "soon")]).status.code(), Some(2));
}

/// Returns the parameters of a dry run: the words behind -C, by name.
fn parameters() -> BTreeMap<String, String> {
    let output = run(&[], &[("DRY_RUN", "1")]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let mut parameters = BTreeMap::new();
    for line in text.replace("\\\n", " ").split(" -C ").skip(1) {
        let (name, value) = line.trim().split_once('=').expect("name and value");
        let before = parameters.insert(name.into(), value.replace('\\', ""));
        assert_eq!(before, None, "{name} twice");
    }
    parameters
}

fn number(parameters: &BTreeMap<String, String>, name: &str) -> u64 {
    let text = parameters.get(name).unwrap_or_else(|| panic!("no {name}"));
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.unwrap_or_else(|_| panic!("{name}={text}"))
}

#[test]
fn a_dry_run_prints_a_command_that_boots_our_images_with_realms() {
    let parameters = parameters();
    for (name, file) in
        [("bp.secureflashloader.fname", "bl1.bin"), ("bp.flashloader0.fname", "fip.bin")]
    {
        assert_eq!(Path::new(&parameters[name]), images().join(file));
    }
    for (name, value) in parameters.iter().filter(|(name, _)| name.starts_with("cluster0.")) {
        if let Some(name) = name.strip_prefix("cluster0.").filter(|name| !name.starts_with("cpu")) {
            assert_eq!(parameters.get(&format!("cluster1.{name}")), Some(value), "{name}");
        }
    }
    assert_eq!(number(&parameters, "cluster0.rme_support_level"), 2);
    assert_eq!(number(&parameters, "bp.has_rme"), 1);
    // The banks of the device tree.
    assert_eq!(number(&parameters, "bp.dram_size"), 4);
}

#[test]
fn the_smmu_configured_for_the_fvp_is_the_one_the_rmm_expects() {
    let parameters = parameters();
    let smmu = |name: &str| number(&parameters, &format!("pci.pci_smmuv3.mmu.{name}"));
    let ours = FVP.psmmus[0];
    // The Realm page follows the Root's, by SMMU_ROOT_IDR0.BA_REALM in units of 64 KiB.
    let ba_realm = smmu("SMMU_ROOT_IDR0") >> 22 & 0x3FF;
    assert_eq!(ba_realm & 1, 0);
    assert_eq!(smmu("root_register_page_offset"), 0x2_0000);
    assert_eq!(ours.realm_page_0, ours.config.psmmu_ptr + 0x2_0000 + ba_realm * 0x1_0000);
    // RME_IMPL, two levels of stream tables, coherent.
    let idr0 = smmu("SMMU_IDR0");
    assert_eq!(idr0 >> 30 & 1, 1);
    assert_eq!(idr0 >> 27 & 3, 1);
    assert_eq!(idr0 >> 4 & 1, 1);
    // MSI, ATS and PRI are those of both sides; the Realm one never stalls.
    for bit in [10, 13, 16] {
        assert_eq!(smmu("SMMU_R_IDR0") >> bit & 1, idr0 >> bit & 1, "bit {bit}");
    }
    assert_eq!(smmu("SMMU_R_IDR0") >> 24 & 3, 1);
    // Streams of a root complex, and no bases that are preset.
    assert_eq!(smmu("SMMU_IDR1") & 0x3F, 16);
    assert_eq!(smmu("SMMU_IDR1") >> 29, 0);
}
