/* budget.c - prices, the ledger, and the bounds on tokens and cost. */
#include "budget.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h> /* getrandom, of Linux; POSIX.1-2008 has no such call */
#include <sys/stat.h>
#include <time.h>

/* English and names of operations have 3.1 to 4.5 bytes a token with the tokenizers that were
 * looked at; a reply that says its tokens corrects this upwards. */
#define TOKENS_A_BYTE (1 / 3.0)
#define PROMPT_EXTRA  32 /* tokens of the endpoint's own around the messages */
#define LOCK_SECONDS  60

/* A request that began, and of whose end nothing is known. */
struct open_request {
    char name[40];
    double tokens, cost;
};

struct budget {
    struct budget_settings settings;
    char id[17]; /* of this call, in the names of its requests */
    unsigned long requests;
    double tokens, cost; /* of requests that ended */
    double not_before;   /* the wall clock's seconds since 1970: limits that some call has met */
    double tokens_a_byte;
    double longest; /* tokens of the longest reply that was billed */
    struct open_request *open;
    size_t open_count, open_capacity;
    unsigned long own_open; /* of this call, under way */

    struct seki_journal *journal; /* NULL: no ledger */
    FILE *file;                   /* the ledger again, to read what came */
    unsigned long line_number;
    char *line;
    size_t line_size;
};

/* ---- Prices --------------------------------------------------------------------------------- */

int budget_price(struct budget_settings *settings, struct seki_error *error)
{
    double *const prices[] = {&settings->price_in, &settings->price_out, &settings->price_cached};
    const char *at = settings->price;
    int count = 0;

    settings->price_in = settings->price_out = settings->price_cached = NAN;
    if (at == NULL)
        return 0;
    if (strspn(at, "0123456789.,") != strlen(at))
        at = ""; /* strtod takes more: signs, hexadecimal, blanks */
    while (count < 3) {
        char *end;

        *prices[count] = strtod(at, &end);
        if (end == at || !(*prices[count] >= 0) || *prices[count] > 1e9)
            break;
        count++;
        at = end + (*end == ',');
        if (*end != ',')
            break;
    }
    if (count < 2 || *at != '\0' || at[-1] == ',')
        return seki_fail(
            error, SEKI_BAD_USE, "options",
            "--price '%.80s': expected IN,OUT or IN,OUT,CACHED, the price of a million "
            "tokens of the prompt, of the reply and of the cached part of the prompt",
            settings->price);
    if (count == 2)
        settings->price_cached = settings->price_in;
    return 0;
}

double budget_cost(const struct budget *budget, double prompt, double cached, double completion)
{
    const struct budget_settings *s = &budget->settings;

    cached = fmin(fmax(cached, 0), prompt);
    return ((prompt - cached) * s->price_in + cached * s->price_cached +
            completion * s->price_out) /
           1e6;
}

double budget_estimate(const struct budget *budget, double prompt_bytes)
{
    return ceil(prompt_bytes * budget->tokens_a_byte) + PROMPT_EXTRA;
}

/* Seconds since 1970: the monotonic clock means nothing to another call. */
static double wall_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double zero_if_unknown(double value)
{
    return isnan(value) ? 0 : value;
}

/* ---- What the lines of a ledger say ---------------------------------------------------------- */

static void close_request(struct budget *budget, const char *name)
{
    for (size_t i = budget->open_count; i-- > 0;) {
        if (strcmp(budget->open[i].name, name) == 0) {
            budget->open[i] = budget->open[--budget->open_count];
            return;
        }
    }
}

static int open_request(struct budget *budget, const char *name, double tokens, double cost,
                        struct seki_error *error)
{
    struct open_request *request;

    if (budget->open_count == budget->open_capacity) {
        size_t capacity = budget->open_capacity > 0 ? 2 * budget->open_capacity : 16;
        struct open_request *longer = realloc(budget->open, capacity * sizeof *longer);

        if (longer == NULL)
            return seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
        budget->open = longer;
        budget->open_capacity = capacity;
    }
    request = &budget->open[budget->open_count++];
    *request = (struct open_request){.tokens = tokens, .cost = cost};
    snprintf(request->name, sizeof request->name, "%s", name);
    return 0;
}

