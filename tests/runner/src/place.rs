// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where images and logs are.

use std::env;
use std::path::{Path, PathBuf};

use crate::machine::Model;

/// Where QEMU is, unless it is the one in PATH.
pub const QEMU_VARIABLE: &str = "QEMU";
/// Where a QEMU whose SMMU has a Realm side is, unless it is the one that `tools/qemu` has built.
pub const REALM_QEMU_VARIABLE: &str = "REALM_QEMU";
/// The build folder, unless it is `build` in the workspace. A relative path begins at the workspace.
pub const BUILD_VARIABLE: &str = "BUILD";

/// A folder that is not there.
#[derive(Debug)]
pub struct NoWorkspace;

/// Returns the build folder.
///
/// # Errors
/// When `BUILD` is no absolute path and neither cargo nor the current folder reports where the workspace
/// is.
pub fn build() -> Result<PathBuf, NoWorkspace> {
    let build = env::var_os(BUILD_VARIABLE).filter(|build| !build.is_empty());
    let build = build.map_or_else(|| PathBuf::from("build"), PathBuf::from);
    if build.is_absolute() { Ok(build) } else { Ok(workspace()?.join(build)) }
}

/// Returns the flash image of the RMM whose streams fault.
///
/// # Errors
/// As [`build`].
pub fn flash() -> Result<PathBuf, NoWorkspace> {
    Ok(build()?.join("qemu/flash.bin"))
}

/// Returns the flash image of the RMM as it ships.
///
/// # Errors
/// As [`build`].
pub fn plain_flash() -> Result<PathBuf, NoWorkspace> {
    Ok(build()?.join("qemu-plain/flash.bin"))
}

/// Returns the flash image of the RMM that does nothing.
///
/// # Errors
/// As [`build`].
pub fn null_flash() -> Result<PathBuf, NoWorkspace> {
    Ok(build()?.join("qemu-null/flash.bin"))
}

/// Returns the flash image of the RMM that believes in 16 PSMMUs.
///
/// # Errors
/// As [`build`].
pub fn many_flash() -> Result<PathBuf, NoWorkspace> {
    Ok(build()?.join("qemu-many/flash.bin"))
}

/// Returns the flash image of the RMM in C: the one that attaches its SMMU to the library, or the one that
/// has it brought up.
///
/// # Errors
/// As [`build`].
pub fn c_flash(attaches: bool) -> Result<PathBuf, NoWorkspace> {
    let folder = if attaches { "qemu-c" } else { "qemu-c-activate" };
    Ok(build()?.join(folder).join("flash.bin"))
}

/// Returns the QEMU as distributed.
#[must_use]
pub fn qemu() -> PathBuf {
    given(QEMU_VARIABLE).unwrap_or_else(|| PathBuf::from("qemu-system-aarch64"))
}

/// Returns the QEMU of a model.
///
/// # Errors
/// As [`build`], for the one that is built there.
pub fn qemu_of(model: Model) -> Result<PathBuf, NoWorkspace> {
    match (model, given(REALM_QEMU_VARIABLE)) {
        (Model::Distributed, _) => Ok(qemu()),
        (Model::Realm { .. }, Some(qemu)) => Ok(qemu),
        (Model::Realm { .. }, None) => Ok(build()?.join("qemu-realm/qemu-system-aarch64")),
    }
}

fn given(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|qemu| !qemu.is_empty()).map(PathBuf::from)
}

/// Returns `path` as a person would type it: from the current folder or the workspace, if it is below.
#[must_use]
pub fn shown(path: &Path) -> String {
    let bases = [env::current_dir().ok(), workspace().ok()];
    let short = bases.iter().flatten().find_map(|base| path.strip_prefix(base).ok());
    short.unwrap_or(path).display().to_string()
}

/// Returns the source tree. Asked at run time: the folder in which this was compiled may be gone.
///
/// # Errors
/// When neither cargo nor the current folder is in one.
pub fn workspace() -> Result<PathBuf, NoWorkspace> {
    let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let start = package.or_else(|| env::current_dir().ok()).ok_or(NoWorkspace)?;
    let is_workspace = |folder: &&Path| folder.join("tests/runner/Cargo.toml").is_file();
    start.ancestors().find(is_workspace).map(Path::to_path_buf).ok_or(NoWorkspace)
}
