// SPDX-License-Identifier: Apache-2.0
// gRPC over HTTP/2. An ending is always HTTP 200 with a status of gRPC's own: a bare 504 would be read as UNAVAILABLE and retried, though the
// time is up. Before the head the answer is trailers-only; after it trailers, where a message ends there.
#include "codecs/rpc.h"
#include "codecs/rpc_inside.h"

/* gRPC over HTTP/2, "Requests": "application/grpc" [("+proto" / "+json" / {custom})], parameters tolerated. Not application/grpc-web. */
static bool grpc_recognise(const struct head *request) {
    struct str rest;
    return rpc_content_is(request, STR("application/grpc"), &rest) && (rest.n == 0 || rest.p[0] == '+');
}

/* Semantics 2.4: its head does not show whether a method streams, so what has no deadline may. */
static bool grpc_is_stream(const struct head *request) { return head_find_name(request, STR("grpc-timeout"), NULL) == NULL; }

static void grpc_answer(struct arena *a, const struct rpc_answer *what, const struct head *request, struct head *h, struct str *body) {
    (void)request;
    head_init(h, a, false);
    h->status = 200;
    h->body = BODY_NONE;
    *body = (struct str){ 0 };
    head_add(h, STR("content-type"), STR("application/grpc"));
    rpc_add_status(a, what, h);
}

static bool grpc_answer_late(struct arena *a, const struct rpc_answer *what, const struct rpc_follow *f, struct head *h, struct str *body) {
    *body = (struct str){ 0 };
    bool all = f->fixed && f->left == 0 && frames_is_between(&f->frames); /* trailers add no byte to a body of a told length */
    if (!f->aligned && !all) return false;
    head_init(h, a, false);
    rpc_add_status(a, what, h);
    return true;
}

static void grpc_outcome(const struct head *answer, const struct head *trailers, struct rpc_outcome *o) {
    *o = (struct rpc_outcome){ .http = answer->status, .grpc = -1 };
    if (!rpc_status_in(trailers, &o->grpc)) rpc_status_in(answer, &o->grpc);
}

static const struct rpc rpc_grpc = {
    .name = "grpc",
    .family = "grpc",
    .wire_version = 20,
    .priority = 10,
    .recognise = grpc_recognise,
    .is_stream = grpc_is_stream,
    .answer = grpc_answer,
    .answer_late = grpc_answer_late,
    .outcome = grpc_outcome,
    .follow = rpc_follow_frames,
    .early = rpc_status_early,
    .attempts_field = "grpc-previous-rpc-attempts", /* gRFC A6, "Exposed Retry Metadata" */
};
RPC_REGISTER(rpc_grpc);