static double number_in(const json_t *object, const char *name)
{
    double value = json_number_value(json_object_get(object, name));

    return value >= 0 && value < 1e15 ? value : 0;
}

/* What a request cost; one that was made without a price, at the price of this call. */
static double cost_of(const struct budget *budget, const json_t *line)
{
    if (json_object_get(line, "cost") != NULL)
        return number_in(line, "cost");
    return zero_if_unknown(budget_cost(budget, number_in(line, "prompt_tokens"),
                                       number_in(line, "cached_tokens"),
                                       number_in(line, "completion_tokens")));
}

/* The same for what one may cost: its tokens all at the higher price. */
static double most_cost(const struct budget *budget, const json_t *line)
{
    double dearest = fmax(budget->settings.price_in, budget->settings.price_out);

    if (json_object_get(line, "most_cost") != NULL)
        return number_in(line, "most_cost");
    return zero_if_unknown(number_in(line, "most_tokens") * dearest / 1e6);
}

/* One line of the ledger, just written or read. */
static int count_line(struct budget *budget, const json_t *line, struct seki_error *error)
{
    const char *name = json_string_value(json_object_get(line, "request"));
    double bytes = number_in(line, "prompt_bytes"), prompt = number_in(line, "prompt_tokens");

    if (name == NULL || strlen(name) >= sizeof budget->open->name)
        return seki_fail(
            error, SEKI_BAD_USE, "ledger",
            "%s:%lu: expected a request as --ledger writes them; mend or remove the line",
            budget->settings.ledger, budget->line_number);
    if (json_object_get(line, "cause") == NULL)
        return open_request(budget, name, number_in(line, "most_tokens"), most_cost(budget, line),
                            error);
    budget->not_before = fmax(budget->not_before, number_in(line, "not_before"));
    budget->longest = fmax(budget->longest, number_in(line, "completion_tokens"));
    close_request(budget, name);
    budget->tokens += prompt + number_in(line, "completion_tokens");
    budget->cost += cost_of(budget, line);
    if (!json_is_true(json_object_get(line, "estimated")) && bytes > 0 && prompt > PROMPT_EXTRA)
        budget->tokens_a_byte = fmax(budget->tokens_a_byte, (prompt - PROMPT_EXTRA) / bytes);
    return 0;
}

/* Counts the lines that came since the last time: this call's own, and others'. */
static int catch_up(struct budget *budget, struct seki_error *error)
{
    int result = 0;

    clearerr(budget->file);
    while (result == 0) {
        long begin = ftell(budget->file);
        ssize_t length = getline(&budget->line, &budget->line_size, budget->file);
        json_t *line;

        if (length <= 0)
            break;
        if (budget->line[length - 1] != '\n') { /* another one is just writing it */
            fseek(budget->file, begin, SEEK_SET);
            break;
        }
        budget->line_number++;
        line = json_loadb(budget->line, (size_t)length, 0, NULL);
        result = count_line(budget, line, error);
        json_decref(line);
    }
    return result;
}

/* A line into the ledger and into the sums. Takes over `line`, which may be NULL. */
static int write_line(struct budget *budget, json_t *line, struct seki_error *error)
{
    char *text = line == NULL ? NULL : json_dumps(line, JSON_REAL_PRECISION(13));
    int result = -1;

    if (text == NULL)
        seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
    else if (budget->journal == NULL)
        result = count_line(budget, line, error);
    else if (seki_journal_line(budget->journal, text, strlen(text), error) == 0)
        result = catch_up(budget, error);
    free(text);
    json_decref(line);
    return result;
}

/* ---- Its life -------------------------------------------------------------------------------- */

