/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What EL3 enters at 0x60000000 in place of a boot loader: it starts the kernel at 0x44000000 as the arm64
 * boot protocol has it, with the device tree at 0x49000000. tests/runner puts both there.
 */
	.globl _start
_start:
	ldr x0, =0x49000000
	mov x1, xzr
	mov x2, xzr
	mov x3, xzr
	ldr x4, =0x44000000
	br x4
