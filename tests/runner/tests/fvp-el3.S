/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * EL3 as the RMM meets it on Arm's FVP, on a QEMU `virt` machine with 4 GiB of memory and 2 GiB more behind
 * a hole: the RMM's memory and both banks of DRAM lie where they do on the FVP. Two PCI devices whose BARs
 * are memory lie where the console and the SMMU are, and hold what is written to them. Granule protection
 * is off.
 *
 * With HOST it enters the host test image, whose code QEMU ends with. Else it enters the RMM as TF-A 2.12
 * does, with the manifest that it makes on the FVP, then makes the calls of the table below in the host's
 * place and ends QEMU:
 *
 * | code | meaning |
 * |---|---|
 * | 0 | the RMM has booted and each answer was the one of the table |
 * | 2 | RMM_BOOT_COMPLETE says no |
 * | 3 | the RMM makes an unexpected call or exception |
 * | 4 | an exception here |
 * | 5 | the console was not switched on, or nothing was written to it |
 * | 6 | the information about the PSMMU is not what it should be |
 * | 10.. | the answer to call 0 of the table, 1, ... |
 */

	.equ	RMM, 0xFDC00000
	.equ	HOST_IMAGE, 0x88000000
	.equ	SHARED_BUFFER, 0xFFBFF000
	.equ	SECURE_MEMORY, 0x0E000000
	.equ	CONSOLE, 0x1C0C0000
	.equ	SMMU, 0x2B400000
	.equ	SMMU_REALM, 0x2B440000
	/* With highmem-ecam=off; slots 1 and 2. */
	.equ	SLOT_1, 0x3F008000
	.equ	SLOT_2, 0x3F010000
	/* Pages of the host. */
	.equ	ZEROES, 0x80001000
	.equ	INFO, 0x80002000

	.equ	BOOT_COMPLETE, 0xC40001CF
	.equ	REQ_COMPLETE, 0xC400018F
	.equ	DELEGATE, 0xC40001B0
	.equ	UNDELEGATE, 0xC40001B1

	.text
	.global	start
start:	adr	x0, vectors
	msr	vbar_el3, x0
	ldr	x0, =SECURE_MEMORY + 0x10000
	mov	sp, x0
	msr	tpidr_el3, xzr			// TPIDR_EL3: the call that is next

	/* 1 MiB of memory around the console, 1 MiB for the SMMU: BAR2 and memory space of each device. */
	ldr	x0, =SLOT_1
	ldr	w1, =CONSOLE & ~0xFFFFF
	bl	map
	ldr	x0, =SLOT_2
	ldr	w1, =SMMU
	bl	map
	adr	x0, words
1:	ldp	x1, x2, [x0], #16
	cbz	x1, 2f
	str	w2, [x1]
	b	1b

2:	adr	x0, manifest
	ldr	x1, =SHARED_BUFFER
	mov	x2, #(manifest_end - manifest) / 16
3:	ldp	x3, x4, [x0], #16
	stp	x3, x4, [x1], #16
	subs	x2, x2, #1
	b.ne	3b

	/* Realm or Non-secure state, AArch64, HVC and SMC allowed, pointer authentication not trapped. */
#ifdef HOST
	ldr	x1, =HOST_IMAGE
	ldr	x0, =3 << 16 | 1 << 10 | 1 << 8 | 3 << 4 | 1
#else
	ldr	x1, =RMM
	ldr	x0, =1 << 62 | 3 << 16 | 1 << 10 | 1 << 8 | 3 << 4 | 1
#endif
	msr	scr_el3, x0
	msr	elr_el3, x1
	msr	cptr_el3, xzr
	msr	hcr_el2, xzr
	ldr	x0, =0x30C50830
	msr	sctlr_el2, x0
	mov	x0, #0x3C9			// EL2h, masked
	msr	spsr_el3, x0
	isb
	mov	x0, #0				// CPU 0, interface 0.4, 8 CPUs
	mov	x1, #4
	mov	x2, #8
	ldr	x3, =SHARED_BUFFER
	mov	x4, #0
	eret

