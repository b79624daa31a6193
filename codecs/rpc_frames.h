// SPDX-License-Identifier: Apache-2.0
// Messages with a length before them, as gRPC, gRPC-Web and Connect's streams all have them: one byte of flags, four of length. Where one ends
// and the next begins, in pieces cut anywhere.
#ifndef CURFEW_CODECS_RPC_FRAMES_H
#define CURFEW_CODECS_RPC_FRAMES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEAD 5u
#define FRAME_COMPRESSED 0x01u
#define FRAME_END_STREAM 0x02u /* Connect: the last message of an answer, which says how it ended */
#define FRAME_TRAILERS 0x80u   /* gRPC-Web: the same */

struct frames { /* zeroed is the start */
    uint8_t head[FRAME_HEAD];
    uint8_t nhead;  /* bytes of it that came; FRAME_HEAD: the message is under way */
    uint32_t left;  /* bytes of the message still to come */
};
enum frames_event { FRAMES_MORE /* the head is not complete */, FRAMES_HEAD /* it is: see flags and length */, FRAMES_BYTES };
/* Takes what is one thing from p (n > 0): a part of the head, or bytes of the message. Returns how many bytes that were. */
static inline size_t frames_take(struct frames *f, const uint8_t *p, size_t n, enum frames_event *ev) {
    if (f->nhead < FRAME_HEAD) {
        size_t used = 0;
        while (used < n && f->nhead < FRAME_HEAD) f->head[f->nhead++] = p[used++];
        *ev = f->nhead == FRAME_HEAD ? FRAMES_HEAD : FRAMES_MORE;
        if (*ev == FRAMES_MORE) return used;
        f->left = (uint32_t)f->head[1] << 24 | (uint32_t)f->head[2] << 16 | (uint32_t)f->head[3] << 8 | f->head[4];
        if (f->left == 0) f->nhead = 0;
        return used;
    }
    size_t part = n < f->left ? n : f->left;
    f->left -= (uint32_t)part;
    if (f->left == 0) f->nhead = 0;
    *ev = FRAMES_BYTES;
    return part;
}
static inline uint8_t frames_flags(const struct frames *f) { return f->head[0]; } /* of the message whose FRAMES_HEAD came last */
static inline bool frames_is_between(const struct frames *f) { return f->nhead == 0; }
static inline void frames_head(uint8_t head[FRAME_HEAD], uint8_t flags, uint32_t n) {
    head[0] = flags;
    for (int i = 0; i < 4; i++) head[1 + i] = (uint8_t)(n >> (24 - 8 * i));
}
#endif