static int open_ledger(struct budget *budget, struct seki_error *error)
{
    const char *path = budget->settings.ledger;
    struct stat status;

    budget->journal = seki_journal_open(path, error);
    if (budget->journal == NULL)
        return -1;
    budget->file = fopen(path, "r");
    if (budget->file == NULL || fstat(fileno(budget->file), &status) < 0)
        return seki_fail_errno(error, "file", "%s: cannot be read", path);
    if (!S_ISREG(status.st_mode))
        return seki_fail(error, SEKI_BAD_USE, "ledger", "%s: a ledger is a plain file", path);
    return catch_up(budget, error);
}

struct budget *budget_open(const struct budget_settings *settings, struct seki_error *error)
{
    struct budget *budget = seki_allocate(1, sizeof *budget, error);
    uint64_t id;

    if (budget == NULL)
        return NULL;
    budget->settings = *settings;
    budget->tokens_a_byte = TOKENS_A_BYTE;
    if (getrandom(&id, sizeof id, 0) != sizeof id) {
        seki_fail_errno(error, "random", "no random number from the system");
    } else {
        snprintf(budget->id, sizeof budget->id, "%016llx", (unsigned long long)id);
        if (settings->ledger == NULL || open_ledger(budget, error) == 0)
            return budget;
    }
    budget_free(budget);
    return NULL;
}

void budget_free(struct budget *budget)
{
    if (budget == NULL)
        return;
    seki_journal_close(budget->journal);
    if (budget->file != NULL)
        fclose(budget->file);
    free(budget->open);
    free(budget->line);
    free(budget);
}

/* ---- Before and after a request ---------------------------------------------------------------
 */

static int check_bounds(const struct budget *budget, double tokens, double cost,
                        struct seki_error *error)
{
    const struct budget_settings *s = &budget->settings;
    double used = budget->tokens, paid = budget->cost;

    for (size_t i = 0; i < budget->open_count; i++) {
        used += budget->open[i].tokens;
        paid += budget->open[i].cost;
    }
    if (used + tokens > s->max_tokens)
        return seki_fail(
            error, SEKI_NO_RESOURCE, "budget",
            "the budget is spent: %.0f tokens are used, the next request may take %.0f, "
            "and --max-tokens-total is %.0f",
            used, tokens, s->max_tokens);
    if (paid + cost > s->max_cost)
        return seki_fail(error, SEKI_NO_RESOURCE, "budget",
                         "the budget is spent: %.6g are paid, the next request may cost %.6g, and "
                         "--max-cost is %.6g",
                         paid, cost, s->max_cost);
    return 0;
}

static void name_request(const struct budget *budget, unsigned long number, char name[40])
{
    snprintf(name, 40, "%s-%lu", budget->id, number);
}

static enum budget_answer take(struct budget *budget, struct reservation *r,
                               struct seki_error *error)
{
    double tokens = r->prompt_tokens + r->completion_tokens;
    double cost = budget_cost(budget, r->prompt_tokens, 0, r->completion_tokens);
    char name[40];
    json_t *line;

    if (budget->file != NULL && catch_up(budget, error) < 0)
        return BUDGET_FAILED;
    if (check_bounds(budget, tokens, zero_if_unknown(cost), error) < 0)
        return budget->own_open > 0 ? BUDGET_WAIT : BUDGET_SPENT;
    r->number = ++budget->requests;
    budget->own_open++;
    name_request(budget, r->number, name);
    line = json_pack("{s:s, s:I, s:I}", "request", name, "prompt_bytes",
                     (json_int_t)r->prompt_bytes, "most_tokens", (json_int_t)tokens);
    if (!isnan(cost))
        json_object_set_new(line, "most_cost", json_real(cost));
    return write_line(budget, line, error) == 0 ? BUDGET_TAKEN : BUDGET_FAILED;
}

enum budget_answer budget_take(struct budget *budget, double prompt_bytes, long max_tokens,
                               struct reservation *reservation, struct seki_error *error)
{
    bool bounded = isfinite(budget->settings.max_tokens) || isfinite(budget->settings.max_cost);
    struct seki_lock *lock = NULL;
    enum budget_answer answer;

