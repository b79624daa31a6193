// SPDX-License-Identifier: Apache-2.0
// Between config_tables.c and config.c: what the top-level table fills, before names are joined. For these two files, and for config_change.c, which
// compares by the tables.
#ifndef CURFEW_PROXY_CONFIG_TABLES_H
#define CURFEW_PROXY_CONFIG_TABLES_H
#include "proxy/config.h"

struct config_raw { /* config_table's struct */
    int64_t version, workers;         /* workers INT64_MAX: auto */
    struct conf_map listeners, upstreams;
    struct conf_map dialects;         /* of struct dialect */
    const struct conf_node *policies; /* read by policies_load, since `extends` works on the YAML itself */
    const struct policies *resolved;  /* what became of them: the configuration's */
    struct conf_array routes;
    struct admin_conf *admin;
    struct log_conf log;
    struct load_conf load;
    struct limits_conf limits;
    struct { span drain, drain_removed; } shutdown;
};
extern const struct conf_table listener_table, upstream_table, tls_server_table;
#endif
