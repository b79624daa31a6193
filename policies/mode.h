// SPDX-License-Identifier: Apache-2.0
// How much of a policy is done: one word, with one meaning, wherever a policy has a `mode`.
#ifndef CURFEW_POLICIES_MODE_H
#define CURFEW_POLICIES_MODE_H
#include <assert.h>
#include <stdbool.h>

enum mode {
    MODE_DISABLED, /* nothing is done, and nothing counted */
    MODE_OBSERVE,  /* what enforcing would have done is counted and logged; nothing changes on the wire */
    MODE_FORWARD,  /* ... and the upstream is told, but nothing is ended by force */
    MODE_ENFORCE
};
static inline const char *mode_name(unsigned m) {
    static const char *const names[] = { [MODE_DISABLED] = "disabled", [MODE_OBSERVE] = "observe", [MODE_FORWARD] = "forward",
                                         [MODE_ENFORCE] = "enforce" };
    assert(m <= MODE_ENFORCE);
    return names[m];
}
/* What enforcing would have done is counted and logged, since it is not done. */
static inline bool mode_observes(unsigned m) { return m == MODE_OBSERVE || m == MODE_FORWARD; }
#endif
