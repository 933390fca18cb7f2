/*
 * data_fixture.h - small data sets made at run time, for the tests of lib/data: folders that
 * vanish, plain and gzipped files, CIFAR records, IDX files, tar archives.
 */
#ifndef SEKI_DATA_FIXTURE_H
#define SEKI_DATA_FIXTURE_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <cmocka.h>

#include "base/base.h"

#define CIFAR_PICTURE 3072

/* ---- Folders and files ---- */

/* A new empty folder; ended with fixture_remove, which frees the name. */
static inline char *fixture_folder(void)
{
    const char *parent = getenv("TMPDIR");
    char *folder = malloc(4096);
    assert_non_null(folder);
    snprintf(folder, 4096, "%s/seki-data-XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(folder));
    return folder;
}

/* Lasts until the next call. */
static inline char *fixture_path(const char *folder, const char *name)
{
    static char path[8192];
    assert_true((size_t)snprintf(path, sizeof(path), "%s/%s", folder, name) < sizeof(path));
    return path;
}

static inline void fixture_empty(const char *folder)
{
    DIR *directory = opendir(folder);
    struct dirent *entry;
    while (directory && (entry = readdir(directory)) != NULL) {
        char path[8192];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        assert_true((size_t)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) <
                    sizeof(path));
        if (unlink(path) < 0) {
            fixture_empty(path);
            rmdir(path);
        }
    }
    if (directory)
        closedir(directory);
}

static inline void fixture_remove(char *folder)
{
    fixture_empty(folder);
    assert_int_equal(rmdir(folder), 0);
    free(folder);
}

