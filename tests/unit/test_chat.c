/*
 * test_chat.c - one candidate's chat: what is asked again, how often, how long, and what it costs.
 */
#include "llm/llm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

/* In every place the same operation, so that what is missing in a schema can be counted. */
#define NAS201                                                                                     \
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|"             \
    "nor_conv_3x3~2|"

/* ---- The chat ------------------------------------------------------------------------------- */

struct rig {
    struct seki_chat_options options;
    struct seki_dialect dialect;
    struct seki_template *prompt;
    struct seki_chat *chat;
    double now;
};

static void rig_start(struct rig *rig, int attempts)
{
    static const char text[] =
        "{{#schema}}S{{/schema}}{{#text}}T{{/text}}{{#strategy}}!{{/strategy}}";
    static const char *const own[] = {"schema", "text", "strategy", NULL};
    struct seki_error error;

    memset(rig, 0, sizeof *rig);
    rig->prompt = seki_template_parse(text, strlen(text), "t", own, &error);
    rig->options = (struct seki_chat_options){
        .space = SEKI_NAS201,
        .model = "m",
        .system = rig->prompt,
        .user = rig->prompt,
        .strategy = true,
        .temperature = -1,
        .attempts = attempts,
        .timeout = 10,
        .deadline = 100,
        .retry = {.base = 1, .cap = 60, .longest = 120},
    };
    rig->chat = seki_chat_new(&rig->options, &rig->dialect, NULL, 0, 7, &error);
    assert_non_null(rig->chat);
}

static void rig_end(struct rig *rig)
{
    seki_chat_free(rig->chat);
    seki_template_free(rig->prompt);
}

/* The next request, with the waits before it passed. */
static json_t *rig_request(struct rig *rig)
{
    enum seki_chat_step step;
    size_t length;
    const char *text;
    double wait;
    json_t *request;

    while ((step = seki_chat_next(rig->chat, rig->now, &wait)) == SEKI_CHAT_WAIT)
        rig->now += wait;
    assert_int_equal(step, SEKI_CHAT_SEND);
    text = seki_chat_request(rig->chat, &length);
    request = json_loadb(text, length, 0, NULL);
    assert_non_null(request);
    return request;
}

static void rig_answer(struct rig *rig, enum seki_cause cause, long status, const char *body)
{
    struct seki_response response;

    seki_response_init(&response);
    response.cause = cause;
    response.status = status;
    response.seconds = 2;
    snprintf(response.detail, sizeof response.detail, "what was said");
    seki_buffer_puts(&response.body, body);
    rig->now += 2;
    seki_chat_receive(rig->chat, &response);
    seki_response_free(&response);
}

static void rig_say(struct rig *rig, const char *content)
{
    json_t *body = json_pack("{s:[{s:{s:s}}], s:{s:i, s:i}}", "choices", "message", "content",
                             content, "usage", "prompt_tokens", 10, "completion_tokens", 5);
    char *text = json_dumps(body, 0);

    rig_answer(rig, SEKI_CAUSE_NONE, 200, text);
    free(text);
    json_decref(body);
}

static void a_chat_mends_and_sums_up(void **state)
{
    struct rig rig;
    double wait;

    (void)state;
    rig_start(&rig, 4);
    json_decref(rig_request(&rig));
    rig_answer(&rig, SEKI_CAUSE_BUSY, 503, "");
    json_decref(rig_request(&rig));
    rig_say(&rig, "no idea");
    json_t *request = rig_request(&rig);
    json_t *messages = json_object_get(request, "messages");
    assert_int_equal(json_array_size(messages), 4);
    assert_string_equal(json_string_value(json_object_get(json_array_get(messages, 2), "content")),
                        "no idea");
    json_decref(request);
    rig_say(&rig, NAS201);
    assert_int_equal(seki_chat_next(rig.chat, rig.now, &wait), SEKI_CHAT_GOT);
    struct seki_chat_cost cost = seki_chat_cost(rig.chat);
    assert_int_equal(cost.attempts, 3);
    assert_non_null(seki_chat_usage(rig.chat));
    assert_true(seki_chat_usage(rig.chat)->prompt_tokens == 10 &&
                seki_chat_usage(rig.chat)->completion_tokens == 5);
    assert_true(cost.seconds >= 6);
    assert_int_equal(seki_chat_cause(rig.chat), SEKI_CAUSE_NONE);
    rig_end(&rig);
}

