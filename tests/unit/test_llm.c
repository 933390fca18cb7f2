/*
 * Tests of lib/llm without a network: retries, templates, schemas, replies, the chat.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "support.h"

#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "llm/llm.h"
#include "genotype_fixture.h"

#define NAS201   "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|nor_conv_1x1~0|none~1|skip_connect~2|"
#define OTHER201 "|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|skip_connect~2|"

/* ---- Retries ------------------------------------------------------------------------------ */

static void a_wait_doubles_up_to_its_cap_and_obeys_the_server(void **state)
{
    static const struct {
        int failures;
        double retry_after, least, most;
    } cases[] = {
        {1, -1, 0, 1},     {2, -1, 0, 2},   {4, -1, 0, 8},      {10, -1, 0, 60},
        {5000, -1, 0, 60}, {1, 30, 30, 30}, {1, 1e9, 120, 120}, {10, 0, 0, 60},
    };
    const struct seki_retry retry = {.base = 1, .cap = 60, .longest = 120};
    struct seki_random random;

    (void)state;
    seki_random_seed(&random, 1, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double largest = 0;

        for (int n = 0; n < 1000; n++) {
            double wait = seki_retry_wait(&retry, cases[i].failures, cases[i].retry_after, &random);

            assert_true(wait >= cases[i].least && wait <= cases[i].most);
            largest = fmax(largest, wait);
        }
        assert_true(largest > 0.95 * cases[i].most); /* the jitter is full */
    }
}

static void causes_have_words_and_only_some_are_tried_again(void **state)
{
    (void)state;
    for (int i = 0; i < SEKI_CAUSE_COUNT; i++) {
        enum seki_cause cause = (enum seki_cause)i;

        assert_true(*seki_cause_code(cause) != '\0');
        assert_true(i == SEKI_CAUSE_NONE || *seki_cause_hint(cause) != '\0');
        assert_false(seki_cause_transient(cause) && seki_cause_final(cause));
    }
    assert_true(seki_cause_transient(SEKI_CAUSE_RATE_LIMIT));
    assert_true(seki_cause_final(SEKI_CAUSE_UNAUTHORIZED));
}

/* ---- The client's settings ------------------------------------------------------------------ */

static void addresses_are_completed_and_shown_without_secrets(void **state)
{
    static const struct {
        const char *base_url, *shown;
    } cases[] = {
        {"http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1/chat/completions"},
        {"http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080/v1/chat/completions"},
        {"http://127.0.0.1:8080", "http://127.0.0.1:8080/chat/completions"},
        {"https://h.example/v1/chat/completions", "https://h.example/v1/chat/completions"},
        {"https://me:pw@h.example/a/v1?version=pw#pw", "https://h.example/a/v1/chat/completions"},
        {"HTTPS://h.example/v1", "https://h.example/v1/chat/completions"},
        {"ftp://h.example/v1", NULL},
        {"file:///etc/passwd", NULL},
        {"http://", NULL},
        {"h.example/v1", NULL},
        {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seki_endpoint endpoint = {.base_url = cases[i].base_url, .connect_timeout = 1};
        struct seki_error error;
        struct seki_client *client = seki_client_new(&endpoint, &error);

        if (cases[i].shown == NULL) {
            assert_null(client);
            assert_int_equal(error.kind, SEKI_BAD_USE);
        } else {
            assert_non_null(client);
            assert_string_equal(seki_client_url(client), cases[i].shown);
        }
        seki_client_free(client);
    }
}

static void a_key_that_could_write_headers_is_refused(void **state)
{
    static const char *const keys[] = {"", "a b", "a\r\nHost: b", "a\tb", "schl\xc3\xbcssel"};

    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct seki_endpoint endpoint = {
            .base_url = "http://127.0.0.1:1", .key = keys[i], .connect_timeout = 1};
        struct seki_error error;

        assert_null(seki_client_new(&endpoint, &error));
        assert_int_equal(error.kind, SEKI_BAD_USE);
        assert_string_equal(error.code, "key");
    }
}

