// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * kexec IMAGE INITRD OLD NEW: starts IMAGE in place of the running kernel, with the running device tree,
 * in which the text OLD of the command line becomes NEW (as long). Everything goes where the first kernel
 * was loaded, and the same shim starts it. No libc: it runs in an initramfs.
 */
#include <stddef.h>
#include <stdint.h>

#define NR_OPENAT 56
#define NR_READ 63
#define NR_WRITE 64
#define NR_EXIT 93
#define NR_KEXEC_LOAD 104
#define NR_REBOOT 142
#define NR_MMAP 222

#define KERNEL_AT 0x44000000UL
#define DEVICE_TREE_AT 0x49000000UL
#define INITRD_AT 0x4a000000UL
#define SHIM_AT 0x60000000UL
#define PAGE 4096UL
/* Larger than any of the files. */
#define ROOM (128UL << 20)

struct segment {
	const void *from;
	size_t bytes;
	uintptr_t to;
	size_t room;
};

extern const char shim_start[], shim_end[];
__asm__(".pushsection .rodata\n.balign 8\n.global shim_start, shim_end\nshim_start:\n.incbin \"" SHIM "\"\nshim_end:\n.popsection");

static long call(long number, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
}

static size_t length(const char *text)
{
	size_t n = 0;

	while (text[n])
		n++;
	return n;
}

static void __attribute__((noreturn)) die(const char *what)
{
	call(NR_WRITE, 2, (long)"kexec: ", 7, 0, 0, 0);
	call(NR_WRITE, 2, (long)what, length(what), 0, 0, 0);
	call(NR_WRITE, 2, (long)"\n", 1, 0, 0, 0);
	for (;;)
		call(NR_EXIT, 1, 0, 0, 0, 0, 0);
}

static char *contents(const char *path, size_t *bytes)
{
	/* Private, anonymous, readable and writable. */
	char *memory = (char *)call(NR_MMAP, 0, ROOM, 3, 0x22, -1, 0);
	long file = call(NR_OPENAT, -100, (long)path, 0, 0, 0, 0), got;

	if ((unsigned long)memory > -PAGE || file < 0)
		die(path);
	for (*bytes = 0; (got = call(NR_READ, file, (long)memory + *bytes, ROOM - *bytes, 0, 0, 0)) > 0;)
		*bytes += got;
	if (got < 0 || *bytes == ROOM)
		die(path);
	return memory;
}

static int same(const char *a, const char *b, size_t n)
{
	while (n && *a == *b)
		a++, b++, n--;
	return !n;
}

static size_t pages(size_t bytes)
{
	return (bytes + PAGE - 1) & -PAGE;
}

__attribute__((noreturn, used)) static void run(char **argv)
{
	struct segment segments[4];
	size_t bytes, i, n;
	char *tree;

	segments[0] = (struct segment){ contents(argv[1], &bytes), bytes, KERNEL_AT, 0 };
	/* The image says itself how much memory it takes. */
	segments[0].room = pages(*(const uint64_t *)((const char *)segments[0].from + 16));
	tree = contents("/sys/firmware/fdt", &bytes);
	n = length(argv[3]);
	for (i = 0; i + n <= bytes && !same(tree + i, argv[3], n); i++)
		;
	if (i + n > bytes || length(argv[4]) != n)
		die("the command line has no such text");
	while (n--)
		tree[i + n] = argv[4][n];
	segments[1] = (struct segment){ tree, bytes, DEVICE_TREE_AT, pages(bytes) };
	segments[2] = (struct segment){ contents(argv[2], &bytes), bytes, INITRD_AT, pages(bytes) };
	bytes = shim_end - shim_start;
	segments[3] = (struct segment){ shim_start, bytes, SHIM_AT, pages(bytes) };
	/* 183 is the machine, AArch64. */
	if (call(NR_KEXEC_LOAD, SHIM_AT, 4, (long)segments, 183L << 16, 0, 0))
		die("the kernel refuses the segments");
	call(NR_REBOOT, 0xfee1dead, 672274793, 0x45584543, 0, 0, 0);
	die("the kernel does not go");
}

__asm__(".globl _start\n_start:\n\tadd x0, sp, #8\n\tb run");
