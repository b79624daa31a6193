// SPDX-License-Identifier: Apache-2.0
// Which route a request takes: host, path on segments with captures, gRPC method, HTTP method, headers; first match. Paths are normalised before
// (dot segments and escapes of unreserved characters resolved, RFC 3986 6.2.2), so that %2e%2e goes round no route. Also the edits that a
// route makes: prefix rewrite, headers set, added, removed; fixed answers and redirects.
#ifndef CURFEW_POLICIES_ROUTE_H
#define CURFEW_POLICIES_ROUTE_H
#include "codecs/rpc.h"
#include "conf/conf.h"

#define CAPTURES_MAX 16u
struct capture { struct str name, value; }; /* value as in the normalised path, still percent-encoded */
struct route_match { /* what matched */
    const struct route *route;
    struct str path, query;       /* normalised path; query without '?' as sent (has_query: an empty one was there) */
    bool has_query;
    bool path_changed;            /* normalising changed it: the upstream gets the normalised one */
    size_t prefix_len;            /* of path: what the pattern's literal part before its final "*" covered; for rewrite.prefix */
    struct capture captures[CAPTURES_MAX];
    size_t ncaptures;
};
struct route_answer { /* fixed answer */ int64_t status; struct str body, content_type; };
struct route_redirect { int64_t status; struct str host, scheme, prefix, path; bool strip_query; };
struct header_edit { struct str name, value; };
struct header_edits { /* parsed; names in lower case */
    struct header_edit *set, *add;
    size_t nset, nadd;
    struct str *remove;
    size_t nremove;
};
struct route_weight { int64_t weight; };
struct route {
    struct conf_ref name;             /* optional; for the log: else "routes[3]" */
    struct route_matcher *match;      /* opaque: custom-parsed */
    struct conf_ref upstream;
    struct conf_map upstreams;        /* of struct route_weight; at least one is above 0 */
    struct conf_ref policy;
    uint8_t host;                     /* enum: HOST_PRESERVE, HOST_UPSTREAM */
    uint8_t translate;                /* enum translate */
    struct { struct conf_ref prefix; } rewrite;
    struct { struct header_edits request, answer; } headers; /* YAML: headers: { request: …, response: … } */
    struct route_answer *answer;      /* YAML: respond: { status, body, content_type } */
    struct route_redirect *redirect;
    /* resolved by the owner of upstreams and policies: */
    size_t index;
    size_t upstream_index;            /* SIZE_MAX: by weight, or none */
    size_t *weighted_index; uint32_t *weighted_upto; size_t nweighted; uint32_t weight_total;
    const struct policy *use;         /* never NULL after resolution */
};
enum host_mode { HOST_PRESERVE, HOST_UPSTREAM };
enum translate { TRANSLATE_NONE, TRANSLATE_GRPC }; /* what the upstream is spoken to in, where a client speaks another RPC protocol of that kin */
extern const struct conf_table route_table;
/* Matches `routes` (n of them) in order. False: none. m's slices live in the arena or in the head. A target that cannot be normalised (a bad
 * escape, NUL, a path that climbs over the root) matches nothing and sets *bad (the answer is 400). */
bool route_match(const struct route *routes, size_t n, const struct head *h, const struct rpc *rpc, struct arena *a, struct route_match *m,
                 bool *bad);
/* What paths match: the pattern's literals in the normalised path, segment by segment; "/a/" is not "/a", and an empty segment is one. A final
 * slash-star matches the path before it, with or without a slash, and all below. Slash-star alone, and no path at all, match everything, also
 * the "*" of OPTIONS; CONNECT without :protocol has no path and matches nothing. Hosts are compared without port and case, a trailing dot is
 * ignored. Methods are compared as they are: GET does not stand for HEAD. */
/* Does the route list this method, so that it was not left to "any"? */
bool route_names_method(const struct route *r, struct str method);
/* The normalised form alone, for tests and fuzzing: path in, out in arena, or the same slice where nothing changed. False: bad. */
bool route_normalise(struct arena *a, struct str path, struct str *out);
/* Has it a segment . or .. before its query, in whichever way there is a server that takes one for it: escaped, behind a backslash or an escaped slash,
 * before a parameter (";")? Broken escapes are bytes. */
bool path_has_dot_segment(struct str target);
/* Sets up->target from the match and the route's rewrite; query kept. */
void route_rewrite(const struct route_match *m, struct arena *a, struct head *up);
void route_edit_headers(const struct header_edits *e, struct head *h);
/* Is this name alike (str_is_alike) one that is set or removed, and not the very same? */
bool route_edits_alike(const struct header_edits *e, struct str name);
/* Location of a redirect. */
struct str route_location(const struct route_match *m, const struct head *h, bool secure, struct arena *a);
#endif
