/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * Everything that libpsmmu.a must not do, for tools/capi to see that it would see it: each of its checks
 * finds something here.
 */

void elsewhere(void);

static int odd(int number)
{
	return number & 1;
}

/* The address of code, in a word that depends on where the image is loaded; no landing pad. */
int (*const bad_table[])(int) __attribute__((section(".surprise"))) = {odd};

/* Vector registers. */
double bad_number(double number)
{
	return number * 2;
}

/* A symbol that is not there; the name of a function of Rust's that panics. */
void rust_begin_unwind(void)
{
	elsewhere();
}