map:	str	w1, [x0, #0x18]
	str	wzr, [x0, #0x1C]
	mov	w2, #2
	strh	w2, [x0, #4]
	dsb	sy
	ret

	/* Ends QEMU with code W0. */
exit:	mov	w2, w0
	ldr	x0, =0x20026
	stp	x0, x2, [sp, #-16]!
	mov	x1, sp
	mov	w0, #0x18
	hlt	#0xF000
	b	.

	.balign	2048
vectors:
	.rept	8
	b	here
	.balign	128
	.endr
	b	call
	.balign	128
	.rept	7
	b	unexpected
	.balign	128
	.endr

here:	mov	w0, #4
	b	exit
unexpected:
	mov	w0, #3
	b	exit

	/* The RMM finds all but X0 to X7 as it left them. */
call:	stp	x0, x1, [sp, #-64]!
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	mrs	x2, esr_el3
	lsr	x2, x2, #26
	cmp	x2, #0x17			// an SMC
	b.ne	unexpected
	ldr	x2, =DELEGATE
	cmp	x0, x2
	b.eq	yes
	ldr	x2, =UNDELEGATE
	cmp	x0, x2
	b.eq	yes
	ldr	x2, =REQ_COMPLETE
	cmp	x0, x2
	b.eq	answered
	ldr	x2, =BOOT_COMPLETE
	cmp	x0, x2
	b.ne	unexpected
	mov	w0, #2
	cbnz	x1, exit
	b	next

yes:	ldp	x4, x5, [sp, #32]
	ldp	x2, x3, [sp, #16]
	ldr	x1, [sp, #8]
	add	sp, sp, #64
	mov	x0, #0
	eret

	/* X1 and X2 are the host's X0 and X1. Only bits of the masks count. */
answered:
	ldr	x2, [sp, #16]
	mrs	x3, tpidr_el3
	adr	x4, calls
	mov	x5, #64
	madd	x4, x3, x5, x4
	add	w0, w3, #10
	ldp	x5, x6, [x4, #32]
	and	x1, x1, x6
	cmp	x1, x5
	b.ne	exit
	ldp	x5, x6, [x4, #48]
	and	x2, x2, x6
	cmp	x2, x5
	b.ne	exit
	add	x3, x3, #1
	msr	tpidr_el3, x3

next:	add	sp, sp, #64
	mrs	x3, tpidr_el3
	adr	x4, calls
	mov	x5, #64
	madd	x4, x3, x5, x4
	ldp	x0, x1, [x4]
	ldp	x2, x3, [x4, #16]
	cbz	x0, end
	mov	x4, #0
	mov	x5, #0
	mov	x6, #0
	mov	x7, #0
	eret

	/* UARTIBRD, UARTLCR_H: 8 bits and queues, UARTCR: enabled both ways; the last byte of a line. */
end:	ldr	x1, =CONSOLE
	mov	w0, #5
	ldr	w2, [x1, #0x24]
	cmp	w2, #8
	b.ne	exit
	ldr	w2, [x1, #0x2C]
	cmp	w2, #0x70
	b.ne	exit
	ldr	w2, [x1, #0x30]
	mov	w3, #0x301
	cmp	w2, w3
	b.ne	exit
	ldrb	w2, [x1]
	cmp	w2, #'\n'
	b.ne	exit
	/* MSIs, and no wired interrupts. */
	mov	w0, #6
	ldr	x1, =INFO
	ldp	x2, x3, [x1]
	cmp	x2, #2
	b.ne	exit
	ldr	x2, [x1, #16]
	orr	x2, x2, x3
	cbnz	x2, exit
	mov	w0, #0
	b	exit
	.ltorg

	/* What the SMMU's registers are before the RMM boots: address, value. IDR0, IDR1 and IDR5 of the
	 * Non-secure page, IDR0 and IDR1 of the Realm page: the one place that says RME_DA_IMPL. */
	.balign	16
words:	.quad	SMMU, 0x498F769B
	.quad	SMMU + 0x4, 0x0E733D10
	.quad	SMMU + 0x14, 0x4F6
	.quad	SMMU_REALM, 0x01012400
	.quad	SMMU_REALM + 0x4, 0x80000000
	.quad	0, 0

	/* Version 0.3: two banks, one console. */
	.equ	BANKS, SHARED_BUFFER + 64
	.equ	CONSOLES, SHARED_BUFFER + 96
	.equ	BANKS_SUM, 2 + BANKS + 0x80000000 + 0x7C000000 + 0x880000000 + 0x80000000
	.equ	PL011, 0x3131306C70
	.equ	CONSOLES_SUM, 1 + CONSOLES + CONSOLE + 1 + PL011 + 14745600 + 115200
	.balign	16
manifest:
	.quad	3, 0
	.quad	2, BANKS, -BANKS_SUM
	.quad	1, CONSOLES, -CONSOLES_SUM
	.quad	0x80000000, 0x7C000000
	.quad	0x880000000, 0x80000000
	.quad	CONSOLE, 1, PL011, 14745600, 115200, 0
manifest_end:

	/* Function, X1, X2, X3; X0 and its mask; X1 and its mask. */
	.macro	call function, x1, x2, x3, status, status_mask, value, value_mask
	.quad	\function, \x1, \x2, \x3, \status, \status_mask, \value, \value_mask
	.endm
	.balign	16
calls:
	/* RMI_VERSION: 2.0. RMI_FEATURES 1: granules of 4 KiB, 36 bits are protected. */
	call	0xC4000150, 0x20000, 0, 0, 0, -1, 0x20000, -1
	call	0xC4000165, 1, 0, 0, 0, -1, 0x4001, -1
	/* RMM_CONFIG_SET, RMM_ACTIVATE. */
	call	0xC400016E, ZEROES, 0, 0, 0, -1, 0, 0
	call	0xC4000202, 0, 0, 0, 0, -1, 0, 0
	/* PSMMU_INFO by the FVP's name, and by QEMU's. */
	call	0xC400020E, SMMU, INFO, 0, 0, -1, 0, 0
	call	0xC400020E, 0x09050000, INFO, 0, 1, -1, 0, 0
	/* GRANULE_RANGE_DELEGATE: the first granules, the last ones of both banks, and the first one that is
	 * behind a bank. */
	call	0xC40001F1, 0x80010000, 0x80012000, 0, 0, -1, 0x80012000, -1
	call	0xC40001F1, 0xFBFFF000, 0xFC000000, 0, 0, -1, 0xFC000000, -1
	call	0xC40001F1, 0x8FFFFF000, 0x900000000, 0, 0, -1, 0x900000000, -1
	call	0xC40001F1, 0xFC000000, 0xFC001000, 0, 1, 0xFF, 0, 0
	/* PSMMU_ACTIVATE: the RMM has found a Realm side that can serve, and asks for memory. */
	call	0xC40001D7, SMMU, ZEROES, 0, 0x10D, 0x3FF, 0, 0
	call	0, 0, 0, 0, 0, 0, 0, 0
