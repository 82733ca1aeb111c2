/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* What the programs of this folder check, and how often. For one file of a program. */

#ifndef CHECK_H
#define CHECK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static atomic_uint checks;

/* Ends the program, with where and what, unless this holds. May be called by several threads. */
static void check(bool holds, const char *what, const char *file, int line)
{
	checks++;
	if (!holds) {
		fprintf(stderr, "%s:%d: not true: %s\n", file, line, what);
		exit(1);
	}
}
#define CHECK(what) check(what, #what, __FILE_NAME__, __LINE__)

#endif
