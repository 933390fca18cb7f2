/* propose.h - what the files of seki-propose share. */
#ifndef SEKI_PROPOSE_H
#define SEKI_PROPOSE_H

#include "base/base.h"
#include "budget.h"
#include "genotype/genotype.h"
#include "llm/llm.h"
#include "record/record.h"

/* ---- Ids that are not to be proposed (seen.c) ---------------------------------------------- */

struct seen;

struct seen *seen_new(struct seki_error *error);
bool seen_has(const struct seen *seen, const char *id);
int seen_add(struct seen *seen, const char *id, struct seki_error *error);
/* The id of a record, where it has a genotype. */
int seen_add_record(struct seen *seen, const struct seki_record *record, struct seki_error *error);
void seen_free(struct seen *seen);

/* ---- Scored candidates, in the order in which they were scored (history.c) ----------------- */

struct history;

struct past {
    struct seki_genotype genotype;
    char id[SEKI_ID_LENGTH + 1];
    char parent[SEKI_ID_LENGTH + 1]; /* the first of `parents`; "" for a random one */
    double score;
};

struct history *history_new(struct seki_error *error);
/* A record that failed, or without a score or a strict genotype, is passed over; so is one whose
 * last score by its id is this one: it is read twice. */
int history_add(struct history *history, const struct seki_record *record,
                struct seki_error *error);
size_t history_count(const struct history *history);
void history_at(const struct history *history, size_t index, struct past *past);
/* The last one with this id; false where there is none. */
bool history_find(const struct history *history, const char *id, struct past *past);
void history_free(struct history *history);

/* ---- One call of the program (main.c) ------------------------------------------------------ */

enum stage { EVOLUTION, INSPIRATION };
enum policy { LLM, MUTATE, LOCAL, RANDOM };

struct settings {
    const char *stage_name, *policy_name, *space_name, *pick, *format;
    const char *repository, *seen, *base_url, *model, *prompts, *key_file;
    const char *evidence, *price, *ledger, *recording, *replay;
    long count, top, draw, attempts, max_tokens, breaker, jobs;
    long population, tournament;                /* population 0: each record's own mutation */
    long channels, layers, classes, image_size; /* of the network that the two bounds are about */
    double temperature, timeout, idle_timeout, connect_timeout, deadline, retry_delay;
    double max_params, max_macs, max_tokens_total, max_cost, noise; /* infinite, noise 0: none */
    uint64_t seed;
    bool strategy, dry_run, quiet, seed_given, space_given, stage_given, draw_given;
};

struct run {
    struct settings settings;
    enum stage stage;
    enum policy policy;
    enum seki_space space; /* of random; of all where --space is given */
    struct seki_log log;
    struct seki_output *output;
    struct seki_repository *repository; /* NULL without --repository */
    struct seen *seen;
    struct history *history;  /* of --seen, then of what is read */
    uint64_t index;           /* candidates begun: which of the seed's streams is next */
    unsigned long written;    /* candidates on the output */
    unsigned long wrong;      /* records there with `error` */
    unsigned long seen_wrong; /* lines of --seen that are no records */

    /* the model's side */
    struct seki_client *client;
    struct seki_recording *recording; /* of --record or --replay */
    struct budget *budget;
    struct seki_dialect dialect;
    struct seki_limits limits;
    struct seki_template *system[2], *user[2]; /* by space; loaded when first needed */
    struct evidence *evidence;                 /* NULL: none has been asked for yet */
    struct task *tasks;                        /* candidates begun, in the output's order */
    int in_flight;                             /* requests */
    double skipped;                            /* seconds of waits that a replay passes over */
    double told;                               /* the end of the last rate limit that was told */
    long failures;                             /* candidates in a row that the endpoint failed */
    bool answered;                             /* a completion came in this call */
    bool open;                                 /* the breaker: nothing is asked for any more */
    bool told_bound;                           /* that the endpoint does not keep --max-tokens */
    struct seki_error why_spent;
    bool spent; /* the budget: the same */
};

/* ---- One candidate ------------------------------------------------------------------------ */

/* A scored candidate that a new one is made from; `record` is borrowed. */
struct parent {
    struct seki_record *record;
    struct seki_genotype genotype;
    char id[SEKI_ID_LENGTH + 1];
    double score;
};

/* Fills *parent from a record that has a score and a valid genotype. */
int parent_from(struct run *run, struct seki_record *record, struct parent *parent,
                struct seki_error *error);

/* Whether the network of a genotype keeps to --max-params and --max-macs; -1: it does not, and *why
 * says by how much (code "constraint", SEKI_BAD_INPUT); of another kind: there is no such network,
 * and no genotype will do. */
int check_constraints(const struct run *run, const struct seki_genotype *genotype,
                      struct seki_error *why);

/* The stream of random numbers for one purpose and the current candidate. */
void run_random(const struct run *run, const char *purpose, struct seki_random *random);

