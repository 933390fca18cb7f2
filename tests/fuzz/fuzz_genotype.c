/*
 * fuzz_genotype.c - any text as a genotype. What is accepted must print to a text that is accepted
 * as the same genotype and prints as itself, with the same id; its mutation must be accepted too;
 * what is refused must be refused in words.
 */
#include "genotype/genotype.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_accepted(const struct seki_genotype *genotype)
{
    char printed[SEKI_GENOTYPE_TEXT], again[SEKI_GENOTYPE_TEXT];
    char id[SEKI_ID_LENGTH + 1], other_id[SEKI_ID_LENGTH + 1];
    struct seki_genotype read, child;
    struct seki_random random;

    seki_genotype_print(genotype, printed);
    require(seki_genotype_parse(printed, SEKI_LAX, &read, NULL) == 0);
    require(seki_genotype_equal(genotype, &read));
    seki_genotype_print(&read, again);
    require(strcmp(printed, again) == 0);
    seki_genotype_id(genotype, id);
    seki_genotype_id(&read, other_id);
    require(strcmp(id, other_id) == 0);
    if (genotype->space == SEKI_NAS201)
        seki_nas201_unique_string(genotype, again);
    seki_random_seed(&random, 1, 0);
    seki_genotype_mutate(genotype, &random, &child);
    require(seki_genotype_validate(&child, SEKI_LAX, NULL) == 0);
    require(!seki_genotype_equal(genotype, &child));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    char *text = malloc(length + 1);
    struct seki_genotype strict, lax;
    struct seki_error error = {0};

    require(text != NULL);
    memcpy(text, bytes, length);
    text[length] = '\0';
    if (seki_genotype_parse(text, SEKI_LAX, &lax, &error) == 0) {
        check_accepted(&lax);
    } else {
        require(error.kind == SEKI_BAD_INPUT && error.message[0] != '\0');
        require(seki_genotype_parse(text, SEKI_STRICT, &strict, &error) < 0);
    }
    if (seki_genotype_parse(text, SEKI_STRICT, &strict, &error) == 0)
        require(seki_genotype_equal(&strict, &lax));
    free(text);
    return 0;
}