static void a_key_is_read_from_a_private_file_alone(void **state)
{
    const char *path = support_path(state, "key");
    struct seki_buffer key;
    struct seki_error error;

    support_write(path, "sk-0123\r\n", 9);
    assert_int_equal(chmod(path, 0604), 0);
    assert_int_equal(seki_key_read(path, &key, &error), -1);
    assert_int_equal(error.kind, SEKI_BAD_USE);
    assert_int_equal(chmod(path, 0400), 0);
    assert_int_equal(seki_key_read(path, &key, &error), 0);
    assert_string_equal(key.data, "sk-0123");
    seki_key_free(&key);
    assert_int_equal(seki_key_read(*state, &key, &error), -1); /* a folder */
    assert_int_equal(error.kind, SEKI_BAD_USE);
}

/* ---- Templates ---------------------------------------------------------------------------- */

static const char *const names[] = {"a", "b", "list", NULL};

static void templates_are_filled(void **state)
{
    static const struct {
        const char *text, *filled;
    } cases[] = {
        {"", ""},
        {"plain { text } }}\n", "plain { text } }}\n"},
        {"{{a}}{{ a }}{{b}}.", "AA."},
        {"{{#a}}yes{{/a}}{{^a}}no{{/a}}", "yes"},
        {"{{#b}}yes{{/b}}{{^b}}no{{/b}}", "no"},
        {"1\n{{#a}}\n2\n{{/a}}\n3\n", "1\n2\n3\n"},
        {"1\n  {{#b}}  \n2\n{{/b}}\r\n3\n", "1\n3\n"},
        {"x {{#a}}y{{/a}}\n", "x y\n"},
        {"{{#a}}{{#b}}1{{/b}}{{^b}}2{{/b}}3{{/a}}", "23"},
        {"{{#b}}{{#a}}1{{/a}}{{a}}{{/b}}4", "4"},
        {"{{! two\nlines }}\n1{{! }}2", "12"},
        {"{{list}}", "{{a}} {{#b}}"}, /* a value is never read as a template */
        {"{{#a}}{{! }}{{/a}}\n1", "\n1"},
    };
    static const struct seki_prompt_value values[] = {
        {"a", "A"}, {"b", ""}, {"list", "{{a}} {{#b}}"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seki_buffer out;
        struct seki_error error;
        struct seki_template *prompt =
            seki_template_parse(cases[i].text, strlen(cases[i].text), "t", names, &error);

        assert_non_null(prompt);
        seki_buffer_init(&out, 1000);
        seki_buffer_puts(&out, "");
        assert_int_equal(seki_template_fill(prompt, values, 3, &out, &error), 0);
        assert_string_equal(out.data, cases[i].filled);
        seki_buffer_free(&out);
        seki_template_free(prompt);
    }
}

static void wrong_templates_are_refused_by_line(void **state)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"1\n2 {{c}}", "t:2: unknown placeholder {{c}}; known are a, b, list"},
        {"{{a\n}}", "t:1: unknown placeholder"},
        {"\n\n{{a", "t:3: {{ without }}"},
        {"\n{{#a}}", "t:2: the section {{#a}} is never ended"},
        {"{{/a}}", "t:1: no section"},
        {"{{#a}}{{/b}}", "t:1: no section"},
        {"{{#a}}{{#b}}{{/a}}{{/b}}", "t:1: no section"},
        {"{{}}", "t:1: unknown placeholder"},
        {"{{#}}", "t:1: unknown placeholder"},
        {"{{aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}}", "t:1: unknown"},
        {"{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}", "too deep"},
        {"\xff", "UTF-8"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seki_error error;

        assert_null(seki_template_parse(cases[i].text, strlen(cases[i].text), "t", names, &error));
        assert_int_equal(error.kind, SEKI_BAD_USE);
        assert_non_null(strstr(error.message, cases[i].part));
    }
}

/* ---- The schema ---------------------------------------------------------------------------- */

/* A random instance of the schema's subset: objects, strings, enumerations. */
static json_t *draw_instance(const json_t *schema, struct seki_random *random)
{
    const json_t *choices = json_object_get(schema, "enum");
    const char *type = json_string_value(json_object_get(schema, "type"));
    const char *name;
    json_t *part, *object;

    if (choices != NULL)
        return json_deep_copy(
            json_array_get(choices, seki_random_below(random, (uint32_t)json_array_size(choices))));
    if (strcmp(type, "string") == 0)
        return json_string("some words");
    assert_string_equal(type, "object");
    object = json_object();
    json_object_foreach(json_object_get(schema, "properties"), name, part)
    {
        json_object_set_new(object, name, draw_instance(part, random));
    }
    return object;
}

