# SPDX-License-Identifier: MIT OR Apache-2.0

# `make linux SHELL=1` is a shell of the guest, not of make.
ifeq ($(origin SHELL),command line)
export LINUX_SHELL := $(SHELL)
endif
override SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# The steps share build/ and target/; cargo and TF-A use all cores by themselves.
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

BUILD ?= $(CURDIR)/build
export BUILD

# A backstop: the boot runner has its own, shorter limit for each boot.
limit := timeout --foreground -k 10

FUZZ_SECONDS ?= 60
PACKAGE ?= psmmu
SHARD ?=

# QUICK=1 leaves out what needs more than QEMU as distributed: a kernel, and the QEMU that tools/qemu builds.
QUICK ?=
quick := $(if $(QUICK),--lib --bins --test boot --test c_rmm --test fvp --test image_panics -- --skip realm::)
realm_machine := $(if $(QUICK),,machine-realm)

xtask := tools/host-cargo run -q -p xtask --
# The run of the story among the boot tests.
story_log = $(BUILD)/logs/only_distributed-the_story_that_make_run_reports_is_a_good_one.log

# qemu: QEMU as distributed. realm, realm-msi: the one of tools/qemu, or REALM_QEMU, or QEMU.
MACHINE ?= qemu
export MACHINE

.PHONY: help run linux fvp test fuzz mutants deny semver msrv package bench figures report image fvp-image capi setup host-test boot-test no-panic fmt clippy doc clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' Makefile

run: ## boot the RMM and a host that services a device's faults; BL33=<raw image> [SMP=<CPUs>] boots that; MACHINE=realm: with a Realm side of the SMMU
	@case $$MACHINE in \
	qemu) ;; \
	realm | realm-msi) export REALM_QEMU="$${REALM_QEMU-$${QEMU-}}" ;; \
	*) echo "run: MACHINE=$$MACHINE: qemu, realm or realm-msi" >&2; exit 2 ;; \
	esac; \
	if [[ -n "$${BL33-}" ]]; then \
		code=0; tools/run-bl33 "$$BL33" --machine "$$MACHINE" $${SMP:+--smp "$$SMP"} || code=$$?; \
		((code == 0)) || echo "run: exit status $$code (make's own is 2; that of tools/run-bl33 is the image's)" >&2; \
		exit "$$code"; \
	fi; \
	tools/setup "machine-$$MACHINE"; tools/image -q qemu; \
	$(limit) 300 tools/host-cargo run -q -p boot-runner -- story --machine "$$MACHINE"

linux: ## boot Debian's Linux as the host; SHELL=1 for a shell; KERNEL=<Image> [INITRD= DTB= CMDLINE= SMP=] boots that; MACHINE=realm
	@tools/setup "machine-$$MACHINE"; args=(--machine "$$MACHINE"); \
	[[ -z "$${KERNEL-}" ]] || args+=(--kernel "$$KERNEL"); \
	[[ -z "$${INITRD-}" ]] || args+=(--initrd "$$INITRD"); \
	[[ -z "$${DTB-}" ]] || args+=(--dtb "$$DTB"); \
	[[ -z "$${CMDLINE-}" ]] || args+=(--cmdline "$$CMDLINE"); \
	[[ -z "$${SMP-}" ]] || args+=(--smp "$$SMP"); \
	[[ -z "$${LINUX_SHELL-}" ]] || args+=(--shell); \
	tools/linux boot "$${args[@]}"

fvp: ## the same on Arm's FVP; FVP=<model>, SCENARIO=<words>; DRY_RUN=1 prints the command
	@read -r -a words <<<"$${SCENARIO-}"; code=0; tools/fvp "$${words[@]}" || code=$$?; \
	((code == 0)) || echo "fvp: exit status $$code (make's own is 2)" >&2; \
	exit "$$code"

