// SPDX-License-Identifier: Apache-2.0
// The difference of two configurations: what of the one goes on in the other. Two things are the same where they print the same
// (conf_print_effective): a new key needs no line here. What lies in other files (certificates) is not looked at.
#ifndef CURFEW_PROXY_CONFIG_CHANGE_H
#define CURFEW_PROXY_CONFIG_CHANGE_H
#include "proxy/config.h"

#define NOT_BEFORE SIZE_MAX
struct config_change { /* in the memory of the new one */
    /* By index in the new one: which one of the old it goes on from, or NOT_BEFORE. */
    const size_t *listeners;      /* at that address */
    const size_t *upstreams;      /* of that name, and the same in all its keys */
    const size_t *routes;         /* of that name; without one, of that place */
    const size_t *policies;       /* of that name */
    const bool *clients_stay;     /* by listener that goes on: its `tls` is the same, so that its connections may stay */
    const bool *same_policy;      /* by route that goes on: and so is its policy, by name and in all its keys */
    /* By index in the old one: it goes on. */
    const bool *listener_stays, *upstream_stays;
    size_t listeners_opened, listeners_closed, upstreams_added, upstreams_retired;
};
/* before NULL: all is new. */
const struct config_change *config_change_find(const struct config *before, struct config *now);
#endif
