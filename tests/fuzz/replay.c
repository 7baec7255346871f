/*
 * Runs a fuzz target over its corpus, as an ordinary test: each file below the
 * directories named is one input. A corpus that is missing or empty fails, so
 * that the test can.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_MAX (8u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(int directory_fd, const char *name)
{
	static uint8_t data[INPUT_MAX];
	int fd = openat(directory_fd, name, O_RDONLY | O_CLOEXEC);
	size_t size = 0;
	ssize_t n;

	if (fd < 0)
		return -1;
	while (size < sizeof(data) &&
	       (n = read(fd, data + size, sizeof(data) - size)) > 0)
		size += (size_t)n;
	close(fd);
	/* A copy of the exact size, so that a sanitizer sees each byte past it.
	 */
	uint8_t *copy = malloc(size ? size : 1);
	if (!copy)
		return -1;
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int count = 0;

	for (int i = 1; i < argc; i++) {
		DIR *directory = opendir(argv[i]);
		struct dirent *entry;

		while (directory && (entry = readdir(directory))) {
			if (entry->d_name[0] == '.')
				continue;
			if (replay_file(dirfd(directory), entry->d_name) < 0) {
				perror(entry->d_name);
				return 1;
			}
			count++;
		}
		if (directory)
			closedir(directory);
	}
	printf("%u inputs\n", count);
	return count == 0;
}
