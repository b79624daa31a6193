// SPDX-License-Identifier: Apache-2.0
// The sample upstream: answers, sleeps, streams and fails on demand, and reports what deadline it was told and how it learned of a cancel. The
// demo and the tests ask it; a user tries a configuration against it.
#ifndef CURFEW_PROXY_SAMPLE_H
#define CURFEW_PROXY_SAMPLE_H

/* Serves on the address until SIGTERM or SIGINT. Returns the exit code. */
int sample_run(const char *address);
/* GET /readyz on an admin address, blocking, two seconds at most: 0 where the answer is 200. */
int sample_healthcheck(const char *address);
#endif