static void a_chat_ends_after_its_attempts(void **state)
{
    struct rig rig;
    double wait;

    (void)state;
    rig_start(&rig, 3);
    for (int i = 0; i < 3; i++) {
        json_decref(rig_request(&rig));
        rig_answer(&rig, SEKI_CAUSE_DROPPED, 0, "");
    }
    assert_int_equal(seki_chat_next(rig.chat, rig.now, &wait), SEKI_CHAT_FAILED);
    assert_string_equal(seki_chat_error(rig.chat)->code, "dropped");
    assert_int_equal(seki_chat_cause(rig.chat), SEKI_CAUSE_DROPPED);
    assert_null(seki_chat_reply(rig.chat));
    rig_end(&rig);
}

static void a_chat_keeps_its_deadline(void **state)
{
    struct rig rig;
    double wait;

    (void)state;
    rig_start(&rig, 1000);
    rig.options.deadline = 20;
    json_decref(rig_request(&rig));
    assert_true(seki_chat_timeout(rig.chat) == 10);
    rig_answer(&rig, SEKI_CAUSE_TIMEOUT, 0, "");
    for (int i = 0; i < 1000; i++) {
        enum seki_chat_step step = seki_chat_next(rig.chat, rig.now, &wait);

        if (step == SEKI_CHAT_FAILED)
            break;
        if (step == SEKI_CHAT_WAIT)
            rig.now += wait;
        else
            rig_answer(&rig, SEKI_CAUSE_TIMEOUT, 0, "");
        assert_true(seki_chat_timeout(rig.chat) <= 20 - seki_chat_cost(rig.chat).seconds);
        assert_true(rig.now < 25);
    }
    assert_int_equal(seki_chat_next(rig.chat, rig.now, &wait), SEKI_CHAT_FAILED);
    assert_non_null(strstr(seki_chat_error(rig.chat)->message, "deadline"));
    rig_end(&rig);
}

static void a_chat_learns_what_the_endpoint_takes(void **state)
{
    struct rig rig;
    json_t *request;

    (void)state;
    rig_start(&rig, 9);
    request = rig_request(&rig);
    assert_non_null(json_object_get(request, "response_format"));
    json_decref(request);
    rig_answer(&rig, SEKI_CAUSE_REFUSED, 400, "maxLength in response_format is not permitted");
    assert_true(rig.dialect.unbounded && !rig.dialect.text);
    assert_true(*seki_chat_note(rig.chat) != '\0');
    request = rig_request(&rig);
    assert_non_null(json_object_get(request, "response_format"));
    json_decref(request);
    rig_answer(&rig, SEKI_CAUSE_REFUSED, 422, "unknown field response_format");
    request = rig_request(&rig);
    assert_null(json_object_get(request, "response_format"));
    assert_string_equal(json_string_value(json_object_get(
                            json_array_get(json_object_get(request, "messages"), 1), "content")),
                        "T!");
    assert_non_null(json_object_get(request, "seed"));
    json_decref(request);
    rig_answer(&rig, SEKI_CAUSE_REFUSED, 422, "[\"body\", \"seed\"]");
    request = rig_request(&rig);
    assert_null(json_object_get(request, "seed"));
    json_decref(request);
    rig_say(&rig, NAS201);
    assert_int_equal(seki_chat_cost(rig.chat).attempts, 4);
    assert_true(seki_chat_as_text(rig.chat));
    assert_string_equal(seki_chat_note(rig.chat), "");
    rig_end(&rig);
}

static void a_refusal_that_nothing_explains_is_final(void **state)
{
    struct rig rig;
    double wait;

    (void)state;
    rig_start(&rig, 9);
    json_decref(rig_request(&rig));
    rig_answer(&rig, SEKI_CAUSE_REFUSED, 400, "context too long");
    assert_int_equal(seki_chat_next(rig.chat, rig.now, &wait), SEKI_CHAT_FAILED);
    assert_int_equal(seki_chat_cost(rig.chat).attempts, 1);
    rig_end(&rig);
}

/* The enumeration of an edge's operations in the schema of a request. */
static json_t *ops_of(const json_t *request, const char *edge)
{
    json_t *schema = json_object_get(
        json_object_get(json_object_get(request, "response_format"), "json_schema"), "schema");
    json_t *edges = json_object_get(
        json_object_get(json_object_get(schema, "properties"), "genotype"), "properties");

    return json_object_get(json_object_get(edges, edge), "enum");
}