test: ## everything: format, lints, documentation, host tests, images, boot tests; QUICK=1 without the QEMU that is built here
	@tools/setup test $(realm_machine)
	@tools/host-cargo fmt --all --check
	@tools/lint
	@tools/doc
	@tools/msrv --if-there
	@$(limit) 1800 tools/host-cargo test
	@$(limit) 1800 tools/host-cargo test -p thread-tests
	@$(limit) 900 tools/package -q
	@tools/no-panic
	@tools/capi -q test
	@tools/image qemu plain c fvp
	@[[ -n "$${QUICK-}" ]] || tools/linux build qemu realm realm-msi
	@$(limit) 1800 tools/host-cargo test -p boot-runner $(quick)
	@$(xtask) figures --check --log "$(story_log)" --bench "$(BUILD)/bench.json"
	@[[ -z "$${QUICK-}" ]] || echo "test: QUICK=1 has left out a real Linux as the host, the machine whose SMMU has a Realm side, and the tests of boot manifests, stack depth and tools"

fuzz: ## random walks with fresh seeds for FUZZ_SECONDS (60)
	@tools/setup test
	@$(limit) $$(($(FUZZ_SECONDS) + 900)) tools/host-cargo run -q --release -p responder-tests --bin walk -- --seconds $(FUZZ_SECONDS)

mutants: ## change PACKAGE (psmmu) in one place at a time, check whether a test fails; SHARD=1/8 takes every eighth
	@tools/setup test
	@$(limit) 36000 tools/mutants $(PACKAGE) $(SHARD)

deny: ## check licences, sources and versions of what the crates depend on
	@tools/setup test
	@$(limit) 3600 tools/deny

semver: ## compare the crates' public interfaces with those of BASE=<revision> (the last tag)
	@tools/setup test
	@$(limit) 7200 tools/semver $${BASE:+"$$BASE"}

msrv: ## build with the oldest Rust that Cargo.toml accepts
	@tools/setup test
	@tools/msrv

package: ## package the crates that can be published, and build each from its package; in target/package
	@tools/setup test
	@$(limit) 900 tools/package

bench: ## count instructions and register accesses, compare with goals and peers; build/bench.json
	@tools/setup $(realm_machine)
	@tools/image -q qemu plain null many
	@[[ -n "$${QUICK-}" ]] || tools/linux build qemu realm realm-msi
	@$(limit) 900 tools/host-cargo run -q -p bench
	@$(xtask) figures --check --bench "$(BUILD)/bench.json" || :

figures: ## draw docs/figures from the last run and bench; make test says when that is due
	@tools/setup test
	@$(xtask) figures "$(BUILD)/logs/story.log" "$(BUILD)/bench.json"

report: ## put the last run (MACHINE=realm: that one) and bench on a page, build/report.html
	@tools/setup test
	@log=story; [[ $$MACHINE = qemu ]] || log=story-realm; \
	$(xtask) report "$(BUILD)/logs/$$log.log" "$(BUILD)/bench.json" "$(BUILD)/bench.txt" "$(BUILD)/report.html"

image: ## build build/qemu/flash.bin and build/qemu-plain/flash.bin, print the RMM's size
	@tools/setup
	@tools/image

capi: ## build libpsmmu.a and libpsmmu.h for RMMs in C, in build/capi/
	@tools/setup
	@tools/capi

fvp-image: ## build build/fvp/bl1.bin and build/fvp/fip.bin, for Arm's FVP
	@tools/setup
	@tools/image fvp

setup: ## install what is missing (asks for root only if something is)
	@tools/setup test

host-test: ## the tests that need only cargo
	@tools/setup test
	@$(limit) 1800 tools/host-cargo test
	@$(limit) 1800 tools/host-cargo test -p thread-tests

boot-test: ## the tests that boot QEMU, and those of the tools; QUICK=1 without the QEMU that is built here
	@tools/setup test $(realm_machine)
	@tools/image -q qemu plain c fvp
	@[[ -n "$${QUICK-}" ]] || tools/linux build qemu realm realm-msi
	@$(limit) 1800 tools/host-cargo test -p boot-runner $(quick)

no-panic: ## check that no panic can be reached: in what an embedder links, and in the image that ships
	@tools/setup
	@tools/no-panic
	@tools/image -q plain
	@$(limit) 600 tools/host-cargo test -q -p boot-runner --test image_panics

fmt: ## format the source
	@tools/setup test
	@tools/host-cargo fmt --all

clippy: ## lints, for the build machine and for the firmware's target
	@tools/setup test
	@tools/lint

doc: ## the crates' documentation, in target/doc
	@tools/setup
	@tools/doc
	@echo "target/doc/"

clean: ## remove what was built (downloads in build/setup stay)
	@tools/clean