static inline void fixture_write(const char *folder, const char *name, const void *bytes,
                                 size_t count)
{
    FILE *file = fopen(fixture_path(folder, name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static inline void fixture_write_gzip(const char *folder, const char *name, const void *bytes,
                                      size_t count)
{
    gzFile file = gzopen(fixture_path(folder, name), "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, bytes, (unsigned)count), (int)count);
    assert_int_equal(gzclose(file), Z_OK);
}

/* Takes bytes off the end of a file (change < 0), or puts zeros there. */
static inline void fixture_resize(const char *folder, const char *name, long change)
{
    struct stat status;
    assert_int_equal(stat(fixture_path(folder, name), &status), 0);
    assert_int_equal(truncate(fixture_path(folder, name), status.st_size + change), 0);
}

/* Changes one byte of a file; from the end where `at` is negative. */
static inline void fixture_poke(const char *folder, const char *name, long at, int byte)
{
    FILE *file = fopen(fixture_path(folder, name), "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    assert_int_equal(fputc(byte, file), byte);
    assert_int_equal(fclose(file), 0);
}

/* ---- CIFAR ---- */

static const char *const fixture_cifar10[] = {"data_batch_1.bin", "data_batch_2.bin",
                                              "data_batch_3.bin", "data_batch_4.bin",
                                              "data_batch_5.bin", "test_batch.bin"};

/* What byte `place` of picture `index` of file `file` is. */
static inline uint8_t fixture_pixel(int file, int index, int place)
{
    return (uint8_t)(file * 89 + index * 31 + place * 7 + place / 256);
}

/* `count` records of a CIFAR-10 (label_bytes 1) or CIFAR-100 (2) file, appended to *out: label of
 * picture i of file f is (f + i) mod classes. */
static inline void fixture_cifar_records(struct seki_buffer *out, int file, int count,
                                         int label_bytes)
{
    for (int i = 0; i < count; i++) {
        uint8_t record[2 + CIFAR_PICTURE];
        int classes = label_bytes == 1 ? 10 : 100;
        record[0] = (uint8_t)((file + i) % 20);
        record[label_bytes - 1] = (uint8_t)((file + i) % classes);
        for (int place = 0; place < CIFAR_PICTURE; place++)
            record[label_bytes + place] = fixture_pixel(file, i, place);
        assert_int_equal(seki_buffer_append(out, record, (size_t)label_bytes + CIFAR_PICTURE), 0);
    }
}

static inline void fixture_cifar_file(const char *folder, const char *name, int file, int count,
                                      int label_bytes)
{
    struct seki_buffer bytes;
    seki_buffer_init(&bytes, (size_t)64 << 20);
    fixture_cifar_records(&bytes, file, count, label_bytes);
    fixture_write(folder, name, bytes.data, bytes.length);
    seki_buffer_free(&bytes);
}

/* A folder of CIFAR-10 with 1 + file number records a file. */
static inline void fixture_cifar10_folder(const char *folder)
{
    for (int file = 0; file < 6; file++)
        fixture_cifar_file(folder, fixture_cifar10[file], file, file + 1, 1);
}

/* ---- tar ---- */

/* The header of a member, its checksum right. magic: 8 bytes, those of POSIX or of GNU. */
static inline void fixture_tar_header(struct seki_buffer *tar, const char *name, char type,
                                      size_t size, const char magic[8])
{
    char block[512] = "";
    unsigned sum = 0;
    memcpy(block, name, strnlen(name, 100));
    snprintf(block + 100, 8, "%07o", 0644);
    snprintf(block + 124, 12, "%011zo", size);
    memset(block + 148, ' ', 8);
    block[156] = type;
    memcpy(block + 257, magic, 8);
    for (int i = 0; i < 512; i++)
        sum += (uint8_t)block[i];
    snprintf(block + 148, 7, "%06o", sum);
    assert_int_equal(seki_buffer_append(tar, block, sizeof(block)), 0);
}

#define POSIX_TAR                                                                                  \
    "ustar\0"                                                                                      \
    "00"
#define GNU_TAR "ustar  "

static inline void fixture_tar_member(struct seki_buffer *tar, const char *name, char type,
                                      const void *bytes, size_t size)
{
    static const char zeros[512];
    fixture_tar_header(tar, name, type, size, type == 'L' ? GNU_TAR : POSIX_TAR);
    assert_int_equal(seki_buffer_append(tar, bytes, size), 0);
    assert_int_equal(seki_buffer_append(tar, zeros, (512 - size % 512) % 512), 0);
}

static inline void fixture_tar_end(struct seki_buffer *tar)
{
    static const char zeros[1024];
    assert_int_equal(seki_buffer_append(tar, zeros, sizeof(zeros)), 0);
}

/* ---- IDX ---- */

static inline void fixture_big_endian(struct seki_buffer *out, uint32_t value)
{
    uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                        (uint8_t)value};
    assert_int_equal(seki_buffer_append(out, bytes, 4), 0);
}

static inline void fixture_idx_images(struct seki_buffer *out, uint32_t count, uint32_t height,
                                      uint32_t width)
{
    fixture_big_endian(out, 0x00000803);
    fixture_big_endian(out, count);
    fixture_big_endian(out, height);
    fixture_big_endian(out, width);
    for (uint32_t i = 0; i < count * height * width; i++) {
        uint8_t byte = (uint8_t)(i * 5);
        assert_int_equal(seki_buffer_append(out, &byte, 1), 0);
    }
}

static inline void fixture_idx_labels(struct seki_buffer *out, uint32_t count, int classes)
{
    fixture_big_endian(out, 0x00000801);
    fixture_big_endian(out, count);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t byte = (uint8_t)(i % (uint32_t)classes);
        assert_int_equal(seki_buffer_append(out, &byte, 1), 0);
    }
}

/* ---- Whole data sets ---- */

/* 12 + 3 pictures of 5x7 and 4 classes: training plain, test gzipped, one under the other name. */
static inline void fixture_idx_folder(const char *folder)
{
    struct seki_buffer bytes;
    seki_buffer_init(&bytes, (size_t)1 << 20);
    fixture_idx_images(&bytes, 12, 5, 7);
    fixture_write(folder, "train-images-idx3-ubyte", bytes.data, bytes.length);
    seki_buffer_clear(&bytes);
    fixture_idx_labels(&bytes, 12, 4);
    fixture_write(folder, "train-labels-idx1-ubyte", bytes.data, bytes.length);
    seki_buffer_clear(&bytes);
    fixture_idx_images(&bytes, 3, 5, 7);
    fixture_write_gzip(folder, "t10k-images-idx3-ubyte.gz", bytes.data, bytes.length);
    seki_buffer_clear(&bytes);
    fixture_idx_labels(&bytes, 3, 3);
    fixture_write_gzip(folder, "t10k-labels.idx1-ubyte.gz", bytes.data, bytes.length);
    seki_buffer_free(&bytes);
}

/* The tar of fixture_cifar10_folder, its members in the order of the published archive. */
static inline void fixture_cifar10_tar(struct seki_buffer *tar)
{
    static const int order[] = {0, 2, 3, 5, 4, 1};
    static const char long_name[] = "a-folder-with-a-name-of-more-than-a-hundred-characters-so-"
                                    "that-the-header-of-a-tar-archive-"
                                    "cannot-hold-it/cifar-10-batches-bin/data_batch_5.bin";
    seki_buffer_init(tar, (size_t)1 << 20);
    /* A folder has no bytes, whatever size its header tells. */
    fixture_tar_header(tar, "cifar-10-batches-bin/", '5', 4096, POSIX_TAR);
    fixture_tar_member(tar, "pax", 'x', "30 mtime=1234567890.123456789\n", 30);
    fixture_tar_member(tar, "cifar-10-batches-bin/readme.html", '0', "<html>", 6);
    for (int i = 0; i < 6; i++) {
        struct seki_buffer file;
        char name[100];
        seki_buffer_init(&file, (size_t)1 << 20);
        fixture_cifar_records(&file, order[i], order[i] + 1, 1);
        snprintf(name, sizeof(name), "cifar-10-batches-bin/%s", fixture_cifar10[order[i]]);
        if (order[i] == 4) {
            fixture_tar_member(tar, "././@LongLink", 'L', long_name, sizeof(long_name));
            snprintf(name, sizeof(name), "%.99s", long_name);
        }
        fixture_tar_member(tar, name, i % 2 ? '0' : '\0', file.data, file.length);
        seki_buffer_free(&file);
    }
    fixture_tar_end(tar);
}

#endif
