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

# lock NAME: one builder at a time; until unlock or the end.
lock() {
	mkdir -p "$build"
	exec 9>"$build/.$1.lock"
	flock -w 900 9 || die "another build has held $build/.$1.lock for 15 minutes"
}

unlock() { exec 9>&-; }

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

# Chooses the toolchains. Looks at what is there each time, so nothing goes stale.
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