/* A rule's candidate, written at once. -1: the program cannot go on. */
int follow_rule(struct run *run, enum seki_space space, const struct parent *parents, int count,
                struct seki_error *error);

#define MAX_WAIT 120.0 /* seconds, of one wait that the endpoint asks for */

/* ---- Candidates from a model ---------------------------------------------------------------- */

/* ask.c: templates and client; SEKI_BAD_USE where the settings do not do. */
int model_prepare(struct run *run, struct seki_error *error);
void model_end(struct run *run);

/* A candidate that a model is asked for. */
struct task {
    struct task *next;
    uint64_t number; /* of the candidate in this call, from 0 */
    enum seki_space space;
    struct parent *parents; /* copies, without their records */
    int parent_count;
    struct seki_chat_options options;
    struct shown *shown; /* what the prompt's values point into */
    struct seki_prompt_value *values;
    struct seki_chat *chat;
    enum { TASK_ASKS, TASK_HAS_REQUEST, TASK_IS_SENT, TASK_IS_DONE } state;
    bool got;       /* once done: a new candidate */
    int duplicates; /* replies that were known */
    struct reservation reservation;
    struct bill bill;
};

/* ask.c: a task that has not begun. Copies the parents. */
struct task *task_new(struct run *run, enum seki_space space, const struct parent *parents,
                      int count, struct seki_error *error);
void task_free(struct task *task);

/* lead.c: after a reply that is known; from the second one on the next request is narrowed. */
void lead_task(const struct run *run, struct task *task);

/* ask.c, --dry-run: writes the first request of a candidate as a line, and sends nothing. */
int show_request(struct run *run, enum seki_space space, const struct parent *parents, int count,
                 struct seki_error *error);

/* tasks.c: begins a candidate; waits until fewer than --jobs are under way. -1: the program cannot
 * go on. */
int tasks_add(struct run *run, enum seki_space space, const struct parent *parents, int count,
              struct seki_error *error);
/* Brings those under way on, until one has got further, or `descriptor` can be read. */
int tasks_step(struct run *run, int descriptor, struct seki_error *error);
/* Brings them all to their ends. */
int tasks_finish(struct run *run, struct seki_error *error);

/* ---- Stages (stages.c) --------------------------------------------------------------------- */

int run_random_policy(struct run *run, struct seki_error *error);
int run_evolution(struct run *run, char **files, int count, struct seki_error *error);
int run_inspiration(struct run *run, struct seki_error *error);
/* --seen and --repository: what is known before the call. */
int load_known(struct run *run, struct seki_error *error);

/* ---- Output (write.c) ---------------------------------------------------------------------- */

struct candidate {
    enum seki_space space;
    const struct seki_genotype *genotype; /* NULL: none was got */
    const struct parent *parents;
    int parent_count;
    const struct seki_chat *chat;   /* NULL for a rule */
    const struct bill *bill;        /* of the chat's requests */
    const struct seki_error *error; /* why it is of no use; NULL: it is */
};

int write_candidate(struct run *run, const struct candidate *candidate, struct seki_error *error);
int write_record(struct run *run, struct seki_record *record, struct seki_error *error);

/* ---- What a prompt shows (show.c, evidence.c) ------------------------------------------------ */

struct shown {
    char genotype[SEKI_GENOTYPE_TEXT], score[32], metrics[160], count[16], noise[32];
    char constraints[160];
    struct seki_buffer json; /* the current one, or the best, in the form of a reply's JSON */
    struct seki_buffer candidates, lineage, tried;
    struct seki_buffer effects, neighbours, worst; /* evidence */
};

int shown_fill(struct run *run, struct shown *shown, const struct parent *parents, int count,
               struct seki_error *error);
void shown_free(struct shown *shown);
/* "normal node 4: skip_connect from 0 -> sep_conv_3x3 from 2", "from_0_to_2: none -> …" */
void show_change(enum seki_space space, const struct seki_change *change, char *text, size_t size);

/* What the history says beyond the candidates that are shown. Each text has a bound on its bytes,
 * however long the history. */
struct evidence {
    enum seki_space space;
    size_t seen; /* scores of the history that it is made from */
    struct seki_buffer effects, neighbours, worst;
    double noise; /* standard deviation of a score; negative: not known */
};

#define MAX_EFFECTS    ((size_t)2560) /* bytes */
#define MAX_NEIGHBOURS ((size_t)3072)
#define MAX_WORST      ((size_t)1536)
#define MAX_LINEAGE    ((size_t)2048)

/* Makes run->evidence for the space, where it is not there or the history has grown. */
int evidence_update(struct run *run, enum seki_space space, struct seki_error *error);
void evidence_free(struct evidence *evidence);
/* A line into a text with a bound: whole, or false and nothing. */
bool show_line(struct seki_buffer *text, const char *format, ...) SEKI_PRINTF(2, 3);

#endif
