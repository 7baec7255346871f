#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "policy/seccomp_profile.h"

#define CACHE_SUFFIX	".bpf"
#define CACHE_NAME_MAX	(16 + sizeof(CACHE_SUFFIX))
#define CACHE_FILES_MAX 64
#define CACHE_FILE_MAX	(4u << 20)

static const char cache_magic[8] = "mossbpf1";

/* A file: this, the key, the instructions. */
struct cache_header {
	char magic[8];
	uint64_t checksum; /* of all that follows */
	uint64_t key_length;
	uint32_t length; /* instructions */
	uint32_t flags;
};

/* FNV-1a over 8 bytes a step: for file names and damage, not for enemies. */
static uint64_t hash(const void *data, size_t length, uint64_t start)
{
	const unsigned char *bytes = data;
	uint64_t value = start ^ length;
	uint64_t word;

	for (size_t i = 0; i < length; i += sizeof(word)) {
		size_t part =
			length - i < sizeof(word) ? length - i : sizeof(word);

		word = 0;
		memcpy(&word, bytes + i, part);
		value = (value ^ word) * UINT64_C(0x100000001b3);
		/* Multiplying only carries upwards. */
		value ^= value >> 32;
	}
	return value;
}

static void cache_name(char ret_name[CACHE_NAME_MAX], const char *key,
		       size_t key_length)
{
	snprintf(ret_name, CACHE_NAME_MAX, "%016llx" CACHE_SUFFIX,
		 (unsigned long long)hash(key, key_length,
					  UINT64_C(0xcbf29ce484222325)));
}

static uint64_t checksum(const char *file, size_t size)
{
	size_t start = offsetof(struct cache_header, key_length);

	return hash(file + start, size - start, 0);
}

int seccomp_cache_find(int cache_fd, const char *key, size_t key_length,
		       struct seccomp_filter *ret_filter)
{
	cleanup_free char *file = NULL;
	cleanup_fd int fd = -1;
	char name[CACHE_NAME_MAX];
	struct cache_header header;
	size_t code_size;
	size_t size;

	cache_name(name, key, key_length);
	fd = openat(cache_fd, name,
		    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return 0;
	if (file_read_fd(fd, name, CACHE_FILE_MAX, &file, &size, NULL) < 0 ||
	    size < sizeof(header))
		return 0;
	memcpy(&header, file, sizeof(header));
	code_size = (size_t)header.length * sizeof(struct sock_filter);
	if (memcmp(header.magic, cache_magic, sizeof(cache_magic)) != 0 ||
	    header.length == 0 || header.length > SECCOMP_FILTER_MAX ||
	    header.key_length != key_length ||
	    size != sizeof(header) + key_length + code_size ||
	    memcmp(file + sizeof(header), key, key_length) != 0 ||
	    header.checksum != checksum(file, size))
		return 0;

	ret_filter->code = xcalloc(header.length, sizeof(struct sock_filter));
	memcpy(ret_filter->code, file + sizeof(header) + key_length, code_size);
	ret_filter->length = header.length;
	ret_filter->flags = header.flags;
	return 1;
}

/* Removes the file that was made first; the cache stays small for ever. */
static void drop_oldest(int cache_fd)
{
	cleanup_dir DIR *dir = NULL;
	cleanup_fd int fd = -1;
	cleanup_free char *oldest = NULL;
	struct timespec oldest_time = {0};
	const struct dirent *entry;
	size_t count = 0;

	fd = openat(cache_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	dir = fdopendir(fd);
	if (!dir)
		return;
	steal_fd(&fd);
	while ((entry = readdir(dir))) {
		struct stat st;

		if (!str_ends(entry->d_name, CACHE_SUFFIX) ||
		    fstatat(cache_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) <
			    0)
			continue;
		count++;
		if (oldest && (st.st_mtim.tv_sec > oldest_time.tv_sec ||
			       (st.st_mtim.tv_sec == oldest_time.tv_sec &&
				st.st_mtim.tv_nsec >= oldest_time.tv_nsec)))
			continue;
		free(oldest);
		oldest = xstrdup(entry->d_name);
		oldest_time = st.st_mtim;
	}
	if (count >= CACHE_FILES_MAX)
		unlinkat(cache_fd, oldest, 0);
}

void seccomp_cache_store(int cache_fd, const char *key, size_t key_length,
			 const struct seccomp_filter *filter)
{
	size_t code_size = filter->length * sizeof(struct sock_filter);
	struct cache_header header = {
		.key_length = key_length,
		.length = (uint32_t)filter->length,
		.flags = filter->flags,
	};
	size_t size = sizeof(header) + key_length + code_size;
	cleanup_free char *file = NULL;
	char name[CACHE_NAME_MAX];

	memcpy(header.magic, cache_magic, sizeof(cache_magic));
	file = xcalloc(1, size);
	memcpy(file, &header, sizeof(header));
	memcpy(file + sizeof(header), key, key_length);
	memcpy(file + sizeof(header) + key_length, filter->code, code_size);
	header.checksum = checksum(file, size);
	memcpy(file, &header, sizeof(header));

	drop_oldest(cache_fd);
	cache_name(name, key, key_length);
	/* Half a file after a power cut fails its checksum: no need to sync. */
	(void)file_write_atomic_at(cache_fd, name, file, size, 0600,
				   FILE_VOLATILE, NULL);
}
