/*
 * ADD of URLs. What one has is fetched once a build: add-digest, which is asked
 * first, leaves it in the build's work for layer-add.
 *
 *   tmp/work-X/fetch/HEX/file   HEX: SHA-256 of the URL
 *   tmp/work-X/fetch/HEX/name   what the server calls it, "" when nothing does
 *
 * The directory is made elsewhere and renamed when it is whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/build/copy.h"
#include "storage/registry/http.h"
#include "storage/tar/hash.h"

#define FETCH_DIR "fetch"
#define NAME_NAME "name"
#define URL_MODE  0600 /* docker's */

struct download {
	struct copy *copy;
	const char *url;
	int fd;
	uint64_t received;
	struct job_meter meter;
};

/* The last name in the path; without query and fragment. Caller frees. */
static char *name_of_url(const char *url)
{
	const char *path = strstr(url, "://");
	const char *name;
	size_t length;

	path = path ? path + 3 : url;
	length = strcspn(path, "?#");
	name = path + length;
	while (name > path && name[-1] != '/')
		name--;
	/* Without any slash that is the server. */
	if (name == path)
		return xstrdup("");
	return xstrndup(name, length - (size_t)(name - path));
}

/* %2F and the like; what would be no name is left as it is. Caller frees. */
static char *unescape(const char *text)
{
	char *out = xcalloc(strlen(text) + 1, 1);
	size_t length = 0;

	while (*text) {
		unsigned int value;

		if (*text == '%' &&
		    strspn(text + 1, "0123456789abcdefABCDEF") >= 2 &&
		    sscanf(text + 1, "%2x", &value) == 1 && value != 0 &&
		    value != '/') {
			out[length++] = (char)value;
			text += 3;
		} else {
			out[length++] = *text++;
		}
	}
	return out;
}

/* filename="x" of a Content-Disposition (RFC 6266); caller frees. */
static char *name_of_header(const char *header)
{
	const char *at = header ? strcasestr(header, "filename=") : NULL;
	cleanup_free char *value = NULL;
	const char *slash;

	if (!at)
		return xstrdup("");
	at += strlen("filename=");
	value = *at == '"' ? xstrndup(at + 1, strcspn(at + 1, "\""))
			   : xstrndup(at, strcspn(at, "; \t"));
	slash = strrchr(value, '/');
	return xstrdup(slash ? slash + 1 : value);
}

static char *choose_name(const struct download *download,
			 const struct http_response *response)
{
	cleanup_free char *escaped = name_of_url(download->url);
	char *name = unescape(escaped);

	if (copy_is_file_name(name))
		return name;
	free(name);
	name = name_of_header(http_header(response, "Content-Disposition"));
	if (!copy_is_file_name(name))
		*name = '\0';
	return name;
}

/* As BuildKit, 1970 when the server does not say. */
static struct timespec last_modified(const struct http_response *response)
{
	const char *text = http_header(response, "Last-Modified");
	struct timespec time = {0};
	struct tm parts = {0};
	const char *end;

	end = text ? strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &parts) : NULL;
	if (end && !*end)
		time.tv_sec = timegm(&parts);
	if (time.tv_sec < 0)
		time.tv_sec = 0;
	return time;
}

static int receive(struct download *download, struct http_response *response,
		   struct error *err)
{
	const uint64_t total =
		response->length == UINT64_MAX ? 0 : response->length;
	const void *bytes;
	ssize_t length;
	int r;

	while ((length = stream_next(response->body, &bytes, err)) > 0) {
		download->received += (uint64_t)length;
		if (download->received > FETCH_BYTES_MAX)
			return err_set(err, ERROR_INVALID,
				       "larger than %llu bytes",
				       FETCH_BYTES_MAX);
		r = write_all(download->fd, bytes, (size_t)length);
		if (r < 0)
			return err_number(err, r, "cannot write to the store");
		job_progress(download->copy->job, &download->meter,
			     download->url, "Downloading", download->received,
			     total);
	}
	return (int)length;
}

/* *ret_name: what the file is called; caller frees. */
static int request(struct download *download, char **ret_name,
		   struct error *err)
{
	const struct http_request request = {
		.method = "GET",
		.url = download->url,
	};
	cleanup_http struct http *http = NULL;
	cleanup_response struct http_response response = {0};
	cleanup_free char *what = xasprintf("fetch %s", download->url);
	struct timespec times[2];
	int r = http_new(NULL, &http, err);

	if (r == 0)
		r = http_send(http, &request, &response, err);
	if (r < 0)
		return err_wrap(err, "cannot %s", what);
	if (response.status != 200)
		return http_status_error(&response, what, err);
	r = receive(download, &response, err);
	if (r < 0)
		return err_wrap(err, "cannot %s", what);
	times[0] = times[1] = last_modified(&response);
	if (futimens(download->fd, times) < 0)
		return err_errno(err, "cannot write to the store");
	*ret_name = choose_name(download, &response);
	return 0;
}

