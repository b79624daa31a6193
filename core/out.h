// SPDX-License-Identifier: Apache-2.0
// The gather list of one write. A codec fills it in `output`; the core writes it in one call, and right after that call tells each leg
// whose body bytes it carried (`pulled`). What the socket refused, the core copies and keeps: so references never outlive the write.
#ifndef CURFEW_CORE_OUT_H
#define CURFEW_CORE_OUT_H
#include "core/str.h"
#include <sys/uio.h>

#define OUT_IOV 128u          /* pieces of one write */
#define OUT_SHORT 512u        /* bytes of a body that are copied behind the framing before them */
#define OUT_LIMIT (256u << 10) /* soft, bytes of one write: what a slow peer can make us keep, at most */

struct leg;
struct out { /* one a worker, used for one connection at a time */
    struct iovec iov[OUT_IOV];
    unsigned niov;
    size_t bytes, limit;    /* soft limit of this write */
    uint8_t *block;         /* owned: framing is copied here */
    size_t block_len, block_cap;
    struct out_ref { struct leg *leg; size_t n; } refs[OUT_IOV];
    unsigned nrefs;
};

void out_init(struct out *o);
void out_free(struct out *o);
void out_begin(struct out *o, size_t limit); /* empties it */
/* How many more bytes are welcome; 0: stop, leave the rest where it can still be withdrawn. */
static inline size_t out_room(const struct out *o) {
    return o->niov + 2 >= OUT_IOV || o->nrefs + 1 >= OUT_IOV || o->bytes >= o->limit ? 0 : o->limit - o->bytes;
}
void out_copy(struct out *o, const void *p, size_t n);             /* framing: copied; always succeeds; adjoining copies are one piece */
uint8_t *out_reserve(struct out *o, size_t n);                     /* framing written in place: n bytes at most; out_commit says how many */
void out_commit(struct out *o, size_t n);
void out_ref(struct out *o, struct leg *g, struct str v);          /* body: by reference until written, or copied if short; only if out_room > 0 */
#endif
