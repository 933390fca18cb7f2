/* main.c - seki-propose: asks a language model, or a rule, for new candidates. */
#include "propose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h> /* getrandom, of Linux; POSIX.1-2008 has no such call */

/* ---- Options ------------------------------------------------------------------------------ */

static enum seki_options_result read_options(struct settings *s, int argc, char **argv,
                                             int *first_operand, struct seki_error *error)
{
    const struct seki_option options[] = {
        {.type = SEKI_OPTION_HEADING, .help = "What is proposed"},
        {"stage", 0, SEKI_OPTION_CHOICE, &s->stage_name, "STAGE",
         "refine each record, or learn from the repository's best", "evolution|inspiration", 0, 0,
         &s->stage_given},
        {"policy", 0, SEKI_OPTION_CHOICE, &s->policy_name, "POLICY",
         "who proposes: a model, or a rule that needs none", "llm|mutate|local|random", 0, 0, NULL},
        {"count", 'n', SEKI_OPTION_INTEGER, &s->count, "N",
         "new candidates for each record (evolution), or in all", NULL, 1, 1e9, NULL},
        {"space", 0, SEKI_OPTION_CHOICE, &s->space_name, "SPACE",
         "search space; without it, that of the records, and darts for random", "darts|nas201", 0,
         0, &s->space_given},
        {"seen", 0, SEKI_OPTION_FILE, &s->seen, "FILE",
         "candidates that are not to be proposed again; the scored ones are the history", NULL, 0,
         0, NULL},
        {"max-params", 0, SEKI_OPTION_NUMBER, &s->max_params, "N",
         "most parameters of the evaluation network", NULL, 1, 1e15, NULL},
        {"max-macs", 0, SEKI_OPTION_NUMBER, &s->max_macs, "N",
         "most multiply-accumulates of the evaluation network on one picture", NULL, 1, 1e18, NULL},
        {"channels", 0, SEKI_OPTION_INTEGER, &s->channels, "N",
         "of that network, channels of its first cell (darts 36, nas201 16)", NULL, 0, 4096, NULL},
        {"layers", 0, SEKI_OPTION_INTEGER, &s->layers, "N",
         "of that network, cells (darts 20), or cells a stage (nas201 5)", NULL, 0, 256, NULL},
        {"classes", 0, SEKI_OPTION_INTEGER, &s->classes, "N", "of that network, classes", NULL, 1,
         100000, NULL},
        {"image-size", 0, SEKI_OPTION_INTEGER, &s->image_size, "N",
         "of that network, height and width of a picture", NULL, 1, 4096, NULL},
        {"seed", 0, SEKI_OPTION_SEED, &s->seed, "N",
         "makes the call repeatable; a random one is drawn and printed where this is not given",
         NULL, 0, 0, &s->seed_given},
        {.type = SEKI_OPTION_HEADING, .help = "Rules"},
        {"population", 0, SEKI_OPTION_INTEGER, &s->population, "N",
         "mutate: regularised evolution over the last N of the history; 0 mutates each record",
         NULL, 0, 1e6, NULL},
        {"tournament", 0, SEKI_OPTION_INTEGER, &s->tournament, "N",
         "mutate: how many of the population a parent is the best of", NULL, 1, 1e6, NULL},
        {.type = SEKI_OPTION_HEADING, .help = "The repository"},
        {"repository", 'r', SEKI_OPTION_FILE, &s->repository, "FILE",
         "scored candidates, as seki-rank keeps them; none is proposed again", NULL, 0, 0, NULL},
        {"top", 'k', SEKI_OPTION_INTEGER, &s->top, "K", "how many of them inspire", NULL, 1, 65536,
         NULL},
        {"draw", 0, SEKI_OPTION_INTEGER, &s->draw, "X",
         "show X of those K, drawn at random for each candidate; without it all K", NULL, 1, 65536,
         &s->draw_given},
        {"pick", 0, SEKI_OPTION_CHOICE, &s->pick, "WHICH",
         "the K are the best, or any of the repository", "top|random", 0, 0, NULL},
        {.type = SEKI_OPTION_HEADING, .help = "The model"},
        {"base-url", 0, SEKI_OPTION_STRING, &s->base_url, "URL",
         "root of an OpenAI-compatible API; else OPENAI_BASE_URL", NULL, 0, 0, NULL},
        {"model", 0, SEKI_OPTION_STRING, &s->model, "NAME", "the model's name; else SEKI_MODEL",
         NULL, 0, 0, NULL},
        {"key-file", 0, SEKI_OPTION_FILE, &s->key_file, "FILE",
         "file of mode 0600 with the API key; else OPENAI_API_KEY", NULL, 0, 0, NULL},
        {"temperature", 0, SEKI_OPTION_NUMBER, &s->temperature, "T",
         "sampling temperature; without it the endpoint's own", NULL, 0, 10, NULL},
        {"max-tokens", 0, SEKI_OPTION_INTEGER, &s->max_tokens, "N",
         "length of one reply; without it the endpoint's own limit", NULL, 1, 1e9, NULL},
        {"format", 0, SEKI_OPTION_CHOICE, &s->format, "FORMAT",
         "replies as JSON held to a schema, or as text", "schema|text", 0, 0, NULL},
        {"strategy", 0, SEKI_OPTION_FLAG, &s->strategy, NULL,
         "ask for analysis and strategy before the architecture", NULL, 0, 0, NULL},
        {"evidence", 0, SEKI_OPTION_CHOICE, &s->evidence, "HOW",
         "what a prompt says of the history: nothing, what single edges did, or all there is",
         "none|effects|full", 0, 0, NULL},
        {"noise", 0, SEKI_OPTION_NUMBER, &s->noise, "X",
         "standard deviation of a score, for the prompt; without it from repeated scores", NULL, 0,
         1e6, NULL},
        {"prompts", 0, SEKI_OPTION_FILE, &s->prompts, "DIR",
         "folder of prompt templates of one's own", NULL, 0, 0, NULL},
        {"jobs", 'j', SEKI_OPTION_INTEGER, &s->jobs, "N", "requests at once", NULL, 1, 256, NULL},
        {"dry-run", 0, SEKI_OPTION_FLAG, &s->dry_run, NULL,
         "print each first request and its estimated tokens, and send nothing", NULL, 0, 0, NULL},
        {"record", 0, SEKI_OPTION_FILE, &s->recording, "FILE",
         "append each request and its reply, whole", NULL, 0, 0, NULL},
        {"replay", 0, SEKI_OPTION_FILE, &s->replay, "FILE",
         "answer from what --record wrote, with no network", NULL, 0, 0, NULL},
        {.type = SEKI_OPTION_HEADING, .help = "What it costs"},
        {"price", 0, SEKI_OPTION_STRING, &s->price, "IN,OUT[,CACHED]",
         "of a million tokens of prompts, of replies, of the prompts' cached part", NULL, 0, 0,
         NULL},
        {"max-tokens-total", 0, SEKI_OPTION_NUMBER, &s->max_tokens_total, "N",
         "end the call before a request that could bring the sum of all tokens above N", NULL, 1,
         1e15, NULL},
        {"max-cost", 0, SEKI_OPTION_NUMBER, &s->max_cost, "X",
         "end the call before a request that could bring the sum of all costs above X", NULL, 0,
         1e12, NULL},
        {"ledger", 0, SEKI_OPTION_FILE, &s->ledger, "FILE",
         "append what each request cost; both sums are over all of FILE", NULL, 0, 0, NULL},
        {.type = SEKI_OPTION_HEADING, .help = "When the endpoint fails"},
        {"attempts", 0, SEKI_OPTION_INTEGER, &s->attempts, "N",
         "requests spent on one candidate, whatever goes wrong", NULL, 1, 1000, NULL},
        {"timeout", 0, SEKI_OPTION_NUMBER, &s->timeout, "SECONDS", "for one request", NULL, 0.01,
         1e6, NULL},
        {"connect-timeout", 0, SEKI_OPTION_NUMBER, &s->connect_timeout, "SECONDS",
         "for its connection", NULL, 0.01, 1e6, NULL},
        {"idle-timeout", 0, SEKI_OPTION_NUMBER, &s->idle_timeout, "SECONDS",
         "without a byte in the middle of a reply", NULL, 0.01, 1e6, NULL},
        {"deadline", 0, SEKI_OPTION_NUMBER, &s->deadline, "SECONDS",
         "for all requests of one candidate and the waits between them", NULL, 0.01, 1e7, NULL},
        {"retry-delay", 0, SEKI_OPTION_NUMBER, &s->retry_delay, "SECONDS",
         "longest first wait after a failure; it doubles from one to the next, up to 60", NULL, 0,
         60, NULL},
        {"breaker", 0, SEKI_OPTION_INTEGER, &s->breaker, "N",
         "candidates in a row without a reply after which the call ends", NULL, 1, 1e9, NULL},
        {"quiet", 'q', SEKI_OPTION_FLAG, &s->quiet, NULL, "no notes and no progress", NULL, 0, 0,
         NULL},
        {.name = NULL},
    };
    const struct seki_program program = {
        .name = "seki-propose",
        .summary =
            "Proposes new candidate architectures, one JSON record a line. Evolution refines "
            "each scored\nrecord that it reads; inspiration learns from a repository.",
        .operands = "[FILE ...]",
        .options = options,
        .max_operands = -1,
    };

    return seki_options_parse(&program, argc, argv, stdout, first_operand, error);
}

