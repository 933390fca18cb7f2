/* client.c - one chat completion request to an OpenAI-compatible endpoint, through libcurl. */
#include "llm/llm.h"
#include "llm/llm_internal.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HEADERS ((size_t)256 << 10) /* bytes of a reply's header lines */
#define MIN_KEY     4 /* a shorter "key" is a placeholder and need not be hidden */
#define MAX_URL     2048

struct seki_client {
    CURL *curl;
    struct curl_slist *headers;
    char *key;
    char url[MAX_URL + 64];   /* requested */
    char shown[MAX_URL + 64]; /* for messages */
    double connect_timeout;
};

/* What the callbacks fill during one transfer. */
struct transfer {
    struct seki_buffer *body;
    size_t header_bytes;
    bool too_large;
};

/* ---- The URL ------------------------------------------------------------------------------- */

/* Adds /chat/completions to the path, and prints the URL whole, then without what must not be
 * shown. */
static int complete_url(CURLU *parts, struct seki_client *client, struct seki_error *error)
{
    static const char *const ending = "/chat/completions";
    char *path = NULL, *whole = NULL, *shown = NULL;
    char full[MAX_URL + 32];
    size_t length;
    int result = -1;

    if (curl_url_get(parts, CURLUPART_PATH, &path, 0) != CURLUE_OK)
        goto out;
    length = strlen(path);
    while (length > 0 && path[length - 1] == '/')
        length--;
    if (length >= strlen(ending) &&
        memcmp(path + length - strlen(ending), ending, strlen(ending)) == 0)
        length -= strlen(ending); /* the whole address was given */
    if (length > MAX_URL)
        goto out;
    snprintf(full, sizeof full, "%.*s%s", (int)length, path, ending);
    if (curl_url_set(parts, CURLUPART_PATH, full, 0) != CURLUE_OK ||
        curl_url_set(parts, CURLUPART_FRAGMENT, NULL, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_URL, &whole, 0) != CURLUE_OK ||
        strlen(whole) >= sizeof client->url)
        goto out;
    snprintf(client->url, sizeof client->url, "%s", whole);
    curl_url_set(parts, CURLUPART_USER, NULL, 0);
    curl_url_set(parts, CURLUPART_PASSWORD, NULL, 0);
    curl_url_set(parts, CURLUPART_OPTIONS, NULL, 0);
    curl_url_set(parts, CURLUPART_QUERY, NULL, 0);
    if (curl_url_get(parts, CURLUPART_URL, &shown, 0) != CURLUE_OK)
        goto out;
    snprintf(client->shown, sizeof client->shown, "%s", shown);
    result = 0;
out:
    curl_free(path);
    curl_free(whole);
    curl_free(shown);
    if (result < 0)
        seki_fail(error, SEKI_BAD_USE, "url", "the base URL cannot be used: it is too long");
    return result;
}

static int read_url(const char *base_url, struct seki_client *client, struct seki_error *error)
{
    CURLU *parts = curl_url();
    char *scheme = NULL;
    int result = -1;

    if (parts == NULL)
        return seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
    /* the text itself is not repeated: it may hold a password */
    if (strlen(base_url) > MAX_URL ||
        curl_url_set(parts, CURLUPART_URL, base_url, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK)
        seki_fail(error, SEKI_BAD_USE, "url",
                  "the base URL is no URL; expected one as http://127.0.0.1:8080/v1");
    else if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
        seki_fail(error, SEKI_BAD_USE, "url",
                  "the base URL has the scheme %.40s; only http and https are spoken", scheme);
    else
        result = complete_url(parts, client, error);
    curl_free(scheme);
    curl_url_cleanup(parts);
    return result;
}

/* ---- The client's life -------------------------------------------------------------------- */

static int add_header(struct seki_client *client, const char *line)
{
    struct curl_slist *longer = curl_slist_append(client->headers, line);

    if (longer == NULL)
        return -1;
    client->headers = longer;
    return 0;
}

static int add_headers(struct seki_client *client, const char *key, struct seki_error *error)
{
    int result = add_header(client, "Content-Type: application/json") |
                 add_header(client, "Accept: application/json") |
                 add_header(client, "Expect:"); /* no round trip before the body */

    if (key != NULL) {
        size_t size = strlen(key) + sizeof "Authorization: Bearer ";
        char *line = seki_allocate(1, size, error);

        if (line == NULL)
            return -1;
        snprintf(line, size, "Authorization: Bearer %s", key);
        result |= add_header(client, line);
        seki_wipe(line, size);
        free(line);
        client->key = strdup(key);
    }
    if (result != 0 || (key != NULL && client->key == NULL))
        return seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
    return 0;
}

struct seki_client *seki_client_new(const struct seki_endpoint *endpoint, struct seki_error *error)
{
    struct seki_client *client;

    if (endpoint->key != NULL && seki_key_check(endpoint->key, error) < 0)
        return NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        seki_fail(error, SEKI_NO_RESOURCE, "network", "libcurl cannot be started");
        return NULL;
    }
    client = seki_allocate(1, sizeof *client, error);
    if (client == NULL) {
        curl_global_cleanup();
        return NULL;
    }
    client->connect_timeout = endpoint->connect_timeout;
    client->curl = curl_easy_init();
    if (client->curl == NULL)
        seki_fail(error, SEKI_NO_RESOURCE, "memory", "out of memory");
    else if (read_url(endpoint->base_url, client, error) == 0 &&
             add_headers(client, endpoint->key, error) == 0)
        return client;
    seki_client_free(client);
    return NULL;
}

