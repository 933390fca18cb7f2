/*
 * tasks.c - candidates from a model, several at once, on the output in the order in which they were
 * begun.
 *
 * What is decided does not depend on which reply comes first, so that a call can be replayed:
 * whether a candidate is new is looked at only when all before it are decided; and until the
 * endpoint has given one completion only one request is under way, so that what it refuses is
 * learnt once (and an endpoint that is down is not asked --jobs times).
 */
#include "propose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST_STEP 3600.0
#define TOLD_WAIT    1.0 /* seconds: a longer wait for a rate limit is told */
#define GONE_CHECK   1.0 /* seconds: how soon it shows that nobody reads the output any more */

/* Waits are passed over in a replay: its clock goes on by them. */
static double clock_of(const struct run *run)
{
    return seki_clock() + run->skipped;
}

static bool stopped(const struct run *run)
{
    return run->open || run->spent;
}

/* ---- A request ------------------------------------------------------------------------------- */

static void stop_spending(struct run *run, struct task *task, const struct seki_error *why)
{
    seki_log_error(&run->log, "%s; nothing more is asked", why->message);
    run->spent = true;
    run->why_spent = *why;
    seki_chat_abandon(task->chat, why);
    task->state = TASK_IS_DONE;
}

/* Seconds for which the endpoint's rate limits let no request of so many tokens out. */
static int look_at_limits(struct run *run, double tokens, double *limit, struct seki_error *error)
{
    double others;

    *limit = 0;
    if (run->settings.replay != NULL)
        return 0;
    if (budget_wait(run->budget, &others, error) < 0)
        return -1;
    *limit = fmax(seki_limits_wait(&run->limits, seki_clock(), tokens, MAX_WAIT),
                  fmin(others, MAX_WAIT));
    if (*limit > TOLD_WAIT && run->in_flight == 0 &&
        seki_clock() + *limit > run->told + TOLD_WAIT) {
        run->told = seki_clock() + *limit;
        seki_log_note(&run->log, "%s: waits %.0f s for its rate limit",
                      seki_client_url(run->client), ceil(*limit));
    }
    return 0;
}

/* Sends the request that the task has, where limits and budget let it. *wait: seconds until it may
 * be tried again. */
static int try_send(struct run *run, struct task *task, double *wait, struct seki_error *error)
{
    size_t length, bytes = seki_chat_prompt_bytes(task->chat);
    struct seki_request request = {.text = seki_chat_request(task->chat, &length)};
    double tokens, limit;

    request.length = length;
    tokens = budget_estimate(run->budget, (double)bytes) + (double)run->settings.max_tokens;
    if (look_at_limits(run, tokens, &limit, error) < 0)
        return -1;
    if (limit > 0) {
        *wait = fmin(*wait, limit);
        return 0;
    }
    switch (budget_take(run->budget, (double)bytes, run->settings.max_tokens, &task->reservation,
                        error)) {
    case BUDGET_TAKEN:
        break;
    case BUDGET_WAIT:
        return 0;
    case BUDGET_SPENT:
        stop_spending(run, task, error);
        return 1;
    case BUDGET_FAILED:
        return -1;
    }
    seki_limits_spend(&run->limits, tokens);
    request.timeout = seki_chat_timeout(task->chat);
    request.place = (struct seki_place){.seed = run->settings.seed,
                                        .candidate = task->number,
                                        .attempt = seki_chat_attempt(task->chat)};
    if (seki_client_start(run->client, &request, task, error) < 0)
        return -1;
    run->in_flight++;
    task->state = TASK_IS_SENT;
    return 1;
}

static int keep_response(struct run *run, struct task *task, const struct seki_response *response,
                         struct seki_error *error)
{
    struct seki_place place = {.seed = run->settings.seed,
                               .candidate = task->number,
                               .attempt = seki_chat_attempt(task->chat)};
    double wait = 0;
    size_t length;

    if (run->settings.recording != NULL &&
        seki_recording_append(run->recording, &place, seki_chat_request(task->chat, &length),
                              response, error) < 0)
        return -1;
    seki_chat_receive(task->chat, response);
    if (run->settings.replay == NULL) {
        seki_limits_learn(&run->limits, response, seki_clock(), MAX_WAIT);
        wait = seki_limits_wait(&run->limits, seki_clock(),
                                task->reservation.prompt_tokens + (double)run->settings.max_tokens,
                                MAX_WAIT);
    }
    return budget_settle(run->budget, &task->reservation, place.attempt,
                         seki_chat_last_cause(task->chat), response, seki_chat_usage(task->chat),
                         wait, &task->bill, error);
}

