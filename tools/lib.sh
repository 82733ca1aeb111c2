# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# Shared by the scripts in this folder; sourced, never run.

# A cd of the caller's CDPATH would print and land elsewhere.
unset CDPATH
# An outer make's jobserver is not open here, and cargo would say so.
unset MAKEFLAGS MFLAGS
tools=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
root=$(dirname -- "$tools")
build=${BUILD:-$root/build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
me=${0##*/}

target=aarch64-unknown-none-softfloat

# The crates that can be published, what one depends on before it.
# shellcheck disable=SC2034
published=(psmmu-abi psmmu psmmu-host smmu-model)

# Where cargo builds for the build machine; below the build folder if the source is read-only.
host_target=${CARGO_TARGET_DIR:-${CARGO_BUILD_TARGET_DIR:-$root/target}}
if [[ -z ${CARGO_TARGET_DIR:-${CARGO_BUILD_TARGET_DIR-}} && ! -w $root ]]; then host_target=$build/target; fi
case $host_target in /*) ;; *) host_target=$PWD/$host_target ;; esac

# This file marks a build folder as the project's; `make clean` deletes in no other.
marker=.psmmu-build

say() { printf '%s: %s\n' "$me" "$*"; }
warn() { printf '%s: %s\n' "$me" "$*" >&2; }
die() {
	printf '%s: error: %s\n' "$me" "$*" >&2
	exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# hash_of FILE... : content hashes, without names: a moved tree keeps its cache.
hash_of() {
	local out
	out=$(sha256sum -- "$@") || die "cannot read one of: $*"
	awk '{ print $1 }' <<<"$out"
}

# is_own: the build folder has been made by this project.
is_own() { [[ -f $build/$marker ]]; }

# own_build: makes the build folder if it is missing, and refuses a folder of other contents, which
# `make clean` would delete.
own_build() {
	if ! is_own; then
		mkdir -p -- "$build" 2>/dev/null ||
			die "cannot make $build: BUILD=<folder> builds elsewhere"
		# The place in the source tree is git's to ignore, so it is ours; a link may lead anywhere.
		if [[ $build != "$root/build" || -L $build ]] &&
			[[ -n $(find "$build/" -mindepth 1 -maxdepth 1 -print -quit) ]]; then
			die "BUILD=$build is not empty, and no build folder of this project: take a new or an empty one"
		fi
		echo "Made by the project in $root. 'make clean' empties this folder." 2>/dev/null >"$build/$marker" ||
			die "cannot write to $build: BUILD=<folder> builds elsewhere"
	fi
	[[ -w $build ]] || die "cannot write to $build: BUILD=<folder> builds elsewhere"
}

# lock NAME: one builder at a time; until unlock or the end.
lock() {
	local file=$build/.$1.lock left=900 step=60
	own_build
	exec 9>>"$file"
	if ! flock -n 9; then
		warn "waiting for another build, process $(tail -n 1 "$file"), which has $file"
		until flock -w "$step" 9; do
			left=$((left - step))
			((left > 0)) || die "another build has held $file for 15 minutes"
			warn "still waiting for process $(tail -n 1 "$file")"
		done
	fi
	echo "$$" >"$file"
}

unlock() { exec 9>&-; }

# xtask ARGUMENTS: a check of tools/xtask. (Not with the caller's lock, which a program that outlives it would keep.)
xtask() { "$tools/host-cargo" run -q -p xtask -- "$@" 9>&-; }

# cargo_tool NAME VERSION: sets `tool` to that version of a program of cargo, which is installed below the build folder
# the first time. After choose_rust. The source comes by cargo's registry.
cargo_tool() {
	local own=$build/setup/$1-$2
	tool=$own/bin/$1
	[[ ! -x $tool ]] || return 0
	[[ -n $rust_host_cargo ]] || die "no Rust of $(rust_min) or later: run tools/setup first"
	lock "$1-setup"
	if [[ ! -x $tool ]]; then
		say "installing $1 $2, which takes some minutes"
		rm -rf "$own.new"
		PATH=$(dirname -- "$rust_host_cargo"):$PATH RUSTC=$rust_host_rustc \
			"$rust_host_cargo" install -q "$1" --version "=$2" --locked --root "$own.new" 9>&- ||
			die "$1 could not be installed; 'cargo install $1 --version =$2 --locked --root $own' does it by hand"
		mv "$own.new" "$own"
	fi
	unlock
}

# cargo_wait FOLDER: says so if another cargo is at work in FOLDER; with -q cargo itself would wait in silence.
cargo_wait() {
	[[ ! -e $1/.cargo-lock ]] || flock -n "$1/.cargo-lock" true 2>/dev/null ||
		warn "waiting for another cargo, which has $1/.cargo-lock"
}

# While a command of `logged` runs, its last line is shown after each of these seconds.
tick=${TICK_SECONDS:-10}

# ticker WHAT FILE: in the background. Its clock is a builtin: a child of its own would outlive it and keep
# its caller's standard error open.
ticker() {
	local clock
	exec {clock}<> <(:)
	while ! read -rt "$tick" -u "$clock" && kill -0 "$$" 2>/dev/null; do
		printf '%s: %s: %d s, %s\n' "$me" "$1" "$((SECONDS - started))" \
			"$(tail -n 1 "$2" | tr '\r\t' '\n ' | tail -n 1 | cut -c 1-100)" >&2
	done
}

# is_plain PATH: makefiles of other projects take it as one word; most take a path apart at blanks, and make
# itself gives a meaning to some more characters.
is_plain() { [[ ! $1 =~ [^A-Za-z0-9/._+@,-] ]]; }

# plain_folder NAME: sets outside to a new folder for temporary files whose path is plain. The caller
# removes it.
plain_folder() {
	local folder
	for folder in "${TMPDIR-}" /tmp /var/tmp; do
		[[ -d $folder && -w $folder ]] && is_plain "$folder" || continue
		outside=$(mktemp -d "$folder/psmmu-$1.XXXXXX") && return
	done
	die "$1 cannot be built in $build, as its path has characters that make gives a meaning, nor below /tmp, which is not writable: BUILD=<folder> builds elsewhere"
}

# quoted WORDS: as a shell reads them back.
quoted() {
	local words
	printf -v words ' %q' "$@"
	echo "${words# }"
}

# at_least HAVE WANT: compares dotted versions.
at_least() {
	local -a h w
	local i
	IFS=. read -r -a h <<<"${1%%[!0-9.]*}"
	IFS=. read -r -a w <<<"$2"
	for i in 0 1 2; do
		((10#${h[i]:-0} > 10#${w[i]:-0})) && return 0
		((10#${h[i]:-0} < 10#${w[i]:-0})) && return 1
	done
	return 0
}

# The oldest Rust that the workspace accepts; edition 2024 needs 1.85.
rust_min() {
	local v=
	if [[ -r $root/Cargo.toml ]]; then
		v=$(awk -F '"' '/^rust-version *=/ { print $2; exit }' "$root/Cargo.toml")
	fi
	echo "${v:-1.85}"
}

# rust_ok RUSTC: it runs here (rustup's proxy does not, if the toolchain that it
# should stand for is missing) and is new enough.
rust_ok() {
	local v
	v=$(cd "$root" && timeout 20 "$1" --version 2>/dev/null) || return 1
	v=${v#rustc }
	at_least "$v" "$(rust_min)"
}

# Chooses the toolchains. Checks what is installed each time, so nothing goes stale.
#   rust_host_cargo, rust_host_rustc: for the build machine ("" if there is none)
#   rust_how: prebuilt | source | debian | none, for the firmware
#   rust_cargo, rust_rustc, rust_sysroot: the firmware's toolchain
choose_rust() {
	rust_host_cargo='' rust_host_rustc=''
	rust_how=none rust_cargo='' rust_rustc='' rust_sysroot=''
	local sys
	if have cargo && have rustc && rust_ok rustc &&
		sys=$(cd "$root" && timeout 20 rustc --print sysroot 2>/dev/null) &&
		(cd "$root" && timeout 20 cargo --version) >/dev/null 2>&1; then
		# Straight to the toolchain's own programs: rustup's proxies would let
		# RUSTUP_TOOLCHAIN, which `cargo test` sets, change the choice.
		rust_host_rustc=$sys/bin/rustc
		[[ -x $rust_host_rustc ]] || rust_host_rustc=$(command -v rustc)
		rust_host_cargo=$sys/bin/cargo
		[[ -x $rust_host_cargo ]] || rust_host_cargo=$(command -v cargo)
		if compgen -G "$sys/lib/rustlib/$target/lib/libcore-*.rlib" >/dev/null; then
			rust_how=prebuilt
		elif [[ -e $sys/lib/rustlib/src/rust/library/core/Cargo.toml ]]; then
			rust_how=source
		fi
		if [[ $rust_how != none ]]; then
			rust_cargo=$rust_host_cargo rust_rustc=$rust_host_rustc rust_sysroot=$sys
			return
		fi
	fi
	if [[ -x /usr/bin/cargo && -x /usr/bin/rustc ]] && rust_ok /usr/bin/rustc; then
		if [[ -z $rust_host_cargo ]]; then
			rust_host_cargo=/usr/bin/cargo rust_host_rustc=/usr/bin/rustc
		fi
		if [[ -e /usr/lib/rustlib/src/rust/library/core/Cargo.toml ]]; then
			sys=/usr
		elif sys=$(/usr/bin/rustc --print sysroot) &&
			[[ -e $sys/lib/rustlib/src/rust/library/core/Cargo.toml ]]; then
			:
		else
			return 0
		fi
		rust_how=debian rust_cargo=/usr/bin/cargo rust_rustc=/usr/bin/rustc rust_sysroot=$sys
	fi
}
