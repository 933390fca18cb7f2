/* propose.h - what the files of seki-propose share. */
#ifndef SEKI_PROPOSE_H
#define SEKI_PROPOSE_H

#include "base/base.h"
#include "genotype/genotype.h"
#include "llm/llm.h"
#include "record/record.h"

/* ---- Ids that are not to be proposed (seen.c) ---------------------------------------------- */

struct seen;

struct seen *seen_new(struct seki_error *error);
bool seen_has(const struct seen *seen, const char *id);
int seen_add(struct seen *seen, const char *id, struct seki_error *error);
/* The ids of a file of candidate records. */
int seen_load(struct seen *seen, const char *path, struct seki_error *error);
void seen_free(struct seen *seen);

/* ---- One call of the program (main.c) ------------------------------------------------------ */

enum stage { EVOLUTION, INSPIRATION };
enum policy { LLM, MUTATE, RANDOM };

struct settings {
    const char *stage_name, *policy_name, *space_name, *pick, *format;
    const char *repository, *seen, *base_url, *model, *prompts, *key_file;
    long count, top, draw, attempts, max_tokens, breaker;
    double temperature, timeout, connect_timeout, deadline, retry_delay;
    uint64_t seed;
    bool strategy, quiet, seed_given, space_given, stage_given, draw_given;
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
    uint64_t index;      /* candidates begun: which of the seed's streams is next */
    unsigned long wrong; /* records on the output with `error` */

    /* the model's side */
    struct seki_client *client;
    struct seki_dialect dialect;
    struct seki_template *system[2], *user[2]; /* by space; loaded when first needed */
    long failures;                             /* candidates in a row that the endpoint failed */
    bool answered;                             /* a completion came in this call */
    bool open;                                 /* the breaker: nothing is asked for any more */
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

/* The stream of random numbers for one purpose and the current candidate. */
void run_random(const struct run *run, const char *purpose, struct seki_random *random);

/* ask.c, rules.c: make a candidate and write its line. -1: the program cannot go on. */
int ask_model(struct run *run, enum seki_space space, const struct parent *parents, int count,
              struct seki_error *error);
int follow_rule(struct run *run, enum seki_space space, const struct parent *parents, int count,
                struct seki_error *error);

/* ask.c: templates and client; SEKI_BAD_USE where the settings do not do. */
int model_prepare(struct run *run, struct seki_error *error);
void model_end(struct run *run);

/* ---- Stages (stages.c) --------------------------------------------------------------------- */

int run_random_policy(struct run *run, struct seki_error *error);
int run_evolution(struct run *run, char **files, int count, struct seki_error *error);
int run_inspiration(struct run *run, struct seki_error *error);
int load_repository(struct run *run, struct seki_error *error);

/* ---- Output (write.c) ---------------------------------------------------------------------- */

struct candidate {
    enum seki_space space;
    const struct seki_genotype *genotype; /* NULL: none was got */
    const struct parent *parents;
    int parent_count;
    const struct seki_chat *chat;   /* NULL for a rule */
    const struct seki_error *error; /* why it is of no use; NULL: it is */
};

int write_candidate(struct run *run, const struct candidate *candidate, struct seki_error *error);
int write_record(struct run *run, struct seki_record *record, struct seki_error *error);

/* ---- What a prompt shows of candidates (show.c) --------------------------------------------- */

struct shown {
    char genotype[SEKI_GENOTYPE_TEXT], score[32], metrics[160], count[16];
    struct seki_buffer json; /* the current one, or the best, in the form of a reply's JSON */
    struct seki_buffer candidates;
};

int shown_fill(struct shown *shown, enum stage stage, const struct parent *parents, int count,
               struct seki_error *error);
void shown_free(struct shown *shown);

#endif
