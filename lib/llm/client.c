/*
 * client.c - an OpenAI-compatible endpoint: its address, its headers, and the requests that are
 * under way; or a recording in its place.
 */
#include "llm/llm.h"
#include "llm/client_internal.h"
#include "llm/llm_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- The URL ------------------------------------------------------------------------------- */

/* Adds /chat/completions to the path, and prints the URL whole, then without what must not be
 * shown. */
static int complete_url(CURLU *parts, struct seki_client *client, struct seki_error *error)
{
    static const char *const ending = "/chat/completions";
    char *path = NULL, *whole = NULL, *shown = NULL;
    char full[SEKI_MAX_URL + 32];
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
    if (length > SEKI_MAX_URL)
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
    if (strlen(base_url) > SEKI_MAX_URL ||
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

static struct seki_client *allocate_client(struct seki_error *error)
{
    struct seki_client *client = seki_allocate(1, sizeof *client, error);

    if (client != NULL)
        client->last = &client->transfers;
    return client;
}

struct seki_client *seki_client_new_replay(struct seki_recording *recording,
                                           struct seki_error *error)
{
    struct seki_client *client = allocate_client(error);

    if (client == NULL)
        return NULL;
    client->recording = recording;
    snprintf(client->shown, sizeof client->shown, "%s", seki_recording_path(recording));
    return client;
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
    client = allocate_client(error);
    if (client == NULL) {
        curl_global_cleanup();
        return NULL;
    }
    client->connect_timeout = endpoint->connect_timeout;
    client->idle_timeout = endpoint->idle_timeout;
    client->multi = curl_multi_init();
    client->networked = true;
    if (client->multi == NULL)
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
    bool networked;

    if (client == NULL)
        return;
    networked = client->networked;
    while (client->transfers != NULL)
        seki_transfer_free(seki_transfer_take(client, client->transfers));
    if (client->multi != NULL)
        curl_multi_cleanup(client->multi);
    if (client->key != NULL) {
        for (struct curl_slist *line = client->headers; line != NULL; line = line->next)
            seki_wipe(line->data, strlen(line->data));
        seki_wipe(client->key, strlen(client->key));
        free(client->key);
    }
    curl_slist_free_all(client->headers);
    seki_wipe(client->url, sizeof client->url);
    free(client);
    if (networked)
        curl_global_cleanup();
}

/* ---- Requests under way ------------------------------------------------------------------- */

int seki_client_start(struct seki_client *client, const struct seki_request *request, void *owner,
                      struct seki_error *error)
{
    struct seki_transfer *transfer = seki_transfer_new(client, owner, error);

    if (transfer == NULL)
        return -1;
    if (client->networked) {
        if (seki_transfer_begin(transfer, request, error) < 0) {
            seki_transfer_free(transfer);
            return -1;
        }
    } else {
        seki_response_free(&transfer->response);
        transfer->order = seki_recording_answer(client->recording, &request->place, request->text,
                                                &transfer->response);
        transfer->done = true;
    }
    *client->last = transfer; /* in the order of their start */
    client->last = &transfer->next;
    return 0;
}

/* The first that is done; of recorded replies the one that came first when they were recorded: what
 * is learnt of the endpoint is then learnt between the same requests. */
static struct seki_transfer *find_done(struct seki_client *client)
{
    struct seki_transfer *found = NULL;

    for (struct seki_transfer *transfer = client->transfers; transfer != NULL;
         transfer = transfer->next)
        if (transfer->done && (found == NULL || transfer->order < found->order))
            found = transfer;
    return found;
}

void *seki_client_wait(struct seki_client *client, double seconds, int descriptor,
                       struct seki_response *response)
{
    struct seki_transfer *transfer;
    void *owner;

    if (client->networked && find_done(client) == NULL)
        seki_transfers_drive(client, seconds, descriptor);
    transfer = find_done(client);
    if (transfer == NULL)
        return NULL;
    seki_transfer_take(client, transfer);
    *response = transfer->response;
    owner = transfer->owner;
    seki_response_init(&transfer->response);
    seki_transfer_free(transfer);
    return owner;
}