/* A bound that the endpoint does not keep is told once: a budget then rests on what was billed. */
static void check_bound(struct run *run, const struct task *task)
{
    const struct seki_usage *usage = seki_chat_usage(task->chat);

    if (usage == NULL || run->settings.max_tokens == 0 || run->told_bound ||
        usage->completion_tokens <= (double)run->settings.max_tokens)
        return;
    run->told_bound = true;
    seki_log_warning(&run->log,
                     "%s: a reply was billed with %.0f tokens, although the request allowed %ld; a "
                     "budget can be exceeded by as much",
                     seki_client_url(run->client), usage->completion_tokens,
                     run->settings.max_tokens);
}

/* Waits for the next response. */
static int receive(struct run *run, double wait, int descriptor, struct seki_error *error)
{
    struct seki_response response;
    struct task *task;
    int result;

    if (run->settings.replay == NULL)
        wait = fmin(wait, GONE_CHECK);
    task = seki_client_wait(run->client, wait, descriptor, &response);
    if (task == NULL) {
        if (run->settings.replay != NULL)
            run->skipped += wait;
        return 0;
    }
    run->in_flight--;
    task->state = TASK_ASKS;
    result = keep_response(run, task, &response, error);
    seki_response_free(&response);
    check_bound(run, task);
    run->answered |= seki_chat_usage(task->chat) != NULL;
    if (*seki_chat_note(task->chat) != '\0')
        seki_log_warning(&run->log, "%s: %s", seki_client_url(run->client),
                         seki_chat_note(task->chat));
    return result;
}

/* ---- A task ---------------------------------------------------------------------------------- */

/* Whether the reply is of use: neither a parent nor known, and within the constraints. */
static int check_reply(const struct run *run, const struct task *task, struct seki_error *why)
{
    const struct seki_genotype *genotype = &seki_chat_reply(task->chat)->genotype;
    char id[SEKI_ID_LENGTH + 1];

    seki_genotype_id(genotype, id);
    for (int i = 0; i < task->parent_count; i++)
        if (strcmp(id, task->parents[i].id) == 0)
            return seki_fail(
                why, SEKI_BAD_INPUT, "duplicate",
                "the architecture computes the same function as the given one with the id %s", id);
    if (seen_has(run->seen, id))
        return seki_fail(why, SEKI_BAD_INPUT, "duplicate",
                         "the architecture with the id %s has been proposed or scored already", id);
    return check_constraints(run, genotype, why);
}

/* A reply came, and all candidates before this one are decided. */
static int decide(struct run *run, struct task *task, struct seki_error *error)
{
    char id[SEKI_ID_LENGTH + 1];
    struct seki_error why;

    if (check_reply(run, task, &why) < 0) {
        if (why.kind != SEKI_BAD_INPUT) { /* sizes of which there is no network */
            *error = why;
            return -1;
        }
        seki_chat_reject(task->chat, &why);
        if (strcmp(why.code, "duplicate") == 0)
            lead_task(run, task);
        return 1;
    }
    task->state = TASK_IS_DONE;
    task->got = true;
    seki_genotype_id(&seki_chat_reply(task->chat)->genotype, id);
    return seen_add(run->seen, id, error) < 0 ? -1 : 1;
}

/* 1: it got further; 0: it waits; -1: the program cannot go on. first: all before are decided. */
static int advance(struct run *run, struct task *task, bool first, double *wait,
                   struct seki_error *error)
{
    double left = 0;

    if (task->state == TASK_IS_SENT || task->state == TASK_IS_DONE)
        return 0;
    if (task->state == TASK_HAS_REQUEST)
        return stopped(run) ? 0 : try_send(run, task, wait, error);
    switch (seki_chat_next(task->chat, clock_of(run), &left)) {
    case SEKI_CHAT_SEND:
        task->state = TASK_HAS_REQUEST;
        return 1;
    case SEKI_CHAT_WAIT:
        *wait = fmin(*wait, left);
        return 0;
    case SEKI_CHAT_GOT:
        return first ? decide(run, task, error) : 0;
    case SEKI_CHAT_FAILED:
        task->state = TASK_IS_DONE;
        return 1;
    }
    return 0;
}

/* ---- Its end --------------------------------------------------------------------------------- */

/* Counts the endpoint's failures in a row, and opens the breaker. */
static void judge_endpoint(struct run *run, const struct seki_chat *chat)
{
    enum seki_cause cause = seki_chat_cause(chat);

    if (cause == SEKI_CAUSE_NONE) {
        run->failures = 0;
        return;
    }
    run->failures++;
    if (run->open || (!seki_cause_final(cause) && run->failures < run->settings.breaker))
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
    bool budget = strcmp(last->code, "budget") == 0;
    bool endpoint = last->kind == SEKI_NO_RESOURCE && !budget;

    /* the record says no address: a replay has another */
    seki_fail(why, last->kind, last->code, "no candidate after %d request%s: %s%s%s", attempts,
              attempts == 1 ? "" : "s", last->message, *hint && !budget ? "; " : "",
              budget ? "" : hint);
    if (!budget)
        seki_log_error(&run->log, "%s%s%s", endpoint ? seki_client_url(run->client) : "",
                       endpoint ? ": " : "", why->message);
}

