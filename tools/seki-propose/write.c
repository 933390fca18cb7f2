/* write.c - a candidate becomes a line of the output. */
#include "propose.h"

#include <math.h>
#include <stdlib.h>

int write_record(struct run *run, struct seki_record *record, struct seki_error *error)
{
    size_t length;
    const char *text = seki_record_text(record, &length, error);

    if (text == NULL)
        return -1;
    run->wrong += seki_record_failed(record);
    return seki_output_line(run->output, text, length, error);
}

static int set_parents(struct seki_record *record, const struct candidate *candidate,
                       struct seki_error *error)
{
    const char **ids;
    int result;

    if (candidate->parent_count == 0)
        return 0;
    ids = seki_allocate((size_t)candidate->parent_count, sizeof *ids, error);
    if (ids == NULL)
        return -1;
    for (int i = 0; i < candidate->parent_count; i++)
        ids[i] = candidate->parents[i].id;
    result = seki_record_set_strings(record, "parents", ids, candidate->parent_count, error);
    free(ids);
    return result;
}

/* What the model said, and what it cost. */
static int set_chat(struct run *run, struct seki_record *record, const struct seki_chat *chat,
                    const struct bill *bill, struct seki_error *error)
{
    const struct seki_reply *reply = seki_chat_reply(chat);
    struct seki_chat_cost cost = seki_chat_cost(chat);
    double price =
        budget_cost(run->budget, bill->prompt_tokens, bill->cached_tokens, bill->completion_tokens);
    const char *const *codes;
    int faults = seki_chat_faults(chat, &codes), result = 0;

    result |= seki_record_set_string(record, "proposer.model", run->settings.model, error);
    result |= seki_record_set_string(record, "proposer.format",
                                     seki_chat_as_text(chat) ? "text" : "schema", error);
    if (seki_chat_narrowed(chat))
        result |= seki_record_set_json(record, "proposer.narrowed", "true", error);
    if (reply != NULL && reply->analysis != NULL)
        result |= seki_record_set_string(record, "proposer.analysis", reply->analysis, error);
    if (reply != NULL && reply->strategy != NULL)
        result |= seki_record_set_string(record, "proposer.strategy", reply->strategy, error);
    result |= seki_record_set_number(record, "proposer.attempts", cost.attempts, error);
    if (faults > 0)
        result |= seki_record_set_strings(record, "proposer.faults", codes, faults, error);
    result |= seki_record_set_number(record, "proposer.prompt_tokens", bill->prompt_tokens, error);
    if (bill->cached_tokens > 0)
        result |=
            seki_record_set_number(record, "proposer.cached_tokens", bill->cached_tokens, error);
    result |= seki_record_set_number(record, "proposer.completion_tokens", bill->completion_tokens,
                                     error);
    if (bill->estimated)
        result |= seki_record_set_json(record, "proposer.estimated", "true", error);
    if (!isnan(price))
        result |= seki_record_set_number(record, "proposer.cost", price, error);
    result |= seki_record_set_number(record, "proposer.seconds", round(cost.seconds * 1000) / 1000,
                                     error);
    return result;
}

static int fill(struct run *run, struct seki_record *record, const struct candidate *candidate,
                struct seki_error *error)
{
    int result = 0;

    if (candidate->genotype != NULL)
        result |= seki_record_set_genotype(record, candidate->genotype, error);
    else
        result |= seki_record_set_string(record, "space", seki_space_name(candidate->space), error);
    result |= set_parents(record, candidate, error);
    if (run->policy != RANDOM)
        result |= seki_record_set_string(record, "proposer.stage", run->settings.stage_name, error);
    result |= seki_record_set_string(record, "proposer.policy", run->settings.policy_name, error);
    if (candidate->chat != NULL)
        result |= set_chat(run, record, candidate->chat, candidate->bill, error);
    if (candidate->error != NULL)
        result |= seki_record_fail(record, candidate->error, error);
    return result;
}

int write_candidate(struct run *run, const struct candidate *candidate, struct seki_error *error)
{
    struct seki_record *record = seki_record_new(error);
    int result = -1;

    if (record != NULL && fill(run, record, candidate, error) == 0)
        result = write_record(run, record, error);
    if (result == 0 && candidate->chat != NULL)
        result = seki_output_flush(run->output, error);
    run->written++;
    seki_record_free(record);
    return result;
}
