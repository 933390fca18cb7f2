/* client_internal.h - a client and its transfers, shared by client.c and transfer.c. */
#ifndef SEKI_CLIENT_INTERNAL_H
#define SEKI_CLIENT_INTERNAL_H

#include "llm/llm.h"

#include <curl/curl.h>

#define SEKI_MAX_URL 2048

struct seki_transfer;

struct seki_client {
    bool networked; /* else answers come from the recording */
    CURLM *multi;
    struct seki_recording *recording;
    struct seki_transfer *transfers, **last; /* under way, and done but not yet waited for */
    struct curl_slist *headers;
    char *key;
    char url[SEKI_MAX_URL + 64];   /* requested */
    char shown[SEKI_MAX_URL + 64]; /* for messages */
    double connect_timeout, idle_timeout;
};

/* One request and its response. */
struct seki_transfer {
    struct seki_client *client;
    struct seki_transfer *next;
    void *owner;
    CURL *curl; /* NULL: from a recording */
    struct seki_response response;
    size_t header_bytes;
    bool too_large, idle, done;
    long order;              /* of a recorded reply: when it came */
    double begun, last_byte; /* monotonic clock; last_byte 0: none of the body has come */
    char words[CURL_ERROR_SIZE];
};

struct seki_transfer *seki_transfer_new(struct seki_client *client, void *owner,
                                        struct seki_error *error);
int seki_transfer_begin(struct seki_transfer *transfer, const struct seki_request *request,
                        struct seki_error *error);
/* Takes it out of its client's list; returns it. */
struct seki_transfer *seki_transfer_take(struct seki_client *client,
                                         struct seki_transfer *transfer);
void seki_transfer_free(struct seki_transfer *transfer);
/* Lets all go on until one is done, the seconds are over, or the descriptor can be read. */
void seki_transfers_drive(struct seki_client *client, double seconds, int descriptor);

#endif
