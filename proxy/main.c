// SPDX-License-Identifier: Apache-2.0
// The command line. A command is a row: its name, what it takes, what it does; `curfew help` prints the rows.
#include "policies/context_schema.h"
#include "proxy/explain.h"
#include "proxy/gateway.h"
#include "proxy/sample.h"
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <stdio.h>

struct command {
    const char *name, *usage, *help;
    int (*run)(int argc, char **argv); /* argv[0] is the command */
};
static const struct command commands[];
static int usage(const char *command);

/* ---- options that several commands have ----------------------------------------------------------------------------------------------- */
struct options {
    const char *config, *listen, *name;
    bool effective, markdown, json;
};
static bool read_options(int argc, char **argv, struct options *o) {
    static const struct option longs[] = { { "config", required_argument, NULL, 'c' }, { "listen", required_argument, NULL, 'l' },
                                           { "name", required_argument, NULL, 'n' },   { "effective", no_argument, NULL, 'e' },
                                           { "markdown", no_argument, NULL, 'm' },     { NULL, 0, NULL, 0 } };
    *o = (struct options){ .config = NULL };
    optind = 1;
    for (int k; (k = getopt_long(argc, argv, "c:l:n:em", longs, NULL)) != -1;) {
        if (k == 'c') o->config = optarg;
        else if (k == 'l') o->listen = optarg;
        else if (k == 'n') o->name = optarg;
        else if (k == 'e') o->effective = true;
        else if (k == 'm') o->markdown = true;
        else return false;
    }
    if (optind < argc) fprintf(stderr, "curfew %s: \"%s\" is one word too many\n", argv[0], argv[optind]);
    return optind == argc;
}

