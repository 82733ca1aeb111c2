/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * From EL3 and back. EL3 enters at c_rmm_entry with the MMU off, once on the first CPU (cold) and once on
 * each other one (warm); the answer to one call is an SMC that returns as the next one.
 *
 * Pages of text are guarded: whatever is reached by an indirect branch begins with a landing pad.
 */

#define BOOT_COMPLETE	0xC40001CF
#define REQ_COMPLETE	0xC400018F
#define E_CPU_ID	-4
#define MAX_CPUS	32
#define STACK_SHIFT	14

	.section .text.entry, "ax"
	.global c_rmm_entry
c_rmm_entry:
	msr	daifset, #0xf
	mov	x19, x0			/* X19 to X23: the arguments */
	mov	x20, x1
	mov	x21, x2
	mov	x22, x3
	mov	x23, x4
	mov	x1, #E_CPU_ID
	cmp	x19, #MAX_CPUS
	b.hs	5f

	msr	spsel, #1
	adrp	x9, stacks
	add	x10, x19, #1
	add	x9, x9, x10, lsl #STACK_SHIFT
	mov	sp, x9
	adrp	x24, is_warm
	add	x24, x24, :lo12:is_warm
	ldr	w25, [x24]
	cbnz	w25, 3f

	/* What caches may hold of the RMM's memory goes to memory before it is written behind their back. */
	mrs	x9, ctr_el0
	ubfx	x9, x9, #16, #4
	mov	x10, #4
	lsl	x9, x10, x9
	adrp	x10, image_start
	adrp	x11, bss_end
1:	dc	civac, x10
	add	x10, x10, x9
	cmp	x10, x11
	b.lo	1b
	dsb	sy
	adrp	x10, bss_start
	adrp	x11, bss_end
2:	stp	xzr, xzr, [x10], #16
	cmp	x10, x11
	b.lo	2b
	bl	mmu_build
	mov	w9, #1
	str	w9, [x24]
	dsb	sy

3:	adrp	x9, level_1
	msr	ttbr0_el2, x9
	ldr	x9, =0xff04		/* 0: device memory (nGnRE); 1: write-back */
	msr	mair_el2, x9
	/* 39 bits, 4 KiB, walks write-back and inner shareable; bits 31 and 23 one; PS as the CPU has it. */
	ldr	x9, =0x80803519
	mrs	x10, id_aa64mmfr0_el1
	and	x10, x10, #0xf
	mov	x11, #5
	cmp	x10, x11
	csel	x10, x10, x11, lo
	orr	x9, x9, x10, lsl #16
	msr	tcr_el2, x9
	adrp	x9, vectors
	add	x9, x9, :lo12:vectors
	msr	vbar_el2, x9
	tlbi	alle2
	ic	iallu
	dsb	sy
	isb
	ldr	x9, =0x30cd183f		/* MMU, caches, alignment checks, nothing writable is executable */
	msr	sctlr_el2, x9
	isb

	mov	x1, #0
	cbnz	w25, 4f
	mov	x0, x20
	mov	x1, x21
	mov	x2, x22
	bl	cold_boot
	mov	x1, x0
	/* The token of interface 2.0, X4 of a cold and X1 of a warm entry, goes back. */
	mov	x2, x23
	b	5f
4:	mov	x2, x20
5:	ldr	x0, =BOOT_COMPLETE

6:	smc	#0
	stp	x0, x1, [sp, #-64]!
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	mov	x0, sp
	bl	handle
	ldp	x7, x8, [sp, #48]
	ldp	x5, x6, [sp, #32]
	ldp	x3, x4, [sp, #16]
	ldp	x1, x2, [sp], #64
	ldr	x0, =REQ_COMPLETE
	b	6b
	.ltorg

	/* int64_t call_el3(fid, argument); EL3 keeps X8 and up */
	.text
	.global call_el3
call_el3:
	bti	c
	mov	x2, xzr
	smc	#0
	ret

	/* bool copy_words(to, from, count): one of them in the host's view */
	.balign 4
	.global copy_words
guarded_start:
copy_words:
	bti	c
	cbz	x2, 2f
1:	ldr	x4, [x1], #8
	str	x4, [x0], #8
	subs	x2, x2, #1
	b.ne	1b
2:	mov	w0, #1
	ret
	/* bool zero_words(to, count) */
	.global zero_words
zero_words:
	bti	c
	cbz	x1, 2f
1:	str	xzr, [x0], #8
	subs	x1, x1, #1
	b.ne	1b
2:	mov	w0, #1
	ret
guarded_end:
guarded_fault:
	mov	w0, #0
	ret

	/* A data abort within the routines above makes them return false; all else is the end. */
	.balign 2048
vectors:
	.rept	4
	b	exception
	.balign 128
	.endr
	mrs	x16, elr_el2
	adr	x17, guarded_start
	cmp	x16, x17
	b.lo	exception
	adr	x17, guarded_end
	cmp	x16, x17
	b.hs	exception
	mrs	x16, esr_el2
	lsr	x16, x16, #26
	cmp	x16, #0x25
	b.ne	exception
	adr	x17, guarded_fault
	msr	elr_el2, x17
	eret
	.balign 128
	.rept	11
	b	exception
	.balign 128
	.endr
exception:
	mrs	x0, esr_el2
	mrs	x1, elr_el2
	mrs	x2, far_el2
	bl	report_exception
	b	.

	.data
	.balign 4
is_warm:
	.word	0