static bool lists(const json_t *list, const char *word)
{
    size_t i;
    json_t *entry;

    json_array_foreach(list, i, entry) if (strcmp(json_string_value(entry), word) == 0) return true;
    return false;
}

static void a_narrowed_chat_admits_one_edge_s_operations_alone(void **state)
{
    static const char *const edges[] = {"from_0_to_1", "from_0_to_2", "from_1_to_2",
                                        "from_0_to_3", "from_1_to_3", "from_2_to_3"};
    struct seki_narrowing narrowing = {.edge = 2, .ops = 1U << SEKI_NONE | 1U << SEKI_NOR_CONV_1X1};
    struct seki_error why;
    struct rig rig;
    json_t *request, *last;
    double wait;

    (void)state;
    seki_fail(&why, SEKI_BAD_INPUT, "duplicate", "known already");
    seki_genotype_parse(NAS201, SEKI_STRICT, &narrowing.base, &why);
    rig_start(&rig, 20);
    json_decref(rig_request(&rig));
    rig_say(&rig, NAS201);
    assert_int_equal(seki_chat_next(rig.chat, rig.now, &wait), SEKI_CHAT_GOT);
    seki_chat_reject(rig.chat, &why);
    seki_chat_narrow(rig.chat, &narrowing);
    request = rig_request(&rig);
    for (int e = 0; e < 6; e++) {
        json_t *ops = ops_of(request, edges[e]);

        assert_int_equal(json_array_size(ops), e == 2 ? 2 : 1);
        assert_true(e == 2 ? lists(ops, "none") && lists(ops, "nor_conv_1x1")
                           : lists(ops, "nor_conv_3x3"));
    }
    last = json_array_get(json_object_get(request, "messages"), 3);
    assert_non_null(strstr(json_string_value(json_object_get(last, "content")),
                           "the operation from 1 to 2, to one of: none nor_conv_1x1"));
    json_decref(request);
    assert_true(seki_chat_narrowed(rig.chat));
    rig_end(&rig);
}

static void an_abandoned_chat_counts_only_what_was_sent(void **state)
{
    struct seki_error why;
    struct rig rig;
    double wait;

    (void)state;
    seki_fail(&why, SEKI_NO_RESOURCE, "budget", "spent");
    rig_start(&rig, 4);
    json_decref(rig_request(&rig));
    rig_say(&rig, "no idea");
    json_decref(rig_request(&rig));
    seki_chat_abandon(rig.chat, &why);
    assert_int_equal(seki_chat_next(rig.chat, rig.now, &wait), SEKI_CHAT_FAILED);
    assert_int_equal(seki_chat_cost(rig.chat).attempts, 1);
    assert_string_equal(seki_chat_error(rig.chat)->code, "budget");
    rig_end(&rig);
}

static void a_rejected_reply_stays_with_the_failed_chat(void **state)
{
    struct rig rig;
    struct seki_error why;
    double wait;

    (void)state;
    seki_fail(&why, SEKI_BAD_INPUT, "duplicate", "known already");
    rig_start(&rig, 2);
    for (int i = 0; i < 2; i++) {
        json_decref(rig_request(&rig));
        rig_say(&rig, NAS201);
        assert_int_equal(seki_chat_next(rig.chat, rig.now, &wait), SEKI_CHAT_GOT);
        seki_chat_reject(rig.chat, &why);
    }
    assert_int_equal(seki_chat_next(rig.chat, rig.now, &wait), SEKI_CHAT_FAILED);
    assert_string_equal(seki_chat_error(rig.chat)->code, "duplicate");
    assert_non_null(seki_chat_reply(rig.chat));
    rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chat_mends_and_sums_up),
        cmocka_unit_test(a_chat_ends_after_its_attempts),
        cmocka_unit_test(a_chat_keeps_its_deadline),
        cmocka_unit_test(a_chat_learns_what_the_endpoint_takes),
        cmocka_unit_test(a_refusal_that_nothing_explains_is_final),
        cmocka_unit_test(a_narrowed_chat_admits_one_edge_s_operations_alone),
        cmocka_unit_test(an_abandoned_chat_counts_only_what_was_sent),
        cmocka_unit_test(a_rejected_reply_stays_with_the_failed_chat),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