static int download_to(struct copy *copy, const char *url, int dir_fd,
		       struct error *err)
{
	cleanup_fd int fd =
		openat(dir_fd, COPY_FILE_NAME,
		       O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, URL_MODE);
	struct download download = {.copy = copy, .url = url, .fd = fd};
	cleanup_free char *name = NULL;
	int r;

	if (fd < 0)
		return err_errno(err, "cannot make a file in the store");
	r = request(&download, &name, err);
	if (r < 0)
		return r;
	return file_write_atomic_at(dir_fd, NAME_NAME, name, strlen(name), 0600,
				    FILE_VOLATILE, err);
}

/* Another process of the build may have been faster. */
static int fetch_new(struct copy *copy, const char *url, int fetch_fd,
		     const char *hex, struct error *err)
{
	cleanup_free char *temporary =
		xasprintf("new-%d-%s", (int)getpid(), hex);
	cleanup_fd int dir_fd = copy_new_directory(fetch_fd, temporary, err);
	int r = dir_fd < 0 ? dir_fd : download_to(copy, url, dir_fd, err);

	if (r == 0 && renameat(fetch_fd, temporary, fetch_fd, hex) < 0 &&
	    errno != EEXIST && errno != ENOTEMPTY)
		r = err_errno(err, "cannot keep what was fetched");
	(void)tree_remove_at(fetch_fd, temporary, NULL);
	return r;
}

static int open_fetched(struct copy *copy, const char *url, int *ret_fd,
			struct error *err)
{
	const char *lease = job_string(copy->job, "lease");
	char digest[DIGEST_TEXT_MAX];
	const char *hex;
	cleanup_fd int work_fd = -1;
	cleanup_fd int fetch_fd = -1;
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
	int fd;
	int r = hash_bytes(url, strlen(url), digest, err);

	if (r < 0)
		return r;
	hex = digest_hex(digest);
	work_fd = store_work_open(&copy->job->store, lease ? lease : "", err);
	if (work_fd < 0)
		return work_fd;
	if (mkdirat(work_fd, FETCH_DIR, 0700) < 0 && errno != EEXIST)
		return err_errno(err, "cannot make a directory in the store");
	fetch_fd = openat(work_fd, FETCH_DIR, flags);
	if (fetch_fd < 0)
		return err_errno(err, "cannot open a directory of the store");
	fd = openat(fetch_fd, hex, flags);
	if (fd < 0 && errno == ENOENT) {
		r = fetch_new(copy, url, fetch_fd, hex, err);
		if (r < 0)
			return r;
		fd = openat(fetch_fd, hex, flags);
	}
	if (fd < 0)
		return err_errno(err, "cannot open a directory of the store");
	*ret_fd = fd;
	return 0;
}

static int check_digest(int dir_fd, const char *url, const char *expected,
			struct error *err)
{
	CLEANUP(hash_release) struct hash hash = {NULL};
	cleanup_stream struct stream *stream = NULL;
	char digest[DIGEST_TEXT_MAX];
	const void *bytes;
	ssize_t length;
	int fd;
	int r = digest_check(expected, "--checksum", err);

	if (r == 0)
		r = hash_init(&hash, err);
	if (r < 0)
		return r;
	fd = openat(dir_fd, COPY_FILE_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_errno(err, "cannot read what was fetched");
	stream = stream_from_fd(fd, url);
	while ((length = stream_next(stream, &bytes, err)) > 0)
		hash_update(&hash, bytes, (size_t)length);
	if (length < 0)
		return (int)length;
	hash_digest(&hash, digest);
	return str_equal(digest, expected)
		       ? 0
		       : err_set(err, ERROR_CORRUPT,
				 "%s: digest mismatch: it is %s, not %s", url,
				 digest, expected);
}

int copy_fetch_url(struct copy *copy, struct copy_input *input,
		   struct error *err)
{
	const char *url = "", *checksum = NULL;
	cleanup_free char *name = NULL;
	cleanup_fd int dir_fd = -1;
	int r = json_get_string(input->json, "sources", "url", &url, err);

	if (r >= 0)
		r = json_get_string(input->json, "sources", "checksum",
				    &checksum, err);
	if (r >= 0)
		r = open_fetched(copy, url, &dir_fd, err);
	if (r >= 0 && checksum)
		r = check_digest(dir_fd, url, checksum, err);
	if (r >= 0)
		r = file_read_at(dir_fd, NAME_NAME, NAME_MAX, &name, NULL, err);
	if (r < 0)
		return r;
	if (!*name && str_ends(copy->destination, "/")) {
		err_set(err, ERROR_INVALID,
			"cannot determine a file name for %s", url);
		return err_hint(err, "name the file in the destination");
	}
	copy_use_file(input, steal_fd(&dir_fd), *name ? name : "__unnamed__");
	return 0;
}