/* What strict servers ask for: every object closed, every property required, in the same order. */
static void check_strict(const json_t *schema)
{
    const json_t *required = json_object_get(schema, "required");
    const char *name;
    json_t *part;
    size_t i = 0;

    if (strcmp(json_string_value(json_object_get(schema, "type")), "object") != 0)
        return;
    assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
    json_object_foreach(json_object_get(schema, "properties"), name, part)
    {
        assert_string_equal(json_string_value(json_array_get(required, i++)), name);
        check_strict(part);
    }
    assert_int_equal(json_array_size(required), i);
}

static json_t *make_schema(enum seki_space space, bool strategy, bool bounded)
{
    struct seki_schema_options options = {.strategy = strategy, .bounded = bounded};
    struct seki_buffer text;
    struct seki_error error;
    json_t *schema;

    seki_buffer_init(&text, 1 << 20);
    assert_int_equal(seki_schema_print(space, &options, &text, &error), 0);
    schema = json_loadb(text.data, text.length, 0, NULL);
    assert_non_null(schema);
    assert_true((strstr(text.data, "maxLength") != NULL) == (strategy && bounded));
    seki_buffer_free(&text);
    return schema;
}

static void every_instance_of_a_schema_is_a_valid_genotype(void **state)
{
    struct seki_random random;

    (void)state;
    seki_random_seed(&random, 1, 0);
    for (int space = 0; space < 2; space++) {
        for (int kind = 0; kind < 4; kind++) {
            json_t *schema = make_schema((enum seki_space)space, kind & 1, kind & 2);

            check_strict(schema);
            for (int i = 0; i < 500; i++) {
                json_t *instance = draw_instance(schema, &random);
                char *text = json_dumps(instance, 0);
                struct seki_reply reply;
                struct seki_error error;

                assert_int_equal(
                    seki_reply_read(text, strlen(text), (enum seki_space)space, &reply, &error), 0);
                assert_int_equal(seki_genotype_validate(&reply.genotype, SEKI_STRICT, &error), 0);
                assert_true((reply.analysis != NULL) == (kind & 1));
                seki_reply_free(&reply);
                free(text);
                json_decref(instance);
            }
            json_decref(schema);
        }
    }
}

static void the_schema_reaches_every_darts_node(void **state)
{
    json_t *schema = make_schema(SEKI_DARTS, false, false);
    static const size_t pairs[] = {1, 3, 6, 10};

    (void)state;
    for (int node = 2; node < 6; node++) {
        char key[24];
        json_t *at = json_object_get(schema, "properties");

        snprintf(key, sizeof key, "node_%d", node);
        at = json_object_get(json_object_get(at, "genotype"), "properties");
        at = json_object_get(json_object_get(at, "reduce"), "properties");
        at = json_object_get(json_object_get(at, key), "properties");
        assert_int_equal(json_array_size(json_object_get(json_object_get(at, "inputs"), "enum")),
                         pairs[node - 2]);
        assert_int_equal(json_array_size(json_object_get(json_object_get(at, "op_2"), "enum")), 7);
    }
    json_decref(schema);
}

static void a_genotype_in_the_form_of_the_schema_reads_back(void **state)
{
    struct seki_random random;

    (void)state;
    seki_random_seed(&random, 2, 0);
    for (int i = 0; i < 1000; i++) {
        struct seki_genotype genotype;
        struct seki_buffer text;
        struct seki_reply reply;
        struct seki_error error;
        char id[SEKI_ID_LENGTH + 1], again[SEKI_ID_LENGTH + 1];

        seki_genotype_sample(i % 2 ? SEKI_DARTS : SEKI_NAS201, &random, &genotype);
        seki_buffer_init(&text, 10000);
        assert_int_equal(seki_schema_print_genotype(&genotype, &text, &error), 0);
        assert_int_equal(seki_reply_read(text.data, text.length, genotype.space, &reply, &error),
                         0);
        seki_genotype_id(&genotype, id);
        seki_genotype_id(&reply.genotype, again);
        assert_string_equal(id, again);
        seki_reply_free(&reply);
        seki_buffer_free(&text);
    }
}

/* ---- Replies ------------------------------------------------------------------------------ */

