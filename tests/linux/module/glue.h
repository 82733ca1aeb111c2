/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef REALM_GLUE_H
#define REALM_GLUE_H

#include <linux/types.h>

/* Pages that the RMM holds, and pages that it did not give back. */
u64 realm_glue_donated(void);
u64 realm_glue_leaked(void);

#endif