static int write_task(struct run *run, const struct task *task, struct seki_error *error)
{
    struct candidate candidate = {.space = task->space,
                                  .parents = task->parents,
                                  .parent_count = task->parent_count,
                                  .chat = task->chat,
                                  .bill = &task->bill};
    struct seki_error why = {.code = ""};

    if (task->got) {
        candidate.genotype = &seki_chat_reply(task->chat)->genotype;
    } else {
        if (seki_chat_cost(task->chat).attempts == 0) {
            if (run->spent)
                return 0;
            *error = *seki_chat_error(task->chat); /* no request could be made */
            return -1;
        }
        describe_failure(run, task->chat, &why);
        candidate.error = &why;
        if (strcmp(why.code, "duplicate") == 0 || strcmp(why.code, "constraint") == 0)
            candidate.genotype = &seki_chat_reply(task->chat)->genotype;
    }
    if (strcmp(why.code, "budget") != 0)
        judge_endpoint(run, task->chat);
    return write_candidate(run, &candidate, error);
}

static void drop_first(struct run *run)
{
    struct task *task = run->tasks;

    run->tasks = task->next;
    task_free(task);
}

/* Writes the decided ones before the first that is not. */
static int write_done(struct run *run, struct seki_error *error)
{
    int result = 0;

    while (result == 0 && run->tasks != NULL && run->tasks->state == TASK_IS_DONE) {
        result = write_task(run, run->tasks, error);
        drop_first(run);
    }
    return result;
}

/* After the breaker has opened, or the budget is spent: what came is still put out, what was paid
 * is still waited for, and the rest is dropped. */
static int close_down(struct run *run, struct seki_error *error)
{
    while (run->tasks != NULL) {
        struct task *task = run->tasks;
        double ignored = 0;

        if (task->state == TASK_IS_SENT && !run->open && !seki_output_gone(run->output)) {
            if (receive(run, LONGEST_STEP, -1, error) < 0)
                return -1;
            continue;
        }
        while (task->state == TASK_ASKS && advance(run, task, true, &ignored, error) > 0)
            ;
        if (task->state == TASK_ASKS || task->state == TASK_HAS_REQUEST) {
            seki_chat_abandon(task->chat,
                              run->spent ? &run->why_spent : seki_chat_error(task->chat));
            task->state = TASK_IS_DONE;
        }
        if (task->state == TASK_IS_DONE && seki_chat_cost(task->chat).attempts > 0 &&
            write_task(run, task, error) < 0)
            return -1;
        drop_first(run);
    }
    return 0;
}

/* ---- All of them ------------------------------------------------------------------------------
 */

int tasks_step(struct run *run, int descriptor, struct seki_error *error)
{
    double wait = LONGEST_STEP;
    bool first = true, moved = false;

    for (struct task *task = run->tasks; task != NULL && !stopped(run); task = task->next) {
        int result = advance(run, task, first, &wait, error);

        if (result < 0)
            return -1;
        moved |= result > 0;
        if (task->state != TASK_IS_DONE) {
            first = false;
            if (!run->answered)
                break;
        }
    }
    if (write_done(run, error) < 0)
        return -1;
    if (stopped(run) || seki_output_gone(run->output))
        return close_down(run, error);
    return moved || run->tasks == NULL ? 0 : receive(run, wait, descriptor, error);
}

static long count_tasks(const struct run *run)
{
    long count = 0;

    for (const struct task *task = run->tasks; task != NULL; task = task->next)
        count++;
    return count;
}

int tasks_add(struct run *run, enum seki_space space, const struct parent *parents, int count,
              struct seki_error *error)
{
    struct task *task = task_new(run, space, parents, count, error), **last = &run->tasks;
    int result = 0;

    if (task == NULL)
        return -1;
    while (*last != NULL)
        last = &(*last)->next;
    *last = task;
    while (result == 0 && run->tasks != NULL && count_tasks(run) >= run->settings.jobs)
        result = tasks_step(run, -1, error);
    return result;
}

int tasks_finish(struct run *run, struct seki_error *error)
{
    int result = 0;

    while (result == 0 && run->tasks != NULL)
        result = tasks_step(run, -1, error);
    return result;
}