const char *seki_client_url(const struct seki_client *client)
{
    return client->shown;
}

void seki_client_free(struct seki_client *client)
{
    if (client == NULL)
        return;
    if (client->curl != NULL)
        curl_easy_cleanup(client->curl);
    if (client->key != NULL) {
        for (struct curl_slist *line = client->headers; line != NULL; line = line->next)
            seki_wipe(line->data, strlen(line->data));
        seki_wipe(client->key, strlen(client->key));
        free(client->key);
    }
    curl_slist_free_all(client->headers);
    seki_wipe(client->url, sizeof client->url);
    free(client);
    curl_global_cleanup();
}

/* ---- A transfer --------------------------------------------------------------------------- */

static size_t take_body(char *bytes, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;

    if (seki_buffer_append(transfer->body, bytes, size * count) < 0) {
        transfer->too_large = true;
        return 0;
    }
    return size * count;
}

static size_t take_header(char *bytes, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;

    (void)bytes;
    transfer->header_bytes += size * count;
    if (transfer->header_bytes > MAX_HEADERS) {
        transfer->too_large = true;
        return 0;
    }
    return size * count;
}

static long milliseconds(double seconds)
{
    return seconds < 0.001 ? 1 : seconds > 1e6 ? 1000000000 : (long)(seconds * 1000);
}

static CURLcode set_up(struct seki_client *client, const char *request, size_t length,
                       double timeout, struct transfer *transfer, char *words)
{
    CURL *curl = client->curl;
    CURLcode code = CURLE_OK;

    curl_easy_reset(curl); /* keeps the connection */
#define SET(option, value)                                                                         \
    if (code == CURLE_OK)                                                                          \
    code = curl_easy_setopt(curl, option, value)
    SET(CURLOPT_URL, client->url);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_HTTPHEADER, client->headers);
    SET(CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE); /* not to a proxy's CONNECT */
    SET(CURLOPT_USERAGENT, "seki/" SEKI_VERSION);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)length);
    SET(CURLOPT_POSTFIELDS, request);
    SET(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(client->connect_timeout));
    SET(CURLOPT_TIMEOUT_MS, milliseconds(timeout));
    SET(CURLOPT_ERRORBUFFER, words);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, transfer);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_HEADERDATA, transfer);
#undef SET
    return code;
}

static enum seki_cause cause_of_failure(CURLcode code, const struct transfer *transfer,
                                        const char *words)
{
    if (transfer->too_large)
        return SEKI_CAUSE_TOO_LARGE;
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

/* ---- Sending ------------------------------------------------------------------------------- */

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

void seki_client_send(struct seki_client *client, const char *request, size_t length,
                      double timeout, struct seki_response *response)
{
    struct transfer transfer = {.body = &response->body};
    char words[CURL_ERROR_SIZE] = "";
    double begun = seki_clock();
    curl_off_t retry_after = 0;
    char *type = NULL;
    CURLcode code;

    memset(response, 0, sizeof *response);
    seki_buffer_init(&response->body, SEKI_MAX_REPLY);
    seki_buffer_puts(&response->body, ""); /* so that there is a string */
    response->retry_after = -1;
    code = set_up(client, request, length, timeout, &transfer, words);
    if (code == CURLE_OK)
        code = curl_easy_perform(client->curl);
    response->seconds = seki_clock() - begun;
    hide_key(response->body.data, response->body.length, client->key);
    if (code != CURLE_OK) {
        response->cause = cause_of_failure(code, &transfer, words);
        if (transfer.too_large)
            snprintf(response->detail, sizeof response->detail,
                     "the reply is larger than %zu bytes", SEKI_MAX_REPLY);
        else
            snprintf(response->detail, sizeof response->detail, "%.200s",
                     *words ? words : curl_easy_strerror(code));
    } else {
        curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &response->status);
        curl_easy_getinfo(client->curl, CURLINFO_CONTENT_TYPE, &type);
        if (curl_easy_getinfo(client->curl, CURLINFO_RETRY_AFTER, &retry_after) == CURLE_OK &&
            retry_after > 0)
            response->retry_after = (double)retry_after;
        response->cause = seki_response_cause(response->status, response->body.data, type);
        seki_response_describe(response);
    }
    hide_key(response->detail, strlen(response->detail), client->key);
    curl_easy_setopt(client->curl, CURLOPT_ERRORBUFFER, NULL); /* it ends with this call */
}