/* ---- commands --------------------------------------------------------------------------------------------------------------------------- */
static int run(int argc, char **argv) {
    struct options o;
    if (!read_options(argc, argv, &o) || !o.config) return usage("run");
    struct config *c = config_load(o.config, NULL, 0, NULL, stderr);
    if (!c) return 1;
    int code = gateway_run(c, o.config);
    config_unref(c);
    return code;
}
static int check(int argc, char **argv) {
    struct options o;
    if (!read_options(argc, argv, &o) || !o.config) return usage("check");
    struct config *c = config_load(o.config, NULL, 0, NULL, stderr);
    if (!c) return 1;
    if (o.effective) config_print(stdout, c);
    else printf("%s: ok: %zu listeners, %zu upstreams, %zu policies, %zu routes\n", o.config, c->listeners.n, c->upstreams.n, c->policies.n, c->routes.n);
    config_unref(c);
    return 0;
}
static int dialects(int argc, char **argv) {
    struct options o;
    if (!read_options(argc, argv, &o)) return usage("dialects");
    struct dialect_set *set = mem_zalloc(sizeof *set);
    dialect_set_builtin(set);
    if (!o.config) {
        dialect_print_table(stdout, set, o.markdown);
        free(set);
        return 0;
    }
    free(set);
    struct config *c = config_load(o.config, NULL, 0, NULL, stderr);
    if (!c) return 1;
    dialect_print_table(stdout, &c->dialects, o.markdown);
    config_unref(c);
    return 0;
}
static int upstream(int argc, char **argv) {
    struct options o;
    if (!read_options(argc, argv, &o) || !o.listen) return usage("upstream");
    return sample_run(o.listen);
}
static int reference(int argc, char **argv) {
    (void)argv;
    if (argc > 1) return usage("reference");
    conf_print_reference(stdout, &config_table);
    return 0;
}
static int schema(int argc, char **argv) {
    bool context = argc == 2 && strcmp(argv[1], "context") == 0;
    if (argc > 1 && !context) return usage("schema");
    conf_print_schema(stdout, context ? &context_schema_table : &config_table);
    return 0;
}
static int healthcheck(int argc, char **argv) {
    struct options o;
    if (!read_options(argc, argv, &o) || !o.listen) return usage("healthcheck");
    return sample_healthcheck(o.listen);
}
/* explain -c FILE [--route R] [--json], or explain request 'GET /x HTTP/1.1' [-H 'name: value']... */
struct explain_options {
    const char *config, *route, *listener, *line, *fields[64];
    size_t nfields;
    bool json, trusted, untrusted, request;
};
static bool read_explain(int argc, char **argv, struct explain_options *o) {
    static const struct option longs[] = { { "config", required_argument, NULL, 'c' }, { "route", required_argument, NULL, 'r' },
                                           { "header", required_argument, NULL, 'H' }, { "json", no_argument, NULL, 'j' },
                                           { "untrusted", no_argument, NULL, 'u' },    { "trusted", no_argument, NULL, 't' },
                                           { "listener", required_argument, NULL, 'l' }, { NULL, 0, NULL, 0 } };
    *o = (struct explain_options){ .route = "", .listener = "" };
    optind = 1;
    for (int k; (k = getopt_long(argc, argv, "c:r:H:l:ju", longs, NULL)) != -1;) {
        if (k == 'c') o->config = optarg;
        else if (k == 'r') o->route = optarg;
        else if (k == 'H' && o->nfields < 64) o->fields[o->nfields++] = optarg;
        else if (k == 'l') o->listener = optarg;
        else if (k == 'j') o->json = true;
        else if (k == 'u') o->untrusted = true;
        else if (k == 't') o->trusted = true;
        else return false;
    }
    o->request = optind < argc && strcmp(argv[optind], "request") == 0;
    if (o->request && optind + 1 < argc) o->line = argv[optind + 1];
    return o->config && optind + (o->request ? 2 : 0) == argc;
}
/* The peer that a request is explained for, where nobody says: one that the listener trusts (none named: some listener), if it trusts anybody. */
static bool trusts_somebody(const struct config *c, struct str listener) {
    for (size_t i = 0; i < c->listeners.n; i++) {
        bool meant = !listener.n || str_eq(c->listeners.names[i].name, listener);
        if (meant && config_listener(c, i)->trust.mode != TRUST_NONE) return true;
    }
    return false;
}
static bool has_listener(const struct config *c, struct str name) {
    for (size_t i = 0; i < c->listeners.n; i++) {
        if (str_eq(c->listeners.names[i].name, name)) return true;
    }
    return false;
}
static int explain(int argc, char **argv) {
    struct explain_options o;
    if (!read_explain(argc, argv, &o)) return usage("explain");
    struct config *c = config_load(o.config, NULL, 0, NULL, stderr);
    if (!c) return 1;
    int code = 0;
    struct str listener = str_of(o.listener);
    if (listener.n && !has_listener(c, listener)) {
        fprintf(stderr, "curfew explain: no listener is called \"%s\"\n", o.listener);
        code = 1;
    } else if (o.request) {
        bool trusted = o.trusted || (!o.untrusted && trusts_somebody(c, listener));
        const char *fault = explain_request(stdout, c, str_of(o.line), o.fields, o.nfields, listener, trusted, o.json);
        if (fault) fprintf(stderr, "curfew explain: %s\n", fault);
        code = fault ? 2 : 0;
    } else if (!explain_routes(stdout, c, str_of(o.route), o.json)) {
        fprintf(stderr, "curfew explain: no route is called \"%s\"; without a name a route is routes[0], routes[1] ...\n", o.route);
        code = 1;
    }
    config_unref(c);
    return code;
}
/* context-schema check OLD NEW [--json] */
static int context_schema(int argc, char **argv) {
    static const struct option longs[] = { { "json", no_argument, NULL, 'j' }, { NULL, 0, NULL, 0 } };
    bool json = false;
    optind = 1;
    for (int k; (k = getopt_long(argc, argv, "j", longs, NULL)) != -1;) {
        if (k != 'j') return usage("context-schema");
        json = true;
    }
    if (argc - optind != 3 || strcmp(argv[optind], "check") != 0) return usage("context-schema");
    struct conf c;
    conf_init(&c);
    const struct context_schema *was = context_schema_load(&c, argv[optind + 1]), *now = context_schema_load(&c, argv[optind + 2]);
    conf_report(&c, stderr);
    int code = 2;
    if (was && now) {
        struct schema_changes all;
        context_schema_compare(&c, was, now, &all);
        context_schema_print(stdout, was, now, &all, json);
        code = all.breaking > 0;
    }
    conf_free(&c);
    return code;
}
static int version(int argc, char **argv) {
    (void)argc, (void)argv;
    printf("curfew %s\n", CURFEW_VERSION);
    return 0;
}
static int help(int argc, char **argv) {
    if (argc > 1) return usage(argv[1]) == 2 ? 0 : 1;
    puts("curfew: a reverse proxy that makes deadlines and cancellation mean the same thing in every protocol\n");
    for (const struct command *c = commands; c->name; c++) printf("  curfew %-64s %s\n", c->usage, c->help);
    puts("\nExit codes: 0 done; 1 it could not be done, and stderr says why; 2 the command line is wrong.");
    return 0;
}
static const struct command commands[] = {
    { "run", "run -c FILE", "runs the gateway; SIGTERM drains, a second one stops; SIGHUP reads the configuration again; SIGUSR1 opens the log anew", run },
    { "check", "check -c FILE [--effective]", "checks a configuration: 0, or 1 with every fault and its place; --effective prints all that counts", check },
    { "dialects", "dialects [-c FILE] [--markdown]", "lists the ways in which a deadline is written on the wire", dialects },
    { "explain", "explain -c FILE [--route R | request LINE -H FIELD [--listener L] [--untrusted]] [--json]", "what each route does with deadlines and endings, or what one request gets", explain },
    { "context-schema", "context-schema check OLD NEW [--json]", "what a new context schema would break: 0 nothing, 1 something, 2 a file is wrong", context_schema },
    { "upstream", "upstream -l ADDRESS", "runs the sample upstream: answers, sleeps, streams and fails as it is asked to", upstream },
    { "reference", "reference", "prints the reference of the configuration, as Markdown", reference },
    { "schema", "schema [context]", "prints the JSON Schema of the configuration, or of a context schema, for editors", schema },
    { "healthcheck", "healthcheck -l ADDRESS", "asks an admin address for /readyz: 0 where it is ready", healthcheck },
    { "version", "version", "prints the version", version },
    { "help", "help [COMMAND]", "prints this", help },
    { NULL, NULL, NULL, NULL },
};
static const struct command *find(const char *name) {
    for (const struct command *c = commands; c->name; c++) {
        if (strcmp(c->name, name) == 0) return c;
    }
    return NULL;
}
static int usage(const char *name) {
    const struct command *c = find(name);
    if (!c) {
        fprintf(stderr, "curfew: \"%s\" is no command; see `curfew help`\n", name);
        return 1;
    }
    fprintf(stderr, "usage: curfew %s\n       %s\n", c->usage, c->help);
    return 2;
}
int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "help";
    if (strcmp(name, "--version") == 0 || strcmp(name, "-v") == 0) name = "version";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) name = "help";
    const struct command *c = find(name);
    if (!c) {
        fprintf(stderr, "curfew: \"%s\" is no command; see `curfew help`\n", name);
        return 2;
    }
    return argc > 1 ? c->run(argc - 1, argv + 1) : (c->run(1, argv), 2);
}
