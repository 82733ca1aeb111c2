/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * EL3 as the RMM meets it, many times in one run of QEMU: for each case of a list a fresh image is entered
 * with the arguments and the manifest of the case, then the calls of the case are made in the host's place.
 * What comes of it is printed on UART 0 of the `virt` machine, where the RMM of that machine logs as well; the
 * lines of EL3 begin with an @. Numbers are 16 hexadecimal digits. `manifests.rs` makes the list and reads the
 * lines.
 *
 * | line | meaning |
 * |---|---|
 * | @case N | case N begins |
 * | @boot CODE TOKEN HCR CPTR MDCR | X1 and X2 of RMM_BOOT_COMPLETE, and registers of EL2 as it left them |
 * | @call X0 X1 X2 X3 | the answer to the next call |
 * | @word VALUE | what a PEEK finds |
 * | @reserve X1 X2 | the RMM asks for memory, and is answered as the case says |
 * | @stopped | the RMM waits for an interrupt: it has given up, and the case ends |
 * | @dead ESR ELR FAR | an exception that EL3 takes from the RMM; the case ends |
 *
 * Granule protection is off. Interface 0.4 and 2.0 differ in the arguments, the token and RESERVE_MEMORY.
 */

	.equ	SECURE_MEMORY, 0x0E000000
	.equ	LIST, 0x50000000
	.equ	UART, 0x09000000

	/* Of the list: its first page, then two for each case: what follows, and the manifest. */
	.equ	L_RMM, 0			// where the image is entered
	.equ	L_PRISTINE, 8			// where it was loaded
	.equ	L_IMAGE, 16			// its size, a multiple of 16
	.equ	L_MEMORY, 24			// the size of all its memory, a multiple of 16
	.equ	L_SHARED, 32			// where the manifest goes
	.equ	L_CASES, 40
	.equ	L_WORDS, 64			// addresses and words that are written first, up to an address 0
	.equ	C_ARGUMENTS, 0			// X0 to X4
	.equ	C_CALLS, 40
	.equ	C_PATCH, 48			// address and word
	.equ	C_RESERVE, 64			// X0 and X1
	.equ	C_WARM, 80			// not zero: X0 and X1 of a warm boot after the cold one
	.equ	C_EL2, 104			// HCR, CPTR, MDCR before the boot
	.equ	C_FIRST_CALL, 128
	.equ	CASE_SIZE, 8192

	.equ	BOOT_COMPLETE, 0xC40001CF
	.equ	REQ_COMPLETE, 0xC400018F
	.equ	RESERVE_MEMORY, 0xC40001BB
	.equ	DELEGATE, 0xC40001B0
	.equ	UNDELEGATE, 0xC40001B1
	/* Calls that EL3 answers itself: X1 an address, X2 a word. */
	.equ	PEEK, 1
	.equ	POKE, 2
	/* X1 becomes PSTATE.BTYPE of the next return to the RMM, as if it were the end of an indirect branch. */
	.equ	BRANCH, 3

	/* In EL3: X28 the list, X27 the case, X26 the number of the case, X25 the next call, X24 not zero once the
	 * warm boot was begun. They are kept in memory while the RMM runs. */
	.text
	.global	start
