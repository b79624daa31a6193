// SPDX-License-Identifier: Apache-2.0
// Resets: how many we tell an upstream, how many we suffer from a client, and when. Streams whose leg is over but which are yet to be reset wait
// in limbo, oldest first: up, for want of budget; down, so that a refusal is read first.
#include "codecs/http2.h"

/* ---- token buckets ------------------------------------------------------------------------------------------------------------------ */

static span bucket_depth(uint64_t burst, span every) { return (span){ i64_mul_sat((int64_t)burst - 1, every.ns) }; }
static bool bucket_has(const struct http2_bucket *b, uint64_t burst, span every, instant now) {
    return burst == 0 || instant_until(now, b->full).ns <= bucket_depth(burst, every).ns;
}
static instant bucket_next(const struct http2_bucket *b, uint64_t burst, span every) { return instant_back(b->full, bucket_depth(burst, every)); }

static bool bucket_take(struct http2_bucket *b, uint64_t burst, span every, instant now) {
    if (burst == 0) return true;
    if (!bucket_has(b, burst, every, now)) return false;
    b->full = instant_add(instant_before(b->full, now) ? now : b->full, every);
    return true;
}

void http2_count_reset(struct http2 *h) {
    const struct http2_budget *limit = &h->conf->resets;
    if (h->s->role != CODEC_DOWN || h->s->trusted || h->failing || limit->burst <= 0 || limit->rate.count == 0) return;
    span every = { limit->rate.per.ns / (int64_t)limit->rate.count };
    if (bucket_take(&h->suffered, (uint64_t)limit->burst, every, h->now)) return;
    nghttp2_session_terminate_session(h->ng, NGHTTP2_ENHANCE_YOUR_CALM);
    http2_fail(h, &(struct fault){ .why = ENDING_CLIENT_ERROR, .wire = NGHTTP2_ENHANCE_YOUR_CALM, .say = "the client resets too many requests" });
}

/* From a Q entry, which knows no time: it is stamped by the next entry that does, in this turn. */
static void limbo_add(struct http2 *h, int32_t stream) {
    if (h->nlimbo == h->limbo_cap) {
        h->limbo_cap = h->limbo_cap ? h->limbo_cap * 2 : 16;
        h->limbo = mem_realloc(h->limbo, h->limbo_cap * sizeof *h->limbo);
    }
    h->limbo[h->nlimbo++] = (struct http2_limbo){ .stream = stream };
}

void http2_limbo_remove(struct http2 *h, int32_t stream) {
    for (size_t i = 0; i < h->nlimbo; i++) {
        if (h->limbo[i].stream != stream) continue;
        memmove(h->limbo + i, h->limbo + i + 1, (--h->nlimbo - i) * sizeof *h->limbo);
        return;
    }
}

#define AFTERWORD span_ms(10)
/* Down: an answer that was complete before its request is followed by RST_STREAM(NO_ERROR) (RFC 9113 8.1). A refusal's not on its heels: clients
 * that read both at once take the reset for a failure and never show the refusal (curl 7.88). One that stops its upload by itself needs none.
 * Behind a success at once: the same clients would wait for a window that never comes. */
void http2_reset_behind_answer(struct http2 *h, const struct http2_leg *t) {
    if (t->refusal) limbo_add(h, t->stream);
    else nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, t->stream, NGHTTP2_NO_ERROR);
}

static void limbo_serve_down(struct http2 *h) {
    while (h->nlimbo && instant_until(h->limbo[0].since, h->now).ns >= AFTERWORD.ns) {
        int32_t stream = h->limbo[0].stream;
        http2_limbo_remove(h, stream);
        nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, stream, NGHTTP2_NO_ERROR);
    }
}

static void limbo_serve_up(struct http2 *h) {
    while (h->nlimbo && bucket_take(&h->told, h->s->cancel_burst, h->s->cancel_every, h->now)) {
        int32_t oldest = h->limbo[0].stream;
        http2_limbo_remove(h, oldest);
        nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, oldest, NGHTTP2_CANCEL);
    }
    if (h->nlimbo && instant_until(h->limbo[0].since, h->now).ns >= h->conf->retire_after.ns) h->retiring = h->s->retired = true;
}

void http2_tell_cancel(struct http2 *h, struct http2_leg *t) {
    int32_t stream = t->stream;
    if (!h->nlimbo && bucket_take(&h->told, h->s->cancel_burst, h->s->cancel_every, h->now)) {
        nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
    } else {
        h->s->cancels_deferred++;
        limbo_add(h, stream);
    }
}

enum reset_word http2_word_of(uint32_t code) {
    switch (code) {
    case NGHTTP2_INTERNAL_ERROR: return RESET_INTERNAL;
    case NGHTTP2_REFUSED_STREAM: return RESET_REFUSED;
    case NGHTTP2_CANCEL: return RESET_CANCEL;
    case NGHTTP2_ENHANCE_YOUR_CALM: return RESET_CALM;
    case NGHTTP2_INADEQUATE_SECURITY: return RESET_SECURITY;
    default: return code > NGHTTP2_HTTP_1_1_REQUIRED ? RESET_UNKNOWN : RESET_UNSAID;
    }
}

/* Semantics 3 and 4: the upstream's own CANCEL, INTERNAL_ERROR and ENHANCE_YOUR_CALM pass; the rest is the table's. */
uint32_t http2_code_for_client(enum ending why, enum reset_word said) {
    enum reset_word word = why == ENDING_UPSTREAM_RESET && (said == RESET_CANCEL || said == RESET_CALM) ? said : ending_rows[why].reset;
    return word == RESET_CANCEL ? NGHTTP2_CANCEL : word == RESET_CALM ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_INTERNAL_ERROR;
}

void http2_limbo_serve(struct http2 *h) {
    for (size_t i = h->nlimbo; i > 0 && !h->limbo[i - 1].stamped; i--) {
        h->limbo[i - 1].stamped = true;
        h->limbo[i - 1].since = h->now;
    }
    if (h->s->role == CODEC_UP) limbo_serve_up(h);
    else limbo_serve_down(h);
}

bool http2_may_tell(const struct http2 *h) { return bucket_has(&h->told, h->s->cancel_burst, h->s->cancel_every, h->now); }

instant http2_resets_wake(const struct http2 *h) {
    if (h->s->role == CODEC_DOWN) return h->nlimbo ? instant_add(h->limbo[0].since, AFTERWORD) : INSTANT_NEVER;
    instant at = h->nlimbo && !h->retiring ? instant_add(h->limbo[0].since, h->conf->retire_after) : INSTANT_NEVER;
    return http2_may_tell(h) ? at : instant_min(at, bucket_next(&h->told, h->s->cancel_burst, h->s->cancel_every));
}
