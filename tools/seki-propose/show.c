/* show.c - what a prompt shows of scored candidates. */
#include "propose.h"

#include <string.h>

/* "1.07 M" */
static void print_amount(double amount, char *text, size_t size)
{
    if (amount >= 1e6)
        snprintf(text, size, "%.3g M", amount / 1e6);
    else
        snprintf(text, size, "%.0f", amount);
}

static void print_metrics(const struct seki_record *record, char *text, size_t size)
{
    static const struct {
        const char *path, *unit;
    } metrics[] = {
        {"metrics.params", "parameters"},
        {"metrics.macs", "multiply-adds"},
    };
    size_t length = 0;

    *text = '\0';
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        char amount[32];
        double value;
        int wrote;

        if (!seki_record_number(record, metrics[i].path, &value))
            continue;
        print_amount(value, amount, sizeof amount);
        wrote = snprintf(text + length, size - length, "%s%s %s", length ? ", " : "", amount,
                         metrics[i].unit);
        if (wrote > 0 && (size_t)wrote < size - length)
            length += (size_t)wrote;
    }
}

static void print_candidates(struct seki_buffer *out, const struct parent *parents, int count)
{
    for (int i = 0; i < count; i++) {
        char genotype[SEKI_GENOTYPE_TEXT], metrics[160];

        seki_genotype_print(&parents[i].genotype, genotype);
        print_metrics(parents[i].record, metrics, sizeof metrics);
        seki_buffer_printf(out, "%d. score %.2f%s%s%s: %s\n", i + 1, parents[i].score,
                           *metrics ? " (" : "", metrics, *metrics ? ")" : "", genotype);
    }
}

int shown_fill(struct shown *shown, enum stage stage, const struct parent *parents, int count,
               struct seki_error *error)
{
    memset(shown, 0, sizeof *shown);
    seki_buffer_init(&shown->candidates, SEKI_MAX_TEMPLATE / 2);
    seki_buffer_init(&shown->json, SEKI_MAX_TEMPLATE / 2);
    if (seki_schema_print_genotype(&parents[0].genotype, &shown->json, error) < 0) {
        shown_free(shown);
        return -1;
    }
    if (stage == EVOLUTION) {
        seki_genotype_print(&parents[0].genotype, shown->genotype);
        snprintf(shown->score, sizeof shown->score, "%.2f", parents[0].score);
        print_metrics(parents[0].record, shown->metrics, sizeof shown->metrics);
        return 0;
    }
    snprintf(shown->count, sizeof shown->count, "%d", count);
    print_candidates(&shown->candidates, parents, count);
    if (!shown->candidates.failed)
        return 0;
    shown_free(shown);
    return seki_fail(error, SEKI_BAD_USE, "prompt",
                     "%d candidates do not fit in a prompt; lower --draw or -k", count);
}

void shown_free(struct shown *shown)
{
    seki_buffer_free(&shown->json);
    seki_buffer_free(&shown->candidates);
}
