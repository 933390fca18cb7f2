/* transfer.c - one request to an endpoint and its response, through libcurl's multi interface. */
#include "llm/llm.h"
#include "llm/client_internal.h"
#include "llm/llm_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_HEADERS ((size_t)256 << 10) /* bytes of a reply's header lines */
#define MIN_KEY     4 /* a shorter "key" is a placeholder and need not be hidden */

struct seki_transfer *seki_transfer_new(struct seki_client *client, void *owner,
                                        struct seki_error *error)
{
    struct seki_transfer *transfer = seki_allocate(1, sizeof *transfer, error);

    if (transfer == NULL)
        return NULL;
    transfer->client = client;
    transfer->owner = owner;
    seki_response_init(&transfer->response);
    return transfer;
}

struct seki_transfer *seki_transfer_take(struct seki_client *client, struct seki_transfer *transfer)
{
    struct seki_transfer **place = &client->transfers;

    while (*place != transfer)
        place = &(*place)->next;
    *place = transfer->next;
    if (*place == NULL)
        client->last = place;
    transfer->next = NULL;
    return transfer;
}

void seki_transfer_free(struct seki_transfer *transfer)
{
    if (transfer->curl != NULL) {
        curl_multi_remove_handle(transfer->client->multi, transfer->curl);
        curl_easy_cleanup(transfer->curl);
    }
    seki_response_free(&transfer->response);
    free(transfer);
}

/* ---- What libcurl calls ------------------------------------------------------------------- */

static size_t take_body(char *bytes, size_t size, size_t count, void *context)
{
    struct seki_transfer *transfer = context;

    transfer->last_byte = seki_clock();
    if (seki_buffer_append(&transfer->response.body, bytes, size * count) < 0) {
        transfer->too_large = true;
        return 0;
    }
    return size * count;
}

static size_t take_header(char *bytes, size_t size, size_t count, void *context)
{
    struct seki_transfer *transfer = context;
    struct timespec now;

    transfer->header_bytes += size * count;
    if (transfer->header_bytes > MAX_HEADERS) {
        transfer->too_large = true;
        return 0;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    seki_rate_header(&transfer->response.rate, bytes, size * count,
                     (double)now.tv_sec + (double)now.tv_nsec / 1e9);
    return size * count;
}

/* Called about once a second: libcurl's own limit on speed would also end the silence in which a
 * model thinks, before the reply begins. */
static int check_idle(void *context, curl_off_t to_come, curl_off_t came, curl_off_t to_send,
                      curl_off_t sent)
{
    struct seki_transfer *transfer = context;

    (void)to_come, (void)came, (void)to_send, (void)sent;
    transfer->idle = transfer->last_byte > 0 &&
                     seki_clock() - transfer->last_byte > transfer->client->idle_timeout;
    return transfer->idle;
}

/* ---- Sending ------------------------------------------------------------------------------ */

static long milliseconds(double seconds)
{
    return seconds < 0.001 ? 1 : seconds > 1e6 ? 1000000000 : (long)(seconds * 1000);
}

static CURLcode set_up(struct seki_transfer *transfer, const struct seki_request *request)
{
    const struct seki_client *client = transfer->client;
    CURL *curl = transfer->curl;
    CURLcode code = CURLE_OK;

#define SET(option, value)                                                                         \
    if (code == CURLE_OK)                                                                          \
    code = curl_easy_setopt(curl, option, value)
    SET(CURLOPT_URL, client->url);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    /* on a connection that was used before, libcurl sends a request again by itself when the
     * connection ends without a reply: it would be paid twice, and counted once */
    SET(CURLOPT_FRESH_CONNECT, 1L);
    SET(CURLOPT_FORBID_REUSE, 1L);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_HTTPHEADER, client->headers);
    SET(CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE); /* not to a proxy's CONNECT */
    SET(CURLOPT_USERAGENT, "seki/" SEKI_VERSION);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->length);
    SET(CURLOPT_POSTFIELDS, request->text);
    SET(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(client->connect_timeout));
    SET(CURLOPT_TIMEOUT_MS, milliseconds(request->timeout));
    SET(CURLOPT_ERRORBUFFER, transfer->words);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, transfer);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_HEADERDATA, transfer);
    SET(CURLOPT_XFERINFOFUNCTION, check_idle);
    SET(CURLOPT_XFERINFODATA, transfer);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_PRIVATE, (char *)transfer);
#undef SET
    return code;
}