static void set_defaults(struct settings *s)
{
    *s = (struct settings){
        .stage_name = "evolution",
        .policy_name = "llm",
        .pick = "top",
        .format = "schema",
        .count = 1,
        .top = 10,
        .draw = 0,
        .attempts = 4,
        .max_tokens = 0,
        .breaker = 3,
        .jobs = 1,
        .population = 0,
        .tournament = 3,
        .classes = 10,
        .image_size = 32,
        .evidence = "full",
        .max_params = INFINITY,
        .max_macs = INFINITY,
        .max_tokens_total = INFINITY,
        .max_cost = INFINITY,
        .idle_timeout = 30,
        .temperature = -1,
        .timeout = 300,
        .connect_timeout = 10,
        .deadline = 900,
        .retry_delay = 1,
        .strategy = true,
    };
}

/* The rules that take more than one option to check. */
static int check_settings(struct run *run, int operands, struct seki_error *error)
{
    struct settings *s = &run->settings;

    if (s->base_url == NULL)
        s->base_url = getenv("OPENAI_BASE_URL");
    if (s->model == NULL)
        s->model = getenv("SEKI_MODEL");
    run->stage = strcmp(s->stage_name, "evolution") == 0 ? EVOLUTION : INSPIRATION;
    run->policy = strcmp(s->policy_name, "llm") == 0      ? LLM
                  : strcmp(s->policy_name, "mutate") == 0 ? MUTATE
                  : strcmp(s->policy_name, "local") == 0  ? LOCAL
                                                          : RANDOM;
    run->space = SEKI_DARTS;
    if (s->space_given && seki_space_parse(s->space_name, &run->space, error) < 0)
        return -1;
    if (operands > 0 && (run->policy == RANDOM || run->stage == INSPIRATION))
        return seki_fail(error, SEKI_BAD_USE, "options",
                         "files are read by the stage evolution only, not by --%s",
                         run->policy == RANDOM ? "policy random" : "stage inspiration");
    if (run->policy != RANDOM && run->stage == INSPIRATION && s->repository == NULL)
        return seki_fail(error, SEKI_BAD_USE, "options",
                         "the stage inspiration needs --repository FILE");
    return 0;
}

