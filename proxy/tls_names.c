// SPDX-License-Identifier: Apache-2.0
// Which of a server's certificates a client is shown: the names that each certificate has (RFC 6125), and the one that fits what SNI asks for.
#include "proxy/tls_inside.h"
#include <openssl/x509v3.h>
#include <stdlib.h>

#define NAME_MAX_DNS 253u /* RFC 1035 2.3.4, as text */

struct tls_name {
    char *text;    /* owned; a wildcard's without its "*" */
    bool wildcard; /* text begins with the dot */
    SSL_CTX *ctx;  /* borrowed from the server */
};

static const struct tls_name *find_name(const struct tls_names *names, const char *text, bool wildcard) {
    for (size_t i = 0; i < names->n; i++) {
        if (names->v[i].wildcard == wildcard && strcasecmp(names->v[i].text, text) == 0) return &names->v[i];
    }
    return NULL;
}

/* RFC 6125 6.4.3: a wildcard stands for exactly one label, the leftmost. */
SSL_CTX *tls_names_find(const struct tls_names *names, const char *name) {
    const struct tls_name *n = find_name(names, name, false);
    const char *dot = strchr(name, '.');
    if (!n && dot && dot != name) n = find_name(names, dot, true);
    return n ? n->ctx : NULL;
}

/* The first certificate with a name has it. True where the name is new. */
static bool add_name(struct tls_names *names, SSL_CTX *ctx, struct str name) {
    if (name.n == 0 || name.n > NAME_MAX_DNS || memchr(name.p, '\0', name.n)) return false;
    bool wildcard = str_starts(name, STR("*."));
    char *text = tls_text(str_from(name, wildcard ? 1 : 0));
    if (find_name(names, text, wildcard)) {
        free(text);
        return false;
    }
    if (names->n == names->cap) {
        names->cap = names->cap ? 2 * names->cap : 8;
        names->v = mem_realloc(names->v, names->cap * sizeof *names->v);
    }
    names->v[names->n++] = (struct tls_name){ .text = text, .wildcard = wildcard, .ctx = ctx };
    return true;
}

static struct str text_of(const ASN1_STRING *a) {
    return (struct str){ (const char *)ASN1_STRING_get0_data(a), (size_t)ASN1_STRING_length(a) };
}

/* RFC 6125 6.4.4: the common name counts only where there is no DNS name among the alternative ones. */
size_t tls_names_add(struct tls_names *names, SSL_CTX *ctx, size_t *had) {
    const X509 *x = SSL_CTX_get0_certificate(ctx);
    size_t added = 0;
    *had = 0;
    GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);
        if (g->type != GEN_DNS) continue;
        ++*had;
        added += add_name(names, ctx, text_of(g->d.dNSName));
    }
    GENERAL_NAMES_free(all);
    if (*had) return added;
    const X509_NAME *subject = X509_get_subject_name(x);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0) return 0;
    *had = 1;
    return add_name(names, ctx, text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))));
}

void tls_names_free(struct tls_names *names) {
    for (size_t i = 0; i < names->n; i++) free(names->v[i].text);
    free(names->v);
}