    *reservation = (struct reservation){
        .prompt_bytes = prompt_bytes,
        .prompt_tokens = budget_estimate(budget, prompt_bytes),
        .asked_tokens = (double)(max_tokens > 0 ? max_tokens : BUDGET_MAX_TOKENS),
    };
    /* an endpoint may bill more than it was allowed, as for thinking */
    reservation->completion_tokens = fmax(reservation->asked_tokens, budget->longest);
    /* two calls on one ledger must not both take what is left */
    if (bounded && budget->journal != NULL) {
        lock = seki_lock_take(budget->settings.ledger, LOCK_SECONDS, error);
        if (lock == NULL)
            return BUDGET_FAILED;
    }
    answer = take(budget, reservation, error);
    if (lock != NULL)
        seki_lock_release(lock);
    return answer;
}

/* What a request may have cost that does not say so: one that was begun is paid, and of one that
 * was cut off the reply may have been made whole. */
static struct seki_usage guess_usage(const struct reservation *r, enum seki_cause cause,
                                     size_t bytes)
{
    struct seki_usage usage = {0};

    switch (cause) {
    case SEKI_CAUSE_NONE:
    case SEKI_CAUSE_MALFORMED:
        usage.completion_tokens = fmin(ceil((double)bytes * TOKENS_A_BYTE), r->asked_tokens);
        break;
    case SEKI_CAUSE_TIMEOUT:
    case SEKI_CAUSE_DROPPED:
    case SEKI_CAUSE_TOO_LARGE:
        usage.completion_tokens = r->asked_tokens;
        break;
    default:
        return usage;
    }
    usage.prompt_tokens = ceil(r->prompt_bytes * TOKENS_A_BYTE) + PROMPT_EXTRA;
    return usage;
}

int budget_settle(struct budget *budget, struct reservation *reservation, int attempt,
                  enum seki_cause cause, const struct seki_response *response,
                  const struct seki_usage *usage, double wait, struct bill *bill,
                  struct seki_error *error)
{
    bool known = usage != NULL && usage->prompt_tokens >= 0 && usage->completion_tokens >= 0;
    struct seki_usage counted =
        known ? *usage : guess_usage(reservation, cause, response->body.length);
    double cost = budget_cost(budget, counted.prompt_tokens, counted.cached_tokens,
                              counted.completion_tokens);
    json_t *line;
    char name[40];

    bill->prompt_tokens += counted.prompt_tokens;
    bill->cached_tokens += fmax(counted.cached_tokens, 0);
    bill->completion_tokens += counted.completion_tokens;
    bill->estimated |= !known && counted.prompt_tokens > 0;
    name_request(budget, reservation->number, name);
    reservation->number = 0;
    budget->own_open--;
    line = json_pack("{s:s, s:s, s:I, s:i, s:I, s:I, s:I, s:I, s:f}", "request", name, "cause",
                     seki_cause_code(cause), "status", (json_int_t)response->status, "attempt",
                     attempt, "prompt_bytes", (json_int_t)reservation->prompt_bytes,
                     "prompt_tokens", (json_int_t)counted.prompt_tokens, "cached_tokens",
                     (json_int_t)fmax(counted.cached_tokens, 0), "completion_tokens",
                     (json_int_t)counted.completion_tokens, "seconds", response->seconds);
    if (!known && counted.prompt_tokens > 0)
        json_object_set_new(line, "estimated", json_true());
    if (!isnan(cost))
        json_object_set_new(line, "cost", json_real(cost));
    if (wait > 0)
        json_object_set_new(line, "not_before", json_real(wall_clock() + wait));
    return write_line(budget, line, error);
}

int budget_wait(struct budget *budget, double *wait, struct seki_error *error)
{
    if (budget->file != NULL && catch_up(budget, error) < 0)
        return -1;
    *wait = fmax(budget->not_before - wall_clock(), 0);
    return 0;
}
