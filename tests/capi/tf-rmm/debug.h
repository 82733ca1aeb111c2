/* SPDX-License-Identifier: MIT OR Apache-2.0 */

#include "tf-rmm.h"
