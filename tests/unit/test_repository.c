/*
 * Tests of lib/record: the top-k repository, tables of scores, correlations. The repository is held
 * against a sort of everything, the correlations against their definitions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "record/record.h"

#include "genotype_fixture.h"

static struct seki_record *candidate(const struct seki_genotype *genotype, double score, int serial)
{
    struct seki_record *record = seki_record_new(NULL);

    assert_int_equal(seki_record_set_genotype(record, genotype, NULL), 0);
    assert_int_equal(seki_record_set_number(record, "score", score, NULL), 0);
    assert_int_equal(seki_record_set_number(record, "serial", serial, NULL), 0);
    return record;
}

struct entry {
    char id[SEKI_ID_LENGTH + 1];
    double score;
    int serial;
};

static int best_first(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    return x->score != y->score ? (x->score < y->score) - (x->score > y->score)
                                : x->serial - y->serial;
}

/* The k best of all, one for each id, by sorting: what the repository must hold. */
static int expected_best(struct entry *entries, int count, int k)
{
    int kept = 0;

    qsort(entries, (size_t)count, sizeof *entries, best_first);
    for (int i = 0; i < count && kept < k; i++) {
        bool seen = false;

        for (int j = 0; j < kept; j++)
            seen = seen || strcmp(entries[i].id, entries[j].id) == 0;
        if (!seen)
            entries[kept++] = entries[i];
    }
    return kept;
}

static void the_k_best_are_kept_one_for_each_id(void **state)
{
    enum { RECORDS = 3000, K = 25 };
    struct entry *entries = calloc(RECORDS, sizeof *entries);
    struct seki_repository *repository = seki_repository_new(K, NULL);
    struct seki_random random;
    int kept;

    (void)state;
    seki_random_seed(&random, 11, 0);
    for (int i = 0; i < RECORDS; i++) {
        struct seki_genotype genotype = nas201_at((int)seki_random_below(&random, 200) * 71);
        double score = seki_random_below(&random, 60); /* equal scores are common */
        struct seki_record *record = candidate(&genotype, score, i);

        assert_true(seki_repository_add(repository, record, NULL) >= 0);
        seki_genotype_id(&genotype, entries[i].id);
        entries[i].score = score;
        entries[i].serial = i;
        seki_record_free(record);
    }
    kept = expected_best(entries, RECORDS, K);
    assert_int_equal(kept, K);
    assert_int_equal(seki_repository_count(repository), K);
    for (int i = 0; i < K; i++) {
        double serial;

        assert_true(seki_record_number(seki_repository_at(repository, i), "serial", &serial));
        assert_int_equal((int)serial, entries[i].serial);
    }
    seki_repository_free(repository);
    free(entries);
}