#define JSON201(edge)                                                                              \
    "{\"analysis\": \" a \", \"strategy\": \"s\", \"genotype\": {\"from_0_to_1\": \"" edge "\","   \
    "\"from_0_to_2\": \"none\", \"from_1_to_2\": \"avg_pool_3x3\", \"from_0_to_3\": "              \
    "\"nor_conv_1x1\", \"from_1_to_3\": \"none\", \"from_2_to_3\": \"skip_connect\"}}"
#define JSON_NODE(inputs)                                                                          \
    "{\"inputs\": " inputs ", \"op_1\": \"sep_conv_3x3\", \"op_2\": \"skip_connect\"}"
#define JSON_CELL(inputs)                                                                          \
    "{\"node_2\": " JSON_NODE("\"0,1\"") ", \"node_3\": " JSON_NODE(                               \
        inputs) ", \"node_4\": " JSON_NODE("\"0, 3\"") ", \"node_5\": " JSON_NODE("[1, 4]") "}"
#define JSON_DARTS(inputs)                                                                         \
    "{\"normal\": " JSON_CELL("\"0,2\"") ", \"reduce\": " JSON_CELL(inputs) "}"

static const struct {
    const char *reply;
    enum seki_space space;
    const char *code; /* NULL: it is read */
    const char *part; /* of the genotype, or of the message */
    const char *analysis, *strategy;
} replies[] = {
    {JSON201("nor_conv_3x3"), SEKI_NAS201, NULL, NAS201, "a", "s"},
    {"```json\n" JSON201("nor_conv_3x3") "\n```\n", SEKI_NAS201, NULL, NAS201, "a", "s"},
    {"Here {as asked}: " JSON201("nor_conv_3x3") " Good luck", SEKI_NAS201, NULL, NAS201, "a", "s"},
    {"<think>" JSON201("none") "</think>" JSON201("nor_conv_3x3"), SEKI_NAS201, NULL, NAS201, "a",
     "s"},
    {JSON201("none") " or better " JSON201("nor_conv_3x3"), SEKI_NAS201, NULL, NAS201, "a", "s"},
    {JSON201("sep_conv_3x3"), SEKI_NAS201, "genotype", "sep_conv_3x3", NULL, NULL},
    {JSON201("x"), SEKI_NAS201, "genotype", "from_0_to_1: no operation is called \"x\"", NULL,
     NULL},
    {"{\"genotype\": \"" NAS201 "\"}", SEKI_NAS201, NULL, NAS201, NULL, NULL},
    {"{\"genotype\": 5}", SEKI_NAS201, "genotype", "from_0_to_1", NULL, NULL},
    {"{\"analysis\": \"x\", \"genotype\": {", SEKI_NAS201, "json", "line 1", NULL, NULL},
    {"{\"analysis\": \"x\"}", SEKI_NAS201, "genotype", "no architecture", NULL, NULL},
    {JSON_DARTS("\"0,2\""), SEKI_DARTS, NULL, "('sep_conv_3x3', 0), ('skip_connect', 3)", NULL,
     NULL},
    {JSON_DARTS("[2, 1]"), SEKI_DARTS, NULL, "('sep_conv_3x3', 2), ('skip_connect', 1)", NULL,
     NULL},
    {JSON_DARTS("\"1,1\""), SEKI_DARTS, "genotype", "reduce", NULL, NULL},
    {JSON_DARTS("\"1,7\""), SEKI_DARTS, "genotype", "reduce", NULL, NULL},
    {JSON_DARTS("\"-1,1\""), SEKI_DARTS, "genotype", "reduce", NULL, NULL},
    {JSON_DARTS("\"1\""), SEKI_DARTS, "genotype", "reduce cell: node_3: expected `inputs`", NULL,
     NULL},
    {JSON_DARTS("[1, 99999999999999]"), SEKI_DARTS, "genotype", "reduce", NULL, NULL},
    {JSON_DARTS("[1, 2, 0]"), SEKI_DARTS, "genotype", "node_3", NULL, NULL},
    {JSON_DARTS("null"), SEKI_DARTS, "genotype", "node_3", NULL, NULL},
    {"{\"normal\": {}, \"reduce\": {}}", SEKI_DARTS, "genotype", "normal cell: node_2", NULL, NULL},
    {"Analysis: too deep\nStrategy: cut edges\nArchitecture: " NAS201, SEKI_NAS201, NULL, NAS201,
     "too deep", "cut edges"},
    {"## 1. Analysis\n\nToo\ndeep.\n\n**Optimization strategy:** cut\n\n### Architecture\n`" NAS201
     "`",
     SEKI_NAS201, NULL, NAS201, "Too\ndeep.", "cut"},
    {"The current " OTHER201 " is poor, so I give\n" NAS201, SEKI_NAS201, NULL, NAS201,
     "The current", NULL},
    {"| a | b |\n|---|---|\n| 1 | " NAS201 " |\n", SEKI_NAS201, NULL, NAS201, "| a | b |", NULL},
    {"|nor\\_conv\\_3x3\\~0|+|none\\~0|avg\\_pool\\_3x3\\~1|+|nor\\_conv\\_1x1\\~0|none\\~1|skip\\_"
     "connect\\~2|",
     SEKI_NAS201, NULL, NAS201, NULL, NULL},
    {"|nor_conv_3x3 ~ 0| + |none~0|avg_pool_3x3~1|\xc2\xa0+ |nor_conv_1x1\xe2\x88\xbc"
     "0|none~1|skip_connect~2|",
     SEKI_NAS201, NULL, NAS201, NULL, NULL},
    {NAS201 " and then |bad~0|+|none~0|none~1|+|none~0|none~1|none~2|", SEKI_NAS201, NULL, NAS201,
     NULL, NULL},
    {"|bad~0|+|none~0|none~1|+|none~0|none~1|none~2|", SEKI_NAS201, "genotype", "bad", NULL, NULL},
    {"so: " DARTS_V2, SEKI_DARTS, NULL, DARTS_V2, "so:", NULL},
    {"Genotype( truncated (and " DARTS_V2, SEKI_DARTS, NULL, DARTS_V2, NULL, NULL},
    {DARTS_V2 "\n" DARTS_V2, SEKI_DARTS, NULL, DARTS_V2, NULL, NULL},
    {"```python\nbest = " DARTS_V2 "\n```", SEKI_DARTS, NULL, DARTS_V2, NULL, NULL},
    {"Genotype(normal=[('none', 0)])", SEKI_DARTS, "genotype", "", NULL, NULL},
    {DARTS_V2, SEKI_NAS201, "genotype", "no architecture", NULL, NULL},
    {"", SEKI_DARTS, "empty", "", NULL, NULL},
    {" \n\t", SEKI_DARTS, "empty", "", NULL, NULL},
    {"<think>" DARTS_V2, SEKI_DARTS, "empty", "", NULL, NULL},
    {"<THINK>x</Think>", SEKI_DARTS, "empty", "", NULL, NULL},
    {"secret " OTHER201 "</think>" NAS201, SEKI_NAS201, NULL, NAS201, NULL, NULL},
    {"I would rather not.", SEKI_DARTS, "genotype", "no architecture", NULL, NULL},
};

