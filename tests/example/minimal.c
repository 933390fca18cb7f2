/*
 * minimal.c - a program on libseki: reads genotypes, a line each, and prints the id, the operations
 * that are not skip connections, and a mutation of each.
 *
 *     cc minimal.c $(pkg-config --cflags --libs seki) -o minimal
 *     echo '|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|' | ./minimal
 */
#include "base/base.h"
#include "genotype/genotype.h"

static int count_operations(const struct seki_genotype *genotype)
{
    int count = 0;

    for (int c = 0; c < genotype->cell_count; c++)
        for (int e = 0; e < genotype->cells[c].edge_count; e++) {
            enum seki_op op = genotype->cells[c].edges[e].op;

            count += op != SEKI_NONE && op != SEKI_SKIP_CONNECT;
        }
    return count;
}

int main(int argc, char **argv)
{
    const struct seki_log log = {.program = "minimal"};
    struct seki_error error;
    struct seki_input *input = seki_input_open(argv + 1, argc - 1, &error);
    struct seki_random random;
    struct seki_line line;
    int got, status = 0;

    if (!input) {
        seki_log_error(&log, "%s", error.message);
        return seki_error_status(&error);
    }
    seki_random_seed(&random, 1, 0);
    while ((got = seki_input_next(input, &line, &error)) != 0) {
        struct seki_genotype genotype, child;
        char id[SEKI_ID_LENGTH + 1], text[SEKI_GENOTYPE_TEXT];

        if (got < 0 || seki_genotype_parse(line.text, SEKI_LAX, &genotype, &error) < 0) {
            seki_log_error(&log, "%s:%lu: %s", line.file, line.number, error.message);
            status = seki_error_status(&error);
            continue;
        }
        seki_genotype_id(&genotype, id);
        seki_genotype_mutate(&genotype, &random, &child);
        seki_genotype_print(&child, text);
        printf("%s %d %s\n", id, count_operations(&genotype), text);
    }
    seki_input_close(input);
    return status;
}
