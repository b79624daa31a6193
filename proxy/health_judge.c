// SPDX-License-Identifier: Apache-2.0
// Judging an endpoint by its checks: see health_judge.h.
#include "proxy/health_judge.h"
#include "codecs/rpc.h"
#include "policies/answer.h"
#include <stdio.h>

/* ---- in a row --------------------------------------------------------------------------------------------------------------------------- */
static unsigned needed(const struct tally *t, const struct health_conf *c) {
    if (!t->proven) return 1;
    return (unsigned)(t->out ? c->healthy_after : c->unhealthy_after);
}
enum tally_news tally_count(struct tally *t, const struct health_conf *c, bool good) {
    bool against = good == t->out;
    unsigned enough = needed(t, c);
    t->proven |= good;
    t->against = against ? t->against + 1 : 0;
    if (t->against < enough) return TALLY_SAME;
    t->out = !t->out;
    t->against = 0;
    return t->out ? TALLY_OUT : TALLY_IN;
}

/* ---- answers ---------------------------------------------------------------------------------------------------------------------------- */
static bool http_is_good(const struct head *h, char why[HEALTH_REASON_MAX]) {
    if (h->status >= 200 && h->status < 300) return true;
    snprintf(why, HEALTH_REASON_MAX, "status %u", h->status);
    return false;
}

/* A varint of protobuf. Returns how many bytes it has; 0: it is cut, or too long. */
static size_t read_varint(const uint8_t *p, size_t n, uint64_t *v) {
    *v = 0;
    for (size_t i = 0; i < n && i < 10; i++) {
        *v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
        if (!(p[i] & 0x80)) return i + 1;
    }
    return 0;
}
/* How many bytes the value of a field has, by its wire type; n + 1: more than there are. */
static size_t value_length(const uint8_t *p, size_t n, unsigned wire) {
    uint64_t v;
    size_t used = read_varint(p, n, &v);
    switch (wire) {
    case 0: return used ? used : n + 1;
    case 1: return 8;
    case 2: return used && v <= n - used ? used + (size_t)v : n + 1;
    case 5: return 4;
    default: return n + 1;
    }
}
/* HealthCheckResponse.status, an enum in field 1; 0 (UNKNOWN) where it is left out, -1 where this is no message. */
static int serving_status(const uint8_t *p, size_t n) {
    uint64_t status = 0, key;
    for (size_t at = 0; at < n;) {
        size_t used = read_varint(p + at, n - at, &key);
        at += used;
        size_t length = value_length(p + at, n - at, key & 7);
        if (used == 0 || length > n - at) return -1;
        if (key == 1 << 3) read_varint(p + at, n - at, &status); /* the last one counts */
        at += length;
    }
    return status <= INT16_MAX ? (int)status : -1;
}
/* gRPC over HTTP/2, "Responses": one message, not compressed, since we offer no encoding. */
static int message_status(const uint8_t *p, size_t n) {
    if (n < FRAME_HEAD || p[0] != 0) return -1;
    uint32_t length = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
    return length == n - FRAME_HEAD ? serving_status(p + FRAME_HEAD, length) : -1;
}
static bool grpc_is_good(const struct health_answer *a, char why[HEALTH_REASON_MAX]) {
    static const char *const names[] = { "UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN" }; /* grpc.health.v1 */
    struct rpc_outcome o;
    rpc_by_name("grpc")->outcome(a->head, a->trailers, &o);
    if (o.http != 200 || o.grpc < 0) {
        snprintf(why, HEALTH_REASON_MAX, "no answer of gRPC (status %u)", o.http);
    } else if (o.grpc != 0) {
        snprintf(why, HEALTH_REASON_MAX, "grpc-status %d (%s)%s", o.grpc, grpc_status_name((uint8_t)o.grpc),
                 o.grpc == 12 ? ": it has no grpc.health.v1.Health" : "");
    } else {
        int status = message_status(a->body, a->nbody);
        if (status == 1) return true;
        bool known = status >= 0 && status < (int)(sizeof names / sizeof *names);
        snprintf(why, HEALTH_REASON_MAX, "%s", known ? names[status] : "no answer of grpc.health.v1");
    }
    return false;
}
bool health_is_good(enum health_type type, const struct health_answer *a, char why[HEALTH_REASON_MAX]) {
    switch (type) {
    case HEALTH_TCP: return true; /* that the connection opened is all that was asked */
    case HEALTH_HTTP: return http_is_good(a->head, why);
    case HEALTH_GRPC: return grpc_is_good(a, why);
    }
    return false;
}
