// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tools in places and with trees that are not the usual ones, called as from a shell: a small TF-A
//! whose makefile makes files in a moment stands for the real one.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use boot_runner::place;

/// What a build folder of the project has in it.
const MARKER: &str = ".psmmu-build";

/// An empty folder of one test's own, below cargo's or, if other users must see it, `/tmp`; it goes away
/// with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self::below(Path::new(env!("CARGO_TARGET_TMPDIR")), name)
    }

    fn below(folder: &Path, name: &str) -> Self {
        let path = folder.join(format!("psmmu-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("there is room");
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file, and the folders that it is in.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("there is room");
        fs::write(&path, text).expect("there is room");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is below a folder for temporary files.
        let _ = Command::new("chmod").args(["-R", "u+w"]).arg(&self.0).status();
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn repository() -> PathBuf {
    place::workspace().expect("run by cargo")
}

/// Copies makefile and tools: a source tree whose files can be put at risk.
fn tree(scratch: &Scratch, name: &str) -> PathBuf {
    let (from, to) = (repository(), scratch.path(name));
    fs::create_dir_all(to.join("tools")).expect("there is room");
    fs::copy(from.join("Makefile"), to.join("Makefile")).expect("it is there");
    for entry in fs::read_dir(from.join("tools")).expect("it is there").flatten() {
        if entry.path().is_file() {
            fs::copy(entry.path(), to.join("tools").join(entry.file_name())).expect("a file");
        }
    }
    to
}

/// A command without the variables that the tools read, but for these.
fn command(program: impl AsRef<OsStr>, variables: &[(&str, &OsStr)]) -> Command {
    let mut command = Command::new(program);
    for name in ["BUILD", "TFA_SRC", "TICK_SECONDS", "MAKEFLAGS", "MAKELEVEL", "SMP", "BL33"] {
        command.env_remove(name);
    }
    command.env_remove("CARGO_TARGET_DIR").env_remove("CARGO_BUILD_TARGET_DIR");
    command.envs(variables.iter().copied()).stdin(Stdio::null());
    command
}

fn output(command: &mut Command) -> (bool, String) {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (status.success(), text.concat())
}

/// What the makefile of the small TF-A does: refuse a folder with a blank, as the real one in effect does,
/// and make the files that the tool takes, with `$(WAIT)` seconds in between.
const MAKEFILE: &str = "\
ifneq ($(words $(CURDIR)),1)
$(error $(CURDIR) has a blank)
endif
out := build/$(PLAT)/release
bl1 bl2 bl31:
\tmkdir -p $(out)/$@
\techo $@ >$(out)/$@.bin
\techo $@ >$(out)/$@/$@.elf
\techo making $@ of the small TF-A
\tsleep $(WAIT)
";

/// Since 2.13: the program is in the build folder, and there is a link to it.
const LINKED: &str = "
fiptool:
\tmkdir -p $(out)/tools/fiptool tools/fiptool
\tinstall -m 755 fiptool.sh $(out)/tools/fiptool/fiptool
\tln -sf $(CURDIR)/$(out)/tools/fiptool/fiptool tools/fiptool/fiptool
";

/// Up to 2.12: it is in the source tree.
const IN_PLACE: &str = "
fiptool:
\tmkdir -p tools/fiptool
\tinstall -m 755 fiptool.sh tools/fiptool/fiptool
";

/// Nothing is made, and no error is reported.
const NONE: &str = "
fiptool:
";

/// Makes the small TF-A, which has RMI 2.0 already.
fn small_tf_a(scratch: &Scratch, fiptool: &str, wait: u32) -> PathBuf {
    let file = |name: &str, text: &str| scratch.write(&format!("tf-a/{name}"), text);
    file("Makefile", &format!("WAIT := {wait}\n{MAKEFILE}{fiptool}"));
    file("services/std_svc/rmmd/rmmd_main.c", "CTX_GPREG_X8\n");
    file("include/lib/libc/stdint.h", "typedef unsigned int uint32_t;\n");
    let is_rmi = "#define is_rmi_fid(f) ((((f) & 0xFFFFU) >= 0x150U && ((f) & 0xFFFFU) <= 0x18FU) || \\
        (((f) & 0xFFFFU) >= 0x1D0U && ((f) & 0xFFFFU) <= 0x2CFU))\n";
    file("include/services/rmmd_svc.h", is_rmi);
    // Its image is all that it is made of, in a row.
    let create = "for last; do :; done; for word; do [ \"$word\" = \"$last\" ] || [ ! -f \"$word\" ] || cat \"$word\"; done >\"$last\"";
    file(
        "fiptool.sh",
        &format!("#!/bin/bash\n[ \"$1\" != version ] || exit 0\nset -e\nshift\n{create}\n"),
    );
    scratch.path("tf-a")
}

/// A flash image to be made with the small TF-A.
struct Flash {
    tools: PathBuf,
    build: PathBuf,
    source: PathBuf,
    rmm: PathBuf,
    bl33: PathBuf,
}

impl Flash {
    fn new(scratch: &Scratch, build: &str, fiptool: &str, wait: u32) -> Self {
        Self {
            tools: repository().join("tools"),
            build: scratch.path(build),
            source: small_tf_a(scratch, fiptool, wait),
            rmm: scratch.write("rmm.bin", "RMM\n"),
            bl33: scratch.write("bl33.bin", "BL33\n"),
        }
    }

    fn image(&self) -> PathBuf {
        self.build.join("flash.bin")
    }

    fn command(&self, variables: &[(&str, &OsStr)]) -> Command {
        let mut command = command(self.tools.join("tf-a"), variables);
        command.env("BUILD", &self.build).env("TFA_SRC", &self.source).arg("flash");
        command.arg("--rmm").arg(&self.rmm).arg("--bl33").arg(&self.bl33);
        command.arg("--out").arg(self.image());
        command
    }

    /// Makes it, which must succeed, and returns what was said.
    fn make(&self) -> String {
        let (succeeded, text) = output(&mut self.command(&[]));
        assert!(succeeded, "{text}");
        let image = fs::read(self.image()).expect("it was made");
        let fip = String::from_utf8_lossy(&image[64 * 4096..]).into_owned();
        let bl33 = fs::read_to_string(&self.bl33).expect("it is there");
        assert_eq!((image.starts_with(b"bl1\n"), fip), (true, format!("bl2\nbl31\nRMM\n{bl33}")));
        text
    }

    /// The folder of the parts that are TF-A's own.
    fn parts(&self) -> PathBuf {
        let mut folders = fs::read_dir(self.build.join("tf-a")).expect("TF-A was built").flatten();
        let (first, second) = (folders.next().expect("one"), folders.next());
        assert!(second.is_none(), "{second:?} is left");
        first.path()
    }
}

#[test]
fn a_tf_a_whose_fiptool_is_a_link_makes_images() {
    for (name, fiptool) in [("link", LINKED), ("file", IN_PLACE)] {
        let scratch = Scratch::new(name);
        let flash = Flash::new(&scratch, "build", fiptool, 0);
        assert!(flash.make().contains("building TF-A"));
        // All is there: quick, silent, and the same program serves another image.
        assert_eq!(flash.make(), "");
        scratch.write("bl33.bin", "another BL33\n");
        assert_eq!(flash.make(), "");
        assert!(fs::symlink_metadata(flash.parts().join("fiptool")).expect("one").is_file());
    }
}

#[test]
fn parts_of_tf_a_that_are_missing_are_built_again() {
    let scratch = Scratch::new("missing");
    let flash = Flash::new(&scratch, "build", LINKED, 0);
    flash.make();
    for part in ["fiptool", "bl31.bin"] {
        // What an earlier version of the tool left behind: marked as complete, with a link to nowhere.
        let path = flash.parts().join(part);
        fs::remove_file(&path).expect("it was made");
        symlink(scratch.path("nowhere"), &path).expect("there is room");
        assert!(flash.make().contains("building TF-A"), "{part}");
    }
}

#[test]
fn a_tf_a_that_makes_no_fiptool_is_an_error_each_time() {
    let scratch = Scratch::new("none");
    let flash = Flash::new(&scratch, "build", NONE, 0);
    for _ in 0..2 {
        let (succeeded, text) = output(&mut flash.command(&[]));
        assert!(!succeeded && text.contains("TF-A's build left no fiptool; log: "), "{text}");
        assert!(!flash.image().exists());
    }
}

#[test]
fn tf_a_is_built_for_a_folder_with_a_blank_in_its_path() {
    let scratch = Scratch::below(Path::new("/tmp"), "blank");
    let temporary = scratch.path("temporary");
    fs::create_dir(&temporary).expect("there is room");
    for (build, folder) in [("a folder", "temporary"), ("a $(shell)#:%", "no temporary folder")] {
        let flash = Flash::new(&scratch, build, LINKED, 0);
        let folder = scratch.path(folder);
        let (succeeded, text) = output(&mut flash.command(&[("TMPDIR", folder.as_os_str())]));
        assert!(succeeded, "{text}");
        flash.make();
        flash.parts();
        assert_eq!(fs::read_dir(&temporary).expect("made above").count(), 0, "something is left");
    }
}

#[test]
fn a_long_step_shows_that_it_moves() {
    let scratch = Scratch::new("long");
    let flash = Flash::new(&scratch, "build", LINKED, 1);
    let (succeeded, text) = output(&mut flash.command(&[("TICK_SECONDS", OsStr::new("0.2"))]));
    assert!(succeeded, "{text}");
    let lines = text.lines().filter(|line| line.starts_with("tf-a: TF-A: "));
    assert!(lines.clone().count() >= 2, "{text}");
    assert!(text.contains(" s, sleep 1") || text.contains("of the small TF-A"), "{text}");
}

#[test]
fn a_build_says_that_it_waits_for_another_one() {
    let scratch = Scratch::new("lock");
    let flash = Flash::new(&scratch, "build", LINKED, 0);
    fs::create_dir_all(&flash.build).expect("there is room");
    scratch.write(&format!("build/{MARKER}"), "");
    let path = scratch.write("build/.tf-a.lock", "4711\n");
    let lock = File::open(&path).expect("it is there");
    lock.lock().expect("a file system with locks");
    let mut child = flash.command(&[]).stderr(Stdio::piped()).spawn().expect("it is there");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let line = lines.next().expect("a line").expect("text");
    assert!(line.contains("waiting for another build, process 4711"), "{line}");
    assert!(child.try_wait().expect("a child").is_none(), "it did not wait");
    drop(lock);
    assert!(child.wait().expect("a child").success());
    flash.make();
}

/// Programs that stand for those of a build of QEMU, in a folder that comes first in `PATH`: an archive of
/// the source, and a configure that refuses what the real one does.
fn small_qemu(scratch: &Scratch, build: &str) -> String {
    let archive = "qemu_1.orig.tar.xz";
    // Of an empty file.
    let sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    scratch.write(&format!("{build}/{MARKER}"), "");
    scratch.write(&format!("{build}/setup/qemu/{archive}"), "");
    let dsc = format!("Source: qemu\nChecksums-Sha256:\n {sum} 0 {archive}\n");
    scratch.write(&format!("{build}/setup/qemu/qemu_1.dsc"), &dsc);
    let configure = "case $PWD in *[[:space:]:]*) echo no blanks nor colons; exit 1 ;; esac";
    // The last word is where the source is to be.
    let unpack = format!(
        "for last; do :; done; mkdir \"$last\"; printf '#!/bin/sh\\n%s\\n' '{configure}' >\"$last/configure\"; \
         chmod +x \"$last/configure\""
    );
    let answers = "09050000: 0x4d44301b\\n0b000000: 0x01002000\\n0b000004: 0x80000000";
    let ninja = format!(
        "printf '#!/bin/sh\\nprintf \"{answers}\\\\n\"\\n' >$2/qemu-system-aarch64; chmod +x $2/qemu-system-aarch64"
    );
    let venv =
        "mkdir -p \"$3/bin\"; ln -s /bin/true \"$3/bin/pip\"; ln -s /bin/true \"$3/bin/python3\"";
    for (name, text) in [
        ("dpkg-source", unpack.as_str()),
        ("patch", "cat >/dev/null"),
        ("python3", venv),
        ("ninja", &ninja),
        ("strip", "cp \"$3\" \"$2\""),
    ] {
        let program =
            scratch.write(&format!("bin/{name}"), &format!("#!/bin/sh\nset -e\n{text}\n"));
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("ours");
    }
    let path = std::env::var("PATH").expect("there is one");
    format!("{}:{path}", scratch.path("bin").display())
}

#[test]
fn of_the_builds_of_qemu_only_the_one_in_use_stays() {
    let scratch = Scratch::new("qemu");
    let tree = tree(&scratch, "tree");
    let path = small_qemu(&scratch, "build");
    let build = scratch.path("build");
    let variables = [("PATH", OsStr::new(&path)), ("BUILD", build.as_os_str())];
    // What a build that was killed has left.
    scratch.write("build/qemu-realm/0123.part/src/file", "");
    let mut builds = Vec::new();
    for patch in ["one", "another", "another"] {
        scratch.write("tree/tools/qemu-realm-smmu.patch", patch);
        let (succeeded, text) = output(&mut command(tree.join("tools/qemu"), &variables));
        assert!(succeeded, "{text}");
        let names = names(&build.join("qemu-realm"));
        let [key, program] = names.as_slice() else { panic!("{names:?}") };
        assert_eq!(program, "qemu-system-aarch64");
        let folder = build.join("qemu-realm").join(key);
        assert_eq!(self::names(&folder), [program.as_str()]);
        let link =
            fs::canonicalize(build.join("qemu-realm").join(program)).expect("it leads there");
        assert_eq!(link, fs::canonicalize(folder.join(program)).expect("made above"));
        builds.push(key.clone());
    }
    assert_ne!(builds[0], builds[1]);
    assert_eq!(builds[1], builds[2]);
}

#[test]
fn qemu_is_built_for_a_folder_with_a_blank_in_its_path() {
    let scratch = Scratch::below(Path::new("/tmp"), "qemu-blank");
    let tree = tree(&scratch, "a tree");
    let temporary = scratch.path("temporary");
    fs::create_dir(&temporary).expect("there is room");
    for build in ["a folder", "a:folder"] {
        let path = small_qemu(&scratch, build);
        let build = scratch.path(build);
        let variables = [
            ("PATH", OsStr::new(&path)),
            ("BUILD", build.as_os_str()),
            ("TMPDIR", temporary.as_os_str()),
        ];
        let (succeeded, text) = output(&mut command(tree.join("tools/qemu"), &variables));
        assert!(succeeded, "{text}");
        assert!(build.join("qemu-realm/qemu-system-aarch64").is_file());
        assert_eq!(names(&temporary), [""; 0], "something is left");
    }
}

/// Runs `make clean` in `tree`.
fn clean(tree: &Path, variables: &[(&str, &OsStr)]) -> (bool, String) {
    output(command("make", variables).arg("clean").current_dir(tree))
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn make_clean_removes_what_was_built_and_no_download() {
    let scratch = Scratch::new("clean");
    let tree = tree(&scratch, "a tree");
    for build in ["a tree/build", "another place"] {
        let flash = Flash { tools: tree.join("tools"), ..Flash::new(&scratch, build, LINKED, 0) };
        flash.make();
        scratch.write("a tree/target/CACHEDIR.TAG", "Signature: of cargo");
        let (succeeded, text) = clean(&tree, &[("BUILD", flash.build.as_os_str())]);
        assert!(succeeded, "{text}");
        assert_eq!(names(&flash.build), [MARKER, "setup"]);
        assert!(!tree.join("target").exists());
    }
    // Nothing was built: nothing to do.
    fs::remove_dir_all(tree.join("build")).expect("it is there");
    assert_eq!(clean(&tree, &[]), (true, String::new()));
    let nowhere = scratch.path("nowhere");
    assert_eq!(clean(&tree, &[("BUILD", nowhere.as_os_str())]), (true, String::new()));
}

#[test]
fn make_clean_removes_nothing_that_others_made() {
    let scratch = Scratch::new("foreign");
    let tree = tree(&scratch, "tree");
    let theirs = scratch.write("theirs/important", "").parent().expect("a folder").to_owned();
    let link = scratch.path("link");
    symlink(&theirs, &link).expect("there is room");
    let relative = Path::new("../theirs");
    for build in [theirs.as_path(), &link, relative] {
        let (succeeded, text) = clean(&tree, &[("BUILD", build.as_os_str())]);
        assert!(!succeeded && text.contains("nothing was removed"), "{text}");
        assert_eq!(names(&theirs), ["important"]);
    }
    // Nor does a link in the place of our own folder make theirs ours.
    symlink(&theirs, tree.join("build")).expect("there is room");
    assert!(!clean(&tree, &[]).0);
    let flash =
        Flash { tools: tree.join("tools"), ..Flash::new(&scratch, "tree/build", LINKED, 0) };
    assert!(!output(&mut flash.command(&[])).0);
    assert_eq!(names(&theirs), ["important"]);
    // A folder called target that is not cargo's.
    scratch.write("tree/target/important", "");
    fs::remove_file(tree.join("build")).expect("made above");
    assert!(clean(&tree, &[]).0);
    assert!(tree.join("target/important").exists());
}

#[test]
fn nothing_is_built_into_a_folder_of_other_contents() {
    let scratch = Scratch::new("full");
    let theirs = scratch.write("theirs/important", "").parent().expect("a folder").to_owned();
    let flash = Flash::new(&scratch, "theirs", LINKED, 0);
    let (succeeded, text) = output(&mut flash.command(&[]));
    assert!(!succeeded && text.contains("is not empty"), "{text}");
    assert_eq!(names(&theirs), ["important"]);
}

/// A command of a user that is not root.
fn unprivileged(program: impl AsRef<OsStr>, variables: &[(&str, &OsStr)]) -> Command {
    let is_root = fs::metadata("/proc/self").expect("Linux").uid() == 0;
    if !is_root {
        return command(program, variables);
    }
    let mut command = command("setpriv", variables);
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    command.arg(program);
    command
}

#[test]
fn a_source_tree_that_is_read_only_says_where_to_build() {
    let scratch = Scratch::below(Path::new("/tmp"), "read-only");
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o777)).expect("ours");
    let tree = tree(&scratch, "tree");
    let source = small_tf_a(&scratch, LINKED, 0);
    fs::set_permissions(&tree, fs::Permissions::from_mode(0o555)).expect("ours");
    let source = ("TFA_SRC", source.as_os_str());
    let tool = tree.join("tools/tf-a");
    let (succeeded, text) = output(unprivileged(&tool, &[source]).arg("source"));
    assert!(!succeeded && text.contains("BUILD=<folder> builds elsewhere"), "{text}");
    let build = scratch.path("elsewhere");
    let (succeeded, text) =
        output(unprivileged(&tool, &[source, ("BUILD", build.as_os_str())]).arg("source"));
    assert!(succeeded, "{text}");
}

#[test]
fn the_command_to_run_as_root_can_be_pasted() {
    let scratch = Scratch::below(Path::new("/tmp"), "root");
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o777)).expect("ours");
    let tree = tree(&scratch, "tree");
    let bin = scratch.path("bin");
    fs::create_dir(&bin).expect("there is room");
    for program in ["bash", "dirname", "env", "mkdir", "find"] {
        let found = output(command("bash", &[]).args(["-c", &format!("command -v {program}")])).1;
        symlink(found.trim(), bin.join(program)).expect("there is room");
    }
    let build = scratch.path("it's a folder");
    let mut shell = unprivileged(bin.join("bash"), &[("BUILD", build.as_os_str())]);
    let install = "PATH=$0; . tools/lib.sh; . tools/apt.sh; apt_install 'a reason' a-package";
    let (succeeded, text) = output(shell.args(["-c", install]).arg(&bin).current_dir(&tree));
    let hint = text.split_once("then try again: ").map(|(_, hint)| hint);
    let hint = hint.unwrap_or_else(|| panic!("no hint: {text}"));
    let words = output(command("bash", &[]).args(["-c", &format!("printf '%s\\n' {hint}")])).1;
    let conf = build.join("setup/apt/apt.conf");
    assert!(!succeeded && words.lines().any(|word| Path::new(word) == conf), "{words}");
}