static void what_add_answers(void **state)
{
    static const struct {
        const char *line;
        int answer;
    } cases[] = {
        {"{\"score\": 5, \"genotype\": "
         "\"|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|\"}",
         1},
        {"{\"score\": 5, \"genotype\": "
         "\"|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|\"}",
         0},
        {"{\"score\": 4, \"genotype\": "
         "\"|skip_connect~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|\"}",
         0}, /* the same function */
        {"{\"score\": 6, \"genotype\": "
         "\"|skip_connect~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|\"}",
         1},
        {"{\"score\": 3, \"genotype\": "
         "\"|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|\"}",
         1},
        {"{\"score\": 3, \"genotype\": "
         "\"|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|\"}",
         0},
        {"{\"score\": 7}", -1},
        {"{\"genotype\": \"|none~0|+|none~0|none~1|+|none~0|none~1|none~2|\"}", -1},
        {"{\"score\": \"7\", \"genotype\": \"|none~0|+|none~0|none~1|+|none~0|none~1|none~2|\"}",
         -1},
        {"{\"score\": 7, \"genotype\": \"|none~0|+|none~0|none~1|+|none~0|none~1|none~2|\", "
         "\"error\": {}}",
         -1},
        {"{\"score\": 1, \"genotype\": \"nonsense\"}", -1},
    };
    struct seki_repository *repository = seki_repository_new(2, NULL);
    struct seki_error error;
    size_t length;

    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        struct seki_record *record =
            seki_record_parse(cases[i].line, strlen(cases[i].line), &error);

        assert_non_null(record);
        if (seki_repository_add(repository, record, &error) != cases[i].answer)
            fail_msg("%s: expected %d", cases[i].line, cases[i].answer);
        seki_record_free(record);
    }
    assert_int_equal(seki_repository_count(repository), 2);
    assert_string_equal(
        seki_record_text(seki_repository_at(repository, 0), &length, NULL),
        "{\"score\": 6, \"genotype\": \"|skip_connect~0|+|none~0|none~1|+|none~0|"
        "skip_connect~1|none~2|\", \"space\": \"nas201\", \"id\": \"ff1761e20da184e6\"}");
    seki_repository_free(repository);
    assert_null(seki_repository_new(0, &error));
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void a_repository_is_saved_and_loaded(void **state)
{
    char folder[] = "/tmp/seki-test-repository.XXXXXX", path[80];
    struct seki_repository *first = seki_repository_new(5, NULL),
                           *second = seki_repository_new(3, NULL);
    struct seki_error error;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/r.jsonl", folder);
    assert_int_equal(seki_repository_load(first, path, &error), 0); /* not there: empty */
    for (int i = 0; i < 9; i++) {
        struct seki_genotype genotype = nas201_at(i * 1000);
        struct seki_record *record = candidate(&genotype, i, i);

        assert_true(seki_repository_add(first, record, &error) >= 0);
        seki_record_free(record);
    }
    assert_int_equal(seki_repository_save(first, path, &error), 0);
    assert_int_equal(seki_repository_load(second, path, &error), 0);
    assert_int_equal(seki_repository_count(second), 3);
    for (int i = 0; i < 3; i++) {
        size_t a, b;

        assert_string_equal(seki_record_text(seki_repository_at(first, i), &a, NULL),
                            seki_record_text(seki_repository_at(second, i), &b, NULL));
    }
    write_file(path,
               "{\"score\": 1, \"genotype\": \"|none~0|+|none~0|none~1|+|none~0|none~1|none~2|\"}\n"
               "{\"score\": 1}\n");
    assert_int_equal(seki_repository_load(second, path, &error), -1);
    assert_int_equal(error.kind, SEKI_BAD_INPUT);
    assert_non_null(strstr(error.message, "r.jsonl:2: the record has no member 'genotype'"));
    write_file(path, "{\"score\": 1\n");
    assert_int_equal(seki_repository_load(second, path, &error), -1);
    assert_non_null(strstr(error.message, "r.jsonl:1: column"));
    assert_int_equal(seki_repository_load(second, folder, &error), -1);
    assert_non_null(strstr(error.message, "is not a regular file"));
    unlink(path);
    rmdir(folder);
    seki_repository_free(first);
    seki_repository_free(second);
}

/* ---- Tables ------------------------------------------------------------------------------- */

static struct seki_table *table_of(const char *text, const char *column, struct seki_error *error)
{
    char path[] = "/tmp/seki-test-table.XXXXXX";
    struct seki_table *table;
    int descriptor = mkstemp(path);

    assert_true(descriptor >= 0);
    close(descriptor);
    write_file(path, text);
    table = seki_table_open(path, column, error);
    unlink(path);
    return table;
}

