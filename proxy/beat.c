// SPDX-License-Identifier: Apache-2.0
// The judgement of beat.h. How long a request lasts is not measured but follows (Little's law): what is under way, by what is completed in a time.
#include "proxy/beat.h"

static span bearable(const struct beat *b, int64_t elapsed, int64_t ran, uint64_t completed) {
    if (ran < elapsed / 100 * (b->now.ns > 0 ? BEAT_ENDS : BEAT_BEGINS)) return span_ns(0);
    if (completed == 0) return b->most > 0 ? SPAN_FOREVER : span_ns(0);
    return span_ns((int64_t)((double)b->most * (double)elapsed / (double)completed / BEAT_SHARE));
}
static void settle(struct beat *b) {
    b->now = span_min(b->bearable, b->conf);
    if (b->now.ns < b->conf.ns / BEAT_LEAST) b->now = span_ns(0);
}
void beat_configure(struct beat *b, span longest) {
    b->conf = longest;
    settle(b);
}
void beat_judge(struct beat *b, instant now, span ran, uint64_t done) {
    b->bearable = bearable(b, instant_until(b->since, now).ns, ran.ns - b->ran.ns, done - b->done);
    settle(b);
    b->since = now;
    b->most = 0;
    b->ran = ran;
    b->done = done;
}
