// SPDX-License-Identifier: Apache-2.0
// The judgement of beat.h. How long a request lasts is not measured but follows (Little's law): what is under way, by what is completed in a time.
#include "proxy/beat.h"

static bool is_worth(const struct beat *b, int64_t elapsed, int64_t ran, uint64_t completed) {
    if (ran < elapsed / 100 * (b->on ? BEAT_ENDS : BEAT_BEGINS)) return false;
    return (double)b->most * (double)elapsed >= (double)BEAT_SHARE * (double)b->conf.ns * (double)completed;
}
void beat_judge(struct beat *b, instant now, span ran, uint64_t done) {
    b->on = is_worth(b, instant_until(b->since, now).ns, ran.ns - b->ran.ns, done - b->done);
    b->since = now;
    b->most = 0;
    b->ran = ran;
    b->done = done;
}