static void expect_text(const char *found, const char *expected)
{
    if (expected != NULL) {
        assert_non_null(found);
        assert_memory_equal(found, expected, strlen(expected));
    }
}

static void replies_are_read_or_refused_with_their_code(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        char text[SEKI_GENOTYPE_TEXT];
        struct seki_reply reply;
        struct seki_error error = {0};
        int result = seki_reply_read(replies[i].reply, strlen(replies[i].reply), replies[i].space,
                                     &reply, &error);

        if (result != (replies[i].code == NULL ? 0 : -1))
            fail_msg("reply %zu: %s\n%s", i, error.message, replies[i].reply);
        if (result == 0) {
            seki_genotype_print(&reply.genotype, text);
            assert_non_null(strstr(text, replies[i].part));
            expect_text(reply.analysis, replies[i].analysis);
            expect_text(reply.strategy, replies[i].strategy);
            seki_reply_free(&reply);
        } else {
            assert_string_equal(error.code, replies[i].code);
            assert_int_equal(error.kind, SEKI_BAD_INPUT);
            if (strstr(error.message, replies[i].part) == NULL)
                fail_msg("reply %zu: %s", i, error.message);
        }
    }
}

static void long_reasons_are_cut_between_characters(void **state)
{
    size_t filler = SEKI_MAX_REASON - 1;
    char *text = malloc(filler + 200);
    struct seki_reply reply;
    struct seki_error error;

    (void)state;
    memset(text, 'a', filler);
    memcpy(text + filler, "\xe2\x82\xac\xe2\x82\xac" NAS201,
           sizeof "\xe2\x82\xac\xe2\x82\xac" NAS201);
    assert_int_equal(seki_reply_read(text, strlen(text), SEKI_NAS201, &reply, &error), 0);
    assert_int_equal(strlen(reply.analysis), filler);
    seki_reply_free(&reply);
    free(text);
}

