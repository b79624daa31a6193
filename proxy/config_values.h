// SPDX-License-Identifier: Apache-2.0
// How the values are read and printed that are none of conf's own: addresses, networks, protocols. Rows of field tables name them; for
// config_tables.c alone.
#ifndef CURFEW_PROXY_CONFIG_VALUES_H
#define CURFEW_PROXY_CONFIG_VALUES_H
#include "proxy/config.h"

/* An error at the node that names the field, and its text where it has one. False. */
bool config_refuse(struct conf *c, const struct conf_node *n, const struct conf_field *f, const char *hint, const char *say);

/* Pairs of `parse` and `print` of a row (struct conf_field); what stands at the row's offset: */
bool config_parse_own_address(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at); /* struct address; no name */
void config_print_address(struct conf_writer *w, const struct conf_field *f, const void *at);
#define CONFIG_ADDRESS_SHAPE "{ \"type\": \"string\", \"pattern\": \":\" }"
bool config_parse_endpoints(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at); /* upstream_conf.endpoints */
void config_print_endpoints(struct conf_writer *w, const struct conf_field *f, const void *at);
bool config_parse_trust(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at); /* struct trust */
void config_print_trust(struct conf_writer *w, const struct conf_field *f, const void *at);
bool config_parse_protocol(struct conf *c, const struct conf_node *n, const struct conf_field *f, void *at); /* const struct codec *; NULL: auto */
void config_print_protocol(struct conf_writer *w, const struct conf_field *f, const void *at);

/* The i-th codec of that role that has settings: a row of its own table under its own name, filled with defaults where the key is absent; NULL: there
 * are no more. offset: of the first of CODECS_MAX pointers. */
const struct conf_field *config_codec_row(size_t i, enum codec_role role, size_t offset);
#endif
