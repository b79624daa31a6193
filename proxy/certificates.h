// SPDX-License-Identifier: Apache-2.0
// The certificates of a configuration: read when the gateway starts, and again at each reload. A connection keeps those that it began with.
#ifndef CURFEW_PROXY_CERTIFICATES_H
#define CURFEW_PROXY_CERTIFICATES_H
#include "proxy/config_change.h"

/* Builds what every `tls:` of the configuration needs, into its `built`. A listener whose clients stay keeps the keys of its tickets, too. before
 * NULL: at the start. False: faults, which were reported on stderr with their places. */
bool certificates_build(struct config *config, const struct config *before, const struct config_change *change);
#endif
