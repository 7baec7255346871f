#include "core/runtime/memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "core/runtime/init/program.h"
#include "core/runtime/kernel.h"

static int create(unsigned int flags)
{
	int fd = memfd_create("moss-init", flags | MFD_EXEC);

	/* MFD_EXEC came with Linux 6.3; before, every memfd is executable. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("moss-init", flags);
	return fd;
}

int memfd_program(int64_t group, struct error *err)
{
	cleanup_fd int fd = create(MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0 && errno == EACCES) {
		err_errno(err, "cannot make an executable memory file");
		return err_hint(err, "the sysctl vm.memfd_noexec=2 forbids it; "
				     "set it to 0 or 1");
	}
	if (fd < 0)
		return err_errno(err, "cannot make an executable memory file");
	r = write_all(fd, moss_init_program, moss_init_program_size);
	if (r < 0)
		return err_number(err, r, "cannot fill a memory file");
	if (group >= 0 &&
	    (fchown(fd, (uid_t)-1, (gid_t)group) < 0 || fchmod(fd, 0111) < 0))
		return err_errno(err, "cannot hide a memory file");
	if (fcntl(fd, F_ADD_SEALS,
		  F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return err_errno(err, "cannot seal a memory file");
	return steal_fd(&fd);
}

int memfd_data(const char *name, const void *data, size_t length,
	       struct error *err)
{
	cleanup_fd int fd = memfd_create(name, MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return err_errno(err, "cannot make a memory file");
	r = write_all(fd, data, length);
	if (r < 0)
		return err_number(err, r, "cannot fill a memory file");
	return steal_fd(&fd);
}