static void every_row_of_a_gzipped_table_is_found(void **state)
{
    char path[] = "/tmp/seki-test-table.XXXXXX", text[SEKI_GENOTYPE_TEXT], cut[128];
    struct seki_table *table;
    struct seki_error error;
    struct stat status;
    double value;
    gzFile file;

    (void)state;
    close(mkstemp(path));
    file = gzopen(path, "wb");
    gzprintf(file, "arch\tvalid\ttest\r\n");
    for (int i = 0; i < NAS201_SIZE; i++) {
        struct seki_genotype genotype = nas201_at(i);

        seki_genotype_print(&genotype, text);
        gzprintf(file, "%s\t%d\t%d.5\n", text, i, i);
    }
    gzclose(file);
    table = seki_table_open(path, "test", &error);
    if (table == NULL)
        fail_msg("%s", error.message);
    assert_int_equal(seki_table_column(table, "valid"), 1);
    assert_int_equal(seki_table_column(table, "arch"), -1);
    for (int i = 0; i < NAS201_SIZE; i++) {
        struct seki_genotype genotype = nas201_at(i);

        assert_int_equal(seki_table_score(table, &genotype, &value, &error), 0);
        assert_true(value == i + 0.5);
        assert_int_equal(seki_table_value(table, &genotype, 1, &value, &error), 0);
        assert_true(value == i);
    }
    seki_table_close(table);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(truncate(path, status.st_size / 2), 0);
    assert_null(seki_table_open(path, "test", &error));
    snprintf(cut, sizeof cut, "%s:", path);
    assert_memory_equal(error.message, cut, strlen(cut));
    assert_non_null(strstr(error.message, "it ends too early"));
    unlink(path);
}

static void a_table_that_is_wrong_is_named_with_its_line(void **state)
{
#define ROW "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "is empty; expected a header line"},
        {"arch\tvalid\n" ROW "\t1\n", "no column 'test' after the genotypes; it has valid"},
        {"test\tvalid\n" ROW "\t1\n", "no column 'test'"},
        {"arch\ttest\n", "has no rows"},
        {"arch\ttest\n" ROW "\n", ":2: 1 columns; the header has 2"},
        {"arch\ttest\n" ROW "\t1\t2\n", ":2: more columns than the 2 of the header"},
        {"arch\ttest\n" ROW "\tnan\n", ":2: column test: expected a finite number, found 'nan'"},
        {"arch\ttest\n" ROW "\t\n", "expected a finite number"},
        {"arch\ttest\n" ROW "\t1x\n", "expected a finite number"},
        {"arch\ttest\n\n" ROW "\t1\n|none~0|\t2\n", ":4: column 9: expected '+'"},
        {"arch\ttest\n" ROW "\t1\n " ROW "\t2\n", ":3: the genotype of line 2 again"},
    };
    struct seki_error error;

    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        assert_null(table_of(cases[i].text, "test", &error));
        if (strstr(error.message, cases[i].message) == NULL)
            fail_msg("%s\nexpected: %s\nfound: %s", cases[i].text, cases[i].message, error.message);
    }
    assert_null(seki_table_open("/nonexistent/table", "test", &error));
    assert_int_equal(error.kind, SEKI_NO_RESOURCE);
    assert_string_equal(error.message,
                        "/nonexistent/table: cannot open: No such file or directory");
}

static void a_genotype_that_is_not_in_the_table_is_bad_input(void **state)
{
    struct seki_error error;
    struct seki_table *table = table_of("a\tv\tnote\n" ROW "\t1.5\ttext\n", "v", &error);
    struct seki_genotype there = parse(ROW, SEKI_LAX), other = parse(DARTS_V2, SEKI_LAX);
    double value;

    (void)state;
    assert_non_null(table);
    assert_int_equal(seki_table_score(table, &there, &value, &error), 0);
    assert_true(value == 1.5);
    assert_int_equal(seki_table_value(table, &there, 2, &value, &error), -1);
    assert_non_null(strstr(error.message, "column note holds no finite number"));
    assert_int_equal(seki_table_score(table, &other, &value, &error), -1);
    assert_string_equal(error.code, "table");
    assert_int_equal(error.kind, SEKI_BAD_INPUT);
    seki_table_close(table);
}

/* ---- Correlation -------------------------------------------------------------------------- */

static int sign(double a, double b)
{
    return (a > b) - (a < b);
}

