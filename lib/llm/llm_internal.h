/* llm_internal.h - what the rooms of lib/llm share among themselves. */
#ifndef SEKI_LLM_INTERNAL_H
#define SEKI_LLM_INTERNAL_H

#include "llm/llm.h"

#include <jansson.h>

/* The edges of a nas201 cell in the notation's order; `op` is not set. */
extern const struct seki_edge seki_nas201_edges[SEKI_NAS201_EDGES];

/* What a complete response's status and body say; type: its Content-Type, or NULL. */
enum seki_cause seki_response_cause(long status, const char *body, const char *type);
/* Fills `detail` from the status and the server's own words. */
void seki_response_describe(struct seki_response *response);

/* SEKI_BAD_USE unless the key is visible ASCII: a line end in it would let it write headers. */
int seki_key_check(const char *key, struct seki_error *error);
/* Overwrites memory that held a secret, where a compiler may not leave it out. */
void seki_wipe(char *text, size_t length);

/* A copy of the text without <think> blocks: what the model says to us. *length: in and out. NULL:
 * no memory. */
char *seki_text_spoken(const char *text, size_t *length, struct seki_error *error);
/* In place: typographic quotes, dashes of Markdown, no-break spaces become what they stand for.
 * Never longer. */
void seki_text_plain(char *text, size_t *length);
/* The last valid genotype in the space's notation. 1: found; 0: nothing that looks like one; -1:
 * what looked like one is wrong, *error says how. *begin: offset of the first of any. */
int seki_text_genotype(const char *text, size_t length, enum seki_space space,
                       struct seki_genotype *genotype, size_t *begin, struct seki_error *error);
/* What stands under a heading ("analysis", "strategy") in the text, or NULL; to be freed. */
char *seki_text_section(const char *text, size_t length, const char *heading);
/* A copy, white space at its ends removed, cut between characters at SEKI_MAX_REASON bytes; NULL
 * where nothing is left. */
char *seki_text_trimmed(const char *text, size_t length);

/* The last JSON object in the text that speaks of an architecture; NULL if none. *broken: an object
 * begins that does not parse, *why says where. */
json_t *seki_json_find(const char *text, size_t length, bool *broken, char *why, size_t size);
/* A reply's genotype from its JSON. */
int seki_json_genotype(const json_t *object, enum seki_space space, struct seki_genotype *genotype,
                       struct seki_error *error);

#endif
