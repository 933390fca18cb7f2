/*
 * budget.h - what requests cost, and when they have cost enough.
 *
 * With --ledger a line goes into a file before each request, with what it may cost at most, and one
 * after it, with what it did cost. The budget counts all of the file: earlier calls, calls beside
 * this one, failed attempts, and by their first line requests whose end a kill has hidden.
 */
#ifndef SEKI_PROPOSE_BUDGET_H
#define SEKI_PROPOSE_BUDGET_H

#include "base/base.h"
#include "llm/llm.h"

/* Of one reply, where a budget is set and --max-tokens is not: without a bound none could be kept.
 */
#define BUDGET_MAX_TOKENS 4096

struct budget;

struct budget_settings {
    const char *price;                        /* "IN,OUT[,CACHED]" a million tokens, or NULL */
    const char *ledger;                       /* or NULL */
    double max_tokens, max_cost;              /* infinite: no bound */
    double price_in, price_out, price_cached; /* filled by budget_price */
};

/* Reads --price; SEKI_BAD_USE where it is none. */
int budget_price(struct budget_settings *settings, struct seki_error *error);

/* SEKI_BAD_USE names file and line of what is no ledger. Borrows the strings. */
struct budget *budget_open(const struct budget_settings *settings, struct seki_error *error);

/* A request that is under way. */
struct reservation {
    unsigned long number; /* in this call; 0: none */
    double prompt_bytes;
    double prompt_tokens, completion_tokens; /* at most, as estimated */
    double asked_tokens;                     /* the bound that the request sets to its reply */
};

/* What the requests of a candidate have cost, failed ones too. */
struct bill {
    double prompt_tokens, cached_tokens, completion_tokens;
    bool estimated; /* a part of it, as the endpoint did not tell */
};

enum budget_answer {
    BUDGET_TAKEN, /* the request may go */
    BUDGET_WAIT,  /* not while those under way may still cost what they may */
    BUDGET_SPENT, /* it could go over a bound; *error says which (code "budget") */
    BUDGET_FAILED,
};

/* Before a request; max_tokens: of its reply, 0: unknown. */
enum budget_answer budget_take(struct budget *budget, double prompt_bytes, long max_tokens,
                               struct reservation *reservation, struct seki_error *error);
/* After it. cause: what came of it, once the body was read; usage: of a completion that came, or
 * NULL; wait: seconds for which the endpoint's limits let no other request out. Adds to *bill. What
 * is estimated follows from the request and its reply alone, so that a replay comes to the same. */
int budget_settle(struct budget *budget, struct reservation *reservation, int attempt,
                  enum seki_cause cause, const struct seki_response *response,
                  const struct seki_usage *usage, double wait, struct bill *bill,
                  struct seki_error *error);
/* Seconds for which limits that other calls on the ledger have met let no request out. */
int budget_wait(struct budget *budget, double *wait, struct seki_error *error);

/* Of these tokens, in the price's unit; NaN without a price. */
double budget_cost(const struct budget *budget, double prompt, double cached, double completion);
/* Tokens of a prompt of so many bytes, rather too many. */
double budget_estimate(const struct budget *budget, double prompt_bytes);
void budget_free(struct budget *budget);

#endif