static int choose_seed(struct run *run, struct seki_error *error)
{
    uint32_t seed; /* short enough to be typed again */

    if (run->settings.seed_given)
        return 0;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        return seki_fail_errno(error, "random", "no random seed from the system; give --seed");
    run->settings.seed = seed;
    seki_log_note(&run->log, "seed %lu", (unsigned long)seed);
    return 0;
}

/* ---- The call ----------------------------------------------------------------------------- */

static int prepare(struct run *run, int operands, struct seki_error *error)
{
    if (check_settings(run, operands, error) < 0 || load_known(run, error) < 0 ||
        (run->policy == LLM && model_prepare(run, error) < 0) || choose_seed(run, error) < 0)
        return -1;
    run->output = seki_output_open(error);
    return run->output != NULL ? 0 : -1;
}

static int propose_all(struct run *run, char **files, int count, struct seki_error *error)
{
    if (run->policy == RANDOM)
        return run_random_policy(run, error);
    if (run->stage == INSPIRATION)
        return run_inspiration(run, error);
    return run_evolution(run, files, count, error);
}

/* Status of a call that came to its end: 3 where the endpoint was down, as the breaker or a call
 * without any reply shows. */
static int final_status(const struct run *run)
{
    if (run->open || run->spent || (run->failures > 0 && !run->answered))
        return 3;
    return run->wrong > 0 ? 1 : 0;
}

static int call(struct run *run, char **files, int count)
{
    struct seki_error error;
    int result, status;

    if (prepare(run, count, &error) < 0)
        return seki_log_usage(&run->log, &error);
    result = propose_all(run, files, count, &error);
    status = final_status(run);
    if (result < 0)
        seki_log_error(&run->log, "%s", error.message);
    if (result != 0)
        status = seki_error_status(&error);
    if (seki_output_close(run->output, &error) < 0) {
        seki_log_error(&run->log, "%s", error.message);
        status = 3;
    }
    return status;
}

int main(int argc, char **argv)
{
    struct run run = {.log = {.program = "seki-propose"}};
    struct seki_error error;
    int first_operand, status;

    seki_hold_descriptors();
    set_defaults(&run.settings);
    switch (read_options(&run.settings, argc, argv, &first_operand, &error)) {
    case SEKI_OPTIONS_DONE:
        return 0;
    case SEKI_OPTIONS_WRONG:
        return seki_log_usage(&run.log, &error);
    case SEKI_OPTIONS_RUN:
        break;
    }
    run.log.quiet = run.settings.quiet;
    status = call(&run, argv + first_operand, argc - first_operand);
    model_end(&run);
    seki_repository_free(run.repository);
    seen_free(run.seen);
    history_free(run.history);
    return status;
}
