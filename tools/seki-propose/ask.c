/* ask.c - what a language model is asked: endpoint, templates, and one candidate's request. */
#include "propose.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Before anything is asked --------------------------------------------------------------- */

static const char *const template_names[] = {
    "stage",      "genotype", "json",        "score", "metrics", /* the current architecture */
    "lineage",    "tried",                                       /* what led to it */
    "candidates", "count",                                       /* the drawn ones */
    "effects",    "noise",    "neighbours",  "worst",            /* evidence */
    "strategy",   "schema",   "constraints", "text",  NULL,      /* what is asked for */
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

/* The key, of the file or the environment; it is wiped by the caller. key->data NULL: none. */
static int read_key(const struct run *run, struct seki_buffer *key, struct seki_error *error)
{
    const char *variable = getenv("OPENAI_API_KEY");

    seki_buffer_init(key, SEKI_MAX_KEY_FILE);
    if (run->settings.key_file != NULL)
        return seki_key_read(run->settings.key_file, key, error);
    if (variable != NULL && *variable != '\0' && seki_buffer_puts(key, variable) < 0)
        return seki_fail(error, SEKI_BAD_USE, "key", "OPENAI_API_KEY is too long for a key");
    return 0;
}

static int make_client(struct run *run, struct seki_error *error)
{
    struct seki_endpoint endpoint = {.base_url = run->settings.base_url,
                                     .connect_timeout = run->settings.connect_timeout,
                                     .idle_timeout = run->settings.idle_timeout};
    struct seki_buffer key;

    if (run->settings.replay != NULL) {
        run->recording = seki_recording_open(run->settings.replay, error);
        if (run->recording == NULL)
            return -1;
        run->client = seki_client_new_replay(run->recording, error);
        return run->client != NULL ? 0 : -1;
    }
    if (run->settings.dry_run)
        return 0;
    if (run->settings.recording != NULL) {
        run->recording = seki_recording_create(run->settings.recording, error);
        if (run->recording == NULL)
            return -1;
    }
    if (read_key(run, &key, error) == 0) {
        endpoint.key = key.length > 0 ? key.data : NULL;
        run->client = seki_client_new(&endpoint, error);
    }
    seki_key_free(&key);
    return run->client != NULL ? 0 : -1;
}

static int make_budget(struct run *run, struct seki_error *error)
{
    const struct settings *s = &run->settings;
    struct budget_settings settings = {
        .price = s->price,
        .ledger = s->dry_run || s->replay != NULL ? NULL : s->ledger,
        .max_tokens = s->max_tokens_total,
        .max_cost = s->max_cost,
    };

    if (budget_price(&settings, error) < 0)
        return -1;
    if (isfinite(s->max_cost) && s->price == NULL)
        return seki_fail(error, SEKI_BAD_USE, "options",
                         "--max-cost needs --price IN,OUT, what a million tokens cost");
    run->budget = budget_open(&settings, error);
    return run->budget != NULL ? 0 : -1;
}

int model_prepare(struct run *run, struct seki_error *error)
{
    struct settings *s = &run->settings;
    bool sends = s->replay == NULL && !s->dry_run;

    if (sends && (s->base_url == NULL || *s->base_url == '\0'))
        return seki_fail(error, SEKI_BAD_USE, "options",
                         "no endpoint: give --base-url or set OPENAI_BASE_URL, as "
                         "http://127.0.0.1:8080/v1 (seki-local-llm starts one), or use --policy "
                         "mutate, local or random");
    if (s->model == NULL || *s->model == '\0')
        return seki_fail(
            error, SEKI_BAD_USE, "options",
            "no model: give --model or set SEKI_MODEL to a name that the endpoint knows");
    if (s->recording != NULL && s->replay != NULL)
        return seki_fail(error, SEKI_BAD_USE, "options",
                         "--record and --replay exclude each other: a replay has nothing new");
    run->dialect.text = strcmp(s->format, "text") == 0;
    if (s->max_tokens == 0 && (isfinite(s->max_tokens_total) || isfinite(s->max_cost)))
        s->max_tokens = BUDGET_MAX_TOKENS;
    if (s->space_given && load_templates(run, run->space, error) < 0)
        return -1;
    if (make_budget(run, error) < 0 || make_client(run, error) < 0) {
        error->kind = error->kind == SEKI_BAD_INPUT ? SEKI_BAD_USE : error->kind;
        return -1;
    }
    return 0;
}

void model_end(struct run *run)
{
    while (run->tasks != NULL) {
        struct task *task = run->tasks;

        run->tasks = task->next;
        task_free(task);
    }
    seki_client_free(run->client);
    seki_recording_free(run->recording);
    budget_free(run->budget);
    evidence_free(run->evidence);
    for (int space = 0; space < 2; space++) {
        seki_template_free(run->system[space]);
        seki_template_free(run->user[space]);
    }
}

/* ---- One candidate ------------------------------------------------------------------------ */

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

/* Names and texts of what the templates may show. Returns how many. */
static int list_values(const struct run *run, const struct shown *shown,
                       struct seki_prompt_value *values)
{
    const struct seki_prompt_value list[] = {
        {"stage", run->settings.stage_name},
        {"genotype", shown->genotype},
        {"json", shown->json.data},
        {"score", shown->score},
        {"metrics", shown->metrics},
        {"lineage", shown->lineage.data},
        {"tried", shown->tried.data},
        {"candidates", shown->candidates.data},
        {"count", shown->count},
        {"constraints", shown->constraints},
        {"noise", shown->noise},
        {"effects", shown->effects.data},
        {"neighbours", shown->neighbours.data},
        {"worst", shown->worst.data},
    };

    if (values != NULL)
        memcpy(values, list, sizeof list);
    return (int)(sizeof list / sizeof *list);
}

static int copy_parents(struct task *task, const struct parent *parents, int count,
                        struct seki_error *error)
{
    task->parents = seki_allocate((size_t)count, sizeof *task->parents, error);
    if (task->parents == NULL)
        return -1;
    task->parent_count = count;
    for (int i = 0; i < count; i++) {
        task->parents[i] = parents[i];
        task->parents[i].record = NULL;
    }
    return 0;
}

static int prepare(struct run *run, struct task *task, const struct parent *parents, int count,
                   struct seki_error *error)
{
    struct seki_random random;
    int values;

    if (load_templates(run, task->space, error) < 0 ||
        copy_parents(task, parents, count, error) < 0)
        return -1;
    task->shown = seki_allocate(1, sizeof *task->shown, error);
    if (task->shown == NULL || shown_fill(run, task->shown, parents, count, error) < 0)
        return -1;
    values = list_values(run, task->shown, NULL);
    task->values = seki_allocate((size_t)values, sizeof *task->values, error);
    if (task->values == NULL)
        return -1;
    list_values(run, task->shown, task->values);
    task->options = chat_options(run, task->space);
    run_random(run, "chat", &random);
    task->chat = seki_chat_new(&task->options, &run->dialect, task->values, values,
                               seki_random_next(&random), error);
    return task->chat != NULL ? 0 : -1;
}

struct task *task_new(struct run *run, enum seki_space space, const struct parent *parents,
                      int count, struct seki_error *error)
{
    struct task *task = seki_allocate(1, sizeof *task, error);

    if (task == NULL)
        return NULL;
    task->number = run->index;
    task->space = space;
    if (prepare(run, task, parents, count, error) == 0)
        return task;
    task_free(task);
    return NULL;
}

void task_free(struct task *task)
{
    seki_chat_free(task->chat);
    if (task->shown != NULL)
        shown_free(task->shown);
    free(task->shown);
    free(task->values);
    free(task->parents);
    free(task);
}

/* ---- A dry run ------------------------------------------------------------------------------- */

int show_request(struct run *run, enum seki_space space, const struct parent *parents, int count,
                 struct seki_error *error)
{
    struct task *task = task_new(run, space, parents, count, error);
    struct seki_buffer line;
    size_t length;
    double wait;
    int result = -1;

    if (task == NULL)
        return -1;
    seki_buffer_init(&line, 4 * SEKI_MAX_TEMPLATE);
    if (seki_chat_next(task->chat, 0, &wait) == SEKI_CHAT_SEND) {
        seki_buffer_printf(
            &line, "{\"estimated_tokens\": %.0f, \"request\": ",
            budget_estimate(run->budget, (double)seki_chat_prompt_bytes(task->chat)));
        seki_buffer_puts(&line, seki_chat_request(task->chat, &length));
        seki_buffer_puts(&line, "}");
        result = line.failed
                     ? seki_fail(error, SEKI_NO_RESOURCE, "memory", "the request does not fit")
                     : seki_output_line(run->output, line.data, line.length, error);
    } else {
        *error = *seki_chat_error(task->chat);
    }
    seki_buffer_free(&line);
    task_free(task);
    return result;
}
