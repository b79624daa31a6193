// SPDX-License-Identifier: Apache-2.0
// A route's `match`, as YAML fills it and as it is compiled for the hot path. Shared by policies/route_*.c alone.
//
// Compiled so that a route that does not match costs one comparison of bytes: of the literal start of its path, or of its host.
#ifndef CURFEW_POLICIES_ROUTE_MATCHER_H
#define CURFEW_POLICIES_ROUTE_MATCHER_H
#include "policies/route.h"

enum path_shape {
    PATH_ANY,      /* no path, or the pattern slash-star: also "*" of OPTIONS */
    PATH_EXACT,    /* literals only: `lead` is the whole path */
    PATH_PREFIX,   /* literals, then slash-star: `lead` without that; the path is it, or goes on with a slash */
    PATH_SEGMENTS  /* with captures: `lead` up to the first, then `parts` */
};
struct path_part { struct str text; bool capture; }; /* a literal run of "/a/b", or the name of one segment's capture (its slash included) */
struct path_pattern {
    enum path_shape shape;
    struct str lead;
    struct path_part *parts; /* SEGMENTS: those after lead */
    size_t nparts;
    bool rest;               /* SEGMENTS: a final slash-star */
};
enum host_shape { HOST_ANY, HOST_EXACT, HOST_SUFFIX /* ".example.com" */, HOST_IPV6 };
struct host_pattern {
    enum host_shape shape;
    struct str text;     /* lower case, no trailing dot */
    uint8_t address[16]; /* IPV6 */
};
enum condition_kind { CONDITION_EXACT, CONDITION_PREFIX, CONDITION_AT_LEAST, CONDITION_PRESENT, CONDITION_ABSENT };
struct header_condition {
    struct str name, value;
    uint8_t kind;
};
struct header_conditions { struct header_condition *v; size_t n; };
struct route_matcher {
    /* as in YAML */
    struct conf_ref host, path, grpc;
    struct conf_refs method;
    struct header_conditions header;
    /* compiled */
    struct host_pattern host_pattern;
    struct path_pattern path_pattern; /* of path or of grpc */
    bool rpc_only;
};
extern const struct conf_table route_match_table;

/* The host of an authority: lower-casing is the comparison's, the port and a trailing dot are cut off. */
struct str route_host(struct str authority);
bool route_ipv6(struct str host, uint8_t address[16]); /* "[::1]" or "::1" */
/* Both ISO dates, or both dotted numbers (1.10 is after 1.9); else false: "latest" is not at least 2026-07-28. least: one of the two. */
bool route_is_at_least(struct str value, struct str least);
bool route_is_date(struct str s);
#endif
