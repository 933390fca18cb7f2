/* ask.c - candidates from a language model. */
#include "propose.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_WAIT 120.0 /* seconds, of one wait that the endpoint asks for */

/* ---- Before anything is asked --------------------------------------------------------------- */

static const char *const template_names[] = {
    "stage",      "genotype", "json", "score", "metrics", /* the current architecture */
    "candidates", "count",                                /* the drawn ones */
    "strategy",   "schema",   "text", NULL,               /* sections */
};

static struct seki_template *load_template(const struct run *run, enum seki_space space,
                                           const char *what, struct seki_error *error)
{
    char folder[PATH_MAX], path[PATH_MAX + 64];

    if (seki_prompt_folder(run->settings.prompts, folder, sizeof folder, error) < 0)
        return NULL;
    snprintf(path, sizeof path, "%s/%s-%s.txt", folder, seki_space_name(space), what);
    return seki_template_load(path, template_names, error);
}

static int load_templates(struct run *run, enum seki_space space, struct seki_error *error)
{
    if (run->user[space] != NULL)
        return 0;
    if (run->system[space] == NULL)
        run->system[space] = load_template(run, space, "system", error);
    if (run->system[space] != NULL)
        run->user[space] = load_template(run, space, run->settings.stage_name, error);
    return run->user[space] != NULL ? 0 : -1;
}

static int make_client(struct run *run, struct seki_error *error)
{
    const char *variable = getenv("OPENAI_API_KEY");
    struct seki_endpoint endpoint = {.base_url = run->settings.base_url,
                                     .connect_timeout = run->settings.connect_timeout};
    struct seki_buffer key;

    seki_buffer_init(&key, SEKI_MAX_KEY_FILE);
    if (run->settings.key_file != NULL) {
        if (seki_key_read(run->settings.key_file, &key, error) < 0)
            return -1;
        endpoint.key = key.data;
    } else if (variable != NULL && *variable != '\0') {
        endpoint.key = variable;
    }
    run->client = seki_client_new(&endpoint, error);
    seki_key_free(&key);
    return run->client != NULL ? 0 : -1;
}

int model_prepare(struct run *run, struct seki_error *error)
{
    if (run->settings.base_url == NULL || *run->settings.base_url == '\0')
        return seki_fail(error, SEKI_BAD_USE, "options",
                         "no endpoint: give --base-url or set OPENAI_BASE_URL, as "
                         "http://127.0.0.1:8080/v1 (seki-local-llm starts one), or use --policy "
                         "mutate or random");
    if (run->settings.model == NULL || *run->settings.model == '\0')
        return seki_fail(
            error, SEKI_BAD_USE, "options",
            "no model: give --model or set SEKI_MODEL to a name that the endpoint knows");
    run->dialect.text = strcmp(run->settings.format, "text") == 0;
    if (run->settings.space_given && load_templates(run, run->space, error) < 0)
        return -1;
    return make_client(run, error);
}

void model_end(struct run *run)
{
    seki_client_free(run->client);
    for (int space = 0; space < 2; space++) {
        seki_template_free(run->system[space]);
        seki_template_free(run->user[space]);
    }
}

/* ---- One candidate ------------------------------------------------------------------------ */

static void sleep_for(double seconds)
{
    struct timespec time = {.tv_sec = (time_t)seconds,
                            .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};

    nanosleep(&time, NULL); /* woken early, the chat is asked again */
}

static void send_request(struct run *run, struct seki_chat *chat)
{
    struct seki_response response;
    size_t length;
    const char *request = seki_chat_request(chat, &length);

    seki_client_send(run->client, request, length, seki_chat_timeout(chat, seki_clock()),
                     &response);
    seki_chat_receive(chat, seki_clock(), &response);
    seki_response_free(&response);
    if (*seki_chat_note(chat) != '\0')
        seki_log_warning(&run->log, "%s: %s", seki_client_url(run->client), seki_chat_note(chat));
}

/* Whether the reply is of use: neither a parent nor known. */
static int check_new(const struct run *run, const struct seki_chat *chat,
                     const struct parent *parents, int count, struct seki_error *why)
{
    char id[SEKI_ID_LENGTH + 1];

    seki_genotype_id(&seki_chat_reply(chat)->genotype, id);
    for (int i = 0; i < count; i++)
        if (strcmp(id, parents[i].id) == 0)
            return seki_fail(
                why, SEKI_BAD_INPUT, "duplicate",
                "the architecture computes the same function as the given one with the "
                "id %s",
                id);
    if (seen_has(run->seen, id))
        return seki_fail(why, SEKI_BAD_INPUT, "duplicate",
                         "the architecture with the id %s has been proposed or scored already", id);
    return 0;
}

