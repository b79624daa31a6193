// SPDX-License-Identifier: Apache-2.0
// The call that is built of a policy and a request: no value leaves the place that the policy gave it.
#include "policies/call.h"
#include "tests/unit/policies/given.h"

static struct call_policy policy;
static struct given_head request;
static struct route_match match;
static struct head call;
static struct str body, fault;

/* x-a and x-b are headers of the request, {id} a capture. */
static bool built(const char *yaml, const char *a, const char *b, const char *id) {
    accept(&call_table, yaml, &policy);
    given_head(&request, "GET", "h", "/", FIELDS("x-a", a, "x-b", b));
    match = (struct route_match){ .captures = { { STR("id"), str_of(id) } }, .ncaptures = 1 };
    struct template_facts f = { .request = &request.head, .match = &match, .context_id = STR("0-1-2"), .ending = ENDING_DEADLINE };
    return call_build(&policy, &f, STR("up"), &request.arena, &call, &body, &fault);
}
static void over(void) {
    drop_head(&request);
    done();
}
static void goes_to(const char *path, const char *a, const char *b, const char *id, const char *target) {
    char yaml[256];
    snprintf(yaml, sizeof yaml, "path: \"%s\"\n", path);
    bool made = built(yaml, a, b, id);
    if (target) assert_true(made);
    else assert_false(made);
    assert_str(target ? call.target : fault, target ? target : "its path would have a segment . or .. by the values of its names");
    over();
}
#define REFUSED_DOTS NULL

static void no_value_and_no_join_of_values_climbs_out_of_its_segment(void **state) {
    (void)state;
    goes_to("/t/{request.header.x-a}", "..", "x", "x", REFUSED_DOTS);
    goes_to("/t/{request.header.x-a}/x", ".", "x", "x", REFUSED_DOTS);
    goes_to("/t/{request.header.x-a}{request.header.x-b}", ".", ".", "x", REFUSED_DOTS);
    goes_to("/t/.{request.header.x-a}/x", ".", "x", "x", REFUSED_DOTS);
    goes_to("/t/{request.header.x-a}{request.path.id}", ".", "x", "%2e", REFUSED_DOTS);
    goes_to("/t/{request.path.id}/x", "x", "x", "%2E%2e", REFUSED_DOTS);
    goes_to("/t/{request.path.id}/x", "x", "x", "..%2f..%5Cx", REFUSED_DOTS);
    goes_to("/t/{request.path.id}/x", "x", "x", "a%5c..", REFUSED_DOTS);
    goes_to("/t/{request.path.id}/x", "x", "x", "..;a=b", REFUSED_DOTS);
    goes_to("/t/{request.header.x-a}", "a/../b", "x", "x", REFUSED_DOTS);
    goes_to("/t/{request.header.x-a}", "..\\b", "x", "x", REFUSED_DOTS);
    goes_to("/t/{request.header.x-a}?x", "..", "x", "x", REFUSED_DOTS);
}
static void dots_that_are_no_segment_pass(void **state) {
    (void)state;
    goes_to("/t/{request.header.x-a}{request.header.x-b}", ".", "a", "x", "/t/.a");
    goes_to("/t/{request.header.x-a}{request.header.x-b}", "..", ".", "x", "/t/...");
    goes_to("/t/v{request.header.x-a}/x", "..", "x", "x", "/t/v../x");
    goes_to("/t/{request.header.x-a}", "%2e%2e", "x", "x", "/t/%252e%252e");
    goes_to("/t/{request.path.id}", "x", "x", "a;..", "/t/a;..");
    goes_to("/t?f={request.header.x-a}", "..", "x", "x", "/t?f=..");
}
static void the_body_is_escaped_by_the_calls_own_content_type(void **state) {
    (void)state;
    static const struct { const char *yaml, *body; } cases[] = {
        { "{ path: /x, body: 'a={request.header.x-a}', headers: { Content-Type: application/x-www-form-urlencoded } }", "a=1%262%3C%22" },
        { "{ path: /x, body: 'a={request.header.x-a}', headers: { content-type: application/vnd.x+xml } }", "a=1&amp;2&lt;&quot;" },
        { "{ path: /x, body: '\"{request.header.x-a}\"', headers: { content-type: application/json } }", "\"1&2<\\\"\"" },
        { "{ path: /x, body: 'a={request.header.x-a}', headers: { content-type: text/plain } }", "a=1&2<\"" },
        { "{ path: /x, body: 'a={request.header.x-a}', headers: { content-type: '{request.header.x-b}' } }", "a=1%262%3C%22" },
        { "{ path: /x, body: '<a>{request.header.x-a}</a>' }", "<a>1&amp;2&lt;&quot;</a>" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(built(cases[i].yaml, "1&2<\"", "application/x-www-form-urlencoded", "x"));
        assert_str(body, cases[i].body);
        assert_int_equal(call.length, body.n);
        over();
    }
}
static void a_name_without_a_value_is_named(void **state) {
    (void)state;
    assert_false(built("{ path: /x, headers: { x-why: '{response.x-task}' } }", "a", "b", "c"));
    assert_str(fault, "{…x-task} has no value");
    over();
}
static void the_policys_own_path_has_no_dots(void **state) {
    (void)state;
    REFUSED(call_table, "path: /a/../{request.path.id}\n", "the path has a segment . or ..");
    REFUSED(call_table, "path: /a/%2e\n", "the path has a segment . or ..");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_value_and_no_join_of_values_climbs_out_of_its_segment),
        cmocka_unit_test(dots_that_are_no_segment_pass),
        cmocka_unit_test(the_body_is_escaped_by_the_calls_own_content_type),
        cmocka_unit_test(a_name_without_a_value_is_named),
        cmocka_unit_test(the_policys_own_path_has_no_dots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