/* tau-b over all pairs. */
static double slow_tau(const double *x, const double *y, int n)
{
    double concordance = 0, untied_x = 0, untied_y = 0;

    for (int i = 0; i < n; i++) {
        for (int j = 0; j < i; j++) {
            concordance += sign(x[i], x[j]) * sign(y[i], y[j]);
            untied_x += sign(x[i], x[j]) != 0;
            untied_y += sign(y[i], y[j]) != 0;
        }
    }
    return concordance / sqrt(untied_x * untied_y);
}

static double slow_pearson(const double *x, const double *y, int n)
{
    double sx = 0, sy = 0, xx = 0, yy = 0, xy = 0;

    for (int i = 0; i < n; i++) {
        sx += x[i];
        sy += y[i];
        xx += x[i] * x[i];
        yy += y[i] * y[i];
        xy += x[i] * y[i];
    }
    return (n * xy - sx * sy) / sqrt((n * xx - sx * sx) * (n * yy - sy * sy));
}

/* Mean rank: one more than those below, and half of the others that are equal. */
static void slow_ranks(const double *x, double *ranks, int n)
{
    for (int i = 0; i < n; i++) {
        ranks[i] = 1;
        for (int j = 0; j < n; j++)
            ranks[i] += x[j] < x[i] ? 1 : x[j] == x[i] && j != i ? 0.5 : 0;
    }
}

static void correlations_agree_with_their_definitions(void **state)
{
    enum { LARGEST = 150 };
    double x[LARGEST], y[LARGEST], rank_x[LARGEST], rank_y[LARGEST];
    struct seki_correlation found;
    struct seki_random random;

    (void)state;
    seki_random_seed(&random, 2, 0);
    for (int trial = 0; trial < 300; trial++) {
        int n = 3 + (int)seki_random_below(&random, LARGEST - 2);
        uint32_t values = 2 + seki_random_below(&random, trial % 2 ? 5 : 1000); /* many ties, few */

        for (int i = 0; i < n; i++) {
            x[i] = i < 2 ? (double)i : seki_random_below(&random, values);
            y[i] = i < 2 ? 1.0 - i : x[i] / 2 + seki_random_below(&random, values);
        }
        assert_int_equal(seki_correlate(x, y, (size_t)n, &found, NULL), 0);
        slow_ranks(x, rank_x, n);
        slow_ranks(y, rank_y, n);
        assert_true(fabs(found.kendall_tau - slow_tau(x, y, n)) < 1e-12);
        assert_true(fabs(found.pearson_r - slow_pearson(x, y, n)) < 1e-9);
        assert_true(fabs(found.spearman_rho - slow_pearson(rank_x, rank_y, n)) < 1e-9);
    }
}

static void correlations_of_too_little_are_undefined(void **state)
{
    const double rising[] = {1, 2, 3}, falling[] = {9, 4, 1}, constant[] = {5, 5, 5};
    struct seki_correlation found;

    (void)state;
    assert_int_equal(seki_correlate(rising, falling, 3, &found, NULL), 0);
    assert_true(found.kendall_tau == -1 && fabs(found.spearman_rho + 1) < 1e-15);
    assert_int_equal(seki_correlate(rising, constant, 3, &found, NULL), 0);
    assert_true(isnan(found.kendall_tau) && isnan(found.spearman_rho) && isnan(found.pearson_r));
    assert_int_equal(seki_correlate(rising, falling, 1, &found, NULL), 0);
    assert_true(isnan(found.kendall_tau));
    assert_int_equal(seki_correlate(NULL, NULL, 0, &found, NULL), 0);
    assert_true(isnan(found.pearson_r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_k_best_are_kept_one_for_each_id),
        cmocka_unit_test(what_add_answers),
        cmocka_unit_test(a_repository_is_saved_and_loaded),
        cmocka_unit_test(every_row_of_a_gzipped_table_is_found),
        cmocka_unit_test(a_table_that_is_wrong_is_named_with_its_line),
        cmocka_unit_test(a_genotype_that_is_not_in_the_table_is_bad_input),
        cmocka_unit_test(correlations_agree_with_their_definitions),
        cmocka_unit_test(correlations_of_too_little_are_undefined),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