start:	adr	x0, vectors
	msr	vbar_el3, x0
	ldr	x0, =SECURE_MEMORY + 0x10000
	mov	sp, x0
	ldr	x28, =LIST
	mov	x26, #0
	ldr	x1, =UART
	mov	w0, #0x301
	str	w0, [x1, #0x30]
	add	x0, x28, #L_WORDS
1:	ldp	x1, x2, [x0], #16
	cbz	x1, next_case
	str	w2, [x1]
	dsb	sy
	b	1b

next_case:
	ldr	x0, [x28, #L_CASES]
	cmp	x26, x0
	b.hs	all_done
	mov	x0, #CASE_SIZE
	madd	x27, x26, x0, x28
	add	x27, x27, #4096
	mov	x25, #0
	mov	x24, #0
	adr	x0, s_case
	bl	print
	mov	x0, x26
	bl	print_number
	bl	print_end

	ldr	x0, [x28, #L_RMM]
	ldr	x1, [x28, #L_PRISTINE]
	ldr	x2, [x28, #L_IMAGE]
	add	x3, x0, x2
1:	ldp	x4, x5, [x1], #16
	stp	x4, x5, [x0], #16
	cmp	x0, x3
	b.lo	1b
	/* Whatever was there before. */
	ldr	x3, [x28, #L_RMM]
	ldr	x2, [x28, #L_MEMORY]
	add	x3, x3, x2
	ldr	x4, =0xA5A5A5A5A5A5A5A5
	mov	x5, x4
2:	stp	x4, x5, [x0], #16
	cmp	x0, x3
	b.lo	2b
	ldr	x0, [x28, #L_SHARED]
	add	x1, x27, #4096
	add	x3, x0, #4096
3:	ldp	x4, x5, [x1], #16
	stp	x4, x5, [x0], #16
	cmp	x0, x3
	b.lo	3b
	ldp	x0, x1, [x27, #C_PATCH]
	cbz	x0, 4f
	str	w1, [x0]
4:	dsb	sy
	ic	iallu
	isb

	ldp	x0, x1, [x27, #C_EL2]
	ldr	x2, [x27, #C_EL2 + 16]
	bl	prepare
	msr	hcr_el2, x0
	msr	cptr_el2, x1
	msr	mdcr_el2, x2
	bl	save
	ldp	x0, x1, [x27, #C_ARGUMENTS]
	ldp	x2, x3, [x27, #C_ARGUMENTS + 16]
	ldr	x4, [x27, #C_ARGUMENTS + 32]
	eret

	/* Realm state, AArch64, HVC and SMC allowed, WFI trapped, pointer authentication not trapped; EL2h, masked,
	 * MMU off. Leaves X0 to X2. */
prepare:
	ldr	x3, =1 << 62 | 3 << 16 | 1 << 12 | 1 << 10 | 1 << 8 | 3 << 4 | 1
	msr	scr_el3, x3
	msr	cptr_el3, xzr
	msr	mdcr_el3, xzr
	ldr	x3, =0x30C50830
	msr	sctlr_el2, x3
	msr	vbar_el2, xzr
	mov	x3, #0x3C9
	msr	spsr_el3, x3
	ldr	x3, [x28, #L_RMM]
	msr	elr_el3, x3
	isb
	tlbi	alle2
	dsb	sy
	isb
	ret

save:	ldr	x3, =SECURE_MEMORY
	stp	x24, x25, [x3]
	stp	x26, x27, [x3, #16]
	ret

	/* What the RMM left is on the stack. */
	.macro	enter
	sub	sp, sp, #256
	stp	x0, x1, [sp]
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	stp	x18, x19, [sp, #144]
	stp	x20, x21, [sp, #160]
	stp	x22, x23, [sp, #176]
	stp	x24, x25, [sp, #192]
	stp	x26, x27, [sp, #208]
	stp	x28, x29, [sp, #224]
	str	x30, [sp, #240]
	ldr	x0, =SECURE_MEMORY
	ldp	x24, x25, [x0]
	ldp	x26, x27, [x0, #16]
	ldr	x28, =LIST
	.endm
	.macro	leave
	ldp	x0, x1, [sp]
	ldp	x2, x3, [sp, #16]
	ldp	x4, x5, [sp, #32]
	ldp	x6, x7, [sp, #48]
	ldp	x8, x9, [sp, #64]
	ldp	x10, x11, [sp, #80]
	ldp	x12, x13, [sp, #96]
	ldp	x14, x15, [sp, #112]
	ldp	x16, x17, [sp, #128]
	ldp	x18, x19, [sp, #144]
	ldp	x20, x21, [sp, #160]
	ldp	x22, x23, [sp, #176]
	ldp	x24, x25, [sp, #192]
	ldp	x26, x27, [sp, #208]
	ldp	x28, x29, [sp, #224]
	ldr	x30, [sp, #240]
	add	sp, sp, #256
	eret
	.endm

	.balign	2048
vectors:
	.rept	8
	b	here
	.balign	128
	.endr
	b	call
	.balign	128
	.rept	7
	b	call
	.balign	128
	.endr

	/* An exception of EL3's own: nothing can be trusted. */
here:	mov	w0, #4
	b	exit

call:	enter
	mrs	x0, esr_el3
	lsr	x0, x0, #26
	cmp	x0, #0x17			// an SMC
	b.eq	1f
	cmp	x0, #0x01			// WFI
	b.ne	dead
	adr	x0, s_stopped
	bl	print
	bl	print_end
	b	end_case
dead:	adr	x0, s_dead
	bl	print
	mrs	x0, esr_el3
	bl	print_number
	mrs	x0, elr_el3
	bl	print_number
	mrs	x0, far_el3
	bl	print_number
	bl	print_end
end_case:
	add	sp, sp, #256
	add	x26, x26, #1
	b	next_case

1:	ldr	x0, [sp]
	ldr	x1, =DELEGATE
	cmp	x0, x1
	b.eq	yes
	ldr	x1, =UNDELEGATE
	cmp	x0, x1
	b.eq	yes
	ldr	x1, =RESERVE_MEMORY
	cmp	x0, x1
	b.eq	reserve
	ldr	x1, =REQ_COMPLETE
	cmp	x0, x1
	b.eq	answered
	ldr	x1, =BOOT_COMPLETE
	cmp	x0, x1
	b.ne	dead

	adr	x0, s_boot
	bl	print
	ldr	x0, [sp, #8]
	bl	print_number
	ldr	x0, [sp, #16]
	bl	print_number
	mrs	x0, hcr_el2
	bl	print_number
	mrs	x0, cptr_el2
	bl	print_number
	mrs	x0, mdcr_el2
	bl	print_number
	bl	print_end
	ldr	x0, [sp, #8]
	cbnz	x0, end_case
	ldr	x0, [x27, #C_WARM]
	cbz	x0, next_call
	cbnz	x24, next_call
	mov	x24, #1
	add	sp, sp, #256
	bl	prepare
	msr	hcr_el2, xzr
	msr	cptr_el2, xzr
	msr	mdcr_el2, xzr
	bl	save
	ldp	x0, x1, [x27, #C_WARM + 8]
	mov	x2, #0
	mov	x3, #0
	mov	x4, #0
	eret

yes:	str	xzr, [sp]
	leave

reserve:
	adr	x0, s_reserve
	bl	print
	ldr	x0, [sp, #8]
	bl	print_number
	ldr	x0, [sp, #16]
	bl	print_number
	bl	print_end
	ldp	x0, x1, [x27, #C_RESERVE]
	stp	x0, x1, [sp]
	leave

	/* X1 to X4 are the host's X0 to X3. */
answered:
	adr	x0, s_call
	bl	print
	mov	x23, #8
1:	ldr	x0, [sp, x23]
	bl	print_number
	add	x23, x23, #8
	cmp	x23, #40
	b.lo	1b
	bl	print_end

next_call:
	ldr	x0, [x27, #C_CALLS]
	cmp	x25, x0
	b.hs	end_case
	add	x1, x27, #C_FIRST_CALL
	add	x1, x1, x25, lsl #6
	add	x25, x25, #1
	bl	save
	ldp	x2, x3, [x1]
	ldr	x4, [x1, #16]
	cmp	x2, #PEEK
	b.eq	peek
	cmp	x2, #POKE
	b.eq	poke
	cmp	x2, #BRANCH
	b.eq	branch
	ldp	x2, x3, [x1]
	stp	x2, x3, [sp]
	ldp	x2, x3, [x1, #16]
	stp	x2, x3, [sp, #16]
	ldp	x2, x3, [x1, #32]
	stp	x2, x3, [sp, #32]
	ldp	x2, x3, [x1, #48]
	stp	x2, x3, [sp, #48]
	leave
peek:	adr	x0, s_word
	bl	print
	ldr	x0, [x3]
	bl	print_number
	bl	print_end
	b	next_call
poke:	str	x4, [x3]
	b	next_call
branch:	mrs	x0, spsr_el3
	orr	x0, x0, x3, lsl #10
	msr	spsr_el3, x0
	b	next_call

all_done:
	adr	x0, s_done
	bl	print
	bl	print_end
	mov	w0, #0
	/* Ends QEMU with code W0. */
exit:	mov	w2, w0
	ldr	x0, =0x20026
	stp	x0, x2, [sp, #-16]!
	mov	x1, sp
	mov	w0, #0x18
	hlt	#0xF000
	b	.

	/* They change X0 to X5. */
print:	mov	x5, x30
	mov	x4, x0
1:	ldrb	w0, [x4], #1
	cbz	w0, 2f
	bl	put
	b	1b
2:	ret	x5
print_number:
	mov	x5, x30
	mov	x4, x0
	mov	w0, #' '
	bl	put
	mov	x3, #60
1:	lsr	x0, x4, x3
	and	x0, x0, #15
	cmp	x0, #10
	add	x1, x0, #'0'
	add	x2, x0, #'a' - 10
	csel	x0, x1, x2, lo
	bl	put
	subs	x3, x3, #4
	b.pl	1b
	ret	x5
print_end:
	mov	x5, x30
	mov	w0, #'\n'
	bl	put
	ret	x5
put:	ldr	x1, =UART
1:	ldr	w2, [x1, #0x18]
	tbnz	w2, #5, 1b
	str	w0, [x1]
	ret
	.ltorg

s_case:	.asciz	"\n@case"
s_boot:	.asciz	"\n@boot"
s_call:	.asciz	"\n@call"
s_word:	.asciz	"\n@word"
s_reserve:
	.asciz	"\n@reserve"
s_stopped:
	.asciz	"\n@stopped"
s_dead:	.asciz	"\n@dead"
s_done:	.asciz	"\n@done"
