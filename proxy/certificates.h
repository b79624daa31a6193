// SPDX-License-Identifier: Apache-2.0
// The certificates of a running gateway: read when it starts, and again on demand without dropping a connection.
#ifndef CURFEW_PROXY_CERTIFICATES_H
#define CURFEW_PROXY_CERTIFICATES_H
#include "proxy/worker.h"

/* Builds what every `tls:` of the snapshot needs, into its `built`. False: faults, which were reported on stderr with their places. */
bool certificates_build(struct config *config);
/* Reads the same files again. Where all are good, every worker is told to use them for connections from then on; where one is not, it is
 * reported and all stays as it is. From the main thread, while the workers run. */
void certificates_reload(struct config *config, struct worker *workers, size_t n);
#endif