int seki_transfer_begin(struct seki_transfer *transfer, const struct seki_request *request,
                        struct seki_error *error)
{
    transfer->begun = seki_clock();
    transfer->curl = curl_easy_init();
    if (transfer->curl == NULL || set_up(transfer, request) != CURLE_OK ||
        curl_multi_add_handle(transfer->client->multi, transfer->curl) != CURLM_OK)
        return seki_fail(error, SEKI_NO_RESOURCE, "network", "libcurl cannot make a request");
    return 0;
}

/* ---- What came ---------------------------------------------------------------------------- */

static enum seki_cause cause_of_failure(CURLcode code, const struct seki_transfer *transfer)
{
    const char *words = transfer->words;

    if (transfer->too_large)
        return SEKI_CAUSE_TOO_LARGE;
    if (transfer->idle)
        return SEKI_CAUSE_TIMEOUT;
    /* a connection that ends within the handshake says nothing about certificates */
    if (code == CURLE_SSL_CONNECT_ERROR &&
        (strstr(words, "SSL_ERROR_SYSCALL") != NULL || strstr(words, "reset by peer") != NULL))
        return SEKI_CAUSE_DROPPED;
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
        return SEKI_CAUSE_CONNECT;
    case CURLE_OPERATION_TIMEDOUT:
        return SEKI_CAUSE_TIMEOUT;
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return SEKI_CAUSE_DROPPED;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return SEKI_CAUSE_TLS;
    default:
        return SEKI_CAUSE_PROTOCOL;
    }
}

/* Servers have been seen to repeat the key in their messages; nothing that is read from them may
 * hold it. */
static void hide_key(char *text, size_t length, const char *key)
{
    size_t size = key == NULL ? 0 : strlen(key);

    if (size < MIN_KEY)
        return;
    for (size_t at = 0; at + size <= length; at++) {
        if (text[at] == key[0] && memcmp(text + at, key, size) == 0) {
            memset(text + at, '*', size);
            at += size - 1;
        }
    }
}

static void fill_response(struct seki_transfer *transfer, CURLcode code)
{
    struct seki_response *response = &transfer->response;
    curl_off_t retry_after = 0;
    char *type = NULL;

    response->seconds = round((seki_clock() - transfer->begun) * 1000) / 1000;
    hide_key(response->body.data, response->body.length, transfer->client->key);
    if (code == CURLE_OK) {
        curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &response->status);
        curl_easy_getinfo(transfer->curl, CURLINFO_CONTENT_TYPE, &type);
        if (curl_easy_getinfo(transfer->curl, CURLINFO_RETRY_AFTER, &retry_after) == CURLE_OK &&
            retry_after > 0)
            response->retry_after = (double)retry_after;
        response->cause = seki_response_cause(response->status, response->body.data, type);
        seki_response_describe(response);
    } else {
        response->cause = cause_of_failure(code, transfer);
        if (transfer->header_bytes > MAX_HEADERS)
            snprintf(response->detail, sizeof response->detail,
                     "the reply's headers are larger than %zu bytes", MAX_HEADERS);
        else if (transfer->too_large)
            snprintf(response->detail, sizeof response->detail,
                     "the reply is larger than %zu bytes", SEKI_MAX_REPLY);
        else if (transfer->idle)
            snprintf(response->detail, sizeof response->detail,
                     "the reply stopped in its middle, with no byte for %g s",
                     transfer->client->idle_timeout);
        else
            snprintf(response->detail, sizeof response->detail, "%.200s",
                     *transfer->words ? transfer->words : curl_easy_strerror(code));
    }
    hide_key(response->detail, strlen(response->detail), transfer->client->key);
}

static bool collect(struct seki_client *client)
{
    bool any = false;
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        struct seki_transfer *transfer;
        CURLcode code = message->data.result;

        if (message->msg != CURLMSG_DONE ||
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer) != CURLE_OK)
            continue;
        fill_response(transfer, code);
        curl_multi_remove_handle(client->multi, transfer->curl);
        curl_easy_cleanup(transfer->curl);
        transfer->curl = NULL;
        transfer->done = true;
        any = true;
    }
    return any;
}

void seki_transfers_drive(struct seki_client *client, double seconds, int descriptor)
{
    struct curl_waitfd extra = {.fd = descriptor, .events = CURL_WAIT_POLLIN};
    double end = seki_clock() + seconds;

    for (;;) {
        double left;
        int running;

        curl_multi_perform(client->multi, &running);
        left = end - seki_clock();
        if (collect(client) || left <= 0 || extra.revents != 0)
            return;
        /* libcurl looks at its own timeouts too; a second is often enough for check_idle */
        curl_multi_poll(client->multi, &extra, descriptor >= 0, (int)fmin(left * 1000 + 1, 1000),
                        NULL);
    }
}