/* Asks until there is a new candidate (0) or the chat has failed (-1). */
static int hold_chat(struct run *run, struct seki_chat *chat, const struct parent *parents,
                     int count)
{
    struct seki_error why;
    double wait;

    for (;;) {
        switch (seki_chat_next(chat, seki_clock(), &wait)) {
        case SEKI_CHAT_SEND:
            send_request(run, chat);
            break;
        case SEKI_CHAT_WAIT:
            sleep_for(wait);
            break;
        case SEKI_CHAT_GOT:
            if (check_new(run, chat, parents, count, &why) == 0)
                return 0;
            seki_chat_reject(chat, &why);
            break;
        case SEKI_CHAT_FAILED:
            return -1;
        }
    }
}

/* Counts the endpoint's failures in a row, and opens the breaker. */
static void judge_endpoint(struct run *run, const struct seki_chat *chat)
{
    enum seki_cause cause = seki_chat_cause(chat);

    if (cause == SEKI_CAUSE_NONE) {
        run->answered = true;
        run->failures = 0;
        return;
    }
    run->failures++;
    if (!seki_cause_final(cause) && run->failures < run->settings.breaker)
        return;
    run->open = true;
    seki_log_error(&run->log, "%s: no reply for %ld candidate%s in a row; nothing more is asked",
                   seki_client_url(run->client), run->failures, run->failures == 1 ? "" : "s");
}

/* Why there is no candidate, and what a person can do about it. */
static void describe_failure(const struct run *run, const struct seki_chat *chat,
                             struct seki_error *why)
{
    const struct seki_error *last = seki_chat_error(chat);
    const char *hint = seki_cause_hint(seki_chat_cause(chat));
    int attempts = seki_chat_cost(chat).attempts;
    bool endpoint = last->kind == SEKI_NO_RESOURCE;

    seki_fail(why, last->kind, last->code, "no candidate after %d request%s: %s%s%s%s%s", attempts,
              attempts == 1 ? "" : "s", endpoint ? seki_client_url(run->client) : "",
              endpoint ? ": " : "", last->message, *hint ? "; " : "", hint);
    seki_log_error(&run->log, "%s", why->message);
}

static int finish(struct run *run, const struct seki_chat *chat, struct candidate candidate,
                  bool got, struct seki_error *error)
{
    const struct seki_reply *reply = seki_chat_reply(chat);
    struct seki_error why;
    char id[SEKI_ID_LENGTH + 1];

    candidate.chat = chat;
    if (got) {
        candidate.genotype = &reply->genotype;
        seki_genotype_id(&reply->genotype, id);
        if (seen_add(run->seen, id, error) < 0)
            return -1;
    } else {
        if (seki_chat_cost(chat).attempts == 0) { /* no request could be made */
            *error = *seki_chat_error(chat);
            return -1;
        }
        describe_failure(run, chat, &why);
        candidate.error = &why;
        if (strcmp(why.code, "duplicate") == 0)
            candidate.genotype = &reply->genotype;
    }
    judge_endpoint(run, chat);
    return write_candidate(run, &candidate, error);
}

static struct seki_chat_options chat_options(const struct run *run, enum seki_space space)
{
    const struct settings *settings = &run->settings;

    return (struct seki_chat_options){
        .space = space,
        .model = settings->model,
        .system = run->system[space],
        .user = run->user[space],
        .strategy = settings->strategy,
        .temperature = settings->temperature,
        .max_tokens = settings->max_tokens,
        .attempts = (int)settings->attempts,
        .timeout = settings->timeout,
        .deadline = settings->deadline,
        .retry = {.base = settings->retry_delay, .cap = 60, .longest = MAX_WAIT},
    };
}

int ask_model(struct run *run, enum seki_space space, const struct parent *parents, int count,
              struct seki_error *error)
{
    struct candidate candidate = {.space = space, .parents = parents, .parent_count = count};
    struct seki_chat_options options;
    struct seki_random random;
    struct seki_chat *chat;
    struct shown shown;
    int result = -1;

    if (load_templates(run, space, error) < 0 ||
        shown_fill(&shown, run->stage, parents, count, error) < 0)
        return -1;
    const struct seki_prompt_value values[] = {
        {"stage", run->settings.stage_name},
        {"genotype", shown.genotype},
        {"json", shown.json.data},
        {"score", shown.score},
        {"metrics", shown.metrics},
        {"candidates", shown.candidates.data},
        {"count", shown.count},
    };
    options = chat_options(run, space);
    run_random(run, "chat", &random);
    chat = seki_chat_new(&options, &run->dialect, values, sizeof values / sizeof *values,
                         seki_random_next(&random), error);
    if (chat != NULL)
        result = finish(run, chat, candidate, hold_chat(run, chat, parents, count) == 0, error);
    seki_chat_free(chat);
    shown_free(&shown);
    return result;
}
