#include "base/cleanup.h"

#include <errno.h>
#include <unistd.h>

#include "base/str.h"

void cleanup_free_function(void *pointer_to_pointer)
{
	free(*(void **)pointer_to_pointer);
}

void cleanup_fd_function(int *fd)
{
	close_fd(fd);
}

void cleanup_file_function(FILE **file)
{
	int saved = errno;

	if (*file)
		fclose(*file);
	errno = saved;
}

void cleanup_dir_function(DIR **dir)
{
	int saved = errno;

	if (*dir)
		closedir(*dir);
	errno = saved;
}

void cleanup_strv_function(char ***strv)
{
	strv_free(*strv);
}

int steal_fd(int *fd)
{
	int value = *fd;

	*fd = -1;
	return value;
}

void close_fd(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}