/* ---- Completions --------------------------------------------------------------------------- */

static void completions_are_read(void **state)
{
    static const struct {
        const char *body, *code; /* of reading, or of checking; NULL: content "x" */
        double tokens;
    } cases[] = {
        {"{\"choices\": [{\"message\": {\"content\": \"x\"}}], \"usage\": {\"prompt_tokens\": 3, "
         "\"completion_tokens\": 4}}",
         NULL, 7},
        {"{\"choices\": [{\"message\": {\"content\": \"x\"}}]}", NULL, -2},
        {"{\"choices\": [{\"message\": {\"content\": \"x\"}}], \"usage\": null, \"error\": null}",
         NULL, -2},
        {"{\"choices\": [{\"message\": {\"content\": [{\"type\": \"text\", \"text\": \"x\"}, "
         "{\"type\": \"image\"}]}}]}",
         NULL, -2},
        {"{\"choices\": []}", "empty", -2},
        {"{\"choices\": [5]}", "empty", -2},
        {"{\"choices\": [{\"message\": {\"content\": null}}]}", "empty", -2},
        {"{\"choices\": [{\"message\": {\"content\": \"x\"}, \"finish_reason\": \"length\"}]}",
         "truncated", -2},
        {"{\"choices\": [{\"message\": {\"content\": \"x\"}, \"finish_reason\": "
         "\"content_filter\"}]}",
         "refusal", -2},
        {"{\"choices\": [{\"message\": {\"refusal\": \"no\"}}]}", "refusal", -2},
        {"{\"choices\": [{\"message\": {\"content\": \"x\"}}], \"usage\": {\"prompt_tokens\": -3, "
         "\"completion_tokens\": 1e300}}",
         NULL, -2},
        {"{\"error\": {\"message\": \"busy\"}}", "busy", 0},
        {"{}", "malformed", 0},
        {"[]", "malformed", 0},
        {"", "malformed", 0},
        {"{\"choices\": [{\"message\": {\"content\": \"\xff\"}}]}", "malformed", 0},
        {"{\"choices\": [{\"message\": {\"content\": \"\\u0000\"}}]}", "malformed", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seki_completion completion;
        struct seki_error error = {0};
        int result =
            seki_completion_read(cases[i].body, strlen(cases[i].body), &completion, &error);

        if (result == 0) {
            assert_true(completion.prompt_tokens + completion.completion_tokens == cases[i].tokens);
            result = seki_completion_check(&completion, &error);
        }
        if (cases[i].code == NULL) {
            assert_int_equal(result, 0);
            assert_string_equal(completion.content, "x");
        } else {
            assert_int_equal(result, -1);
            assert_string_equal(error.code, cases[i].code);
        }
        seki_completion_free(&completion);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wait_doubles_up_to_its_cap_and_obeys_the_server),
        cmocka_unit_test(causes_have_words_and_only_some_are_tried_again),
        cmocka_unit_test(addresses_are_completed_and_shown_without_secrets),
        cmocka_unit_test(a_key_that_could_write_headers_is_refused),
        cmocka_unit_test_setup_teardown(a_key_is_read_from_a_private_file_alone,
                                        support_make_folder, support_remove_folder),
        cmocka_unit_test(templates_are_filled),
        cmocka_unit_test(wrong_templates_are_refused_by_line),
        cmocka_unit_test(every_instance_of_a_schema_is_a_valid_genotype),
        cmocka_unit_test(the_schema_reaches_every_darts_node),
        cmocka_unit_test(a_genotype_in_the_form_of_the_schema_reads_back),
        cmocka_unit_test(replies_are_read_or_refused_with_their_code),
        cmocka_unit_test(long_reasons_are_cut_between_characters),
        cmocka_unit_test(completions_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