#[test]
fn cargo_for_the_build_machine_builds_for_the_build_machine() {
    let scratch = Scratch::new("cargo");
    let tree = tree(&scratch, "tree");
    scratch.write("tree/src/main.rs", "fn main() { println!(\"it runs\"); }");
    let package = "[package]\nname = \"small\"\nedition = \"2024\"\n[workspace]\n";
    scratch.write("tree/Cargo.toml", package);
    let mut cargo = command(
        tree.join("tools/host-cargo"),
        &[
            ("CARGO_BUILD_TARGET", OsStr::new("aarch64-unknown-none-softfloat")),
            ("CARGO_TARGET_DIR", OsStr::new("relative")),
        ],
    );
    cargo.env_remove("CARGO_MANIFEST_DIR").current_dir(scratch.path("."));
    let (succeeded, text) = output(cargo.args(["run", "-q"]));
    assert!(succeeded && text.contains("it runs"), "{text}");
    // As cargo itself has it: from where it was called.
    assert!(scratch.path("relative/debug/small").is_file(), "{:?}", names(&scratch.0));
}

#[test]
fn make_run_boots_a_bl33_with_as_many_cpus_as_wanted() {
    let scratch = Scratch::new("cpus");
    let bl33 = scratch.write("my host.bin", "BL33");
    let qemu = scratch.write("qemu", "#!/bin/sh\necho \"$@\"\n");
    fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).expect("ours");
    let build = place::build().expect("run by cargo");
    let variables =
        [("QEMU", qemu.as_os_str()), ("BUILD", build.as_os_str()), ("BL33", bl33.as_os_str())];
    for (words, cpus) in [(&["run"][..], "-smp 1 "), (&["run", "SMP=4"], "-smp 4 ")] {
        let mut make = command("make", &variables);
        let (succeeded, text) = output(make.args(words).current_dir(repository()));
        assert!(succeeded && text.contains(cpus), "{text}");
    }
    let mut make = command("make", &variables);
    let (succeeded, text) = output(make.args(["run", "SMP=33"]).current_dir(repository()));
    assert!(!succeeded && text.contains("--smp 33: 1 to 32 CPUs"), "{text}");
}
