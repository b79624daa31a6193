// SPDX-License-Identifier: Apache-2.0
// What the value of a field may look like: a regular expression in the part of POSIX's extended syntax that all dialects share. It is matched as
// an automaton, all states at once: the work is bytes times states, whatever the pattern and whatever a peer sends. libc's matcher builds states as
// it goes, keeps them, and takes a lock; backtracking ones need limits. This one allocates nothing and is shared by all threads.
#ifndef CURFEW_POLICIES_PATTERN_H
#define CURFEW_POLICIES_PATTERN_H
#include "core/arena.h"

#define PATTERN_TEXT_MAX 256u  /* bytes of a pattern */
#define PATTERN_CODE_MAX 512u  /* its states, {n,m} written out: the worst pattern keeps all of them alive, 0.4 ms for the longest value */
#define PATTERN_VALUE_MAX 256u /* bytes of a value: a field with a pattern may be no longer */
#define PATTERN_DEPTH_MAX 16u  /* groups in groups: the compiler recurses */

struct pattern;
/* Syntax: literal ASCII, `.`, [a-z] and [^a-z], ( ), |, * + ? {n} {n,} {n,m}, \d \w \s, and \ before a character that is no letter or digit. The
 * whole value must match: a ^ in front and a $ at the end say nothing more. NULL: *say tells what is wrong (static), *at where (an index). */
const struct pattern *pattern_compile(struct arena *a, struct str text, const char **say, size_t *at);
bool pattern_match(const struct pattern *p, struct str value);
#endif
